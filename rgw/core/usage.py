"""The usage log: requests and bytes by user, bucket, hour and kind of request, as radosgw keeps them (formats page 2, ``usage.N``)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rgw.core.background import BackgroundTask
from rgw.core.finish import uncancelled
from rgw.formats import usage
from rgw.formats.names import strhash
from rgw.formats.usage import UsageData, UsageLogEntry
from rgw.store import classes
from rgw.store.errors import NoData, NotFound, StoreError
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

_HOUR = 3600
_PAGE = 1000
END = (1 << 64) - 1  # an end that every hour lies before


class UsageLog:
    """Gathers in memory what the requests used, and adds it to the log from time to time. Off unless ``rgw_enable_usage_log``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._held: dict[tuple[str, str, int, str], UsageLogEntry] = {}  # by owner, bucket, hour, payer
        self._worker = BackgroundTask("usage")
        self._full = asyncio.Event()
        self._flushing = asyncio.Lock()

    @property
    def enabled(self) -> bool:
        return bool(self._gateway.options.rgw_enable_usage_log)

    def count(self, owner: str, bucket: str, category: str, sent: int, received: int, success: bool, payer: str = "") -> None:
        """Counts a request: bytes of its bodies, ``category`` as radosgw names its kinds of requests."""
        hour = int(time.time()) // _HOUR * _HOUR
        key = owner, bucket, hour, payer
        entry = self._held.get(key)
        if entry is None:
            entry = self._held[key] = UsageLogEntry(owner=owner, bucket=bucket, epoch=hour, payer=payer)
            if len(self._held) > self._gateway.options.rgw_usage_log_flush_threshold:
                self._full.set()
        entry.count(category, UsageData(sent, received, 1, int(success)))

    async def _pool(self) -> IoCtx:
        return await self._gateway.pool(self._gateway.zone.usage_pool)

    def _oid(self, user: str, number: int = 0) -> str:
        """The object of a user's ``number``-th share; of all users', without a name."""
        options = self._gateway.options
        if user:
            number = number % options.rgw_usage_max_user_shards + strhash(user)
        return f"usage.{(number & 0xFFFFFFFF) % options.rgw_usage_max_shards}"

    def _oids(self, user: str) -> list[str]:
        options = self._gateway.options
        count = options.rgw_usage_max_user_shards if user else options.rgw_usage_max_shards
        return list(dict.fromkeys(self._oid(user, number) for number in range(count)))

    async def flush(self) -> None:
        """Adds what was gathered to the log. What the store refuses is kept for the next time; after a timeout it may count twice."""
        async with self._flushing:
            held, self._held = self._held, {}
            self._full.clear()
            by_oid: dict[str, list[UsageLogEntry]] = {}
            for entry in held.values():
                by_oid.setdefault(self._oid(entry.user), []).append(entry)
            refused: StoreError | None = None
            for oid, entries in by_oid.items():
                request = usage.UsageAddOp(info=usage.UsageLogInfo(entries=entries))
                try:
                    await (await self._pool()).write(oid, WriteOp().call(classes.USAGE_LOG_ADD(request)))
                except StoreError as error:
                    self._keep(entries)
                    refused = error
            if refused is not None:
                raise refused

    def _keep(self, entries: list[UsageLogEntry]) -> None:
        for entry in entries:
            key = entry.owner, entry.bucket, entry.epoch, entry.payer
            known = self._held.setdefault(key, entry)
            if known is not entry:
                for category, data in entry.categories.items():
                    known.count(category, data)

    async def read(self, user: str = "", bucket: str = "", start: int = 0, end: int = END) -> list[UsageLogEntry]:
        """The log of a range of epochs, added up by user and bucket, in this order. Empty texts: all of them."""
        found: dict[tuple[str, str], UsageLogEntry] = {}
        for oid in self._oids(user):
            async for page in self._pages(oid, user, bucket, start, end):
                for key, entry in page.items():
                    known = found.setdefault((key.user, key.bucket), entry)
                    if known is not entry:
                        for category, data in entry.categories.items():
                            known.count(category, data)
        return [found[key] for key in sorted(found, key=lambda key: (key[0].encode(), key[1].encode()))]

    async def _pages(self, oid: str, user: str, bucket: str, start: int, end: int) -> AsyncIterator[dict[usage.UserBucketKey, UsageLogEntry]]:
        ioctx, marker = await self._pool(), ""
        while True:
            request = usage.UsageReadOp(start_epoch=start, end_epoch=end, owner=user, iter=marker, max_entries=_PAGE, bucket=bucket)
            try:
                reply = (await ioctx.read(oid, ReadOp().call(classes.USAGE_LOG_READ(request)))).reply
            except NotFound:
                return
            yield reply.usage
            if not reply.truncated or reply.next_iter in ("", marker):
                return
            marker = reply.next_iter

    async def trim(self, user: str = "", bucket: str = "", start: int = 0, end: int = END) -> None:
        """Removes the range from the log."""
        ioctx = await self._pool()
        request = usage.UsageTrimOp(start_epoch=start, end_epoch=end, user=user, bucket=bucket)
        for oid in self._oids(user):
            while True:
                try:
                    await ioctx.write(oid, WriteOp().call(classes.USAGE_LOG_TRIM(request)))
                except (NoData, NotFound):
                    break

    async def clear(self) -> None:
        """Removes the whole log."""
        ioctx = await self._pool()
        for oid in self._oids(""):
            try:
                await ioctx.write(oid, WriteOp().assert_exists().call(classes.USAGE_LOG_CLEAR()))
            except NotFound:
                continue

    def start(self) -> None:
        """Starts the background worker that flushes, if the log is on."""
        if self.enabled:
            self._worker.start(self._work)

    async def stop(self) -> None:
        """Stops the worker and flushes a last time."""
        await self._worker.stop()
        if self._held:
            await self._flush_or_tell()

    async def _flush_or_tell(self) -> None:
        try:
            await uncancelled(self.flush())  # what it has taken would be lost
        except StoreError as error:
            log.warning("cannot write the usage log: %s", error)

    async def _work(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._full.wait(), self._gateway.options.rgw_usage_log_tick_interval)
            except TimeoutError:
                pass  # the tick
            await self._flush_or_tell()
