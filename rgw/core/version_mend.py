"""Setting right what `bucket check` finds of a key's versions: at heads, in the log of versions, and by the index's own operations.

What only concerns index entries is edited as it was read (rgw.core.key_index). Cancelled, NotFound or Exists if others came between.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rgw.core import olh
from rgw.core.entropy import random_text
from rgw.core.head import entry_meta, existing_head
from rgw.core.index import IndexKey
from rgw.core.index_repair import entry_of, suggest
from rgw.core.indexed import IndexChange
from rgw.core.key_index import KeyIndex, Stored, edit, read_key
from rgw.core.state import IDTAG, OLH_IDTAG, OLH_INFO, OLH_VER, ObjectState, is_olh_only
from rgw.formats import cls_rgw, index_keys, names
from rgw.formats.basics import Obj
from rgw.formats.obj import OlhInfo
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)


async def forget(gw: Gateway, bucket: Bucket, key: str, index: KeyIndex, version: Stored, state: ObjectState | None) -> None:
    """Takes a version away, its object with it if there is one, and makes the next older one current where it was."""
    if state is None and not version.entry.versioned_epoch:
        await edit(bucket, key, [(version.place, version.raw)], {}, [version.place])
        return
    try:
        await olh.unlink(gw, bucket, key, version.entry.instance, expected=index.olh_raw)
    except NotFound:
        log.info("an older version of %s in bucket %s must be mended first", key, bucket.name)


async def retell(bucket: Bucket, key: str, version: Stored, state: ObjectState) -> None:
    """Makes a version's entry say what its object says."""
    place = IndexKey.of(key, version.entry.instance)
    right = entry_of(version.entry, state)
    if version.entry.instance:
        await suggest(bucket, place, index_keys.text(version.place), version.raw, version.entry, right)
    else:  # the class would take the null version's plain key for its place
        await edit(bucket, key, [(version.place, version.raw)], {version.place: right.encode()})


async def point(gw: Gateway, bucket: Bucket, key: str, index: KeyIndex, head: ObjectState | None) -> None:
    """Makes the key's head say what the index says; it is made where there is none."""
    assert index.olh is not None
    info = OlhInfo(target=Obj(bucket.info.bucket, "", key, index.olh.key.instance), removed=index.olh.delete_marker)
    known = {OLH_IDTAG: index.olh.tag.encode()}
    if index.olh.exists:
        known[OLH_INFO] = info.encode()
    # The log is applied from where the head stands: what it still asks for must not seem done.
    ver = min(index.olh.pending_log) - 1 if index.olh.pending_log else index.olh.epoch
    known[OLH_VER] = str(ver).encode()
    if head is None:
        op = WriteOp().create(exclusive=True).setxattrs({IDTAG: random_text(32).lower().encode(), **known})
    else:
        op = WriteOp(mtime=head.mtime).assert_version(head.version).setxattrs(known)
    await olh.write_head(gw, bucket, key, op)


async def drop_head(gw: Gateway, bucket: Bucket, key: str, head: ObjectState) -> None:
    """Removes the key's head, unless it changed."""
    await olh.write_head(gw, bucket, key, WriteOp().assert_version(head.version).remove())


async def end_removal(gw: Gateway, bucket: Bucket, key: str, index: KeyIndex, head: ObjectState | None) -> None:
    """Ends the removal of the key's last version."""
    assert index.olh is not None
    if head is not None and is_olh_only(head.attrs) and head.attrs[OLH_IDTAG] == index.olh.tag.encode():
        await drop_head(gw, bucket, key, head)
    await bucket.index.call(key, classes.BUCKET_CLEAR_OLH(cls_rgw.ClearOlhOp(
        key=IndexKey.of(key).cls_key, olh_tag=index.olh.tag)), expected=(index_keys.olh_key(names.index_name(key)), index.olh_raw))


async def tell_head(gw: Gateway, bucket: Bucket, key: str, instance: str) -> ObjectState | None:
    """Brings the entry of an object, or of a version, up to its head, which is returned; None if there is no object."""
    change = await IndexChange.prepare(gw, bucket, IndexKey.of(key, instance), delete=False, tag=gw.new_tag())
    state = None
    try:
        state = await existing_head(gw, bucket, key, instance)
        if state is not None and is_olh_only(state.attrs):
            state = None
    finally:
        if state is None:
            await change.cancel()
    if state is not None:
        await change.complete(state.head_pool.pool_id, state.version, entry_meta(state.attrs, state.stored_size, state.mtime))
    return state


async def list_version(gw: Gateway, bucket: Bucket, key: str, instance: str) -> bool:
    """Enters an object, whose head stands, into the index as a version at the place that its time gives it; whether it is there."""
    place = IndexKey.of(key, instance)
    state = await tell_head(gw, bucket, key, instance)
    if state is None:
        return False
    index = await read_key(bucket, key)
    if not instance and not index.versioned:
        return True  # as an object from before versioning
    newer = [stored.entry.versioned_epoch for stored in index.listed if stored.entry.meta.mtime > state.mtime]
    older = [stored.entry.versioned_epoch for stored in index.listed if stored.entry.meta.mtime <= state.mtime]
    if index.olh is None or not newer:
        await olh.link(gw, bucket, key, instance)
        return True
    epoch = max(newer[-1] - 1, older[0] if older else 1)  # where no number is free between them, the id decides
    await bucket.index.call(key, classes.BUCKET_LINK_OLH(cls_rgw.LinkOlhOp(
        key=place.cls_key, olh_tag=index.olh.tag, op_tag=olh.new_op_tag(), olh_epoch=epoch, log_op=False, bilog_flags=1,
        zones_trace=bucket.index.zones_trace)))
    return True
