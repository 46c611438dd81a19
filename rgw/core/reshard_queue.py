"""Buckets that wait to be resharded: radosgw's queue of them, the worker that empties it, and how full buckets come into it.

The queue is spread over ``reshard.0000000000`` ... in the reshard namespace (formats page 3.8); radosgw may process what we add and the
other way round.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rgw.core.background import BackgroundTask
from rgw.core.buckets import Bucket
from rgw.core.finish import uncancelled
from rgw.core.reshard_lock import ReshardLock
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.index import DirHeader, ReshardEntry
from rgw.formats.names import shards_mod, strhash
from rgw.store import classes
from rgw.store.errors import NotFound, StoreError
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

Entries = list[ReshardEntry]

_PAGE = 1000
_LOOKS_PER_FILLING = 10  # a bucket's statistics are looked at each time that it grew by this fraction of what it may hold


def objects_of(headers: list[DirHeader]) -> int:
    """All entries that the statistics count."""
    return sum(stats.num_entries for header in headers for stats in header.stats.values())


def preferred_shards(objects: int, per_shard: int, limit: int) -> int:
    """The number of shards for a bucket that has outgrown its own: a prime, for twice as many objects, ``limit`` at most."""
    wanted = objects * 2 // per_shard
    if wanted >= limit:
        return limit
    while wanted < 2 or any(wanted % divisor == 0 for divisor in range(2, int(wanted ** 0.5) + 1)):
        wanted += 1
    return min(wanted, limit)


class ReshardQueue:
    """The queue. ``start`` runs the worker, unless ``rgw_dynamic_resharding`` is off."""

    def __init__(self, gateway: Gateway) -> None:
        self._gw = gateway
        self._grown: dict[tuple[str, str], int] = {}  # by tenant and name: entries added since the last look at the statistics
        self._written: set[tuple[str, str]] = set()  # buckets that grew since the worker's last round
        self._looks: set[asyncio.Task[None]] = set()
        self._work_to_do = asyncio.Event()
        self._worker = BackgroundTask("reshard")

    async def _ioctx(self) -> IoCtx:
        return await self._gw.pool(self._gw.zone.reshard_pool)

    def _oids(self) -> list[str]:
        return [f"reshard.{number:010d}" for number in range(self._gw.options.rgw_reshard_num_logs)]

    def _oid(self, tenant: str, name: str) -> str:
        value = strhash(f"{tenant}:{name}")
        return self._oids()[shards_mod(value ^ ((value & 0xFF) << 24), self._gw.options.rgw_reshard_num_logs)]

    async def add(self, bucket: Bucket, num_shards: int) -> None:
        """Enters a bucket, or replaces its entry."""
        entry = ReshardEntry(time=time.time_ns(), tenant=bucket.tenant, bucket_name=bucket.name, bucket_id=bucket.bucket_id,
                             old_num_shards=max(bucket.num_shards, 1), new_num_shards=num_shards)
        request = cls_rgw.ReshardAddOp(entry=entry)
        await (await self._ioctx()).write(self._oid(bucket.tenant, bucket.name), WriteOp().call(classes.RESHARD_ADD(request)))
        self._work_to_do.set()

    async def get(self, bucket: Bucket) -> ReshardEntry | None:
        """A bucket's entry."""
        wanted = ReshardEntry(tenant=bucket.tenant, bucket_name=bucket.name)
        read = ReadOp().call(classes.RESHARD_GET(cls_rgw.ReshardGetOp(entry=wanted)))
        try:
            entry: ReshardEntry = (await (await self._ioctx()).read(self._oid(bucket.tenant, bucket.name), read)).reply.entry
        except NotFound:
            return None
        return entry

    async def remove(self, tenant: str, name: str, bucket_id: str = "") -> None:
        """Takes a bucket out; with ``bucket_id`` only that instance of it. NotFound if it is not in the queue."""
        request = cls_rgw.ReshardRemoveOp(tenant=tenant, bucket_name=name, bucket_id=bucket_id)
        await (await self._ioctx()).write(self._oid(tenant, name), WriteOp().call(classes.RESHARD_REMOVE(request)))

    async def list(self) -> Entries:
        """All entries."""
        return [entry for oid in self._oids() for entry in await self._list(oid)]

    async def _list(self, oid: str) -> Entries:
        ioctx, marker = await self._ioctx(), ""
        found: Entries = []
        while True:
            request = cls_rgw.ReshardListOp(max=_PAGE, marker=marker)
            try:
                reply = (await ioctx.read(oid, ReadOp().call(classes.RESHARD_LIST(request)))).reply
            except NotFound:
                return found
            found += reply.entries
            if not reply.is_truncated or not reply.entries:
                return found
            marker = f"{found[-1].tenant}:{found[-1].bucket_name}"

    async def process(self, progress: Callable[[str], None] | None = None) -> int:
        """Reshards what is queued; how many buckets. Parts of the queue that somebody else is at are left to him."""
        ioctx, done = await self._ioctx(), 0
        for oid in self._oids():
            if not await self._list(oid):
                continue
            lock = ReshardLock(ioctx, oid, self._gw.options.rgw_reshard_bucket_lock_duration, ephemeral=False)
            if not await lock.acquire():
                continue
            try:
                for entry in await self._list(oid):
                    done += await self._process(entry, progress)
            finally:
                await uncancelled(lock.release())
        return done

    async def _process(self, entry: ReshardEntry, progress: Callable[[str], None] | None) -> bool:
        def tell(step: str, copied: int) -> None:
            if progress is not None:
                progress(f"{entry.bucket_name}: {step}, {copied:,} entries")

        done = False
        try:
            bucket = await self._gw.buckets.get(entry.bucket_name, entry.tenant)
            await self._gw.buckets.reload(bucket)
            if bucket.bucket_id == entry.bucket_id and bucket.num_shards != entry.new_num_shards:
                await self._gw.resharder.reshard(bucket, entry.new_num_shards, tell)
                log.info("bucket %s now has %d index shards", entry.bucket_name, entry.new_num_shards)
                done = True
        except S3Error as error:
            if error.code != "NoSuchBucket":
                log.warning("bucket %s was not resharded: %s: %s", entry.bucket_name, error.code, error.message)
                return False  # it stays in the queue
        try:
            await self.remove(entry.tenant, entry.bucket_name, entry.bucket_id)
        except NotFound:
            log.debug("bucket %s was taken out of the reshard queue meanwhile", entry.bucket_name)
        return done

    def grew(self, bucket: Bucket) -> None:
        """Takes note that an entry was added to a bucket's index. Now and then this looks at its statistics, in the background."""
        if not self._worker.started:
            return
        key = bucket.tenant, bucket.name
        grown = self._grown[key] = self._grown.get(key, 0) + 1
        self._written.add(key)
        holds = self._gw.options.rgw_max_objs_per_shard * max(bucket.num_shards, 1)
        if grown * _LOOKS_PER_FILLING >= holds:
            self._grown[key] = 0
            look = asyncio.get_running_loop().create_task(self._look(key), name=f"fill of {bucket.name}")
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def _look(self, key: tuple[str, str]) -> None:
        tenant, name = key
        try:
            await self.check(await self._gw.buckets.get(name, tenant))
        except (S3Error, StoreError) as error:
            log.warning("bucket %s: cannot tell how full its index is: %s", name, error)

    async def check(self, bucket: Bucket) -> bool:
        """Queues a bucket whose shards hold too many objects; whether it did."""
        options = self._gw.options
        shards = max(bucket.num_shards, 1)
        if shards >= options.rgw_max_dynamic_shards or bucket.info.layout.current_index.layout.type != 0:
            return False
        objects = objects_of(await self._gw.buckets.stats(bucket))
        if objects <= shards * options.rgw_max_objs_per_shard:
            return False
        wanted = preferred_shards(objects, options.rgw_max_objs_per_shard, options.rgw_max_dynamic_shards)
        if wanted <= shards or await self.get(bucket) is not None:
            return False
        log.info("bucket %s: %d objects in %d index shards, to be resharded to %d", bucket.name, objects, shards, wanted)
        await self.add(bucket, wanted)
        return True

    def start(self) -> None:
        """Starts the background worker, unless ``rgw_dynamic_resharding`` is off."""
        if self._gw.options.rgw_dynamic_resharding:
            self._worker.start(self._work)

    async def stop(self) -> None:
        """Stops the worker; a reshard under way is taken back."""
        await self._worker.stop()
        looks = list(self._looks)
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._work_to_do.clear()
            try:
                await self._gw.resharder.recover_all()
                written, self._written = self._written, set()
                for key in written:
                    await self._look(key)
                await self.process()
            except StoreError as error:
                log.warning("resharding stopped: %s", error)
            try:
                await asyncio.wait_for(self._work_to_do.wait(), self._gw.options.rgw_reshard_thread_interval)
            except TimeoutError:
                log.debug("time for another look at the reshard queue")
