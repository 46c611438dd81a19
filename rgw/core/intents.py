"""Intents: what a gateway notes before it writes RADOS objects that nothing refers to yet, so that they are found if it dies.

An intent is an omap entry of one of a few objects ``intent.<n>`` in the namespace ``pyrgw`` of the zone's log pool, its key
``<instance id>.<number>``. It is durable before the first object that it covers is written, and goes some time after that object is
reachable or removed; what is noted of things that were done is harmless.

Who lives is told by a lease: a lock on ``instance.<instance id>`` that the store's clock ends. A gateway trusts its lease for
``rgw_intent_lease`` seconds from before it asked for it; the lock outlives that by as much again and by the longest time that an
operation may be under way (``rgw_op_timeout``). Whoever undoes the work of the dead (rgw.core.recovery) takes these steps:
read intents, then see that the lock of their gateway is gone, then claim each by exchanging its value for exactly the one that was read.

A gateway that was merely slow is safe because it asks before each write that needs its intent (``confirm``), in this order: is the lease
fresh by its own clock? Then every such write arrives before the lock ends, and no claim can have come before it. If it is not: take the
lease again, then exchange the intent's value. Either that comes before the claim, whose comparison then fails (or which sees the lease,
having read the intent later), or it finds the claim and the write is not made.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rgw.core import places
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.cls_lock import MAY_RENEW, SHARED, LockOp, UnlockOp
from rgw.formats.intent import Intent
from rgw.store import classes
from rgw.store.errors import Cancelled, NotFound, StoreError
from rgw.store.interface import IoCtx, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

OBJECT = 1      # tails of an object whose head is not written yet
TAIL = 2        # the tail of a head that is about to be replaced or removed, or moved to it
REFERENCES = 3  # references on tails, for a head that is not written yet
PART = 4        # a part of an upload, not recorded yet
ENDING = 5      # an upload that is being completed (``number`` 0) or aborted (1) under the lock of cookie ``tag``
INSTANCE = 6    # the lease itself
VERSION = 7     # a version of an object, not linked yet

SHARDS = 16
NAMESPACE = "pyrgw"
LOCK_NAME = "alive"
_DROP_DELAY = 0.5  # seconds in which intents that are done gather to be dropped together


def shard_oids() -> list[str]:
    """The objects that hold intents."""
    return [_shard(number) for number in range(SHARDS)]


def _shard(number: int) -> str:
    return f"intent.{number % SHARDS}"


def instance_oid(instance_id: int) -> str:
    return f"instance.{instance_id}"


def now() -> float:
    """Seconds of a clock that goes on while the process is stopped or the machine asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class OpenIntent:
    """An intent of this gateway. ``begin`` starts to record it, ``confirm`` must precede each write that needs it, ``close`` ends it."""

    def __init__(self, intents: Intents, intent: Intent, oid: str, key: bytes) -> None:
        self._intents = intents
        self.value = intent
        self.oid, self.key = oid, key
        self.period = -1  # of the lease in which it was last known not to be claimed
        self._recording: asyncio.Task[None] | None = None
        self._left = False
        self._turn = asyncio.Lock()

    @property
    def mark(self) -> bytes:
        """What tells this intent from all others there ever are."""
        return self.key

    def begin(self) -> None:
        """Starts to record the intent, while the caller goes on."""
        if self._recording is None:
            self._recording = asyncio.ensure_future(self._intents.record(self))

    async def confirm(self) -> None:
        """Returns once the intent is durable and nobody can have claimed it. S3Error ServiceUnavailable if somebody did."""
        self.begin()
        assert self._recording is not None
        if not self._recording.done():
            await asyncio.wait({self._recording})
        self._recording.result()
        while not self._intents.covers(self):
            async with self._turn:
                if not self._intents.covers(self):
                    await self._intents.exchange(self)

    async def amend(self, **fields: Any) -> None:
        """Notes more of what is about to be done: fields of Intent. As durable as after ``confirm``, and refused like it."""
        await self.confirm()
        async with self._turn:
            await self._intents.exchange(self, **fields)

    def close(self) -> None:
        """What was intended is done, or undone."""
        task, self._recording = self._recording, None
        self._intents.abandoned.pop(self.key, None)
        if task is not None:
            self._intents.unrecorded.add(task)
            task.add_done_callback(self._recorded)

    def __enter__(self) -> OpenIntent:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._left:
            return
        if kind is None:
            self.close()
        else:
            self.abandon()

    def leave(self) -> None:
        """It is done, but others may take it away without undoing all of it: recovery looks from time to time, until ``Intents.forget``."""
        self._left = True
        self._intents.abandoned[self.key] = now() + self._intents.look_again

    def abandon(self) -> None:
        """It is not known how far it went: to be settled like a dead gateway's, once nothing of it can be under way any more."""
        if self._recording is not None:
            self._intents.abandoned[self.key] = now()

    def _recorded(self, task: asyncio.Task[None]) -> None:
        self._intents.unrecorded.discard(task)
        if task.cancelled() or task.exception() is not None:
            log.warning("an intent may not have been recorded: %s", None if task.cancelled() else task.exception())
        self._intents.drop(self)


class Intents:
    """The intents of this gateway, and its lease."""

    look_again = 600.0  # seconds after which it is looked whether something that was done is still there (``OpenIntent.leave``)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._numbers = itertools.count()
        self.abandoned: dict[bytes, float] = {}  # when, by now()
        self.unrecorded: set[asyncio.Task[None]] = set()  # records of intents that are closed already, perhaps still on their way
        self._fresh_until = 0.0
        self._period = 0  # unbroken times of the lease so far
        self._taking = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._dropping = asyncio.Lock()  # held while some are dropped: ``close`` waits for them
        self._done: dict[str, list[bytes]] = {}
        self._lease: OpenIntent | None = None
        self._closed = False

    @property
    def instance_id(self) -> int:
        return self._gateway.cluster.instance_id

    async def pool(self) -> IoCtx:
        """The namespace that holds intents and leases."""
        return await self._gateway.pool(f"{self._gateway.zone.params.log.name}:{NAMESPACE}")

    def _new(self, intent: Intent) -> OpenIntent:
        number = next(self._numbers)
        return OpenIntent(self, intent, _shard(number), b"%d.%d" % (self.instance_id, number))

    def _about(self, kind: int, bucket: Bucket, key: str, instance: str = "") -> Intent:
        marker = bucket.marker
        return Intent(
            kind=kind, bucket=bucket.info.bucket, key=key, instance=instance, head_pool=places.head_pool_name(self._gateway, bucket),
            head_oid=names.raw_name(marker, key, instance), head_locator=names.locator(marker, key))

    @property
    def window(self) -> int:
        """How many RADOS objects may be missing below the highest one that a writer of this gateway made."""
        options = self._gateway.options
        return options.rgw_put_obj_min_window_size // options.rgw_obj_stripe_size + 2

    def tails(self, bucket: Bucket, key: str, pool: str, prefix: str, tag: str, instance: str = "") -> OpenIntent:
        """For tails ``prefix`` + number that will be ``key``'s, whose tail_tag will be ``tag``. ``instance``: the version; tails bear it too."""
        return self._new(replace(self._about(OBJECT, bucket, key, instance), pool=pool, prefixes=[prefix], window=self.window, tag=tag))

    def tail(self, bucket: Bucket, key: str, head: tuple[str, str, str], pool: str, manifest: bytes, tag: str) -> OpenIntent:
        """For a tail that a head (its pool, name, locator) is about to lose or to get: the head has it while its tail_tag is ``tag``.

        ``manifest`` is that of the head that has it, as it is stored.
        """
        head_pool, head_oid, locator = head
        return self._new(replace(
            self._about(TAIL, bucket, key), head_pool=head_pool, head_oid=head_oid, head_locator=locator, pool=pool, manifest=manifest, tag=tag))

    def references(self, bucket: Bucket, key: str, pool: str, manifest: bytes, tag: str, instance: str = "") -> OpenIntent:
        """For references under ``tag`` on the tails of a manifest. ``instance``: of the version that will hold them."""
        return self._new(replace(self._about(REFERENCES, bucket, key, instance), pool=pool, manifest=manifest, tag=tag))

    def version(self, bucket: Bucket, key: str, instance: str) -> OpenIntent:
        """For a version without tails, which nobody sees until it is linked."""
        return self._new(self._about(VERSION, bucket, key, instance))

    def part(
        self, bucket: Bucket, key: str, upload_id: str, meta: tuple[str, str], number: int, pool: str, prefixes: list[str], referred: bytes,
    ) -> OpenIntent:
        """For a part of an upload whose ``.meta`` is ``meta`` (pool, name). The part's first object bears ``mark`` as xattr MARK.

        ``referred``: the others' tails (a GcObjChain) on which it takes references, or nothing.
        """
        head_pool, head_oid = meta
        return self._new(replace(
            self._about(PART, bucket, key), head_pool=head_pool, head_oid=head_oid, head_locator="", pool=pool, prefixes=prefixes, number=number,
            window=self.window, upload_id=upload_id, manifest=referred))

    def ending(self, bucket: Bucket, key: str, upload_id: str, cookie: str, *, abort: bool) -> OpenIntent:
        """For the end of an upload under the lock of ``cookie``; rgw.core.complete amends it."""
        return self._new(replace(self._about(ENDING, bucket, key), upload_id=upload_id, tag=cookie, number=int(abort)))

    async def record(self, item: OpenIntent) -> None:
        """Makes an intent durable. S3Error ServiceUnavailable once this gateway was closed."""
        if self._closed:
            raise S3Error("ServiceUnavailable", "this gateway is being closed")
        await self.hold_lease()
        item.period = self._period
        await self._write(item)

    async def _write(self, item: OpenIntent) -> None:
        await (await self.pool()).write(item.oid, WriteOp(urgent=True).create().omap_set({item.key: item.value.encode()}))

    @property
    def fresh(self) -> bool:
        """Whether nobody can take this gateway for dead before what is sent now has arrived."""
        return now() < self._fresh_until

    def covers(self, item: OpenIntent) -> bool:
        """Whether nobody can have claimed the intent: the lease never ran out since it was recorded."""
        return self.fresh and item.period == self._period

    async def hold_lease(self) -> None:
        """Takes the lease if it is not held, and goes on renewing it."""
        if self.fresh:
            return
        async with self._taking:
            if self.fresh:
                return
            if self._lease is None:
                lease = self._new(Intent(kind=INSTANCE))
                await self._write(lease)
                self._lease = lease
            await self._renew()
            if self._renewing is None:
                self._renewing = asyncio.ensure_future(self._keep_renewing())

    async def _renew(self) -> None:
        asked = now()
        # Not an ephemeral lock: once that has run out, a real OSD's class fails with EIO when it is looked at.
        # Shared: a store's client that was replaced leaves its own hold, which ends later; nobody else holds this gateway's lock but by force.
        request = LockOp(
            name=LOCK_NAME, type=SHARED, cookie=str(self.instance_id), tag="", description="",
            duration=int(self.lock_seconds * 1_000_000_000), flags=MAY_RENEW)
        await (await self.pool()).write(instance_oid(self.instance_id), WriteOp(urgent=True).create().call(classes.LOCK_LOCK(request)))
        if not self.fresh:
            self._period += 1
        self._fresh_until = asked + self._gateway.options.rgw_intent_lease

    @property
    def lock_seconds(self) -> float:
        """How long the lock outlives the request for it."""
        return 2 * self._gateway.options.rgw_intent_lease + self._gateway.options.rgw_op_timeout

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._gateway.options.rgw_intent_lease / 3)
            try:
                await self._renew()
            except StoreError as error:
                log.warning("cannot renew this gateway's lease: %s", error)

    async def exchange(self, item: OpenIntent, **fields: Any) -> None:
        """After the lease ran out, takes it again; sees that the intent was not claimed. ``fields`` of it are noted anew."""
        await self.hold_lease()
        period, known = self._period, item.value.encode()
        item.value = replace(item.value, confirmed=item.value.confirmed + 1, **fields)
        try:
            await (await self.pool()).write(item.oid, WriteOp().omap_cmp(item.key, known).omap_set({item.key: item.value.encode()}))
        except (Cancelled, NotFound):
            raise S3Error("ServiceUnavailable", "this gateway was taken for dead while the request was under way") from None
        item.period = period

    def drop(self, item: OpenIntent) -> None:
        """Removes an intent soon, together with others."""
        self.forget(item.key)

    def forget(self, key: bytes) -> None:
        """Removes the intent of this key soon, whichever gateway's it is: what it was left for is gone."""
        self.abandoned.pop(key, None)
        self._done.setdefault(_shard(int(key.rpartition(b".")[2])), []).append(key)
        if self._flushing is None:
            self._flushing = asyncio.ensure_future(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(_DROP_DELAY)
        self._flushing = None
        await self._flush()

    async def _flush(self) -> None:
        async with self._dropping:
            done, self._done = self._done, {}
            ioctx = await self.pool()
            for oid, keys in done.items():
                try:
                    await ioctx.write(oid, WriteOp().omap_rm(keys))
                except StoreError as error:  # they are harmless where they are, and go with this gateway's end
                    log.warning("cannot drop %d intents: %s", len(keys), error)

    async def close(self) -> None:
        """Drops what is done and gives the lease back. Who comes later records no more: nobody would drop it."""
        self._closed = True
        while self.unrecorded:  # more may come while some are waited for
            await asyncio.wait(self.unrecorded)
            await asyncio.sleep(0)  # their callbacks drop them
        for task in (self._renewing, self._flushing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._renewing = self._flushing = None
        if self._lease is None:
            return
        self._fresh_until = 0.0
        lease, self._lease = self._lease, None
        try:
            request = UnlockOp(name=LOCK_NAME, cookie=str(self.instance_id))
            await (await self.pool()).write(instance_oid(self.instance_id), WriteOp().call(classes.LOCK_UNLOCK(request)).remove())
            self._done.setdefault(lease.oid, []).append(lease.key)
        except StoreError as error:
            log.warning("cannot give this gateway's lease back: %s", error)
        await self._flush()
