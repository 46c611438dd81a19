"""The lock of radosgw's reshards, renewed for as long as it is held."""

from __future__ import annotations

import asyncio
import logging
import secrets
from time import monotonic

from rgw.errors import S3Error
from rgw.formats import cls_lock
from rgw.store import classes
from rgw.store.errors import Busy, Exists, NotFound, StoreError
from rgw.store.interface import IoCtx, WriteOp

log = logging.getLogger(__name__)

LOCK = "reshard_process"


class ReshardLock:
    """An exclusive lock on ``oid`` for ``seconds``, renewed every third of them until ``release`` or ``drop``.

    ``ephemeral``: the object goes with the lock. ``check`` tells whether the lock is safe to rely on: a holder that was stopped for a
    while must not go on as if nothing had happened.
    """

    def __init__(self, ioctx: IoCtx, oid: str, seconds: float, *, ephemeral: bool) -> None:
        self._ioctx = ioctx
        self.oid = oid
        self._seconds = seconds
        self._type = cls_lock.EXCLUSIVE_EPHEMERAL if ephemeral else cls_lock.EXCLUSIVE
        self._cookie = secrets.token_hex(8)
        self._since = 0.0
        self._renewal: asyncio.Task[None] | None = None

    async def _lock(self, flags: int) -> None:
        asked = monotonic()
        request = cls_lock.LockOp(name=LOCK, type=self._type, cookie=self._cookie, duration=int(self._seconds * 1e9), flags=flags)
        await self._ioctx.write(self.oid, WriteOp().call(classes.LOCK_LOCK(request)))
        self._since = asked

    async def acquire(self) -> bool:
        """False if somebody else holds it."""
        try:
            await self._lock(0)
        except (Busy, Exists):
            return False
        except asyncio.CancelledError:
            await self.release()  # it may have been taken
            raise
        self._renewal = asyncio.get_running_loop().create_task(self._renew(), name=f"lock of {self.oid}")
        return True

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                await self._lock(cls_lock.MUST_RENEW)
            except (NotFound, Busy):
                log.error("the lock of %s was lost", self.oid)
                self._since = float("-inf")
                return
            except StoreError as error:
                log.warning("the lock of %s could not be renewed: %s", self.oid, error)

    def check(self) -> None:
        """S3Error OperationAborted unless at least a third of the time is left."""
        if monotonic() > self._since + self._seconds * 2 / 3:
            raise S3Error("OperationAborted", f"the lock of {self.oid} was about to expire")

    @property
    def held(self) -> bool:
        """Whether it cannot have expired yet."""
        return monotonic() < self._since + self._seconds

    def drop(self) -> None:
        """Renews it no longer; it ends by itself."""
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    async def release(self) -> None:
        self.drop()
        try:
            await self._ioctx.write(self.oid, WriteOp().call(classes.LOCK_UNLOCK(cls_lock.UnlockOp(name=LOCK, cookie=self._cookie))))
        except NotFound:
            log.warning("the lock of %s had expired", self.oid)
