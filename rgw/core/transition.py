"""Moving an object to another storage class of its zone: its bytes are written anew in the class's pool, and the head changes over to them.

Key, version, ETag and time stay; the old tail goes to the garbage collector, since a read may be under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rgw.core import olh, places
from rgw.core.encryption import streams
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta, free_tail, note_old_tail
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.manifest import plain_manifest
from rgw.core.reader import ObjectChanged, read, read_stored
from rgw.core.state import COMPRESSION, IDTAG, MANIFEST, OLH_PREFIX, PARTS, STORAGE_CLASS, TAIL_TAG, ObjectState, format_parts, with_nul
from rgw.core.stripes import StripeSink
from rgw.core.writer import remove_objects
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.basics import PlacementRule
from rgw.formats.obj import ObjManifest
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

STANDARD = "STANDARD"


async def change_class(gw: Gateway, state: ObjectState, storage_class: str) -> None:
    """S3Error InvalidStorageClass if the zone does not have it, OperationAborted if the object changes meanwhile.

    Encrypted bytes move as they are. NotImplemented for what was encrypted in parts: the new manifest could not tell them.
    """
    if state.encrypted and len(streams(state.manifest, state.size)) > 1:
        raise S3Error("NotImplemented", "Objects that were encrypted in parts cannot be moved to another storage class.")
    await uncancelled(_Move(gw, state, storage_class).run())


class _Move:
    """One object's move. ``switched``: the head was, or may have been, changed over, hence the new tail must stay."""

    def __init__(self, gw: Gateway, state: ObjectState, storage_class: str) -> None:
        self._gw = gw
        self._state = state
        self._class = storage_class
        self._rule = PlacementRule(state.bucket.info.placement_rule.name, "" if storage_class == STANDARD else storage_class)
        self._pool = places.tail_pool_name(gw, self._rule)
        # The head stays in its pool; where the class has another one, no bytes stay with it.
        self._head_room = gw.options.rgw_max_chunk_size if self._pool == places.head_pool_name(gw, state.bucket) else 0
        self._prefix = f".{random_text(31)}_"
        self._tag = gw.new_tag()
        self._intent = gw.intents.tails(state.bucket, state.key, self._pool, self._prefix, with_nul(self._tag).decode(), state.instance)
        self._head = b""
        self._tails: list[str] = []
        self._switched = False

    async def run(self) -> None:
        try:
            await self._write_tails()
            with await note_old_tail(self._gw, self._state):
                await self._switch()
                await free_tail(self._gw, self._state)
        except ObjectChanged as error:
            raise S3Error("OperationAborted", "the object changed while it was moved") from error
        finally:
            if not self._switched:
                with self._intent:
                    await remove_objects(self._gw, self._pool, self._tails)

    async def _put(self, number: int, data: bytes) -> None:
        if self._head_room and number == 0:
            self._head = data
            return
        oid = names.raw_name(self._state.bucket.marker, f"{self._prefix}{number}", self._state.instance, "shadow")
        self._tails.append(oid)
        await self._intent.confirm()
        await (await self._gw.pool(self._pool)).write(oid, WriteOp().write_full(data))

    async def _write_tails(self) -> None:
        if not self._state.size:
            return
        options = self._gw.options
        stripe = options.rgw_obj_stripe_size
        sink = StripeSink(self._head_room or stripe, stripe, options.rgw_put_obj_min_window_size, self._put, self._gw.body_memory)
        try:
            async for data in read_stored(self._gw, self._state) if self._state.encrypted else read(self._gw, self._state):
                await sink.write(data)
            await sink.finish()
        finally:
            await sink.settle()

    def _manifest(self) -> ObjManifest:
        return plain_manifest(self._state.obj, self._state.size, len(self._head), self._head_room, self._gw.options.rgw_obj_stripe_size,
                              self._prefix, self._rule, places.bucket_rule(self._state.bucket))

    async def _switch(self) -> None:
        """Changes the head and its index entry over. S3Error OperationAborted if the head is not the one that was read."""
        state, idtag = self._state, with_nul(self._tag)
        kept = {name: value for name, value in state.attrs.items() if not name.startswith(OLH_PREFIX)}  # those change on their own
        attrs = {**kept, IDTAG: idtag, TAIL_TAG: idtag, MANIFEST: self._manifest().encode(), STORAGE_CLASS: self._class.encode()}
        if state.parts:
            attrs[PARTS] = format_parts([(number, size) for number, _, size in state.parts])
        op = WriteOp(mtime=state.mtime).assert_exists().cmpxattr(IDTAG, state.idtag).write_full(self._head)
        if attrs.pop(COMPRESSION, None) is not None:  # it was read plain
            op.rmxattr(COMPRESSION)
        op.setxattrs(attrs)
        change = await IndexChange.prepare(self._gw, state.bucket, IndexKey.of(state.key, state.instance), delete=False, tag=self._tag)
        try:
            if self._tails:
                await self._intent.confirm()
            version = (await state.head_pool.write(state.head_oid, op, locator=state.head_locator)).version
        except (store_errors.Cancelled, store_errors.NotFound):
            await change.cancel()
            raise S3Error("OperationAborted", "the object changed while it was moved") from None
        except (store_errors.TimedOut, store_errors.Unavailable):
            self._switched = True  # perhaps: whoever settles the intent will see
            self._intent.abandon()
            raise
        except BaseException:
            await change.cancel()
            raise
        self._switched = True
        with self._intent:
            await change.complete(state.head_pool.pool_id, version, entry_meta(attrs, state.size, state.mtime))
        if state.bucket.versioned:
            await olh.list_anew(self._gw, state.bucket, state.key, state.instance)
