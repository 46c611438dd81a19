"""Garbage: the tails of deleted objects, queued for a while, then given back reference by reference (formats page, 5.4 and 3.8)."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from rgw.core import queue_lock
from rgw.core.background import BackgroundTask
from rgw.core.parallel import each
from rgw.formats import cls_gc, cls_refcount, cls_rgw, cls_version
from rgw.formats.basics import ObjVersion
from rgw.formats.gc import GcObj, GcObjChain, GcObjInfo
from rgw.formats.index import ClsObjKey
from rgw.formats.names import gc_shard
from rgw.store import classes
from rgw.store.errors import Busy, Cancelled, Exists, NoSpace, NotFound, NotSupported, PermissionDenied, StoreError
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

Entries = list[GcObjInfo]

RATE = "user.rgw.x-pyrgw-gc-rate"  # an xattr of the first queue: objects released and seconds of work of the last collection that tells
_TELLING = 100  # objects that a collection must have released for that
_LOCK = "gc_process"
_ENTRY = 1000  # objects of an entry, about 250 KB: one of an object of terabytes would be more than an OSD takes in one write
_MARGIN = 5.0  # seconds at least, for clocks that differ and operations that wait
LONGEST_REST = 0.1  # seconds: on a busy machine, too, it comes to an end
_QUEUE_VERSION = ObjVersion(ver=1, tag="")  # of a queue that is initialised


@dataclass(frozen=True, slots=True)
class _Source:
    """Where entries were listed: the queue, or the omap entries of times before it."""

    queue: bool


class GarbageCollector:
    """The queues ``gc.0`` ... and the worker that empties them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._worker = BackgroundTask("gc")
        self._cookie = secrets.token_hex(8)
        self._seen = 0  # requests by the last rest
        self._resumed = 0.0  # since when it has been at work without a rest
        self._released, self._worked = 0, 0.0  # objects, and seconds without rests, of this collection
        self.bypass = False  # what is handed over is released at once, though somebody may be reading it

    async def _pool(self) -> IoCtx:
        return await self._gateway.pool(self._gateway.zone.gc_pool)

    def _oids(self) -> list[str]:
        return [f"gc.{number}" for number in range(self._gateway.options.rgw_gc_max_objs)]

    @staticmethod
    def _guarded(version: ObjVersion) -> WriteOp:
        return WriteOp(urgent=True).call(classes.VERSION_CHECK_CONDS(cls_version.unchanged(version)))

    async def initialise(self) -> None:
        """Makes the queues that are not there yet."""
        ioctx, options = await self._pool(), self._gateway.options
        fresh = ObjVersion(ver=0, tag="")
        init = cls_gc.QueueInitOp(size=options.rgw_gc_max_queue_size, num_deferred_entries=options.rgw_gc_max_deferred)

        async def one(oid: str) -> None:
            op = WriteOp().create()
            op.steps += self._guarded(fresh).steps
            op.call(classes.GC_QUEUE_INIT(init)).call(classes.VERSION_SET(cls_version.SetOp(objv=_QUEUE_VERSION)))
            try:
                await ioctx.write(oid, op)
            except (Cancelled, Exists):
                log.debug("%s is initialised already", oid)

        await asyncio.gather(*(one(oid) for oid in self._oids()))

    async def enqueue(self, tag: str, chain: list[GcObj], *, wait: int | None = None) -> None:
        """Hands objects over to be released under ``tag`` (as in ``user.rgw.tail_tag``, with its NUL) after ``wait`` seconds.

        At once, as radosgw does it, if the queue is full: nothing else would find them again.
        """
        if self.bypass:
            chain = await self._refused(tag, chain)  # is queued as ever
        seconds = self._gateway.options.rgw_gc_obj_min_wait if wait is None else wait
        for start in range(0, len(chain), _ENTRY):
            try:
                await self._append(tag, chain[start:start + _ENTRY], seconds)
            except (Cancelled, PermissionDenied):  # no queue, hence none for the first objects either; by tag, there is one entry only
                entry = classes.GC_SET_ENTRY(self._entry(tag, chain, seconds))
                await (await self._pool()).write(self._oid(tag), WriteOp(urgent=True).call(entry))
                return
            except NoSpace:
                log.warning("%s is full: released at once: %d objects", self._oid(tag), len(chain) - start)
                await self._release_now(tag, chain[start:])
                return

    def _oid(self, tag: str) -> str:
        return f"gc.{gc_shard(tag, self._gateway.options.rgw_gc_max_objs)}"

    @staticmethod
    def _entry(tag: str, chain: list[GcObj], wait: int) -> cls_rgw.GcSetEntryOp:
        objs = [GcObj(pool=obj.pool, oid=obj.oid, loc=obj.loc, key=ClsObjKey(name=obj.key.name or obj.oid, instance="")) for obj in chain]
        return cls_rgw.GcSetEntryOp(expiration_secs=wait, info=GcObjInfo(tag=tag, chain=GcObjChain(objs=objs), time=0))

    async def _append(self, tag: str, chain: list[GcObj], wait: int) -> None:
        """Adds an entry to the queue. Cancelled or PermissionDenied without a queue, NoSpace if it is full."""
        call = classes.GC_QUEUE_ENQUEUE(self._entry(tag, chain, wait))
        await (await self._pool()).write(self._oid(tag), self._guarded(_QUEUE_VERSION).call(call))

    async def _release_now(self, tag: str, chain: list[GcObj]) -> None:
        if await self._refused(tag, chain):
            raise NoSpace(f"{self._oid(tag)} is full, and what it should have taken cannot be removed")

    async def _refused(self, tag: str, chain: list[GcObj]) -> list[GcObj]:
        """Releases objects now, so many at a time; those that the store would not release."""
        done = await each(chain, partial(self._give_back, tag), self._gateway.options.rgw_gc_max_concurrent_io)
        return [obj for obj, good in zip(chain, done, strict=True) if not good]

    async def defer(self, tag: str) -> bool:
        """Puts off the collection of what is queued under ``tag``, for a reader; whether it was about to come, in less than 3/4 of
        ``rgw_gc_obj_min_wait``.

        The class only notes of a queue's entry until when it is superseded, and drops it: whoever defers adds it anew, first, so that there is
        always one which counts. The new one waits as long as any other (it would not if the note said so: it has to be due later than that), for
        entries which are due before those in front of them make radosgw drop these (see ``_drain``).
        """
        ioctx, oid, wait = await self._pool(), self._oid(tag), self._gateway.options.rgw_gc_obj_min_wait
        found: Entries = []
        marker, more = "", True
        while more:
            entries, marker, more = await self._page(ioctx, oid, _Source(queue=True), marker, True)
            found += [entry for entry in entries if entry.tag == tag]
        left = [(entry.time - time.time_ns()) / 1e9 for entry in found]
        if not left or min(left) > wait * 3 / 4:
            return False
        margin = max(wait / 8, _MARGIN)
        until = math.ceil(max(*left, 0.0) + margin)
        for entry in found:
            await self._append(tag, list(entry.chain.objs), max(wait, math.ceil(until + margin)))
        request = cls_rgw.GcSetEntryOp(expiration_secs=until, info=GcObjInfo(tag=tag))
        await ioctx.write(oid, self._guarded(_QUEUE_VERSION).call(classes.GC_QUEUE_UPDATE_ENTRY(request)))
        return True

    async def list(self, include_all: bool = False) -> Entries:
        """The entries whose time has come, or all."""
        ioctx = await self._pool()
        found: Entries = []
        for oid in self._oids():
            for source in (_Source(queue=False), _Source(queue=True)):
                marker = ""
                while True:
                    entries, marker, more = await self._page(ioctx, oid, source, marker, include_all)
                    found += entries
                    if not more or not entries:
                        break
        return found

    async def _page(self, ioctx: IoCtx, oid: str, source: _Source, marker: str, include_all: bool) -> tuple[Entries, str, bool]:
        request = cls_rgw.GcListOp(marker=marker, max=self._gateway.options.rgw_gc_max_trim_chunk, expired_only=not include_all)
        call = classes.GC_QUEUE_LIST_ENTRIES(request) if source.queue else classes.GC_LIST(request)
        try:
            reply = (await ioctx.read(oid, ReadOp().call(call))).reply
        except NotFound:
            return [], "", False
        except NotSupported:  # a store that never had entries outside of the queue
            if source.queue:
                raise
            return [], "", False
        return list(reply.entries), reply.next_marker, reply.truncated

    async def process(self, include_all: bool = False, progress: Callable[[str], None] | None = None) -> int:
        """Releases what is due (or all); the number of entries done. Queues that another collector holds are left to it."""
        ioctx, done = await self._pool(), 0
        oids, self._resumed = self._oids(), monotonic()
        self._released, self._worked = 0, 0.0

        def tell(number: int, before: int, more: int) -> None:
            if progress is not None:
                progress(f"queue {number} of {len(oids)}, {before + more:,} entries collected")

        for number, oid in enumerate(oids, 1):
            seconds = self._gateway.options.rgw_gc_processor_max_time
            if not await queue_lock.acquire(ioctx, oid, _LOCK, self._cookie, seconds):
                continue
            held = queue_lock.Held(ioctx, oid, _LOCK, self._cookie, seconds)
            try:
                for source in (_Source(queue=False), _Source(queue=True)):
                    done += await self._drain(held, source, include_all, partial(tell, number, done))
            finally:
                await queue_lock.release(ioctx, oid, _LOCK, self._cookie)
        if self._released >= _TELLING:
            await ioctx.write(oids[0], WriteOp(urgent=True).setxattr(RATE, b"%d %f" % (self._released, self._worked)))
        return done

    async def _drain(self, held: queue_lock.Held, source: _Source, include_all: bool, tell: Callable[[int], None]) -> int:
        """Collects one queue, from its front; it stops at the first entry that fails, to be tried again next time, and when the lock is lost:
        what another collector left at the front would be dropped in the place of what this one collected.

        A queue is only emptied from its front, by a count, while its class lists what is due wherever it stands. An entry that waits longer
        than those behind it (of a gateway with another rgw_gc_obj_min_wait) would be dropped in their place: so it holds them up.
        """
        done = 0
        while True:
            entries, _, _ = await self._page(held.ioctx, held.oid, source, "", include_all or source.queue)
            if source.queue and not include_all:
                now = time.time_ns()
                entries = entries[:next((i for i, entry in enumerate(entries) if entry.time > now), len(entries))]
            good = await self._collect(entries, held)
            if good:
                if source.queue:
                    call = classes.GC_QUEUE_REMOVE_ENTRIES(cls_gc.QueueRemoveOp(num_entries=good))
                else:
                    call = classes.GC_REMOVE(cls_rgw.GcRemoveOp(tags=[entry.tag for entry in entries[:good]]))
                try:
                    await held.ioctx.write(held.oid, held.write().call(call))
                except Busy:
                    log.warning("the lock of %s was lost: others go on", held.oid)
                    return done
            done += good
            if good:
                tell(done)
            if not good or good < len(entries):
                return done

    async def _rest(self) -> None:
        """Leaves the store and the event loop to requests, if any came since the last rest."""
        now, seen = monotonic(), self._gateway.requests
        self._worked += now - self._resumed
        if seen != self._seen:
            await asyncio.sleep(min((now - self._resumed) * self._gateway.options.rgw_gc_rest, LONGEST_REST))
            self._seen = seen
        self._resumed = monotonic()

    async def _collect(self, entries: Entries, held: queue_lock.Held) -> int:
        """Gives back the entries' references, as many at a time as the options allow; how many entries are done, the first one first;
        none if the lock is lost.

        Those behind an entry whose reference the store refused may be done too: to do them again does no harm.
        """
        work = [(number, entry.tag, obj) for number, entry in enumerate(entries) for obj in entry.chain.objs]
        step = self._gateway.options.rgw_gc_max_concurrent_io
        for start in range(0, len(work), step):
            some = work[start:start + step]
            done = await asyncio.gather(*(self._give_back(tag, obj) for _, tag, obj in some))
            self._released += sum(done)
            if not all(done):
                return min(number for (number, _, _), success in zip(some, done, strict=True) if not success)
            await self._rest()
            if not await held.keep():
                return 0
        return len(entries)

    async def _give_back(self, tag: str, obj: GcObj) -> bool:
        put = classes.REFCOUNT_PUT(cls_refcount.RefcountOp(tag=tag, implicit_ref=True))
        try:
            await (await self._gateway.pool(obj.pool)).write(obj.key.name or obj.oid, WriteOp().assert_exists().call(put), obj.loc)
        except NotFound:
            return True  # done in an earlier run
        except StoreError as error:
            log.warning("cannot release %s in %s: %s", obj.oid, obj.pool, error)
            return False
        return True

    async def rate(self) -> tuple[int, float] | None:
        """Objects and seconds of the last collection, of any of our gateways, that was large enough to tell how fast the store is."""
        found = (await (await self._pool()).read(self._oids()[0], ReadOp().getxattrs())).xattrs.get(RATE)
        if found is None:
            return None
        objects, _, seconds = found.partition(b" ")
        return int(objects), float(seconds)

    def start(self) -> None:
        """Starts the background worker, unless ``rgw_enable_gc_threads`` is off."""
        if self._gateway.options.rgw_enable_gc_threads:
            self._worker.start(self._work)

    async def stop(self) -> None:
        """Stops the worker; an entry half done is done again by the next one."""
        await self._worker.stop()

    async def _work(self) -> None:
        while True:
            try:
                done = await self.process()
                if done:
                    log.info("collected the garbage of %d objects", done)
            except StoreError as error:
                log.warning("garbage collection stopped: %s", error)
            await asyncio.sleep(self._gateway.options.rgw_gc_processor_period)
