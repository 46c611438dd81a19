"""The locks of the queues of garbage and of lifecycle, which radosgw's workers and ours take in turn (formats page, 4: class lock)."""

from __future__ import annotations

import asyncio
import logging

from rgw.core.finish import uncancelled
from rgw.formats import cls_lock
from rgw.store import classes
from rgw.store.errors import Busy, Exists, NotFound
from rgw.store.interface import IoCtx, WriteOp

log = logging.getLogger(__name__)


async def acquire(ioctx: IoCtx, oid: str, name: str, cookie: str, seconds: int) -> bool:
    """Takes an exclusive lock, which ends by itself after ``seconds``; False if somebody holds it, be it under this cookie."""
    request = cls_lock.LockOp(name=name, type=cls_lock.EXCLUSIVE, cookie=cookie, tag="", description="", duration=seconds * 1_000_000_000, flags=0)
    try:
        await ioctx.write(oid, WriteOp().create().call(classes.LOCK_LOCK(request)))
    except (Busy, Exists):
        return False
    except asyncio.CancelledError:
        await release(ioctx, oid, name, cookie)  # it may have been taken, and would be missing to all for as long as it lasts
        raise
    return True


async def release(ioctx: IoCtx, oid: str, name: str, cookie: str) -> None:
    """Gives the lock back, if it is held, even if the caller is cancelled."""
    try:
        await uncancelled(ioctx.write(oid, WriteOp().call(classes.LOCK_UNLOCK(cls_lock.UnlockOp(name=name, cookie=cookie)))))
    except NotFound:
        log.info("the lock %s of %s was not held any more", name, oid)
