"""radosgw's workers and ours at the same queues: garbage, lifecycle, resharding. The threads of servers, by turns and at the same time.

Both gateways of the pair only leave work behind: their own workers are switched off.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from rgw.core.gateway import Gateway
from rgw.core.lifecycle import entry_key
from rgw.core.options import Options
from rgw.formats.cls_lock import EXCLUSIVE, BreakLockOp, GetInfoOp, LockOp, UnlockOp
from rgw.formats.gc import GcObj
from rgw.formats.names import gc_shard, lc_shard
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from rgw.store.librados import connect
from tests.cephcluster import free_port
from tests.radosgw import tools
from tests.radosgw.conftest import WORKERS_OFF, Ours, client

TAIL = (4 << 20) + 1  # bytes of an object with a tail of one RADOS object
ON = [option.replace("false", "true") for option in WORKERS_OFF]
OFTEN = [*ON, "rgw_gc_processor_period=1", "rgw_lc_debug_interval=2"]  # days of two seconds


@asynccontextmanager
async def looking(pair) -> AsyncIterator[Gateway]:
    """A gateway to look at the queues with; it does no work."""
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    yield gateway
    await gateway.close()
    await cluster.close()


class Share:
    """What one gateway leaves to the workers: tails of deleted objects, keys that expire, an index to be resharded."""

    def __init__(self, pair, end, admin: Callable) -> None:
        self.garbage, self.expiring, self.full = (f"{kind}{secrets.token_hex(4)}" for kind in "gef")
        self.end, self._admin, self._pair = end, admin, pair
        for bucket in (self.garbage, self.expiring, self.full):
            end.create_bucket(Bucket=bucket)
        end.put_bucket_lifecycle_configuration(Bucket=self.expiring, LifecycleConfiguration={"Rules": [
            {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}]})
        for bucket in (self.expiring, self.full):
            end.put_object(Bucket=bucket, Key="kept", Body=b"x")
        self.shards = 11

    def leave(self, shards: int) -> None:
        self.shards = shards
        self._admin("reshard", "add", "--bucket", self.full, "--num-shards", str(shards))
        for number in range(4):
            self.end.put_object(Bucket=self.garbage, Key=f"k{number}", Body=bytes([number]) * TAIL)
        self.end.copy_object(Bucket=self.garbage, Key="copy", CopySource={"Bucket": self.garbage, "Key": "k1"})
        for number in range(4):
            self.end.delete_object(Bucket=self.garbage, Key=f"k{number}")
        for key in ("old/1", "old/2"):
            self.end.put_object(Bucket=self.expiring, Key=key, Body=b"x")

    async def expired(self) -> bool:
        return [row["Key"] for row in (await asyncio.to_thread(self.end.list_objects_v2, Bucket=self.expiring))["Contents"]] == ["kept"]

    async def resharded(self, gateway: Gateway) -> bool:
        bucket = await gateway.buckets.get(self.full)
        return bucket.num_shards == self.shards and await gateway.reshard_queue.get(bucket) is None

    async def done(self, gateway: Gateway) -> bool:
        return await self.expired() and await self.resharded(gateway)


@pytest.fixture
def shares(pair):
    """A share of each gateway, ours first, of one user."""
    tools.collect(pair)
    key = pair.radosgw_admin("user", "create", "--uid", f"w{secrets.token_hex(4)}", "--display-name", "x")["keys"][0]
    ends = [client(url, key["access_key"], key["secret_key"]) for url in (pair.ours, pair.theirs)]
    made = [Share(pair, end, admin) for end, admin in zip(ends, (pair.rgw_admin, pair.radosgw_admin), strict=True)]
    yield made
    for share in made:
        share.end.close()


async def waiting(gateway: Gateway) -> list[str]:
    """The tags of all garbage."""
    return sorted(entry.tag for entry in await gateway.gc.list(include_all=True))


async def until(done: Callable, what: str) -> None:
    deadline = time.monotonic() + 60
    while not await done():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.2)


async def test_turns(pair, shares):
    """Nobody works; then ours alone; then radosgw's alone; then both, while a third holds the locks of some queues."""
    ours, theirs = Ours(pair.cluster, [*OFTEN, "rgw_reshard_thread_interval=1"]), "radosgw-workers"

    async def leave(shards: int) -> None:
        await asyncio.gather(*(asyncio.to_thread(share.leave, shards) for share in shares))

    async with looking(pair) as gateway:
        async def all_done() -> bool:
            return not await waiting(gateway) and all([await share.done(gateway) for share in shares])

        others = _watchers(pair)
        try:
            await leave(13)
            left = await waiting(gateway)
            assert len(left) == 8
            await asyncio.sleep(2.5)
            assert await waiting(gateway) == left and not any([await share.expired() or await share.resharded(gateway) for share in shares])

            ours.start()
            await until(all_done, "ours does not work")
            ours.stop()
            await leave(17)
            pair.cluster.run_radosgw(theirs, free_port(), *OFTEN, "rgw_reshard_thread_interval=10")  # its minimum
            await until(all_done, "radosgw does not work")

            held = await _held(gateway, shares[0])
            for ioctx, oid, lock in held:
                op = LockOp(name=lock, type=EXCLUSIVE, cookie="third", tag="", description="", duration=120 * 10**9, flags=0)
                await ioctx.write(oid, WriteOp().create().call(classes.LOCK_LOCK(op)))
            ours.start()
            await leave(19)
            oids = {oid for _, oid, _ in held}
            locked = {tag for tag in await waiting(gateway) if f"gc.{gc_shard(tag)}" in oids}
            other = shares[1]
            bucket, full = await gateway.buckets.get(other.expiring), await gateway.buckets.get(other.full)

            async def free_done() -> bool:
                return (set(await waiting(gateway)) == locked and (_lc_queue(bucket) in oids or await other.expired())
                        and (gateway.reshard_queue._oid("", full.name) in oids or await other.resharded(gateway)))

            await until(free_done, "nobody works at the queues that are free")
            assert not await shares[0].expired() and not await shares[0].resharded(gateway)
            for ioctx, oid, lock in held:
                await ioctx.write(oid, WriteOp().call(classes.LOCK_UNLOCK(UnlockOp(name=lock, cookie="third"))))
            await until(all_done, "they do not take turns")
            for share in shares:
                await asyncio.to_thread(share.end.delete_bucket_lifecycle, Bucket=share.expiring)
        finally:
            ours.stop()
            await _kill(pair, gateway, theirs, others)
    print([line for line in ours.log.read_text().splitlines() if "collected" in line or "lifecycle of" in line or "index shards" in line])
    await asyncio.to_thread(examine, pair, shares)


def examine(pair, shares) -> None:
    """Everything was done, and nothing too much."""
    for share in shares:
        stats = pair.radosgw_admin("bucket", "stats", "--bucket", share.garbage)
        assert tools.rados_objects(pair, stats["marker"]) == tools.reachable(pair, share.garbage) and stats["usage"]["rgw.main"]["num_objects"] == 1
        assert share.end.get_object(Bucket=share.garbage, Key="copy")["Body"].read() == b"\1" * TAIL
        tools.check_index(pair, share.full, [each.end for each in shares])
    index = pair.cluster.run("rados", "-n", "client.admin", "-p", "default.rgw.buckets.index", "ls").split()
    for share in shares:  # each index was copied once at a time, and nothing of the old ones is left
        stats = pair.radosgw_admin("bucket", "stats", "--bucket", share.full)
        assert stats["num_shards"] == 19
        assert len([oid for oid in index if oid.startswith(f".dir.{stats['id']}.")]) == 19
    assert pair.radosgw_admin("reshard", "list") == pair.rgw_admin("reshard", "list") == []
    assert pair.radosgw_admin("lc", "list") == pair.rgw_admin("lc", "list")


def _lc_queue(bucket) -> str:
    return f"lc.{lc_shard(entry_key(bucket))}"


def _watchers(pair) -> set[str]:
    """The addresses of all gateways that run."""
    shown = pair.cluster.run("rados", "-n", "client.admin", "-p", "default.rgw.control", "listwatchers", "notify.0")
    return {word.removeprefix("watcher=") for word in shown.split() if word.startswith("watcher=")}


async def _kill(pair, gateway: Gateway, name: str, others: set[str]) -> None:
    """Kills a radosgw, which hangs if it is told to end while it carries out rules, and frees what it held: watches and locks."""
    if (process := pair.cluster.daemons.pop(name, None)) is None:
        return
    process.kill()
    process.wait()
    for address in _watchers(pair) - others:
        pair.cluster.run("ceph", "osd", "blocklist", "add", address)
    zone = gateway.zone
    for pool, prefix, lock in ((zone.gc_pool, "gc", "gc_process"), (zone.lc_pool, "lc", "lc_process"), (zone.reshard_pool, "reshard", "reshard_process")):
        ioctx = await gateway.pool(pool)
        for oid in [item.name async for item in ioctx.list_objects() if item.name.startswith(f"{prefix}.")]:
            for held in (await ioctx.read(oid, ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=lock))))).reply.lockers:
                op = BreakLockOp(name=lock, locker=held.id.locker, cookie=held.id.cookie)
                await ioctx.write(oid, WriteOp().call(classes.LOCK_BREAK_LOCK(op)))


async def _held(gateway: Gateway, share: Share) -> list:
    """Half of the garbage queues, and the queues of the share's buckets: pool, object and lock of each."""
    gc, lc, reshard = [await gateway.pool(pool) for pool in (gateway.zone.gc_pool, gateway.zone.lc_pool, gateway.zone.reshard_pool)]
    return [*((gc, f"gc.{number}", "gc_process") for number in range(0, 32, 2)),
            (lc, _lc_queue(await gateway.buckets.get(share.expiring)), "lc_process"),
            (reshard, gateway.reshard_queue._oid("", share.full), "reshard_process")]


async def test_waits_that_differ(pair):
    """An entry that waits long before one that is due, in one queue, as after a change of rgw_gc_obj_min_wait: radosgw 16.2 leaks its tail."""
    await asyncio.to_thread(tools.collect, pair)
    async with looking(pair) as gateway:
        data = gateway.data_pool(gateway.zone.default_placement)

        async def queued() -> tuple[str, list[str]]:
            tag = secrets.token_hex(8)
            oids = [f"long.{tag}", f"due.{tag}"]
            for oid, wait in zip(oids, (3600, 0), strict=True):
                await data.write(oid, WriteOp().write_full(b"tail"))
                await gateway.gc.enqueue(tag, [GcObj(pool=data.pool, oid=oid, loc="")], wait=wait)
            await asyncio.sleep(0.05)
            return tag, oids

        async def there(oids: list[str]) -> list[bool]:
            found = []
            for oid in oids:
                try:
                    await data.read(oid, ReadOp().stat())
                    found.append(True)
                except NotFound:
                    found.append(False)
            return found

        tag, oids = await queued()
        await gateway.gc.process()
        assert await there(oids) == [True, True] and await waiting(gateway) == [tag, tag]
        await gateway.gc.process(include_all=True)
        assert await there(oids) == [False, False]
        tag, oids = await queued()
        await asyncio.to_thread(pair.radosgw_admin, "gc", "process")
        assert await there(oids) == [True, False] and await waiting(gateway) == [tag]  # it dropped the first entry, not the one that it worked off
        await asyncio.to_thread(pair.radosgw_admin, "gc", "process", "--include-all")
        assert await there(oids) == [True, False] and await waiting(gateway) == []
        await data.write(oids[0], WriteOp().remove())
