"""Objects of buckets with versions: writing, removing, and which version an object is; in buckets without, objects as they are.

Where versioning is enabled, each write makes a RADOS object of its own, which is then linked as the current version; a delete puts a
delete marker on top, which is an index entry only. Where it is suspended, both replace the null version, which is the key's plain head.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rgw.core import olh
from rgw.core.conditions import Conditions, check
from rgw.core.delete import delete_plain, remove_object
from rgw.core.entropy import random_text
from rgw.core.head import HeadWrite, existing_head, write_head
from rgw.core.index import OP_DEL
from rgw.core.key_index import drop_strays, read_key
from rgw.core.state import LONGEST_ID, OLH_PENDING, ObjectState, load
from rgw.errors import S3Error
from rgw.formats.index import DirEntry, DirEntryMeta
from rgw.formats.user import UserInfo
from rgw.store import errors as store_errors

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

_TRIES = 100
_REMOVAL, _REMOVAL_LOOK = 2.0, 0.005  # seconds for which a removal that is noted is waited for, and between looks
_turns: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()


def _turn(bucket: Bucket, key: str, instance: str) -> AbstractAsyncContextManager[object]:
    """To hold while the null version is changed, which all writers share: while one is removed by the log, another may be written.

    Between gateways the entry in the index does that (``_link_null``); this saves them the tries.
    """
    if instance:
        return nullcontext()
    lock = _turns.get((bucket.marker, key))
    if lock is None:
        lock = _turns[bucket.marker, key] = asyncio.Lock()
    return lock


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete did; false if there was nothing to remove. ``version_id``: of the version that was removed or the marker that was made."""

    found: bool
    version_id: str = ""
    delete_marker: bool = False

    def __bool__(self) -> bool:
        return self.found


def new_instance(bucket: Bucket) -> str:
    """The id of a version to be; "" where a write makes no version of its own."""
    return random_text(31) if bucket.versioning_enabled else ""


def shown(instance: str) -> str:
    """A version's id as clients see it."""
    return instance or "null"


async def current(gw: Gateway, bucket: Bucket, key: str) -> ObjectState | None:
    """The current version, None if there is none or it is a delete marker."""
    try:
        return await load(gw, bucket, key)
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        return None


async def put_head(gw: Gateway, write: HeadWrite) -> tuple[ObjectState, bool]:
    """As ``rgw.core.head.write_head``; in a bucket with versions the object is the current version afterwards."""
    bucket, key = write.bucket, write.key
    if not (bucket.versioned or write.instance):
        return await write_head(gw, write)
    if not write.instance or write.intent is not None:
        async with _turn(bucket, key, write.instance):
            return await _put_version(gw, write)
    with gw.intents.version(bucket, key, write.instance) as write.intent:
        write.intent.begin()  # while the index prepares
        return await _put_version(gw, write)


async def _put_version(gw: Gateway, write: HeadWrite) -> tuple[ObjectState, bool]:
    bucket, key = write.bucket, write.key
    conditions, write.conditions = write.conditions, None
    conditional = conditions is not None and conditions.any
    if conditional:
        state = await current(gw, bucket, key)
        check(conditions, None if state is None else state.etag)
    op_tag = ""
    if not write.instance:
        op_tag = olh.new_op_tag()
        await _prepare_null(gw, write, op_tag)
    state, won = await write_head(gw, write)
    state.version_id = shown(write.instance)
    if not won:
        return state, False  # the other write is the null version, and its gateway links it
    try:
        if not write.instance:
            if not await _link_null(gw, bucket, key, op_tag):
                return state, True
        elif conditional:
            await _link_if(gw, state, conditions)
        else:
            await olh.link(gw, bucket, key, write.instance)
    except S3Error as error:
        if error.code in ("PreconditionFailed", "NoSuchKey"):  # nobody has seen the version
            await remove_object(gw, state, keep_tail=True)
            write.may_exist = False
        raise
    except store_errors.NotFound:
        raise S3Error("ServiceUnavailable", "the version was removed while it was written") from None
    if not write.instance and await _is_lost(gw, bucket, key):
        await _add_marker(gw, bucket, key, "", None, None)
        await drop_strays(bucket, key)
        raise S3Error("ServiceUnavailable", "the version was removed while it was written")
    return state, True


async def _is_lost(gw: Gateway, bucket: Bucket, key: str) -> bool:
    """Whether radosgw took the null version that was just linked for the older one, which it was about to remove: listed, but gone."""
    head = await existing_head(gw, bucket, key)
    if head is not None and head.etag:
        return False
    index = await read_key(bucket, key)
    if not any(not stored.entry.instance and not stored.is_marker for stored in index.listed):
        return False  # it was removed after it was linked
    head = await existing_head(gw, bucket, key)
    return (head is None or not head.etag) and await read_key(bucket, key) == index


async def _link_null(gw: Gateway, bucket: Bucket, key: str, op_tag: str) -> bool:
    """Links the null version, unless a delete that the index has already takes it with it: then it was written just before.

    Who removes a null version by the log notes that in its entry, and then looks whether the log knows a later one. Hence while it is noted
    nothing is linked; only a gateway that died leaves such a note for longer.
    """
    deadline, tries = time.monotonic() + _REMOVAL, 0
    while tries < _TRIES:
        place, raw = await olh.null_entry(bucket, key)
        entry = DirEntry.decode(raw) if raw else None
        if entry is None or not entry.exists:
            await olh.withdraw(gw, bucket, key, op_tag)
            return False
        if any(change.op == OP_DEL for change in entry.pending_map.values()) and time.monotonic() < deadline:
            await asyncio.sleep(_REMOVAL_LOOK)
            continue
        try:
            await olh.link(gw, bucket, key, "", op_tag=op_tag, entry=(place, raw))
            return True
        except olh.Moved:
            tries += 1
            op_tag = ""  # it is withdrawn already
    raise S3Error("ServiceUnavailable", "the object's versions change too fast")


async def link_again(gw: Gateway, state: ObjectState) -> ObjectState:
    """For an object whose writer died after its head was written: makes it the current version unless the index has it in its listing."""
    bucket, key = state.bucket, state.key
    if bucket.versioned or state.instance:
        seen = await olh.look(bucket, key, state.instance)
        if seen.entry is not None and not seen.entry.versioned_epoch:
            await olh.link(gw, bucket, key, state.instance)
        state.version_id = shown(state.instance)
    return state


async def _prepare_null(gw: Gateway, write: HeadWrite, op_tag: str) -> None:
    """What the log says of the null version must be done before it is written anew."""
    head = await existing_head(gw, write.bucket, write.key)
    olh.refuse_newer(head)
    if head is not None and any(name.startswith(OLH_PENDING) for name in head.attrs):
        await olh.settle(gw, head)
    name, value = olh.announcement(op_tag)
    write.announced = {name: value}


async def _link_if(gw: Gateway, state: ObjectState, conditions: Conditions | None) -> None:
    """Links a version if the conditions hold of the one that it replaces at that very moment."""
    bucket, key = state.bucket, state.key
    for _ in range(_TRIES):
        seen = await olh.look(bucket, key)
        before = await current(gw, bucket, key)
        check(conditions, None if before is None else before.etag)
        if (await olh.look(bucket, key)).olh_raw != seen.olh_raw:
            continue
        try:
            await olh.link(gw, bucket, key, state.instance, expected=seen.olh_raw)
            return
        except olh.Moved:
            continue
    raise S3Error("OperationAborted")


async def delete(
    gw: Gateway, bucket: Bucket, key: str, version_id: str = "", conditions: Conditions | None = None, owner: UserInfo | None = None,
) -> Deleted:
    """Removes an object or a version; without version id, in a bucket with versions, puts a delete marker of ``owner`` on top.

    S3Error PreconditionFailed, or NoSuchKey for If-Match without an object.
    """
    if not bucket.versioned:
        return Deleted(await delete_plain(gw, bucket, key, version_id, conditions))
    if version_id:
        return await _delete_version(gw, bucket, key, version_id, conditions)
    instance = new_instance(bucket)
    async with _turn(bucket, key, instance):
        return await _add_marker(gw, bucket, key, instance, conditions, owner)


async def _delete_version(gw: Gateway, bucket: Bucket, key: str, version_id: str, conditions: Conditions | None) -> Deleted:
    if len(version_id) > LONGEST_ID:
        return Deleted(False, version_id)
    instance = "" if version_id == "null" else version_id
    seen = await olh.look(bucket, key, instance)
    state = None if seen.entry is None or seen.is_marker else await existing_head(gw, bucket, key, instance)
    check(conditions, None if state is None else state.etag)
    if seen.entry is None:
        return Deleted(False, version_id)
    if conditions is not None and conditions.idtag is not None and (state is None or state.idtag != conditions.idtag):
        raise S3Error("PreconditionFailed")
    async with _turn(bucket, key, instance):
        await olh.unlink(gw, bucket, key, instance)
    return Deleted(True, version_id, seen.is_marker)


async def _add_marker(
    gw: Gateway, bucket: Bucket, key: str, instance: str, conditions: Conditions | None, owner: UserInfo | None,
) -> Deleted:
    user, name = (owner.user_id.text(), owner.display_name) if owner is not None else (bucket.owner.text(), bucket.acl.owner.display_name)
    for _ in range(_TRIES):
        expected = None
        if conditions is not None:
            expected = (await olh.look(bucket, key)).olh_raw
            state = await current(gw, bucket, key)
            check(conditions, None if state is None else state.etag)
            if conditions.idtag is not None and (state is None or state.idtag != conditions.idtag):
                raise S3Error("PreconditionFailed")
            if (await olh.look(bucket, key)).olh_raw != expected:
                continue
        meta = DirEntryMeta(mtime=time.time_ns(), owner=user, owner_display_name=name)
        try:
            await olh.link(gw, bucket, key, instance, marker=meta, expected=expected)
            return Deleted(True, shown(instance), True)
        except olh.Moved:
            continue
        except store_errors.NotFound:  # the index keeps no delete marker on top of another one
            seen = (await olh.look(bucket, key)).olh
            if seen is not None and seen.exists and seen.delete_marker:
                if seen.pending_log:  # who put that one there died, and the head may still show what was before
                    await olh.apply_log(gw, bucket, key)
                return Deleted(True, shown(seen.key.instance), True)
    raise S3Error("OperationAborted")
