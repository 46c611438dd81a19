"""The locks of the queues of garbage and of lifecycle, which radosgw's workers and ours take in turn (formats page, 4: class lock)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic

from rgw.core.finish import uncancelled
from rgw.formats import cls_lock
from rgw.store import classes
from rgw.store.errors import Busy, Exists, NotFound
from rgw.store.interface import IoCtx, WriteOp

log = logging.getLogger(__name__)


def _request(name: str, cookie: str, seconds: int, flags: int = 0) -> cls_lock.LockOp:
    return cls_lock.LockOp(name=name, type=cls_lock.EXCLUSIVE, cookie=cookie, tag="", description="", duration=seconds * 1_000_000_000, flags=flags)


@dataclass(slots=True)
class Held:
    """A lock that was acquired, for work that may take longer than it lasts."""

    ioctx: IoCtx
    oid: str
    name: str
    cookie: str
    seconds: int
    _since: float = field(default_factory=monotonic)

    async def keep(self) -> bool:
        """Renews the lock when half of its time is over. False if it is lost: it ended before (of a process that was stopped, say)."""
        if (now := monotonic()) - self._since < self.seconds / 2:
            return True
        try:
            request = _request(self.name, self.cookie, self.seconds, cls_lock.MUST_RENEW)
            await self.ioctx.write(self.oid, WriteOp().call(classes.LOCK_LOCK(request)))
        except (Busy, NotFound):
            return False
        self._since = now
        return True

    def write(self) -> WriteOp:
        """An operation that fails with Busy when the lock is not held any more."""
        request = cls_lock.AssertLockedOp(name=self.name, type=cls_lock.EXCLUSIVE, cookie=self.cookie, tag="")
        return WriteOp().call(classes.LOCK_ASSERT_LOCKED(request))


async def acquire(ioctx: IoCtx, oid: str, name: str, cookie: str, seconds: int) -> bool:
    """Takes an exclusive lock, which ends by itself after ``seconds``; False if somebody holds it, be it under this cookie."""
    try:
        await ioctx.write(oid, WriteOp().create().call(classes.LOCK_LOCK(_request(name, cookie, seconds))))
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
