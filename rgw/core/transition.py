"""Moving an object to another storage class of its zone: its bytes are written anew in the class's pool, and the head changes over to them.

Key, version, ETag and time stay; the old tail goes to the garbage collector, since a read may be under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta, free_tail
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.manifest import plain_manifest
from rgw.core.reader import ObjectChanged, read
from rgw.core.state import COMPRESSION, IDTAG, MANIFEST, PARTS, STORAGE_CLASS, TAIL_TAG, ObjectState, format_parts, with_nul
from rgw.core.stripes import StripeSink
from rgw.core.writer import remove_objects
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.basics import PlacementRule
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

STANDARD = "STANDARD"


async def change_class(gw: Gateway, state: ObjectState, storage_class: str) -> None:
    """S3Error InvalidStorageClass if the zone does not have it, OperationAborted if the object changes meanwhile."""
    await uncancelled(_change_class(gw, state, storage_class))


async def _change_class(gw: Gateway, state: ObjectState, storage_class: str) -> None:
    bucket, options = state.bucket, gw.options
    rule = PlacementRule(bucket.info.placement_rule.name, "" if storage_class == STANDARD else storage_class)
    pool = places.tail_pool_name(gw, rule)
    prefix = f".{random_text(31)}_"
    head_room = options.rgw_max_chunk_size if pool == places.head_pool_name(gw, bucket) else 0  # the head stays in its pool, so bytes may not
    head = b""
    tails: list[str] = []

    async def put(number: int, data: bytes) -> None:
        nonlocal head
        if head_room and number == 0:
            head = data
            return
        oid = names.raw_name(bucket.marker, f"{prefix}{number if head_room else number + 1}", state.instance, "shadow")
        tails.append(oid)
        await (await gw.pool(pool)).write(oid, WriteOp().write_full(data))

    sink = StripeSink(head_room or options.rgw_obj_stripe_size, options.rgw_obj_stripe_size, options.rgw_put_obj_min_window_size, put)
    switched = False
    try:
        if state.size or head_room:
            async for data in read(gw, state):
                await sink.write(data)
            await sink.finish()
        manifest = plain_manifest(state.obj, state.size, len(head), head_room, options.rgw_obj_stripe_size, prefix, rule,
                                  places.bucket_rule(bucket))
        tag = gw.new_tag()
        idtag = with_nul(tag)
        attrs = {**state.attrs, IDTAG: idtag, TAIL_TAG: idtag, MANIFEST: manifest.encode(), STORAGE_CLASS: storage_class.encode()}
        if state.parts:
            attrs[PARTS] = format_parts([(number, size) for number, _, size in state.parts])
        op = WriteOp(mtime=state.mtime).assert_exists().cmpxattr(IDTAG, state.idtag).write_full(head)
        if attrs.pop(COMPRESSION, None) is not None:  # it was read plain
            op.rmxattr(COMPRESSION)
        op.setxattrs(attrs)
        change = await IndexChange.prepare(gw, bucket, IndexKey.of(state.key, state.instance), delete=False, tag=tag)
        try:
            version = (await state.head_pool.write(state.head_oid, op, locator=state.head_locator)).version
            switched = True
        except (store_errors.Cancelled, store_errors.NotFound):
            raise S3Error("OperationAborted", "the object changed while it was moved") from None
        except (store_errors.TimedOut, store_errors.Unavailable):
            switched = True  # perhaps it was written: its tail has to stay
            raise
        finally:
            if not switched:
                await change.cancel()
        await change.complete(state.head_pool.pool_id, version, entry_meta(attrs, state.size, state.mtime))
    except ObjectChanged as error:
        raise S3Error("OperationAborted", "the object changed while it was moved") from error
    finally:
        await sink.settle()
        if not switched:
            await remove_objects(gw, pool, tails)
    await free_tail(gw, state)
