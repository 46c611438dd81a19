"""Lifecycle: the rules of a bucket, the queues ``lc.0`` ... of buckets that have rules, and the worker that carries the rules out.

Queues, their lock and the state of their entries are radosgw's (formats page, 3.8 and 5.9), so that its workers and ours take turns.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rgw.core import queue_lock
from rgw.core.background import BackgroundTask
from rgw.core.buckets import LC_XATTR
from rgw.core.lc_bucket import BucketRun, Progress
from rgw.core.lc_rules import Clock
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.lifecycle import LifecycleConfiguration
from rgw.formats.misc import LcEntry, LcHead
from rgw.formats.names import lc_shard
from rgw.store import classes
from rgw.store.errors import NotFound, StoreError
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

Entries = list[LcEntry]

UNINITIAL, PROCESSING, FAILED, COMPLETE = range(4)
_LOCK = "lc_process"
_DAY = 86400
_LOCK_RETRY, _LOCK_TRIES = 0.1, 300  # seconds; holders keep it for moments
_PAGE = 100


class _Held(Exception):
    """Somebody else has the queue's lock."""


class Lifecycle:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._worker = BackgroundTask("lifecycle")
        self._cookie = secrets.token_hex(8)
        self._own = asyncio.Lock()  # the cookie is shared by all that this process does

    # the rules of a bucket

    @staticmethod
    def config(bucket: Bucket) -> LifecycleConfiguration | None:
        """The bucket's rules, None if it has none. FormatError if a newer release wrote what this one does not know."""
        raw = bucket.attrs.get(LC_XATTR)
        return None if raw is None else LifecycleConfiguration.decode(raw)

    async def set_config(self, bucket: Bucket, config: LifecycleConfiguration) -> None:
        """Stores the rules and enters the bucket in its queue. S3Error NoSuchBucket, OperationAborted."""
        await self._gateway.buckets.set_attrs(bucket, {LC_XATTR: config.encode()})
        key = entry_key(bucket)
        async with self._locked(self._oid(key), wait=True) as ioctx:
            await self._set(ioctx, self._oid(key), LcEntry(bucket=key, start_time=0, status=UNINITIAL))

    async def remove_config(self, bucket: Bucket) -> None:
        """Forgets the rules; no error if there are none."""
        await self._gateway.buckets.set_attrs(bucket, {LC_XATTR: None})
        await self.forget(bucket)

    async def enter_missing(self, bucket: Bucket) -> None:
        """Enters a bucket in its queue that has rules but no entry there. Entries were lost in reshards of old releases of radosgw."""
        if LC_XATTR not in bucket.attrs:
            return
        key = entry_key(bucket)
        oid = self._oid(key)
        async with self._locked(oid, wait=True) as ioctx:
            if await self._get(ioctx, oid, key) is None:
                await self._set(ioctx, oid, LcEntry(bucket=key, start_time=0, status=UNINITIAL))

    async def forget(self, bucket: Bucket) -> None:
        """Takes the bucket out of its queue."""
        key = entry_key(bucket)
        async with self._locked(self._oid(key), wait=True) as ioctx:
            await self._drop(ioctx, self._oid(key), key)

    # the queues

    def _oid(self, key: str) -> str:
        return f"lc.{lc_shard(key, self._gateway.options.rgw_lc_max_objs)}"

    def _oids(self) -> list[str]:
        return [f"lc.{number}" for number in range(self._gateway.options.rgw_lc_max_objs)]

    async def _pool(self) -> IoCtx:
        return await self._gateway.pool(self._gateway.zone.lc_pool)

    @asynccontextmanager
    async def _locked(self, oid: str, *, wait: bool) -> AsyncIterator[IoCtx]:
        """Holds a queue's lock. ``_Held`` if somebody else has it and ``wait`` is off; S3Error SlowDown if he does not let go."""
        async with self._own:
            ioctx, seconds = await self._pool(), self._gateway.options.rgw_lc_lock_max_time
            for _ in range(_LOCK_TRIES):
                if await queue_lock.acquire(ioctx, oid, _LOCK, self._cookie, seconds):
                    break
                if not wait:
                    raise _Held
                await asyncio.sleep(_LOCK_RETRY)
            else:
                raise S3Error("SlowDown", "the lifecycle queue is locked")
            try:
                yield ioctx
            finally:
                await queue_lock.release(ioctx, oid, _LOCK, self._cookie)

    @staticmethod
    async def _set(ioctx: IoCtx, oid: str, entry: LcEntry) -> None:
        await ioctx.write(oid, WriteOp().call(classes.LC_SET_ENTRY(cls_rgw.LcEntryOp(entry=entry))))

    @staticmethod
    async def _drop(ioctx: IoCtx, oid: str, key: str) -> None:
        try:
            await ioctx.write(oid, WriteOp().call(classes.LC_RM_ENTRY(cls_rgw.LcEntryOp(entry=LcEntry(bucket=key)))))
        except NotFound:
            log.debug("%s is in no queue", key)

    @staticmethod
    async def _get(ioctx: IoCtx, oid: str, key: str) -> LcEntry | None:
        try:
            return (await ioctx.read(oid, ReadOp().call(classes.LC_GET_ENTRY(cls_rgw.LcMarkerOp(marker=key))))).reply.entry  # type: ignore[no-any-return]
        except NotFound:
            return None

    @staticmethod
    async def _next(ioctx: IoCtx, oid: str, marker: str) -> LcEntry | None:
        reply = (await ioctx.read(oid, ReadOp().call(classes.LC_GET_NEXT_ENTRY(cls_rgw.LcMarkerOp(marker=marker))))).reply
        return reply.entry if reply.entry.bucket else None

    async def _list(self, ioctx: IoCtx, oid: str) -> Entries:
        found: Entries = []
        while True:
            request = cls_rgw.LcListOp(marker=found[-1].bucket if found else "", max_entries=_PAGE)
            try:
                reply = (await ioctx.read(oid, ReadOp().call(classes.LC_LIST_ENTRIES(request)))).reply
            except NotFound:
                return found
            found += reply.entries
            if not reply.is_truncated or not reply.entries:
                return found

    async def entries(self) -> Entries:
        """What stands in the queues, queue after queue."""
        ioctx = await self._pool()
        return [entry for oid in self._oids() for entry in await self._list(ioctx, oid)]

    # carrying the rules out

    def _clock(self) -> Clock:
        return Clock(time.time(), self._gateway.options.rgw_lc_debug_interval)

    def _session_over(self, entry: LcEntry) -> bool:
        """Whether the one who began with the bucket must have died."""
        debug = self._gateway.options.rgw_lc_debug_interval
        return time.time() - entry.start_time > (debug if debug > 0 else _DAY)

    def _ran_today(self, head: LcHead) -> bool:
        debug, now = self._gateway.options.rgw_lc_debug_interval, time.time()
        if debug > 0:
            return bool(now - head.start_date < debug)
        return datetime.fromtimestamp(head.start_date).date() == datetime.fromtimestamp(now).date()

    async def process(self, everything: bool = True, only: Bucket | None = None, progress: Progress | None = None) -> int:
        """One run over all queues, or of one bucket; the number of buckets done.

        Without ``everything``, buckets that were done today are left out. Buckets that somebody else is at are, in any case.
        """
        if only is not None:
            return await self._one(entry_key(only), progress)
        done = 0
        oids = self._oids()
        start = secrets.randbelow(len(oids))  # gateways that start at the same time do not queue up behind each other
        for oid in oids[start:] + oids[:start]:
            done += await self._process_queue(oid, everything, progress)
        return done

    async def _one(self, key: str, progress: Progress | None) -> int:
        oid = self._oid(key)
        async with self._locked(oid, wait=True) as ioctx:
            entry = await self._get(ioctx, oid, key)
            if entry is None or (entry.status == PROCESSING and not self._session_over(entry)):
                return 0
            entry = LcEntry(bucket=key, start_time=int(time.time()), status=PROCESSING)
            await self._set(ioctx, oid, entry)
        await self._run(oid, entry, progress)
        return 1

    async def _process_queue(self, oid: str, restart: bool, progress: Progress | None) -> int:
        done = 0
        while True:
            try:
                entry = await self._take(oid, restart)
            except _Held:
                return done
            if entry is None:
                return done
            restart = False
            await self._run(oid, entry, progress)
            done += 1

    async def _take(self, oid: str, restart: bool) -> LcEntry | None:
        """The queue's next bucket, marked as being processed; None if there is no more, or another worker goes through the queue."""
        async with self._locked(oid, wait=False) as ioctx:
            head = (await ioctx.read(oid, ReadOp().call(classes.LC_GET_HEAD()))).reply.head
            now = int(time.time())
            if restart or not self._ran_today(head):
                head = LcHead(start_date=now, marker="")
                for entry in await self._list(ioctx, oid):
                    if entry.status != PROCESSING or self._session_over(entry):
                        await self._set(ioctx, oid, LcEntry(bucket=entry.bucket, start_time=now, status=UNINITIAL))
            elif head.marker:
                last = await self._get(ioctx, oid, head.marker)
                if last is not None and last.status == PROCESSING and not self._session_over(last):
                    return None
            found = await self._next(ioctx, oid, head.marker)
            while found is not None and found.status == PROCESSING and not self._session_over(found):
                found = await self._next(ioctx, oid, found.bucket)
            if found is not None:
                found = LcEntry(bucket=found.bucket, start_time=now, status=PROCESSING)
                await self._set(ioctx, oid, found)
                head.marker = found.bucket
            await ioctx.write(oid, WriteOp().call(classes.LC_PUT_HEAD(cls_rgw.LcPutHeadOp(head=head))))
            return found

    async def _run(self, oid: str, entry: LcEntry, progress: Progress | None) -> None:
        """Carries out a bucket's rules and writes down how it went."""
        status: int | None = UNINITIAL  # of a run that is broken off
        try:
            status = await self._process_bucket(entry.bucket, progress)
        finally:
            async with self._locked(oid, wait=True) as ioctx:
                if status is None:
                    await self._drop(ioctx, oid, entry.bucket)
                elif await self._get(ioctx, oid, entry.bucket) is not None:  # else its rules were removed meanwhile
                    await self._set(ioctx, oid, LcEntry(bucket=entry.bucket, start_time=entry.start_time, status=status))

    async def _process_bucket(self, key: str, progress: Progress | None) -> int | None:
        """How it went; None if there is no such bucket or it has no rules."""
        tenant, _, rest = key.partition(":")
        name, _, marker = rest.partition(":")
        bucket = await self._gateway.buckets.find(name, tenant, marker)
        if bucket is None:
            return None
        try:
            config = self.config(bucket)
            if config is None:
                return None
            run = BucketRun(self._gateway, bucket, [rule for _, rule in config.rules], self._clock(), progress)
            await run.run()
        except (S3Error, StoreError, ValueError) as error:
            log.warning("lifecycle of bucket %s stopped: %s", name, error)
            return FAILED
        except Exception:  # one bucket must not keep the others from their turn
            log.exception("lifecycle of bucket %s failed", name)
            return FAILED
        if run.done:
            self._gateway.quotas.touched(bucket)
            log.info("lifecycle of bucket %s: %s", name, ", ".join(f"{count} {what}" for what, count in sorted(run.done.items())))
        return FAILED if run.failed else COMPLETE

    # the worker

    def start(self) -> None:
        """Starts the background worker, unless ``rgw_enable_lc_threads`` is off."""
        if self._gateway.options.rgw_enable_lc_threads:
            self._worker.start(self._work)

    async def stop(self) -> None:
        """Stops the worker; a bucket half done is begun anew by the next one."""
        await self._worker.stop()

    async def _work(self) -> None:
        while True:
            wait = self._until_work()
            if wait <= 0:
                try:
                    await self.process(everything=False)
                except (StoreError, S3Error) as error:
                    log.warning("lifecycle stopped: %s", error)
                except Exception:
                    log.exception("lifecycle stopped")
                debug = self._gateway.options.rgw_lc_debug_interval
                wait = debug if debug > 0 else _DAY / 24
            await asyncio.sleep(min(wait, _DAY / 24))

    def _until_work(self) -> float:
        """Seconds until the hours of work begin; 0 within them. They are local time (``rgw_lifecycle_work_time``)."""
        options = self._gateway.options
        if options.rgw_lc_debug_interval > 0:
            return 0.0
        first, last = _hours(options.rgw_lifecycle_work_time)
        now = datetime.now()
        minute = now.hour * 60 + now.minute
        if first <= minute < last or (last <= first and (minute >= first or minute < last)):
            return 0.0
        begin = now.replace(hour=first // 60, minute=first % 60, second=0, microsecond=0)
        return (begin - now if begin > now else begin + timedelta(days=1) - now).total_seconds()


def _hours(text: str) -> tuple[int, int]:
    """The minutes of the day at which ``HH:MM-HH:MM`` begins and ends."""
    first, last = (int(hour) * 60 + int(minute) for hour, _, minute in (part.partition(":") for part in text.split("-")))
    return first, last


def entry_key(bucket: Bucket) -> str:
    """A bucket's name in its queue."""
    return f"{bucket.tenant}:{bucket.name}:{bucket.marker}"
