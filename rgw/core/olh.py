"""The pointer of a versioned key: which version is the current one (radosgw's OLH protocol; formats page, 5.11 and 3.7).

The index decides: it links and unlinks versions and logs what is still to be done to RADOS objects. The plain head of the key, on which
readers look, follows: ``user.rgw.olh.info`` names the current version, ``.ver`` the epoch of the log up to which it was brought.
A change announces itself on the head (``.pending.<tag>``), changes the index, then applies the log to the head and trims it. Whoever
meets an announcement applies the log too, so that a change whose gateway died after it reached the index is finished by the next reader.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.delete import forget_version, remove_object
from rgw.core.entropy import random_text
from rgw.core.head import existing_head
from rgw.core.index import IndexKey
from rgw.core.key_index import read_key, restore_entry
from rgw.core.reshard_marks import INSTANCE, OLH
from rgw.core.state import IDTAG, OLH_IDTAG, OLH_INFO, OLH_PENDING, OLH_VER, ObjectState, is_olh_only
from rgw.errors import S3Error
from rgw.formats import cls_rgw, names
from rgw.formats.basics import Obj
from rgw.formats.index import FLAG_DELETE_MARKER, FLAG_VER_MARKER, DirEntry, DirEntryMeta, OlhEntry, OlhLogEntry
from rgw.formats.obj import OlhInfo, OlhPendingInfo
from rgw.store import classes
from rgw.store import errors as store_errors
from rgw.store.classcall import ClassCall
from rgw.store.interface import ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

_LINK, _UNLINK, _REMOVE = 1, 2, 3  # operations of the log
_VERSIONED_OP = 1  # index log flag
_TRIES = 100  # radosgw's own


class Moved(Exception):
    """The key's versions are not what the caller expected: look again."""


@dataclass(slots=True)
class Look:
    """What the index tells of a key: ``entry`` of the version asked for, ``olh`` of the whole key, ``olh_raw`` as it is stored."""

    entry: DirEntry | None
    olh: OlhEntry | None
    olh_raw: bytes

    @property
    def is_marker(self) -> bool:
        """Whether the version is a delete marker."""
        return self.entry is not None and bool(self.entry.flags & FLAG_DELETE_MARKER)


async def look(bucket: Bucket, key: str, instance: str = "") -> Look:
    """Reads a version's entry ("": the null version's) and the key's OLH entry at one instant. S3Error NoSuchBucket."""
    name = names.index_name(key).encode("utf-8", "surrogateescape")
    by_instance = INSTANCE + name + b"\0i" + instance.encode("utf-8", "surrogateescape")
    wanted = [OLH + name, by_instance] if instance else [OLH + name, by_instance + b"\0d", by_instance, name]
    result = await bucket.index.read(key, ReadOp().assert_exists().omap_get_keys(wanted))
    assert result.omap is not None
    values = result.omap.values
    raw = values.get(OLH + name, b"")
    entry = None
    for place in wanted[1:]:
        if place in values:
            entry = DirEntry.decode(values[place])
            if not entry.flags & FLAG_VER_MARKER and (entry.exists or entry.flags & FLAG_DELETE_MARKER):
                break
            entry = None
    return Look(entry, OlhEntry.decode(raw) if raw else None, raw)


async def null_entry(bucket: Bucket, key: str) -> tuple[bytes, bytes]:
    """Where the index holds the entry of a key's null version, and its bytes; b"" if there is none. S3Error NoSuchBucket."""
    name = names.index_name(key).encode("utf-8", "surrogateescape")
    by_instance = INSTANCE + name + b"\0i"
    plain = await _stored(bucket, key, name)
    if plain and not DirEntry.decode(plain).flags & FLAG_VER_MARKER:
        return name, plain
    return by_instance, await _stored(bucket, key, by_instance)


async def _stored(bucket: Bucket, key: str, place: bytes) -> bytes:
    result = await bucket.index.read(key, ReadOp().assert_exists().omap_get_keys([place]))
    assert result.omap is not None
    return result.omap.values.get(place, b"")


def new_op_tag() -> str:
    """A tag whose order is that of time, in seconds."""
    return f"{int(time.time()):016x}{random_text(16).lower()}"


def announcement(op_tag: str) -> tuple[str, bytes]:
    """The xattr by which a head tells of a change under way."""
    return OLH_PENDING + op_tag, OlhPendingInfo(time=time.time_ns()).encode()


async def write_head(gw: Gateway, bucket: Bucket, key: str, op: WriteOp) -> None:
    """Changes the key's plain head."""
    ioctx = await places.head_pool(gw, bucket)
    await ioctx.write(names.raw_name(bucket.marker, key), op, locator=names.locator(bucket.marker, key))


def is_newer(head: ObjectState | None) -> bool:
    """Whether a newer release wrote where the head points."""
    return head is not None and OLH_INFO in head.attrs and OlhInfo.decode(head.attrs[OLH_INFO]).newer


def refuse_newer(head: ObjectState | None) -> None:
    """S3Error NotImplemented if the head, about to point elsewhere, points by a structure of a newer release."""
    if is_newer(head):
        raise S3Error("NotImplemented", "the object's current version was noted by a newer release, whose fields a change would drop")


async def announce(gw: Gateway, bucket: Bucket, key: str, op_tag: str) -> str:
    """Makes the key's head tell that a change is under way; makes the head if there is none. Returns the head's own tag.

    S3Error NotImplemented if a newer release wrote the head.
    """
    name, value = announcement(op_tag)
    for _ in range(_TRIES):
        head = await existing_head(gw, bucket, key)
        refuse_newer(head)
        tag = random_text(32).lower().encode()
        fresh = {IDTAG: random_text(32).lower().encode(), OLH_IDTAG: tag, OLH_VER: b""}
        if head is None:
            op = WriteOp().create(exclusive=True).setxattrs(fresh)
        elif OLH_IDTAG in head.attrs:
            tag = head.attrs[OLH_IDTAG]
            op = WriteOp(mtime=head.mtime).cmpxattr(OLH_IDTAG, tag)
        else:  # an object from before versioning: it becomes the null version
            info = OlhInfo(target=Obj(bucket.info.bucket, "", key, ""), removed=False)
            op = WriteOp(mtime=head.mtime).cmpxattr(OLH_IDTAG, b"").cmpxattr(IDTAG, head.idtag).setxattrs({OLH_INFO: info.encode(), **fresh})
        op.setxattr(name, value)
        try:
            await write_head(gw, bucket, key, op)
            return tag.decode()
        except (store_errors.Cancelled, store_errors.Exists, store_errors.NotFound):
            continue
    raise S3Error("ServiceUnavailable", "the object's versions change too fast")


async def withdraw(gw: Gateway, bucket: Bucket, key: str, op_tag: str) -> None:
    """Takes an announcement back of a change that is not made; if that had kept the key from being dropped, it is now."""
    head = await existing_head(gw, bucket, key)
    if head is not None and OLH_IDTAG in head.attrs:
        await _withdraw(gw, bucket, key, head.attrs[OLH_IDTAG].decode(), op_tag)
        await settle(gw, head, dangling=True)


async def _withdraw(gw: Gateway, bucket: Bucket, key: str, tag: str, op_tag: str) -> None:
    """Takes an announcement back whose change the index refused."""
    try:
        head = await existing_head(gw, bucket, key)
        if head is not None:
            op = WriteOp(mtime=head.mtime).cmpxattr(OLH_IDTAG, tag.encode()).rmxattr(OLH_PENDING + op_tag)
            await write_head(gw, bucket, key, op)
    except (store_errors.Cancelled, store_errors.NotFound):
        log.debug("the head of %s was replaced", key)


async def link(
    gw: Gateway, bucket: Bucket, key: str, instance: str, *, marker: DirEntryMeta | None = None, op_tag: str = "", expected: bytes | None = None,
    entry: tuple[bytes, bytes] | None = None, epoch: int = 0,
) -> None:
    """Makes a version the current one: one whose head and index entry stand, or with ``marker`` a new delete marker.

    ``op_tag``: of an announcement that is made already. ``epoch``: the version's place in the order of versions; 0: the newest.
    ``expected``: the key's OLH entry as it was seen, or ``entry``: another one and its place; Moved if it is different by now.
    NotFound if the index has no such version, or if a delete marker would come upon another one.
    """
    place = IndexKey.of(key, instance)

    def call(tag: str, op_tag: str) -> ClassCall:
        return classes.BUCKET_LINK_OLH(cls_rgw.LinkOlhOp(
            key=place.cls_key, olh_tag=tag, delete_marker=marker is not None, op_tag=op_tag, meta=marker or DirEntryMeta(), olh_epoch=epoch,
            log_op=False, bilog_flags=_VERSIONED_OP, zones_trace=bucket.index.zones_trace))

    await _change(gw, bucket, key, call, op_tag, entry or _olh_seen(key, expected))


async def list_anew(gw: Gateway, bucket: Bucket, key: str, instance: str) -> None:
    """Brings what listings tell of a version up to its index entry, which a completed change writes; it keeps its place."""
    seen = await look(bucket, key, instance)
    if seen.entry is None or seen.olh is None or not seen.entry.versioned_epoch:
        return
    epoch = seen.entry.versioned_epoch
    if epoch >= seen.olh.epoch:
        await link(gw, bucket, key, instance, epoch=epoch)
        return
    # an older version: nothing of the key changes, hence nothing is announced
    place = IndexKey.of(key, instance)
    await bucket.index.call(key, classes.BUCKET_LINK_OLH(cls_rgw.LinkOlhOp(
        key=place.cls_key, olh_tag=seen.olh.tag, op_tag=new_op_tag(), olh_epoch=epoch, log_op=False, bilog_flags=_VERSIONED_OP,
        zones_trace=bucket.index.zones_trace)))


async def unlink(gw: Gateway, bucket: Bucket, key: str, instance: str, *, expected: bytes | None = None) -> None:
    """Takes a version away for good; if it was the current one, the next older becomes that. Moved as in ``link``."""
    place = IndexKey.of(key, instance)

    def call(tag: str, op_tag: str) -> ClassCall:
        return classes.BUCKET_UNLINK_INSTANCE(cls_rgw.UnlinkInstanceOp(
            key=place.cls_key, op_tag=op_tag, olh_epoch=0, log_op=False, bilog_flags=_VERSIONED_OP, olh_tag=tag,
            zones_trace=bucket.index.zones_trace))

    tag, op_tag = await _change(gw, bucket, key, call, "", _olh_seen(key, expected))
    head = await existing_head(gw, bucket, key)
    if head is not None and OLH_PENDING + op_tag in head.attrs:  # nothing was logged: it was gone, or a marker that was not current
        await _withdraw(gw, bucket, key, tag, op_tag)


def _olh_seen(key: str, expected: bytes | None) -> tuple[bytes, bytes] | None:
    return None if expected is None else (OLH + names.index_name(key).encode("utf-8", "surrogateescape"), expected)


async def _change(  # type: ignore[no-untyped-def]
    gw: Gateway, bucket: Bucket, key: str, call, op_tag: str, seen: tuple[bytes, bytes] | None,
) -> tuple[str, str]:
    """Announces, changes the index, applies. Returns the tags of the head and of the change."""
    restored = False
    for _ in range(_TRIES):
        op_tag = op_tag or new_op_tag()
        tag = await announce(gw, bucket, key, op_tag)
        try:
            await bucket.index.call(key, call(tag, op_tag), expected=seen)
            break
        except store_errors.Cancelled:
            await _withdraw(gw, bucket, key, tag, op_tag)
            if seen is not None and await _stored(bucket, key, seen[0]) != seen[1]:
                raise Moved from None
            await _repair_head(gw, bucket, key, tag)
            op_tag = ""
        except store_errors.NotFound:
            await _withdraw(gw, bucket, key, tag, op_tag)
            if restored or not await _restore_current(bucket, key):
                raise
            restored, op_tag = True, ""
    else:
        raise S3Error("ServiceUnavailable", "the object's versions change too fast")
    await apply_log(gw, bucket, key)
    return tag, op_tag


async def _restore_current(bucket: Bucket, key: str) -> bool:
    """Gives the current version its entry back by what listings tell of it, for without that the index refuses every other version.

    radosgw loses the entry of a null version that is written while it is removed. What else is wrong there `bucket check` sees to.
    """
    index = await read_key(bucket, key)
    return index.olh is not None and await restore_entry(bucket, key, index, index.olh.key.instance)


async def _repair_head(gw: Gateway, bucket: Bucket, key: str, tag: str) -> bool:
    """Sets a head right by the index, which knows the key under another tag than the head's ``tag``; False if there is nothing to set right.

    The head was lost and made anew, or radosgw's CopyObject wrote a null version with its source's xattrs, pointer and tag among them,
    and died or failed before it linked that.
    """
    olh = (await look(bucket, key)).olh
    if olh is None or not olh.exists or olh.tag == tag:
        return False
    info = OlhInfo(target=Obj(bucket.info.bucket, "", key, olh.key.instance), removed=olh.delete_marker)
    op = WriteOp().cmpxattr(OLH_IDTAG, tag.encode())
    op.setxattrs({OLH_INFO: info.encode(), OLH_VER: str(olh.epoch).encode(), OLH_IDTAG: olh.tag.encode()})
    try:
        await write_head(gw, bucket, key, op)
    except (store_errors.Cancelled, store_errors.NotFound):
        log.debug("the head of %s changed meanwhile", key)
    return True


async def apply_log(gw: Gateway, bucket: Bucket, key: str) -> None:
    """Brings the key's head and versions up to what the index logged, then trims the log. Others may do the same at the same time."""
    for _ in range(_TRIES):
        head = await existing_head(gw, bucket, key)  # before the log: a null version that is written later makes the head differ
        if head is None or OLH_IDTAG not in head.attrs or is_newer(head):
            return
        reply = await _read_log(head)
        if reply is None:
            if not await _repair_head(gw, bucket, key, head.attrs[OLH_IDTAG].decode()):
                return
        elif not reply.log or (await _apply(gw, head, reply.log) and not reply.truncated):
            return
    raise S3Error("ServiceUnavailable", "the object's versions change too fast")


async def _apply(gw: Gateway, head: ObjectState, logged: dict[int, list[OlhLogEntry]]) -> bool:
    """Applies a page of the log to the head that was read before it; False if the head changed meanwhile."""
    bucket, key = head.bucket, head.key
    last = max(logged)
    stored = head.attrs.get(OLH_VER, b"")
    if int(stored or b"0") > last and not await _is_foreign(head, int(stored)):  # somebody applied it, and came only so far
        await _trim(bucket, key, head, last)
        return True
    entries = [entry for epoch in sorted(logged) for entry in logged[epoch]]
    update = WriteOp(mtime=head.mtime).cmpxattr(OLH_IDTAG, head.attrs[OLH_IDTAG]).cmpxattr(OLH_VER, stored)
    update.setxattr(OLH_VER, str(last).encode())
    final: OlhLogEntry | None = None
    for entry in entries:
        update.rmxattr(OLH_PENDING + entry.op_tag)
        if entry.op != _REMOVE:
            final = entry
    if final is not None and final.op == _LINK:
        info = OlhInfo(target=Obj(bucket.info.bucket, "", key, final.key.instance), removed=final.delete_marker)
        update.setxattr(OLH_INFO, info.encode())
    try:
        for instance in _to_remove(entries):
            if not await _remove_version(gw, head, instance, stored):
                return False
        await write_head(gw, bucket, key, update)
    except (store_errors.Cancelled, store_errors.NotFound):
        return False
    await _trim(bucket, key, head, last)
    if final is not None and final.op == _UNLINK:
        await _drop_head(gw, head, last)
    return True


async def _is_foreign(head: ObjectState, ver: int) -> bool:
    """Whether a head's epoch lies beyond the index's: radosgw's CopyObject gives a null version its source's, and nothing would be applied."""
    index = (await look(head.bucket, head.key)).olh
    return index is not None and index.tag.encode() == head.attrs[OLH_IDTAG] and ver > index.epoch


def _to_remove(entries: Iterable[OlhLogEntry]) -> dict[str, None]:
    """The versions that a log, in the order of time, wants removed."""
    removed: dict[str, None] = {}
    for entry in entries:
        instance = "" if entry.key.instance == "null" else entry.key.instance
        if entry.op == _REMOVE:
            removed[instance] = None
        elif entry.op == _LINK and not entry.delete_marker:
            removed.pop(instance, None)  # the null version was written again, in the old one's place
    return removed


async def _remove_version(gw: Gateway, head: ObjectState, instance: str, ver: bytes) -> bool:
    """Removes a version's object and index entry; False if the head, which holds the null version, changed since it was read."""
    bucket, key = head.bucket, head.key
    if not instance:
        return await remove_object(gw, head, guard={OLH_VER: ver}, due=partial(_is_due, head)) is not None
    while True:
        state = await existing_head(gw, bucket, key, instance)
        if state is None:  # perhaps somebody died between the object and its entry
            await forget_version(gw, bucket, key, instance)
            return True
        if await remove_object(gw, state) is not None:
            return True


async def _is_due(head: ObjectState) -> bool:
    """Whether the null version is still to be removed. Asked after that was noted in its entry, since when no write of it is linked."""
    reply = await _read_log(head)
    return reply is not None and "" in _to_remove(entry for epoch in sorted(reply.log) for entry in reply.log[epoch])


async def _read_log(head: ObjectState) -> cls_rgw.ReadOlhLogRet | None:
    """A page of the log; None if the index has no such key, or under another tag."""
    request = cls_rgw.ReadOlhLogOp(olh=IndexKey.of(head.key).cls_key, ver_marker=0, olh_tag=head.attrs[OLH_IDTAG].decode())
    try:
        reply = (await head.bucket.index.read(head.key, ReadOp().assert_exists().call(classes.BUCKET_READ_OLH_LOG(request)))).reply
    except store_errors.Cancelled:
        return None
    return reply  # type: ignore[no-any-return]


async def _trim(bucket: Bucket, key: str, head: ObjectState, epoch: int) -> None:
    request = cls_rgw.TrimOlhLogOp(olh=IndexKey.of(key).cls_key, ver=epoch, olh_tag=head.attrs[OLH_IDTAG].decode())
    try:
        await bucket.index.call(key, classes.BUCKET_TRIM_OLH_LOG(request))
    except store_errors.Cancelled:
        log.debug("the key %s has a new head by now", key)


def _unless_announced(op: WriteOp) -> WriteOp:
    return op.call(classes.OBJ_CHECK_ATTRS_PREFIX(cls_rgw.CheckAttrsPrefixOp(check_prefix=OLH_PENDING, fail_if_exist=True)))


async def _drop_head(gw: Gateway, head: ObjectState, epoch: int) -> None:
    """Nothing is left of the key: its head goes, unless a change is announced on it, and then its place in the index."""
    bucket, key = head.bucket, head.key
    op = WriteOp().cmpxattr(OLH_IDTAG, head.attrs[OLH_IDTAG]).cmpxattr(OLH_VER, str(epoch).encode())
    try:
        await write_head(gw, bucket, key, _unless_announced(op).remove())
        request = cls_rgw.ClearOlhOp(key=IndexKey.of(key).cls_key, olh_tag=head.attrs[OLH_IDTAG].decode())
        await bucket.index.call(key, classes.BUCKET_CLEAR_OLH(request))
    except (store_errors.Cancelled, store_errors.NotFound):
        log.debug("the key %s is in use again", key)


async def settle(gw: Gateway, head: ObjectState, *, dangling: bool = False) -> None:
    """Finishes what was announced on a head and came as far as the index; older announcements that did not are taken away.

    With the last of them goes a head that was made for nothing else; radosgw leaves it, and no index entry leads there.
    ``dangling``: it points to a version that is gone, perhaps the last one.
    """
    await apply_log(gw, head.bucket, head.key)
    if dangling:
        seen = (await look(head.bucket, head.key)).olh
        if seen is not None and seen.pending_removal and not seen.pending_log and seen.tag.encode() == head.attrs[OLH_IDTAG]:
            await _drop_head(gw, head, seen.epoch)
    limit = time.time_ns() - gw.options.rgw_olh_pending_timeout_sec * 1_000_000_000
    stale = [name for name, value in head.attrs.items() if name.startswith(OLH_PENDING) and OlhPendingInfo.decode(value).time < limit]
    if not stale:
        return
    op = WriteOp(mtime=head.mtime).cmpxattr(OLH_IDTAG, head.attrs[OLH_IDTAG])
    for name in stale:
        op.rmxattr(name)
    try:
        await write_head(gw, head.bucket, head.key, op)
        if await _is_unused(head):
            op = WriteOp().cmpxattr(OLH_IDTAG, head.attrs[OLH_IDTAG]).cmpxattr(OLH_VER, b"").cmpxattr(IDTAG, head.idtag)
            await write_head(gw, head.bucket, head.key, _unless_announced(op).remove())
    except (store_errors.Cancelled, store_errors.NotFound):
        log.debug("the head of %s was replaced", head.key)


async def _is_unused(head: ObjectState) -> bool:
    """Whether a head was made for a change that never reached the index, of a key that had no version."""
    return is_olh_only(head.attrs) and OLH_INFO not in head.attrs and not head.attrs.get(OLH_VER) and (
        await look(head.bucket, head.key)).olh is None
