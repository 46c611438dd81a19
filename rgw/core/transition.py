"""Moving an object to another storage class of its zone: its bytes are written anew in the class's pool, and the head changes over to them.

Key, version, ETag and time stay; the old tail goes to the garbage collector, since a read may be under way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rgw.core import olh, places
from rgw.core.encryption import streams
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta, free_tail, note_old_tail
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.manifest import part_ranges, plain_manifest, stripe_name
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

    Encrypted bytes move as they are; NotImplemented where they are compressed too, or the manifest cannot tell in which parts they are encrypted.
    """
    if state.encrypted and state.compression is not None:
        raise S3Error("NotImplemented", "What is stored compressed and encrypted cannot be moved to another storage class.")
    await uncancelled(_Move(gw, state, storage_class).run())


class _Move:
    """One object's move. ``switched``: the head was, or may have been, changed over, hence the new tail must stay."""

    def __init__(self, gw: Gateway, state: ObjectState, storage_class: str) -> None:
        self._gw = gw
        self._state = state
        self._class = storage_class
        self._rule = PlacementRule(state.bucket.info.placement_rule.name, "" if storage_class == STANDARD else storage_class)
        self._pool = places.tail_pool_name(gw, state.bucket, self._rule)
        self._head_room = places.head_room(gw, state.bucket, self._pool)
        self._tag = gw.new_tag()
        self._manifest = self._new_manifest()
        head = (places.head_pool_name(gw, state.bucket), state.head_oid, state.head_locator)
        self._intent = gw.intents.tail(state.bucket, state.key, head, self._pool, self._manifest.encode(), with_nul(self._tag).decode())
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

    def _new_manifest(self) -> ObjManifest:
        """A plain object's; of one that was encrypted in parts, which its manifest alone tells, that of the same parts in other RADOS objects."""
        state, stripe = self._state, self._gw.options.rgw_obj_stripe_size
        if state.manifest is None or not state.encrypted or len(streams(state.manifest, state.size)) == 1:
            return plain_manifest(state.obj, state.size, min(state.size, self._head_room), self._head_room, stripe, f".{random_text(31)}_", self._rule,
                                  places.bucket_rule(state.bucket))
        rules = {start: replace(rule, stripe_max_size=stripe, override_prefix="") for start, rule in state.manifest.rules.items()}
        return replace(state.manifest, obj=state.obj, prefix=f"{state.key}.{random_text(32)}", rules=rules, tail_bucket=None, tail_instance=None,
                       tail_placement=self._rule)

    async def _write_tails(self) -> None:
        gw, state = self._gw, self._state
        parts = part_ranges(self._manifest)
        if parts is not None:
            for number, offset, size in parts:
                await self._write_stripes(number, read_stored(gw, state, offset, offset + size))
        elif state.size:
            await self._write_stripes(0, read_stored(gw, state, 0, state.size) if state.encrypted else read(gw, state))

    async def _write_stripes(self, part: int, source: AsyncIterator[bytes]) -> None:
        """``part`` 0: all there is."""
        options = self._gw.options
        stripe, room = options.rgw_obj_stripe_size, 0 if part else self._head_room
        sink = StripeSink(room or stripe, stripe, options.rgw_put_obj_min_window_size, partial(self._put, part), self._gw.body_memory)
        try:
            async for data in source:
                await sink.write(data)
            await sink.finish()
        finally:
            await sink.settle()

    async def _put(self, part: int, number: int, data: bytes) -> None:
        if self._manifest.head_size and number == 0:
            self._head = data
            return
        namespace, name = stripe_name(self._manifest.prefix, part, number)
        oid = names.raw_name(self._state.bucket.marker, name, self._state.instance, namespace)
        self._tails.append(oid)
        await self._intent.confirm()
        await (await self._gw.pool(self._pool)).write(oid, WriteOp().write_full(data))

    async def _switch(self) -> None:
        """Changes the head and its index entry over. S3Error OperationAborted if the head is not the one that was read."""
        state, idtag = self._state, with_nul(self._tag)
        kept = {name: value for name, value in state.attrs.items() if not name.startswith(OLH_PREFIX)}  # those change on their own
        attrs = {**kept, IDTAG: idtag, TAIL_TAG: idtag, MANIFEST: self._manifest.encode(), STORAGE_CLASS: self._class.encode()}
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
