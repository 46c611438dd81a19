"""Removing objects from RADOS and from the index: those of unversioned buckets, and versions that nothing points to any more."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rgw.core.conditions import Conditions, check
from rgw.core.head import existing_head, free_tail, note_old_tail, shown_etag
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.state import IDTAG, OLH_PREFIX, ObjectState
from rgw.errors import S3Error
from rgw.formats.cls_rgw import ObjRemoveOp
from rgw.formats.index import DirEntryMeta
from rgw.store import classes
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway


async def delete_plain(gw: Gateway, bucket: Bucket, key: str, version_id: str = "", conditions: Conditions | None = None) -> bool:
    """Removes an object of a bucket without versions; whether there was one. Its tail goes to the garbage collector.

    S3Error PreconditionFailed, or NoSuchKey for If-Match without an object.
    """
    if version_id not in ("", "null"):
        return False  # an unversioned bucket holds no such version
    while True:
        state = await existing_head(gw, bucket, key)
        check(conditions, shown_etag(state))
        if state is None:
            return False
        if conditions is not None and conditions.idtag is not None and state.idtag != conditions.idtag:
            raise S3Error("PreconditionFailed")
        done = await remove_object(gw, state)
        if done is not None:
            return done


async def remove_object(
    gw: Gateway, state: ObjectState, guard: Mapping[str, bytes] | None = None, *, keep_tail: bool = False,
    due: Callable[[], Awaitable[bool]] | None = None,
) -> bool | None:
    """Removes an object, or a version, in this state; False if it is gone, None if it or an xattr of ``guard`` changed, or it is not ``due``.

    What a versioned key's head says of its versions stays. ``keep_tail``: its tail still belongs to the caller.
    """
    with nullcontext() if keep_tail else await note_old_tail(gw, state):
        change = await IndexChange.prepare(gw, state.bucket, IndexKey.of(state.key, state.instance), delete=True, tag="_" + gw.new_tag())
        try:
            wanted = due is None or await due()
        except BaseException:
            await change.cancel()
            raise
        if not wanted:
            await change.cancel()
            return None
        op = WriteOp().cmpxattr(IDTAG, state.idtag)
        for name, value in (guard or {}).items():
            op.cmpxattr(name, value)
        op.call(classes.OBJ_REMOVE(ObjRemoveOp([OLH_PREFIX])))
        try:
            version = (await state.head_pool.write(state.head_oid, op, locator=state.head_locator)).version
        except (store_errors.TimedOut, store_errors.Unavailable):
            raise  # it may be removed: the entry stays in doubt, and listings ask the head
        except store_errors.NotFound:
            await change.cancel()
            return False  # another delete was faster, and ends its own change of the index
        except store_errors.Cancelled:
            await change.cancel()
            return None  # replaced or changed since it was read
        except BaseException:
            await change.cancel()
            raise
        # With the version of the removal: an object that was written since keeps its entry.
        await change.complete(state.head_pool.pool_id, version, DirEntryMeta(category=0, mtime=time.time_ns()))
        if not keep_tail:
            await free_tail(gw, state)
        return True


async def forget_version(gw: Gateway, bucket: Bucket, key: str, instance: str) -> None:
    """Removes the index entry of a version whose object is gone."""
    change = await IndexChange.prepare(gw, bucket, IndexKey.of(key, instance), delete=True, tag="_" + gw.new_tag())
    await change.complete(-1, 0, DirEntryMeta(category=0, mtime=time.time_ns()))
