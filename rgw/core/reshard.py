"""Resharding: giving a bucket an index of another number of shards while it is written to (formats page, section 13).

Our writers go on and mark what they change; radosgw's are held off by its own fence, as in a reshard of its own. The entry point alone
decides whether a reshard happened: whoever finds one that died takes its lock and brings it back or forward (``recover``, and rgw.core.reshard_ending).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rgw.core.buckets import Bucket, entry_oid, instance_oid, refuse_newer
from rgw.core.finish import uncancelled
from rgw.core.index import shard_names
from rgw.core.metadata import VERSION_XATTR, new_version
from rgw.core.reshard_copy import IndexCopy
from rgw.core.reshard_ending import IN_PROGRESS, NOT_RESHARDING, NOTES, Ending, Step, no_step, note_key
from rgw.core.reshard_lock import ReshardLock
from rgw.core.reshard_marks import STATE, blocked, copying
from rgw.errors import S3Error
from rgw.formats import cls_rgw, cls_version
from rgw.formats.basics import BucketName, ObjVersion
from rgw.formats.bucket import BucketEntryPoint, BucketInfo, BucketLayout
from rgw.formats.index import BucketInstanceEntry, DirHeader, ReshardEntry
from rgw.store import classes
from rgw.store.classcall import ClassCall
from rgw.store.errors import Cancelled, NotFound
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway
    from rgw.core.metadata import SystemObject

log = logging.getLogger(__name__)

MAX_SHARDS = 65521
_FEW_MARKS = 50         # so many are taken over while the bucket is blocked,
_MANY_MARKS = 120       # or so many (less than a page), where writers are as fast as the catching up
_MAX_ROUNDS = 20_000    # of catching up, each with a page of marks of every shard, before a reshard is given up
_MAX_BLOCKS = 5         # attempts to end a reshard while somebody changes the old index unmarked


def _lock_oid(name: str, tenant: str, bucket_id: str) -> str:
    return f"{tenant}:{name}:{bucket_id}" if tenant else f"{name}:{bucket_id}"


def _guard(version: ObjVersion) -> ClassCall:
    return classes.VERSION_CHECK_CONDS(cls_version.unchanged(version))


def _next(version: ObjVersion) -> ObjVersion:
    return ObjVersion(ver=version.ver + 1, tag=version.tag or new_version().tag)


@dataclass(slots=True)
class Resharded:
    """What a reshard did. ``blocked``: seconds for which the bucket could not be changed."""

    old_id: str
    new_id: str
    entries: int
    blocked: float


class Resharder:
    """Reshards buckets of one gateway, and heals reshards that died."""

    def __init__(self, gateway: Gateway) -> None:
        self._gw = gateway

    async def _ioctx(self) -> IoCtx:
        return await self._gw.pool(self._gw.zone.reshard_pool)

    async def _locked(self, name: str, tenant: str, bucket_id: str) -> ReshardLock | None:
        """The lock of a bucket's instance; None if another holds it."""
        seconds = self._gw.options.rgw_reshard_bucket_lock_duration
        lock = ReshardLock(await self._ioctx(), _lock_oid(name, tenant, bucket_id), seconds, ephemeral=True)
        return lock if await lock.acquire() else None

    @asynccontextmanager
    async def locked(self, instance: BucketName) -> AsyncIterator[bool]:
        """Keeps reshards away from a bucket's instance; False if one is under way."""
        lock = await self._locked(instance.name, instance.tenant, instance.bucket_id)
        try:
            yield lock is not None
            if lock is not None:
                await lock.release()
        finally:
            if lock is not None:
                lock.drop()

    async def reshard(self, bucket: Bucket, num_shards: int, on_step: Step = no_step) -> Resharded:
        """Gives the bucket an index of ``num_shards`` shards; ``bucket`` is its new instance then. ``on_step`` is told of steps and pages.

        S3Error InvalidArgument (the number), OperationAborted (another reshard is under way, or this one was given up: then the bucket
        is as before), NoSuchBucket, NotImplemented (written by a newer release).
        """
        if not 1 <= num_shards <= MAX_SHARDS:
            raise S3Error("InvalidArgument", f"a bucket has 1 to {MAX_SHARDS} index shards")
        await self._gw.buckets.reload(bucket)
        refuse_newer(bucket.info, BucketEntryPoint.decode(bucket.entry.data))
        if bucket.info.layout.current_index.layout.type != 0:
            raise S3Error("InvalidArgument", "the bucket has no index")
        await self.recover(bucket)
        lock = await self._locked(bucket.name, bucket.tenant, bucket.bucket_id)
        if lock is None:
            raise S3Error("OperationAborted", "the bucket is being resharded already")
        note = ReshardEntry(time=time.time_ns(), tenant=bucket.tenant, bucket_name=bucket.name, bucket_id=bucket.bucket_id,
                            new_instance_id=self._gw.buckets.new_id(), old_num_shards=bucket.num_shards, new_num_shards=num_shards)
        run = _Run(self._gw, await self._ioctx(), bucket, note, lock, on_step)
        try:
            try:
                done = await run.execute()
            except (Exception, asyncio.CancelledError):
                log.warning("bucket %s: its reshard to %d shards was given up", bucket.name, num_shards)
                if lock.held:
                    await uncancelled(self._give_up(note, bucket.index_ioctx, lock, never_switched=not run.switching))
                raise
            await lock.release()
        finally:
            lock.drop()
        await self._gw.buckets.reload(bucket)
        return done

    async def recover(self, bucket: Bucket) -> bool:
        """Brings a reshard of this bucket that died back or forward; whether there was one. Does nothing while somebody holds its lock."""
        entry = None
        for oid in shard_names(bucket.bucket_id, bucket.num_shards):
            try:
                found = await bucket.index_ioctx.read(oid, ReadOp().assert_exists().getxattrs().omap_get_header())
            except NotFound:
                continue
            header = DirHeader.decode(found.omap_header)
            if header.new_instance.status != NOT_RESHARDING or STATE in found.xattrs:
                entry = header.new_instance
                break
        if entry is None:
            return False
        note = ReshardEntry(tenant=bucket.tenant, bucket_name=bucket.name, bucket_id=bucket.bucket_id, old_num_shards=bucket.num_shards,
                            new_instance_id=entry.new_bucket_instance_id, new_num_shards=max(entry.num_shards, 0))
        return await self._recover(note, bucket.index_ioctx)

    async def recover_all(self) -> int:
        """Brings all reshards of our gateways that died back or forward; how many."""
        ioctx, done, after = await self._ioctx(), 0, b""
        while True:
            try:
                page = (await ioctx.read(NOTES, ReadOp().assert_exists().omap_get(after))).omap
            except NotFound:
                return done
            assert page is not None
            for value in page.values.values():
                note = ReshardEntry.decode(value)
                done += await self._recover(note, await self._index_ioctx(note))
            if not page.more:
                return done
            after = next(reversed(page.values))

    async def _index_ioctx(self, note: ReshardEntry) -> IoCtx:
        """Where the index of a bucket lies whose name may stand for another bucket by now."""
        metadata, pool = self._gw.metadata, self._gw.zone.meta_root
        for bucket_id in (note.bucket_id, note.new_instance_id):
            try:
                name = BucketName(name=note.bucket_name, tenant=note.tenant, bucket_id=bucket_id)
                info = BucketInfo.decode((await metadata.get(pool, instance_oid(name), fresh=True)).data)
            except NotFound:
                continue
            explicit = info.bucket.index_pool
            return await self._gw.pool(explicit) if explicit.name else self._gw.index_pool(info.placement_rule)
        return self._gw.index_pool(self._gw.zone.default_placement)

    async def _recover(self, note: ReshardEntry, index: IoCtx) -> bool:
        lock = await self._locked(note.bucket_name, note.tenant, note.bucket_id)
        if lock is None:
            return False
        try:
            log.warning("bucket %s: a reshard of it had died", note.bucket_name)
            await self._settle(note, index)
            await lock.release()
        finally:
            lock.drop()
        return True

    async def _give_up(self, note: ReshardEntry, index: IoCtx, lock: ReshardLock, *, never_switched: bool) -> None:
        await self._settle(note, index, never_switched=never_switched)
        await lock.release()

    async def _settle(self, note: ReshardEntry, index: IoCtx, *, never_switched: bool = False) -> None:
        """The crash rule: forward if the entry point names the new instance, back if it names the old one. Under the lock.

        Going back writes the entry point too, so that a switch that its writer has sent before, or is about to send, is refused.
        """
        metadata, pool = self._gw.metadata, self._gw.zone.meta_root
        oid = entry_oid(note.bucket_name, note.tenant)
        while True:
            try:
                entry = await metadata.get(pool, oid, fresh=True)
            except NotFound:
                current = ""
                break
            current = BucketEntryPoint.decode(entry.data).bucket.bucket_id
            if current != note.bucket_id or never_switched:
                break
            try:
                await _rewrite(await self._gw.pool(pool), oid, entry.data, entry)
                break
            except (Cancelled, NotFound):
                continue
        finish = Ending(self._gw, await self._ioctx(), index, note)
        if current and current == note.new_instance_id:
            await finish.forward()
        else:
            # Where the bucket is deleted, or its name stands for another one, the new instance is removed only if it was never in use.
            await finish.back(remove_new=current == note.bucket_id or never_switched)
        log.info("bucket %s: the reshard was brought %s", note.bucket_name, "forward" if current == note.new_instance_id else "back")

    async def status(self, bucket: Bucket) -> list[BucketInstanceEntry]:
        """What the header of each index shard says of a reshard."""
        async def one(oid: str) -> BucketInstanceEntry:
            read = ReadOp().assert_exists().call(classes.GET_BUCKET_RESHARDING(cls_rgw.GetBucketReshardingOp()))
            entry: BucketInstanceEntry = (await bucket.index_ioctx.read(oid, read)).reply.new_instance
            return entry

        found: list[BucketInstanceEntry] = await self._gw.buckets.each(shard_names(bucket.bucket_id, bucket.num_shards), one)
        return found


async def _rewrite(ioctx: IoCtx, oid: str, data: bytes, old: SystemObject) -> None:
    """Replaces a system object's data if it still has ``old``'s version, and tells nobody. Cancelled, NotFound."""
    op = WriteOp().assert_exists().call(_guard(old.version)).call(classes.VERSION_SET(cls_version.SetOp(objv=_next(old.version))))
    await ioctx.write(oid, op.write_full(data))


class _Run:
    """One reshard under its lock."""

    def __init__(self, gateway: Gateway, reshards: IoCtx, bucket: Bucket, note: ReshardEntry, lock: ReshardLock, on_step: Step) -> None:
        self._gw = gateway
        self._reshards = reshards
        self._bucket = bucket
        self._index = bucket.index_ioctx
        self._note = note
        self._lock = lock
        self._on_step = on_step
        self._fence = BucketInstanceEntry(status=IN_PROGRESS, new_bucket_instance_id=note.new_instance_id, num_shards=note.new_num_shards)
        self._copying, self._blocked = copying(note.new_instance_id), blocked(note.new_instance_id)
        old, new = shard_names(note.bucket_id, note.old_num_shards), shard_names(note.new_instance_id, note.new_num_shards)
        options = gateway.options
        self._copy = IndexCopy(self._index, old, new, self._copying, versioned=bucket.versioned, page=options.rgw_reshard_batch_size,
                               rest=options.rgw_reshard_rest)
        self.switching = False  # the entry point's write may have been sent
        self._made_from: SystemObject | None = None  # the old instance as the new one repeats it

    def _step(self, name: str) -> None:
        self._lock.check()
        self._on_step(name, self._copy.copied)

    async def execute(self) -> Resharded:
        note = self._note
        self._step("locked")
        await self._reshards.write(NOTES, WriteOp().create().omap_set({note_key(note): note.encode()}))
        self._step("noted")
        await self._gw.buckets.create_shards(self._index, note.new_instance_id, note.new_num_shards)
        self._step("created")
        await self._mark_old(b"", self._copying)
        self._step("fenced")
        await self._copy.begin()
        async for _ in self._copy.copy():
            self._step("copying")
        self._step("copied")
        blocked_for = await self._switch()
        self._on_step("switched", self._copy.copied)
        # From here on there is no way back, hence nothing that happens is a reason to give up.
        await uncancelled(Ending(self._gw, self._reshards, self._index, note, self._on_step).forward(self._made_from))
        return Resharded(note.bucket_id, note.new_instance_id, self._copy.copied, blocked_for)

    async def _mark_old(self, before: bytes, after: bytes) -> None:
        """Changes the state of all old shards, and (again) keeps radosgw's writers off."""
        fence = classes.SET_BUCKET_RESHARDING(cls_rgw.SetBucketReshardingOp(entry=self._fence))
        op = WriteOp().assert_exists().cmpxattr(STATE, before).setxattr(STATE, after).call(fence)
        await self._gw.buckets.each([shard.oid for shard in self._copy.old], lambda oid: self._index.write(oid, op))

    async def _switch(self) -> float:
        instance: SystemObject | None = None
        for _ in range(_MAX_BLOCKS):
            await self._catch_up()
            instance = instance or await self._new_instance(None)
            self._step("caught up")
            started = time.monotonic()
            await self._mark_old(self._copying, self._blocked)
            for shard in self._copy.old:
                shard.counted += 1  # the block itself
            self._step("blocked")
            if await self._copy.finish():
                self._step("drained")
                self._made_from = await self._new_instance(instance)
                await self._point_to_new()
                return time.monotonic() - started
            log.info("bucket %s: its index was changed by others while it was copied, comparing", self._bucket.name)
            await self._mark_old(self._blocked, self._copying)
            await self._copy.begin()
            async for _ in self._copy.compare():
                self._step("comparing")
        raise S3Error("OperationAborted", "others keep changing the bucket's index while it is copied")

    async def _catch_up(self) -> None:
        """Works the marks off until few are left. S3Error OperationAborted if writers keep being faster."""
        before = _MANY_MARKS
        for _ in range(_MAX_ROUNDS):
            self._lock.check()
            marks = await self._copy.catch_up()
            if marks < _FEW_MARKS or before * 0.7 < marks < _MANY_MARKS:
                return
            before = marks
        raise S3Error("OperationAborted", "the bucket is written to faster than its index can be copied")

    async def _new_instance(self, known: SystemObject | None) -> SystemObject:
        """Makes the new instance object from the old one, or makes it anew if that has changed since it was ``known``."""
        pool, name = self._gw.zone.meta_root, self._bucket.info.bucket
        old = await self._gw.metadata.get(pool, instance_oid(name), fresh=True)
        if known is not None and known.version == old.version:
            return known
        info = BucketInfo.decode(old.data)
        info.bucket.bucket_id = self._note.new_instance_id
        info.reshard_status, info.new_bucket_instance_id = NOT_RESHARDING, ""
        info.layout = BucketLayout.new(self._note.new_num_shards)
        op = WriteOp().create(exclusive=known is None).call(classes.VERSION_SET(cls_version.SetOp(objv=new_version())))
        op.write_full(info.encode())
        for gone in (known.xattrs.keys() if known else set()) - old.xattrs.keys():
            op.rmxattr(gone)
        op.setxattrs({key: value for key, value in old.xattrs.items() if key != VERSION_XATTR})
        ioctx = await self._gw.pool(pool)
        await ioctx.write(instance_oid(info.bucket), op)
        if known is None:
            self._step("instance made")
        return old

    async def _point_to_new(self) -> None:
        """The switch: one write of the entry point."""
        pool, oid = self._gw.zone.meta_root, entry_oid(self._bucket.name, self._bucket.tenant)
        entry = await self._gw.metadata.get(pool, oid, fresh=True)
        point = BucketEntryPoint.decode(entry.data)
        if point.bucket.bucket_id != self._note.bucket_id or not point.linked:
            raise S3Error("OperationAborted", "the bucket was deleted or replaced while it was resharded")
        point.bucket.bucket_id = self._note.new_instance_id
        ioctx = await self._gw.pool(pool)
        self._lock.check()
        self.switching = True
        await _rewrite(ioctx, oid, point.encode(), entry)
        self._gw.metadata.drop(pool, oid)
