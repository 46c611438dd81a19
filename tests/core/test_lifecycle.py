"""Lifecycle: which rule wants what, what a run does to a bucket, and the queue that workers share."""

import asyncio
import datetime
import time
from types import SimpleNamespace

import pytest

from rgw.core import lc_bucket, lifecycle
from rgw.core.buckets import FLAG_VERSIONED, FLAG_VERSIONS_SUSPENDED
from rgw.core.gateway import Gateway
from rgw.core.head import existing_head
from rgw.core.lc_bucket import BucketRun
from rgw.core.lc_rules import EXPIRE, Clock, Item, action, common_prefixes, fits, tagged
from rgw.core.lifecycle import COMPLETE, FAILED, LC_XATTR, PROCESSING, UNINITIAL, entry_key
from rgw.core.options import Options
from rgw.core.state import OLH_PENDING
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.basics import ObjTags
from rgw.formats.cls_rgw import LcEntryOp, LcPutHeadOp
from rgw.formats.index import FLAG_DELETE_MARKER
from rgw.formats.lifecycle import LcExpiration, LcFilter, LcRule, LcTransition, LifecycleConfiguration
from rgw.formats.misc import LcEntry, LcHead
from rgw.formats.obj import ObjectLegalHold, ObjectRetention
from rgw.store import classes
from rgw.store.interface import WriteOp
from tests.core.helpers import MIB, body, census, collect, completed, fetch, new_upload, put, spread, upload_part

DAY = 86400
NS = 1_000_000_000
NOW = 20_000 * DAY + 3600


def rule(**fields) -> LcRule:
    return LcRule(id=fields.pop("id", "r"), status=fields.pop("status", "Enabled"), **fields)


def days(count: int, newer: str = "") -> LcExpiration:
    return LcExpiration(days=str(count), newer_noncurrent=newer)


def at(day: int) -> int:
    """Noon, so many days before the run."""
    return (20_000 - day) * DAY * NS + 12 * 3600 * NS


@pytest.mark.parametrize(("rules", "item", "wanted"), [
    ([rule(expiration=days(3))], Item("k", "", at(3), 1), None),  # noon three days ago: two midnights lie between
    ([rule(expiration=days(3))], Item("k", "", at(4), 1), EXPIRE),
    ([rule(expiration=LcExpiration(date="2024-10-04T00:00:00.000Z"))], Item("k", "", at(0), 1), EXPIRE),
    ([rule(expiration=LcExpiration(date="2024-10-05T00:00:00.000Z"))], Item("k", "", at(9), 1), None),
    ([rule(noncur_expiration=days(3))], Item("k", "v", at(99), 1, current=False, successor=at(3)), None),
    ([rule(noncur_expiration=days(3))], Item("k", "v", at(99), 1, current=False, successor=at(4)), EXPIRE),
    ([rule(noncur_expiration=days(3, "2"))], Item("k", "v", at(99), 1, current=False, successor=at(4), newer=1), None),
    ([rule(noncur_expiration=days(3, "2"))], Item("k", "v", at(99), 1, current=False, successor=at(4), newer=2), EXPIRE),
    ([rule(expiration=days(1))], Item("k", "v", at(99), 1, current=False, successor=at(99)), None),
    ([rule(dm_expiration=True)], Item("k", "v", at(0), 0, delete_marker=True), EXPIRE),
    ([rule(dm_expiration=True)], Item("k", "v", at(9), 0, delete_marker=True, alone=False), None),
    ([rule(dm_expiration=True)], Item("k", "v", at(9), 1), None),
    ([rule(expiration=days(3))], Item("k", "v", at(1), 0, delete_marker=True), None),
    ([rule(expiration=days(3))], Item("k", "v", at(9), 0, delete_marker=True), EXPIRE),
    ([rule(transitions={"C": LcTransition("1", "", "C")})], Item("k", "", at(9), 1), "C"),
    ([rule(transitions={"C": LcTransition("1", "", "C")})], Item("k", "", at(9), 1, "C"), None),
    ([rule(transitions={"C": LcTransition("1", "", "C"), "D": LcTransition("3", "", "D")})], Item("k", "", at(9), 1, "C"), "D"),
    ([rule(transitions={"C": LcTransition("1", "", "C"), "D": LcTransition("30", "", "D")})], Item("k", "", at(9), 1), "C"),
    ([rule(noncur_transitions={"C": LcTransition("1", "", "C")})], Item("k", "v", at(9), 1, current=False, successor=at(9)), "C"),
    ([rule(noncur_transitions={"C": LcTransition("1", "", "C", "2")})], Item("k", "v", at(9), 1, current=False, successor=at(9), newer=1), None),
    ([rule(noncur_transitions={"C": LcTransition("1", "", "C", "2")})], Item("k", "v", at(9), 1, current=False, successor=at(9), newer=2), "C"),
    ([rule(noncur_transitions={"C": LcTransition("1", "", "C"), "D": LcTransition("2", "", "D", "1")})],
     Item("k", "v", at(9), 1, current=False, successor=at(9)), "C"),  # the further step is not due for the newest one
    ([rule(transitions={"C": LcTransition("1", "", "C")}), rule(expiration=days(2))], Item("k", "", at(9), 1), EXPIRE),
])
def test_actions(rules, item, wanted):
    assert action(rules, item, Clock(NOW)) == wanted


def test_choice():
    item = Item("a/k", "", 0, 100)
    assert fits(rule(prefix="a/"), item) and fits(rule(filter=LcFilter(prefix="a")), item)
    assert not fits(rule(prefix="b"), item) and not fits(rule(status="Disabled"), item)
    assert fits(rule(filter=LcFilter(size_gt="99", size_lt="101")), item)
    assert not fits(rule(filter=LcFilter(size_gt="100")), item) and not fits(rule(filter=LcFilter(size_lt="100")), item)
    both = rule(filter=LcFilter(tags=ObjTags([("a", "1"), ("b", "2")])))
    assert tagged(both, [("b", "2"), ("c", "3"), ("a", "1")]) and not tagged(both, [("a", "1"), ("b", "x")])
    assert common_prefixes([rule(prefix=p) for p in ("a/b", "a/", "c", "a/bc")] + [rule(status="Disabled")]) == ["a/", "c"]
    assert Clock(50.0, debug_interval=10).older(20 * NS, 3) and not Clock(50.0, debug_interval=10).older(21 * NS, 3)


async def keys(gateway, bucket) -> list[str]:
    return [entry.name for entry in (await gateway.listing.objects(bucket)).entries]


async def later(gateway, bucket, *rules, after: float = 10 * DAY) -> BucketRun:
    """Runs the rules as they would be run so many seconds from now."""
    run = BucketRun(gateway, bucket, list(rules), Clock(time.time() + after))
    await run.run()
    assert run.failed == 0
    return run


async def test_expiration(gateway, bucket, user):
    big = {"a/big": body(5 * MIB)}
    for key in ("a/1", "a/2", "b/1", "_x"):
        big[key] = key.encode()
    tag = {"user.rgw.x-amz-tagging": ObjTags([("keep", "no")]).encode()}
    for key, data in big.items():
        await put(gateway, bucket, key, data, user, attrs=tag if key == "a/2" else {})
    await later(gateway, bucket, rule(prefix="a/", expiration=days(11)))
    assert len(await keys(gateway, bucket)) == 5
    await later(gateway, bucket, rule(expiration=days(3), filter=LcFilter(prefix="a/", tags=ObjTags([("keep", "no")]))))
    assert await keys(gateway, bucket) == ["_x", "a/1", "a/big", "b/1"]
    await later(gateway, bucket, rule(expiration=days(3), filter=LcFilter(size_gt=str(MIB))))
    assert await keys(gateway, bucket) == ["_x", "a/1", "b/1"]
    run = await later(gateway, bucket, rule(prefix="a/", expiration=days(3)), rule(prefix="_", expiration=days(3)))
    assert await keys(gateway, bucket) == ["b/1"] and run.done == {"expired": 2}
    await collect(gateway)
    assert len(await census(gateway, bucket)) == 1


async def test_an_object_written_meanwhile_stays(gateway, bucket, user, monkeypatch):
    await put(gateway, bucket, "k", b"same", user)
    head = gateway.objects.head

    async def race(*arguments):
        state = await head(*arguments)
        await put(gateway, bucket, "k", b"same", user)  # after the look, before the removal
        return state

    monkeypatch.setattr(gateway.objects, "head", race)
    run = await later(gateway, bucket, rule(expiration=days(1)))
    assert run.done == {} and await fetch(gateway, bucket, "k") == b"same"


async def test_uploads(gateway, bucket, user):
    for key in ("a/k", "b/k"):
        await upload_part(gateway, await new_upload(gateway, bucket, key, user), 1, b"x" * 1000)
    await later(gateway, bucket, rule(prefix="a/", mp_expiration=days(11)))
    run = await later(gateway, bucket, rule(prefix="a/", mp_expiration=days(9)))
    assert run.done == {"uploads aborted": 1}
    left = await gateway.multipart.list_uploads(bucket)
    assert [upload.key for upload in left.uploads] == ["b/k"]


async def test_many(gateway, bucket, add_entries, user, monkeypatch):
    """More than a page."""
    monkeypatch.setattr(lc_bucket, "_PAGE", 20)
    await add_entries(bucket, *(f"x{i:04}" for i in range(70)))
    await put(gateway, bucket, "a", b"x", user)
    await put(gateway, bucket, "z", b"x", user)
    run = BucketRun(gateway, bucket, [rule(expiration=days(1))], Clock(time.time() + 9 * DAY))
    await run.run()  # the entries in between have no objects
    assert run.done == {"expired": 2} and run.failed == 0


async def entry_of(gateway, bucket) -> LcEntry | None:
    return next((entry for entry in await gateway.lifecycle.entries() if entry.bucket == entry_key(bucket)), None)


async def test_queue(gateway, bucket, user):
    lifecycle = gateway.lifecycle
    assert lifecycle.config(bucket) is None and await entry_of(gateway, bucket) is None
    config = LifecycleConfiguration([("r", rule(expiration=days(1)))])
    await lifecycle.set_config(bucket, config)
    assert lifecycle.config(bucket) == config
    assert await entry_of(gateway, bucket) == LcEntry(bucket=entry_key(bucket), start_time=0, status=UNINITIAL)
    await put(gateway, bucket, "k", b"x", user)
    lifecycle._clock = lambda: Clock(time.time() + 9 * DAY)
    assert await lifecycle.process(only=bucket) == 1
    assert await keys(gateway, bucket) == []
    done = await entry_of(gateway, bucket)
    assert done.status == COMPLETE and abs(done.start_time - time.time()) < 60
    # a bucket that another worker is at is left to it, until it must have died
    ioctx = await gateway.pool(gateway.zone.lc_pool)
    for started, taken in ((time.time(), 0), (time.time() - 2 * DAY, 1)):
        held = LcEntry(bucket=entry_key(bucket), start_time=int(started), status=PROCESSING)
        await ioctx.write(lifecycle._oid(held.bucket), WriteOp().call(classes.LC_SET_ENTRY(LcEntryOp(entry=held))))
        assert await lifecycle.process(only=bucket) == taken
    # an entry that was lost is put back, one that is there stays as it is
    before = await entry_of(gateway, bucket)
    await lifecycle.enter_missing(bucket)
    assert await entry_of(gateway, bucket) == before
    await lifecycle.forget(bucket)
    await lifecycle.enter_missing(bucket)
    assert await entry_of(gateway, bucket) == LcEntry(bucket=entry_key(bucket), start_time=0, status=UNINITIAL)
    await lifecycle.remove_config(bucket)
    assert await entry_of(gateway, bucket) is None and LC_XATTR not in bucket.attrs
    await lifecycle.enter_missing(bucket)
    assert await entry_of(gateway, bucket) is None


async def test_whole_runs(gateway, user, private):
    """All queues are gone through once a day; an entry whose bucket is gone, or has another of its name, goes too."""
    made = [(await gateway.buckets.create(f"lc{i}{time.time_ns()}", user, private))[0] for i in range(4)]
    lifecycle = gateway.lifecycle
    lifecycle._clock = lambda: Clock(time.time() + 9 * DAY)
    for bucket in made:
        await lifecycle.set_config(bucket, LifecycleConfiguration([("r", rule(expiration=days(1)))]))
        await put(gateway, bucket, "k", b"x", user)
    ioctx = await gateway.pool(gateway.zone.lc_pool)
    stale = LcEntry(bucket=f":{made[0].name}:other")
    await ioctx.write(lifecycle._oid(stale.bucket), WriteOp().call(classes.LC_SET_ENTRY(LcEntryOp(entry=stale))))
    await gateway.buckets.delete(await _emptied(gateway, made.pop()))
    assert await lifecycle.process() >= 4
    assert [await keys(gateway, bucket) for bucket in made] == [[], [], []]
    mine = {entry.bucket: entry.status for entry in await lifecycle.entries() if "lc" in entry.bucket}
    assert {entry_key(bucket): COMPLETE for bucket in made}.items() <= mine.items() and stale.bucket not in mine
    await put(gateway, made[0], "k", b"x", user)
    assert await lifecycle.process(everything=False) == 0 and await keys(gateway, made[0]) == ["k"]
    for bucket in made:
        await lifecycle.remove_config(bucket)


async def _emptied(gateway, bucket):
    await gateway.objects.delete(bucket, "k")
    return bucket


async def test_a_bucket_takes_its_entry_along(gateway, bucket):
    await gateway.lifecycle.set_config(bucket, LifecycleConfiguration([("r", rule(expiration=days(1)))]))
    await gateway.buckets.delete(bucket)
    assert await entry_of(gateway, bucket) is None


async def test_worker(cluster, options, bucket, gateway, user):
    """The background worker, with days of half a second."""
    await gateway.lifecycle.set_config(bucket, LifecycleConfiguration([("r", rule(prefix="gone", expiration=days(1)))]))
    for key in ("gone", "stays"):
        await put(gateway, bucket, key, b"x", user)
    other = await Gateway.open(cluster, Options({**options.as_dict(), "rgw_lc_debug_interval": 1}))
    try:
        other.lifecycle.start()
        for _ in range(100):
            if await keys(gateway, bucket) == ["stays"]:
                break
            await asyncio.sleep(0.1)
        assert await keys(gateway, bucket) == ["stays"]
    finally:
        await other.close()
        await gateway.lifecycle.remove_config(bucket)


@pytest.mark.parametrize(("hours", "now", "wait"), [
    ("00:00-06:00", (0, 0), 0), ("00:00-06:00", (5, 59), 0), ("00:00-06:00", (6, 0), 18 * 60), ("22:30-4:15", (23, 0), 0),
    ("22:30-4:15", (4, 14), 0), ("22:30-4:15", (4, 15), 18 * 60 + 15), ("10:00-11:00", (9, 30), 30), ("10:00-11:00", (11, 30), 22 * 60 + 30)])
async def test_hours_of_work(hours, now, wait, monkeypatch):
    """Minutes until work begins."""
    class Now(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 5, 6, *now)

    monkeypatch.setattr(lifecycle, "datetime", Now)
    worker = lifecycle.Lifecycle(SimpleNamespace(options=Options({"rgw_lifecycle_work_time": hours})))
    assert worker._until_work() == wait * 60


async def test_a_bucket_that_fails_keeps_nobody_waiting(gateway, bucket, user, monkeypatch):
    await gateway.lifecycle.set_config(bucket, LifecycleConfiguration([("r", rule(expiration=days(1)))]))

    async def broken(_run):
        raise KeyError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(BucketRun, "run", broken)
        await gateway.lifecycle.process(only=bucket)
    assert (await entry_of(gateway, bucket)).status == FAILED
    await gateway.lifecycle.process(only=bucket)
    assert (await entry_of(gateway, bucket)).status == COMPLETE
    await gateway.lifecycle.remove_config(bucket)


async def test_tenants(gateway):
    """The bucket of a tenant, with one of the same name beside it."""
    made = []
    for uid in (f"t{time.time_ns()}$u", f"u{time.time_ns()}"):
        user = await gateway.users.create(uid, "A user")
        bucket, _ = await gateway.buckets.create("tenantslc", user, AccessControlPolicy.private(uid, "A user"))
        await put(gateway, bucket, "k", b"x", user)
        made.append(bucket)
    await gateway.lifecycle.set_config(made[0], LifecycleConfiguration([("r", rule(expiration=days(1)))]))
    gateway.lifecycle._clock = lambda: Clock(time.time() + 9 * DAY)
    assert await gateway.lifecycle.process(only=made[0]) == 1
    assert [await keys(gateway, bucket) for bucket in made] == [[], ["k"]]
    await gateway.lifecycle.remove_config(made[0])
    await gateway.objects.delete(made[1], "k")
    await gateway.buckets.delete(made[1])


@pytest.mark.parametrize("size", [0, 10, 4 * MIB, 4 * MIB + 1, 9 * MIB])
async def test_transitions(cold, user, private, size):
    """Bytes, ETag, metadata and time stay; the bytes are where the class has them; the old ones go."""
    bucket, _ = await cold.buckets.create(f"cold{time.time_ns()}", user, private)
    data = body(size)
    await put(cold, bucket, "k", data, user, attrs={"user.rgw.x-amz-meta-a": b"1\0"})
    before = await cold.objects.head(bucket, "k")
    for name, pool in (("COLD", "cold"), ("SAME", ""), ("COLD", "cold"), ("STANDARD", "")):
        run = await later(cold, bucket, rule(transitions={name: LcTransition("1", "", name)}))
        assert run.done == {f"moved to {name}": 1}
        assert (await later(cold, bucket, rule(transitions={name: LcTransition("1", "", name)}))).done == {}
        state = await cold.objects.head(bucket, "k")
        assert await fetch(cold, bucket, "k") == data
        assert (state.etag, state.mtime, state.attrs["user.rgw.x-amz-meta-a"]) == (before.etag, before.mtime, b"1\0")
        entry, = (await cold.listing.objects(bucket)).entries
        assert (entry.storage_class, entry.mtime, entry.accounted_size) == (name, before.mtime, size)
        await collect(cold)
        pieces = -(-size // (4 * MIB))
        tails, heads = (pieces, 1) if pool else (max(pieces - 1, 0), 1)
        assert await spread(cold, bucket) == ({"cold": tails, "": heads} if pool else {"cold": 0, "": heads + tails})
    await cold.objects.delete(bucket, "k")
    await collect(cold)
    assert await spread(cold, bucket) == {"cold": 0, "": 0}


async def test_moves_of_what_changes(cold, user, private, monkeypatch):
    """An object replaced while it is moved stays as it was put, and nothing is left of the move."""
    bucket, _ = await cold.buckets.create(f"cold{time.time_ns()}", user, private)
    await put(cold, bucket, "k", body(6 * MIB), user)
    head = cold.objects.head

    async def race(*arguments):
        state = await head(*arguments)
        await put(cold, bucket, "k", b"new", user)
        return state

    monkeypatch.setattr(cold.objects, "head", race)
    assert (await later(cold, bucket, rule(transitions={"COLD": LcTransition("1", "", "COLD")}))).done == {}
    await collect(cold)
    assert await fetch(cold, bucket, "k") == b"new" and await spread(cold, bucket) == {"cold": 0, "": 1}


async def test_moved_multipart_objects_keep_their_parts(cold, user, private):
    bucket, _ = await cold.buckets.create(f"cold{time.time_ns()}", user, private)
    upload = await new_upload(cold, bucket, "m", user)
    data = [body(5 * MIB), body(100)]
    parts = [await upload_part(cold, upload, number, part) for number, part in enumerate(data, 1)]
    await cold.multipart.complete(bucket, "m", upload.upload_id, completed(parts))
    await later(cold, bucket, rule(transitions={"COLD": LcTransition("1", "", "COLD")}))
    state = await cold.objects.head(bucket, "m")
    assert state.parts == [(1, 0, 5 * MIB), (2, 5 * MIB, 100)] and await fetch(cold, bucket, "m") == b"".join(data)
    await collect(cold)
    assert await spread(cold, bucket) == {"cold": 2, "": 1}


@pytest.fixture
async def versioned(cold, user, private):
    """A bucket with versions, of the gateway ``cold``."""
    bucket, _ = await cold.buckets.create(f"v{time.time_ns()}", user, private)
    return await flagged(cold, bucket, FLAG_VERSIONED)


async def flagged(gateway, bucket, flags: int):
    def change(info, _attrs):
        info.flags = flags
    return await gateway.buckets.modify(bucket, change)


async def versions(gateway, bucket) -> list[tuple[str, str]]:
    """(key, ETag of its bytes or "marker") of all versions, newest first."""
    return [(entry.name, entry.etag or "marker") for entry in (await gateway.listing.versions(bucket)).entries]


async def test_noncurrent_versions(cold, versioned, user, monkeypatch):
    monkeypatch.setattr(lc_bucket, "_PAGE", 2)  # a key's versions come on several pages
    etags = [(await put(cold, versioned, "k", b"%d" % n, user)).etag for n in range(5)]
    other = (await put(cold, versioned, "other", b"x", user)).etag
    assert (await later(cold, versioned, rule(noncur_expiration=days(11)))).done == {}
    run = await later(cold, versioned, rule(noncur_expiration=days(3, "2")))
    assert run.done == {"versions removed": 2}
    assert await versions(cold, versioned) == [("k", etags[4]), ("k", etags[3]), ("k", etags[2]), ("other", other)]
    run = await later(cold, versioned, rule(noncur_transitions={"COLD": LcTransition("1", "", "COLD", "1")}))
    assert run.done == {"moved to COLD": 1}
    page = (await cold.listing.versions(versioned)).entries
    assert [entry.storage_class for entry in page] == ["", "", "COLD", ""]  # the newest of those that are no longer current stays
    run = await later(cold, versioned, rule(noncur_transitions={"COLD": LcTransition("1", "", "COLD")}))
    assert run.done == {"moved to COLD": 1}
    page = (await cold.listing.versions(versioned)).entries
    assert [entry.storage_class for entry in page] == ["", "COLD", "COLD", ""]
    old = await cold.objects.get(versioned, "k", page[1].instance)
    assert b"".join([part async for part in cold.objects.read(old)]) == b"3"
    assert await fetch(cold, versioned, "k") == b"4"
    await later(cold, versioned, rule(noncur_expiration=days(3)))
    assert await versions(cold, versioned) == [("k", etags[4]), ("other", other)]
    await collect(cold)
    assert await spread(cold, versioned) == {"cold": 0, "": 4}  # two versions, and the heads of their keys


@pytest.mark.parametrize("suspended", [False, True])
async def test_expiration_with_versions(cold, versioned, user, suspended):
    """A delete marker comes on top, and goes when it is all that is left."""
    await put(cold, versioned, "k", body(5 * MIB), user)
    if suspended:
        versioned = await flagged(cold, versioned, FLAG_VERSIONED | FLAG_VERSIONS_SUSPENDED)
    await put(cold, versioned, "_new", b"x", user)
    run = await later(cold, versioned, rule(expiration=days(3)), rule(dm_expiration=True))
    assert run.done == {"expired": 2}
    assert [etag for key, etag in await versions(cold, versioned) if key == "k"][0] == "marker" and await keys(cold, versioned) == []
    assert (await later(cold, versioned, rule(dm_expiration=True), after=0)).done == ({"delete markers removed": 1} if suspended else {})
    await later(cold, versioned, rule(noncur_expiration=days(3)))
    assert {etag for _, etag in await versions(cold, versioned)} == {"marker"}
    await later(cold, versioned, rule(expiration=days(3)))
    assert await versions(cold, versioned) == []
    await collect(cold)
    assert await spread(cold, versioned) == {"cold": 0, "": 0}


async def test_locked_versions_stay(cold, versioned, user):
    lock = {"user.rgw.object-retention": ObjectRetention("GOVERNANCE", time.time_ns() + DAY * NS).encode()}
    hold = {"user.rgw.object-legal-hold": ObjectLegalHold("ON").encode()}
    free = {"user.rgw.object-retention": ObjectRetention("GOVERNANCE", time.time_ns() - NS).encode(),
            "user.rgw.object-legal-hold": ObjectLegalHold("OFF").encode()}
    for attrs in (lock, hold, free, {}):
        await put(cold, versioned, "k", b"x", user, attrs=attrs)
    assert (await later(cold, versioned, rule(noncur_expiration=days(3)))).done == {"versions removed": 1}
    assert len(await versions(cold, versioned)) == 3


async def test_the_current_version_moves(cold, versioned, user):
    """Before and after versioning: listings of both kinds tell the class, and the version stays the current one."""
    for data in (b"old", b"new"):
        await put(cold, versioned, "k", data, user)
    before = (await cold.listing.versions(versioned)).entries
    assert (await later(cold, versioned, rule(transitions={"COLD": LcTransition("1", "", "COLD")}))).done == {"moved to COLD": 1}
    page = (await cold.listing.versions(versioned)).entries
    assert [(e.instance, e.storage_class, e.flags) for e in page] == [
        (e.instance, name, e.flags) for e, name in zip(before, ("COLD", ""), strict=True)]
    assert [e.storage_class for e in (await cold.listing.objects(versioned)).entries] == ["COLD"]
    assert await fetch(cold, versioned, "k") == b"new"
    assert not [name for name in (await existing_head(cold, versioned, "k")).attrs if name.startswith(OLH_PENDING)]
    await put(cold, versioned, "k", b"newest", user)
    assert await fetch(cold, versioned, "k") == b"newest" and len(await versions(cold, versioned)) == 3
    plain = await flagged(cold, versioned, FLAG_VERSIONED | FLAG_VERSIONS_SUSPENDED)
    await put(cold, plain, "null", b"null", user)
    assert (await later(cold, plain, rule(prefix="null", transitions={"COLD": LcTransition("1", "", "COLD")}))).done == {"moved to COLD": 1}
    assert await fetch(cold, plain, "null") == b"null"
    assert [e.storage_class for e in (await cold.listing.objects(plain, prefix="null")).entries] == ["COLD"]
    await put(cold, plain, "null", b"again", user)
    await collect(cold)
    assert await fetch(cold, plain, "null") == b"again" and len(await versions(cold, plain)) == 4


async def test_what_was_there_before_versioning_is_current(cold, bucket, user):
    """An object put before versioning was enabled has no version of its own, and none that followed it."""
    for key in ("a/k", "b/k"):
        await put(cold, bucket, key, b"old", user)
    bucket = await flagged(cold, bucket, FLAG_VERSIONED)
    assert (await later(cold, bucket, rule(noncur_expiration=days(1)))).done == {}
    assert (await later(cold, bucket, rule(prefix="a/", transitions={"COLD": LcTransition("1", "", "COLD")}))).done == {"moved to COLD": 1}
    assert (await later(cold, bucket, rule(prefix="b/", expiration=days(3)))).done == {"expired": 1}
    page = (await cold.listing.versions(bucket)).entries
    assert [(e.name, e.storage_class, bool(e.flags & FLAG_DELETE_MARKER)) for e in page] == [("a/k", "COLD", False), ("b/k", "", True), ("b/k", "", False)]
    assert await fetch(cold, bucket, "a/k") == b"old"


async def test_workers_take_turns(cluster, options, user):
    """Two gateways at one queue: each bucket is done, by one of them; a gateway that is stopped in the middle leaves its bucket to the other."""
    pair = [await Gateway.open(cluster, Options({**options.as_dict(), "rgw_lc_max_objs": 1})) for _ in range(2)]
    first, second = pair
    done: list[str] = []
    try:
        ioctx = await first.pool(first.zone.lc_pool)
        await ioctx.write("lc.0", WriteOp().create().call(classes.LC_PUT_HEAD(LcPutHeadOp(head=LcHead()))))
        acl = AccessControlPolicy.private(user.user_id.text(), "A user")
        made = [(await first.buckets.create(f"turn{i}{time.time_ns()}", user, acl))[0] for i in range(6)]
        for bucket in made:
            await first.lifecycle.set_config(bucket, LifecycleConfiguration([("r", rule(expiration=days(1)))]))
        mine = {entry_key(bucket) for bucket in made}
        for gateway in pair:
            work = gateway.lifecycle._process_bucket

            async def recorded(key, progress, work=work):
                done.append(key)
                await asyncio.sleep(0.01)
                return await work(key, progress)

            gateway.lifecycle._process_bucket = recorded
        await asyncio.gather(*(gateway.lifecycle.process(everything=False) for gateway in pair for _ in range(2)))
        for gateway in pair:  # whoever met the other at the queue left it to him
            await gateway.lifecycle.process(everything=False)
        assert sorted(key for key in done if key in mine) == sorted(mine)

        begun = asyncio.Event()

        async def stuck(_key, _progress):
            begun.set()
            await asyncio.sleep(60)

        first.lifecycle._process_bucket = stuck
        task = asyncio.ensure_future(first.lifecycle.process(only=made[0]))
        await begun.wait()
        assert await second.lifecycle.process(only=made[0]) == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await second.lifecycle.process(only=made[0]) == 1
        for bucket in made:
            await first.lifecycle.remove_config(bucket)
    finally:
        for gateway in pair:
            await gateway.close()
