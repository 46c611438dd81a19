"""Resharding a bucket's index while it is written to, dying at each step of it, and what others may do meanwhile."""

from __future__ import annotations

import asyncio
import secrets
import signal

import pytest

from rgw.core import index as index_module
from rgw.core import reshard, reshard_copy
from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, OP_DEL, IndexKey, shard_names
from rgw.core.options import Options
from rgw.core.reshard_copy import IndexCopy
from rgw.core.reshard_lock import LOCK
from rgw.core.reshard_marks import MARK, STATE
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.cls_lock import BreakLockOp, GetInfoOp
from rgw.formats.index import BucketInstanceEntry, ClsObjKey, DirEntryMeta
from rgw.formats.names import bucket_shard
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import completed, fetch, index_keys, new_upload, put, upload_part

_META = DirEntryMeta(category=1, size=10, accounted_size=10)


@pytest.fixture
def options() -> Options:
    return Options({"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 4, "rgw_override_bucket_index_max_shards": 3, "rgw_reshard_batch_size": 40,
                    "rgw_reshard_rest": 0, "rgw_multipart_min_part_size": 0, "rgw_reshard_num_logs": 2})


class Killed(BaseException):
    """The process dies: nothing is cleaned up."""


async def fill(gateway, bucket, count: int) -> list[str]:
    """Index entries without data, written in one go."""
    names = [f"k{i:05d}" for i in range(count)]
    await asyncio.gather(*(add(gateway, bucket, name) for name in names))
    return names


async def add(gateway, bucket, name: str) -> None:
    tag, key = gateway.new_tag(), IndexKey.of(name)
    await bucket.index.prepare(OP_ADD, tag, key)
    await bucket.index.complete(OP_ADD, tag, key, pool_id=1, version=7, meta=_META)


async def remove(gateway, bucket, name: str) -> None:
    tag, key = gateway.new_tag(), IndexKey.of(name)
    await bucket.index.prepare(OP_DEL, tag, key)
    await bucket.index.complete(OP_DEL, tag, key, pool_id=1, version=0, meta=DirEntryMeta())


async def listed(gateway, bucket) -> list[str]:
    names: list[str] = []
    while True:
        page = await gateway.listing.objects(bucket, marker=names[-1] if names else "")
        names += [entry.name for entry in page.entries]
        if not page.truncated:
            return names


async def settled(gateway, bucket, shards: int) -> None:
    """Every key lies in its shard, the statistics are those of the entries, and nothing of a reshard is left."""
    await gateway.buckets.reload(bucket)
    assert bucket.num_shards == shards
    oids = shard_names(bucket.bucket_id, shards)
    for number, oid in enumerate(oids):
        found = await bucket.index_ioctx.read(oid, ReadOp().getxattrs().omap_get(max_entries=10_000).call(classes.BUCKET_CHECK_INDEX()))
        assert STATE not in found.xattrs
        checked = found.reply
        stored, counted = ({category: row for category, row in header.stats.items() if row.num_entries and category}
                           for header in (checked.existing_header, checked.calculated_header))
        assert stored == counted  # but for null delete markers (category 0), which the class counts only when it counts anew
        assert checked.existing_header.new_instance.status == 0
        for key in found.omap.values:
            assert not key.startswith(MARK)
            name = key.removeprefix(b"\x801000_").removeprefix(b"\x801001_").split(b"\0")[0].decode()
            plain = name.removeprefix("_multipart_").rsplit(".", 2)[0] if name.startswith("_multipart_") else name.removeprefix("_")
            assert shards <= 1 or bucket_shard(plain, shards) == number
    marker = bucket.marker.encode()
    objects = [item.name async for item in bucket.index_ioctx.list_objects() if bucket.bucket_id in item.name or item.name in oids]
    assert sorted(objects) == sorted(oids), marker
    reshards = await gateway.pool(gateway.zone.reshard_pool)
    try:
        notes = (await reshards.read("gw.reshards", ReadOp().omap_get())).omap.values
    except NotFound:
        notes = {}
    assert not [key for key in notes if bucket.name.encode() in key]


async def all_shards(gateway, bucket) -> set[str]:
    """The index objects of all instances that this gateway gave the bucket."""
    return {item.name async for item in bucket.index_ioctx.list_objects()}


async def break_lock(gateway, bucket, bucket_id: str) -> None:
    """What time does to the lock of one who died."""
    ioctx, oid = await gateway.pool(gateway.zone.reshard_pool), f"{bucket.name}:{bucket_id}"
    try:
        reply = (await ioctx.read(oid, ReadOp().assert_exists().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK))))).reply
    except NotFound:
        return
    for locker in reply.lockers:
        call = classes.LOCK_BREAK_LOCK(BreakLockOp(name=LOCK, locker=locker.id.locker, cookie=locker.id.cookie))
        await ioctx.write(oid, WriteOp().call(call))


def dies_at(step: str):
    def on_step(name: str, copied: int) -> None:
        if name == step:
            raise Killed(step)
    return on_step


@pytest.mark.parametrize(("before", "after"), [(3, 7), (3, 2), (1, 3)])
async def test_every_entry_finds_its_shard(gateway, bucket, before, after):
    if before != bucket.num_shards:
        await gateway.resharder.reshard(bucket, before)
    names = await fill(gateway, bucket, 300)
    await add(gateway, bucket, "_under")
    old_id, marker = bucket.bucket_id, bucket.marker
    done = await gateway.resharder.reshard(bucket, after)
    assert (done.old_id, done.entries) == (old_id, 301)
    await settled(gateway, bucket, after)
    assert bucket.bucket_id == done.new_id and bucket.marker == marker
    assert await listed(gateway, bucket) == sorted([*names, "_under"])
    assert not [oid for oid in await all_shards(gateway, bucket) if old_id + "." in oid]
    await add(gateway, bucket, "after")
    assert "after" in await listed(gateway, bucket)


async def test_an_unsharded_index(gateway, user, private, monkeypatch):
    monkeypatch.setitem(gateway.options._values, "rgw_override_bucket_index_max_shards", 0)
    monkeypatch.setattr(type(gateway.zone), "index_shards", 0)
    bucket, _ = await gateway.buckets.create(f"b{secrets.token_hex(4)}", user, private)
    assert bucket.num_shards == 0
    names = await fill(gateway, bucket, 100)
    writing = asyncio.ensure_future(add(gateway, bucket, "meanwhile"))
    await gateway.resharder.reshard(await gateway.buckets.get(bucket.name, bucket.tenant), 4)
    await writing
    await settled(gateway, bucket, 4)
    assert await listed(gateway, bucket) == sorted([*names, "meanwhile"])


async def test_the_owner_sees_the_bucket_once_and_metadata_stays(gateway, user, bucket):
    await gateway.buckets.set_attrs(bucket, {"user.rgw.x": b"kept"})
    await gateway.resharder.reshard(bucket, 2)
    other = await Gateway.open(gateway.cluster, gateway.options)
    try:
        found = await other.buckets.get(bucket.name)
        assert found.attrs["user.rgw.x"] == b"kept" and found.bucket_id == bucket.bucket_id
        entries, _ = await other.buckets.list(user)
        assert [(row.bucket.name, row.bucket.bucket_id) for row in entries] == [(bucket.name, bucket.bucket_id)]
    finally:
        await other.close()


async def test_writers_go_on_and_lose_nothing(gateway, bucket):
    """Adds, overwrites and removals through two gateways all the while; several reshards after one another."""
    second = await Gateway.open(gateway.cluster, gateway.options)
    there = await second.buckets.get(bucket.name)
    await fill(gateway, bucket, 200)
    expected = set(await listed(gateway, bucket))
    stop = False
    counts = [0, 0, 0, 0]

    async def write(number: int, gw, handle) -> None:
        while not stop:
            i = counts[number]
            counts[number] += 1
            name = f"w{number}-{i % 40:03d}"
            await add(gw, handle, name)
            expected.add(name)
            if i % 3 == 0:
                gone = f"w{number}-{(i * 7) % 40:03d}"
                if gone in expected:
                    await remove(gw, handle, gone)
                    expected.discard(gone)
            await asyncio.sleep(0)

    writers = [asyncio.ensure_future(write(n, *(((gateway, bucket), (second, there))[n % 2]))) for n in range(4)]
    for shards in (7, 2, 5):
        handle = await gateway.buckets.get(bucket.name)
        await gateway.resharder.reshard(handle, shards)
        before = list(counts)
        await asyncio.sleep(0.05)
        assert all(now > then for now, then in zip(counts, before, strict=True)), "a writer does not go on"
    stop = True
    await asyncio.gather(*writers)
    await second.close()
    await settled(gateway, bucket, 5)
    assert set(await listed(gateway, bucket)) == expected


async def test_uploads_under_way(gateway, user, bucket):
    """Uploads begun before, completed, aborted and continued during a reshard."""
    uploads = {key: await new_upload(gateway, bucket, key, user) for key in ("done", "ended", "a.b.c", "open")}
    parts = {key: [await upload_part(gateway, upload, n, secrets.token_bytes(1000)) for n in (1, 2)] for key, upload in uploads.items()}
    steps = asyncio.Queue()

    async def others() -> None:
        while await steps.get() != "fenced":
            pass
        handle = await gateway.buckets.get(bucket.name)
        await gateway.multipart.complete(handle, "done", uploads["done"].upload_id, completed(parts["done"]))
        await gateway.multipart.abort(handle, "ended", uploads["ended"].upload_id)
        while await steps.get() != "copied":
            pass
        await gateway.multipart.complete(handle, "a.b.c", uploads["a.b.c"].upload_id, completed(parts["a.b.c"]))

    task = asyncio.ensure_future(others())
    await fill(gateway, bucket, 200)
    handle = await gateway.buckets.get(bucket.name)
    await gateway.resharder.reshard(handle, 5, lambda name, copied: steps.put_nowait(name))
    await task
    await settled(gateway, bucket, 5)
    left = {upload.key for upload in (await gateway.multipart.list_uploads(bucket)).uploads}
    assert left == {"open"}
    assert len(await fetch(gateway, bucket, "done")) == 2000 == len(await fetch(gateway, bucket, "a.b.c"))
    multipart = {key for key in await index_keys(gateway, bucket) if key.startswith("_multipart_")}
    assert all(key.startswith("_multipart_open.") for key in multipart) and len(multipart) == 3
    upload = await gateway.multipart.get(bucket, "open", uploads["open"].upload_id)
    parts["open"].append(await upload_part(gateway, upload, 3, b"x" * 1000))
    await gateway.multipart.complete(bucket, "open", upload.upload_id, completed(parts["open"]))
    assert len(await fetch(gateway, bucket, "open")) == 3000
    await settled(gateway, bucket, 5)


async def link(bucket, name: str, instance: str, olh_tag: str, *, marker: bool = False) -> None:
    """A version as the index knows it."""
    key = ClsObjKey(name=name, instance=instance)
    tag = secrets.token_hex(8)
    if not marker:
        place = IndexKey(name, name, instance)
        await bucket.index.prepare(OP_ADD, tag, place)
        await bucket.index.complete(OP_ADD, tag, place, pool_id=1, version=5, meta=_META)
    request = cls_rgw.LinkOlhOp(key=key, olh_tag=olh_tag, delete_marker=marker, op_tag=tag,
                                meta=DirEntryMeta() if not marker else DirEntryMeta(mtime=1))
    await bucket.index.call(name, classes.BUCKET_LINK_OLH(request))


async def unlink(bucket, name: str, instance: str, olh_tag: str) -> None:
    request = cls_rgw.UnlinkInstanceOp(key=ClsObjKey(name=name, instance=instance), op_tag=secrets.token_hex(8), olh_tag=olh_tag)
    await bucket.index.call(name, classes.BUCKET_UNLINK_INSTANCE(request))


async def raw_index(bucket) -> dict[str, bytes]:
    """All entries as they stand."""
    found: dict[str, bytes] = {}
    for oid in shard_names(bucket.bucket_id, bucket.num_shards):
        more, marker = True, ""
        while more:
            request = cls_rgw.BiListOp(max=1000, marker=marker)
            page = (await bucket.index_ioctx.read(oid, ReadOp().call(classes.BI_LIST(request)))).reply
            found |= {entry.idx: entry.data for entry in page.entries}
            more, marker = page.truncated, page.entries[-1].idx if page.entries else ""
    return found


async def test_versions(gateway, bucket):
    """Versions, null versions, delete markers; made, linked and unlinked while the index is copied, too."""
    for i in range(30):
        for instance in ("v1", "v2"):
            await link(bucket, f"o{i:02d}", instance, f"olh{i}")
        await link(bucket, f"o{i:02d}", "marker", f"olh{i}", marker=True)
    await add(gateway, bucket, "plain")
    old = await gateway.buckets.get(bucket.name)
    steps: asyncio.Queue[str] = asyncio.Queue()

    async def others() -> None:
        while await steps.get() != "fenced":
            pass
        for i in range(0, 30, 3):
            await link(bucket, f"o{i:02d}", "v3", f"olh{i}")
            await unlink(bucket, f"o{i:02d}", "v1", f"olh{i}")
        await link(bucket, "plain", "", "olhplain")   # suspended: the null version
        await link(bucket, "plain", "v9", "olhplain")
        await link(bucket, "fresh", "", "olhfresh", marker=True)
        await unlink(bucket, "o29", "v2", "olh29")
        trim = cls_rgw.TrimOlhLogOp(olh=ClsObjKey(name="o29"), ver=100, olh_tag="olh29")
        await bucket.index.call("o29", classes.BUCKET_TRIM_OLH_LOG(trim))

    def on_step(name: str, copied: int) -> None:
        steps.put_nowait(name)

    task = asyncio.ensure_future(others())
    run = asyncio.ensure_future(gateway.resharder.reshard(old, 5, on_step))
    await task
    await run
    await settled(gateway, bucket, 5)
    before = await raw_index(bucket)
    await gateway.resharder.reshard(bucket, 2)
    assert await raw_index(bucket) == before
    await settled(gateway, bucket, 2)
    versions = (await gateway.listing.versions(bucket)).entries
    by_key: dict[str, list[str]] = {}
    for entry in versions:
        by_key.setdefault(entry.name, []).append(entry.instance)
    assert by_key["o00"] == ["v3", "marker", "v2"] and by_key["o01"] == ["marker", "v2", "v1"]
    assert by_key["plain"] == ["v9", ""] and by_key["fresh"] == [""] and by_key["o29"] == ["marker", "v1"]


async def test_an_object_of_many_versions(gateway, bucket):
    """More versions than a page of them: they are taken over whole."""
    for i in range(30):
        await link(bucket, "many", f"v{i:04d}", "olh")
    # 1,100 more as the class would have put them: by instance, and in listing order
    from rgw.formats import index_keys as keys
    oid = bucket.index.shard("many")
    entry = (await bucket.index_ioctx.read(oid, ReadOp().omap_get_keys([keys.instance_key(ClsObjKey("many", "v0000"))]))).omap.values
    from rgw.formats.cls_rgw import UpdateStatsOp
    from rgw.formats.index import CategoryStats, DirEntry
    values = {}
    for i in range(1100):
        decoded = DirEntry.decode(next(iter(entry.values())))
        decoded.instance, decoded.versioned_epoch = f"x{i:04d}", 100 + i
        values[keys.instance_key(ClsObjKey("many", decoded.instance))] = decoded.encode()
        values[keys.list_key("many", 100 + i, decoded.instance)] = decoded.encode()
    stats = {1: CategoryStats(11000, 1100 * 4096, 1100, 11000)}
    await bucket.index_ioctx.write(oid, WriteOp().omap_set(values).call(classes.BUCKET_UPDATE_STATS(UpdateStatsOp(stats=stats))))
    before = await raw_index(bucket)
    copied = asyncio.Event()

    async def touch() -> None:
        await copied.wait()
        await link(bucket, "many", "last", "olh")

    task = asyncio.ensure_future(touch())
    await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), 5, lambda name, n: copied.set() if name == "fenced" else None)
    await task
    await settled(gateway, bucket, 5)
    after = await raw_index(bucket)
    assert set(before) <= set(after) and len(after) == len(before) + 2


STEPS = ["locked", "noted", "created", "fenced", "copying", "copied", "instance made", "caught up", "blocked", "drained", "switched",
         "announced", "old instance done", "listed", "old shards removed", "old instance removed"]


async def test_killed_at_each_step(gateway, bucket):
    """Whoever comes next brings the bucket back or forward; nothing is lost, nothing is left over."""
    names = set(await fill(gateway, bucket, 150))
    shards = bucket.num_shards
    for number, step in enumerate(STEPS):
        wanted = 4 + number
        old_id = bucket.bucket_id
        objects = await all_shards(gateway, bucket)
        dead = await Gateway.open(gateway.cluster, gateway.options)
        with pytest.raises(Killed):
            await dead.resharder.reshard(await dead.buckets.get(bucket.name), wanted, dies_at(step))
        assert not await gateway.resharder.recover(bucket), "recovered although the lock is held"
        await break_lock(gateway, bucket, old_id)
        if STEPS.index(step) < STEPS.index("caught up"):
            await add(gateway, bucket, f"before-{number}")  # the dead reshard does not hinder writers
            names.add(f"before-{number}")
        done = await gateway.resharder.recover_all() if number % 2 else await gateway.resharder.recover(bucket)
        if not done:  # the shards told nothing: what is left is in the note
            await gateway.resharder.recover_all()
        if STEPS.index(step) >= STEPS.index("switched"):
            shards = wanted
        await settled(gateway, bucket, shards)
        if shards != wanted:
            assert await all_shards(gateway, bucket) == objects, step
        else:
            assert not [oid for oid in await all_shards(gateway, bucket) if old_id + "." in oid]
        await add(gateway, bucket, f"after-{number}")
        names.add(f"after-{number}")
        assert set(await listed(gateway, bucket)) == names, step
        await dead.close()
    await gateway.resharder.reshard(bucket, 2)
    await settled(gateway, bucket, 2)
    assert set(await listed(gateway, bucket)) == names


async def test_a_failure_takes_it_back(gateway, bucket):
    names = await fill(gateway, bucket, 50)
    before = await all_shards(gateway, bucket)

    def fails(name: str, copied: int) -> None:
        if name == "blocked":
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError):
        await gateway.resharder.reshard(bucket, 7, fails)
    await settled(gateway, bucket, 3)
    assert await all_shards(gateway, bucket) == before
    assert await listed(gateway, bucket) == names
    await add(gateway, bucket, "more")


async def test_one_who_wakes_up_late_changes_nothing(gateway, bucket):
    """A resharder that stood still in the block while another took its reshard back must not switch any more."""
    names = await fill(gateway, bucket, 50)
    late = await Gateway.open(gateway.cluster, gateway.options)
    reached, wake = asyncio.Event(), asyncio.Event()
    handle = await late.buckets.get(bucket.name)
    original = late.metadata.get

    async def slow(pool, oid, *, fresh=False):
        found = await original(pool, oid, fresh=fresh)
        if oid == bucket.name and reached.is_set() and not wake.is_set():
            await wake.wait()  # between its last look at the entry point and its switch
        return found

    late.metadata.get = slow
    run = asyncio.ensure_future(late.resharder.reshard(handle, 7, lambda name, n: reached.set() if name == "drained" else None))
    await reached.wait()
    await asyncio.sleep(0.05)
    await break_lock(gateway, bucket, bucket.bucket_id)
    assert await gateway.resharder.recover(bucket)
    await add(gateway, bucket, "written after the recovery")
    wake.set()
    with pytest.raises(Exception):  # noqa: B017  refused, whatever it is called
        await run
    await late.close()
    await gateway.resharder.recover_all()
    await settled(gateway, bucket, 3)
    assert await listed(gateway, bucket) == [*names, "written after the recovery"]


async def test_only_one_at_a_time(gateway, bucket):
    await fill(gateway, bucket, 100)
    second = await Gateway.open(gateway.cluster, gateway.options)
    results = await asyncio.gather(gateway.resharder.reshard(bucket, 5), second.resharder.reshard(await second.buckets.get(bucket.name), 7),
                                   return_exceptions=True)
    refused = [error for error in results if isinstance(error, S3Error)]
    assert [error.code for error in refused] == ["OperationAborted"]
    await second.close()
    await settled(gateway, bucket, results[0].new_id and 5 if not isinstance(results[0], S3Error) else 7)


async def test_a_lock_that_cannot_be_kept_ends_the_reshard(gateway, bucket, monkeypatch):
    names = await fill(gateway, bucket, 100)

    async def stolen() -> None:
        await fenced.wait()
        await break_lock(gateway, bucket, bucket.bucket_id)

    fenced = asyncio.Event()
    task = asyncio.ensure_future(stolen())
    gateway.options._values["rgw_reshard_bucket_lock_duration"] = 0.3
    monkeypatch.setattr(IndexCopy, "_pause", lambda self, oid: asyncio.sleep(0.15))
    with pytest.raises(S3Error) as refusal:
        await gateway.resharder.reshard(bucket, 7, lambda name, n: fenced.set() if name == "fenced" else None)
    await task
    assert refusal.value.code == "OperationAborted"
    await gateway.resharder.recover(bucket)
    await gateway.resharder.recover_all()
    await settled(gateway, bucket, 3)
    assert await listed(gateway, bucket) == names


async def test_many_marks_are_worked_off_before_the_block(gateway, bucket, monkeypatch):
    """However much was written during a long copy, little of it is left for the time in which nobody can write."""
    monkeypatch.setattr(reshard_copy, "_MARKS", 2)
    monkeypatch.setattr(reshard, "_FEW_MARKS", 1)
    monkeypatch.setattr(reshard, "_MANY_MARKS", 2)
    catch_up, finish = IndexCopy.catch_up, IndexCopy.finish
    names = [f"n{i:03d}" for i in range(400)]
    left: list[int] = []

    async def first_write(self) -> int:
        if names and not await listed(gateway, bucket):
            await asyncio.gather(*(add(gateway, bucket, name) for name in names))
        return await catch_up(self)

    async def count(self) -> bool:
        left.extend([len((await self._marks(shard.oid))[1]) for shard in self.old])
        return await finish(self)

    monkeypatch.setattr(IndexCopy, "catch_up", first_write)
    monkeypatch.setattr(IndexCopy, "finish", count)
    await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), 7)
    assert left == [0, 0, 0]
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == names


async def test_writers_that_are_faster_end_the_reshard(gateway, bucket, monkeypatch):
    """If the marks do not become fewer the bucket is not blocked for as long as they would take: it stays as it is."""
    monkeypatch.setattr(reshard, "_MAX_ROUNDS", 5)
    catch_up = IndexCopy.catch_up

    async def busy(self) -> int:
        await asyncio.gather(*(add(gateway, bucket, f"n{i:03d}") for i in range(100)))
        return await catch_up(self)

    monkeypatch.setattr(IndexCopy, "catch_up", busy)
    with pytest.raises(S3Error) as refusal:
        await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), 7)
    assert refusal.value.code == "OperationAborted"
    await settled(gateway, bucket, 3)
    assert len(await listed(gateway, bucket)) == 100


async def test_changes_without_marks_are_found(gateway, bucket):
    """A radosgw that gets past the fence leaves no marks: the whole index is compared then."""
    names = await fill(gateway, bucket, 100)
    handle = await gateway.buckets.get(bucket.name)
    pending: list[asyncio.Task] = []

    async def foreign() -> None:
        for name, kind in (("k00001", OP_DEL), ("foreign", OP_ADD)):
            place, oid = IndexKey.of(name), bucket.index.shard(name)
            prepare = cls_rgw.PrepareOp(op=kind, tag="t", key=place.cls_key)
            end = cls_rgw.CompleteOp(op=kind, tag="t", key=place.cls_key, meta=_META)
            await bucket.index_ioctx.write(oid, WriteOp().call(classes.BUCKET_PREPARE_OP(prepare)))
            await bucket.index_ioctx.write(oid, WriteOp().call(classes.BUCKET_COMPLETE_OP(end)))

    def on_step(name: str, copied: int) -> None:
        seen.append(name)
        if name == "copied":
            pending.append(asyncio.ensure_future(foreign()))

    seen: list[str] = []
    await gateway.resharder.reshard(handle, 7, on_step)
    await asyncio.gather(*pending)
    assert "comparing" in seen
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == ["foreign", *(name for name in names if name != "k00001")]


async def test_a_change_of_the_bucket_during_the_reshard_stays(gateway, bucket):
    await fill(gateway, bucket, 50)
    second = await Gateway.open(gateway.cluster, gateway.options)
    there = await second.buckets.get(bucket.name)
    changes: list[asyncio.Task] = []

    def on_step(name: str, copied: int) -> None:
        if name in ("fenced", "instance made", "drained", "switched"):
            changes.append(asyncio.ensure_future(second.buckets.set_attrs(there, {f"user.rgw.{name}": b"yes"})))

    await gateway.resharder.reshard(bucket, 7, on_step)
    await asyncio.gather(*changes)
    await gateway.buckets.reload(bucket)
    assert {name for name, value in bucket.attrs.items() if value == b"yes"} == {
        "user.rgw.fenced", "user.rgw.instance made", "user.rgw.drained", "user.rgw.switched"}
    await second.close()
    await settled(gateway, bucket, 7)


async def test_a_gateway_that_was_not_told_yet(gateway, bucket):
    """Between the switch and its notify: it lists the whole old index, and what it writes goes into the new one, which it lists from then on."""
    names = await fill(gateway, bucket, 50)
    second = await Gateway.open(gateway.cluster, gateway.options)
    there, old_id = await second.buckets.get(bucket.name), bucket.bucket_id
    announce, seen = gateway.metadata.announce, []

    async def late(pool, oid):
        if oid == bucket.name and not seen:
            seen.append(oid)
            assert await listed(second, await second.buckets.get(bucket.name)) == names
            assert (await second.buckets.get(bucket.name)).bucket_id == old_id
            await add(second, there, "new")
            await remove(second, there, names.pop(0))
            assert there.bucket_id != old_id
            assert await listed(second, await second.buckets.get(bucket.name)) == [*names, "new"]
        await announce(pool, oid)

    gateway.metadata.announce = late
    await gateway.resharder.reshard(bucket, 7)
    await second.close()
    assert seen
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == [*names, "new"]


async def test_a_bucket_deleted_meanwhile(gateway, user, private):
    bucket, _ = await gateway.buckets.create(f"b{secrets.token_hex(4)}", user, private)
    before = await all_shards(gateway, bucket)
    deletions: list[asyncio.Task] = []
    handle = await gateway.buckets.get(bucket.name)

    def on_step(name: str, copied: int) -> None:
        if name == "fenced":
            deletions.append(asyncio.ensure_future(gateway.buckets.delete(bucket)))

    with pytest.raises((S3Error, NotFound)):
        await gateway.resharder.reshard(handle, 7, on_step)
    await asyncio.gather(*deletions)
    assert not {oid for oid in await all_shards(gateway, bucket) if bucket.bucket_id in oid}
    assert await all_shards(gateway, bucket) < before


async def test_writers_end_the_block_of_one_who_died(gateway, bucket, monkeypatch):
    names = await fill(gateway, bucket, 50)
    old_id = bucket.bucket_id
    dead = await Gateway.open(gateway.cluster, gateway.options)
    with pytest.raises(Killed):
        await dead.resharder.reshard(await dead.buckets.get(bucket.name), 7, dies_at("blocked"))
    monkeypatch.setattr(index_module, "_RECOVERY_DELAY", 0.1)
    write = asyncio.ensure_future(add(gateway, bucket, "waits"))
    await asyncio.sleep(0.2)
    assert not write.done(), "written into a blocked index"
    await break_lock(gateway, bucket, old_id)
    await asyncio.wait_for(write, 10)
    await dead.close()
    await settled(gateway, bucket, 3)
    assert await listed(gateway, bucket) == [*names, "waits"]


async def test_radosgws_fence_of_one_who_died_is_cleared(gateway, bucket, monkeypatch):
    monkeypatch.setattr(index_module, "_RECOVERY_DELAY", 0.1)
    fence = cls_rgw.SetBucketReshardingOp(entry=BucketInstanceEntry(status=1, new_bucket_instance_id="", num_shards=5))
    for oid in shard_names(bucket.bucket_id, bucket.num_shards):
        await bucket.index_ioctx.write(oid, WriteOp().call(classes.SET_BUCKET_RESHARDING(fence)))
    await asyncio.wait_for(add(gateway, bucket, "waits"), 10)
    await settled(gateway, bucket, 3)


async def test_a_write_waits_no_longer_than_it_may(gateway, bucket):
    dead = await Gateway.open(gateway.cluster, gateway.options)
    with pytest.raises(Killed):
        await dead.resharder.reshard(await dead.buckets.get(bucket.name), 7, dies_at("blocked"))
    gateway.options._values["rgw_reshard_wait_timeout"] = 0.2
    with pytest.raises(S3Error) as refusal:
        await add(gateway, bucket, "in vain")
    assert refusal.value.code == "SlowDown"
    await dead.close()
    await break_lock(gateway, bucket, bucket.bucket_id)
    await gateway.resharder.recover_all()


async def test_objects_through_the_whole_gateway(gateway, user, bucket):
    bodies = {f"o{i}": secrets.token_bytes(500 + i) for i in range(30)}
    done = asyncio.Event()

    async def write() -> None:
        i = 0
        while not done.is_set():
            key = f"o{i % 30}"
            bodies[key] = secrets.token_bytes(400)
            await put(gateway, await gateway.buckets.get(bucket.name), key, bodies[key], user)
            i += 1

    writer = asyncio.ensure_future(write())
    await fill(gateway, bucket, 200)
    for shards in (5, 1):
        await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), shards)
    done.set()
    await writer
    await settled(gateway, bucket, 1)
    written = {key: data for key, data in bodies.items() if key in await listed(gateway, bucket)}
    assert written
    for key, data in written.items():
        assert await fetch(gateway, bucket, key) == data


async def test_the_queue_and_dynamic_resharding(gateway, bucket):
    gateway.options._values |= {"rgw_max_objs_per_shard": 20, "rgw_reshard_thread_interval": 60.0}
    await gateway.reshard_queue.add(bucket, 4)
    assert [(e.bucket_name, e.old_num_shards, e.new_num_shards) for e in await gateway.reshard_queue.list() if e.bucket_name == bucket.name] == [
        (bucket.name, 3, 4)]
    await gateway.reshard_queue.remove("", bucket.name)
    with pytest.raises(NotFound):
        await gateway.reshard_queue.remove("", bucket.name)
    gateway.reshard_queue.start()
    names = await fill(gateway, bucket, 100)
    async with asyncio.timeout(20):
        while (await gateway.buckets.get(bucket.name)).num_shards == 3 or await gateway.reshard_queue.get(bucket):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await gateway.reshard_queue.stop()
    await gateway.buckets.reload(bucket)
    assert bucket.num_shards in (7, 11)  # a prime for twice the objects there were
    await settled(gateway, bucket, bucket.num_shards)
    assert await listed(gateway, bucket) == names


async def test_a_worker_that_is_stopped_leaves_the_queue_to_others(gateway, bucket, monkeypatch):
    await gateway.reshard_queue.add(bucket, 4)
    begun = asyncio.Event()

    async def endless(*_):
        begun.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(gateway.resharder, "reshard", endless)
    work = asyncio.ensure_future(gateway.reshard_queue.process())
    await begun.wait()
    second = await Gateway.open(gateway.cluster, gateway.options)
    assert await second.reshard_queue.process() == 0, "two work at one queue"
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert await second.reshard_queue.process() == 1
    await second.close()
    await settled(gateway, bucket, 4)


async def test_numbers_that_are_refused(gateway, bucket):
    for number in (0, -1, 65522):
        with pytest.raises(S3Error) as refusal:
            await gateway.resharder.reshard(bucket, number)
        assert refusal.value.code == "InvalidArgument"


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_versioned_bucket_in_use(gateway, user, bucket, suspended):
    """Versions are put and deleted through two gateways while the bucket is resharded, twice; every one is there and readable."""
    await gateway.buckets.set_versioning(bucket, True)
    for i in range(20):
        await put(gateway, bucket, f"o{i:02d}", b"first %d" % i, user)
    if suspended:
        await gateway.buckets.set_versioning(bucket, False)
    second = await Gateway.open(gateway.cluster, gateway.options)
    there = await second.buckets.get(bucket.name)
    done = asyncio.Event()
    current: dict[str, bytes] = {f"o{i:02d}": b"first %d" % i for i in range(20)}
    counts = [0, 0]

    async def write(number: int, gw, handle) -> None:
        while not done.is_set():
            counts[number] += 1
            key = f"o{(counts[number] * 2 + number) % 20:02d}"
            if counts[number] % 4 == 0:
                await gw.objects.delete(handle, key)
                current.pop(key, None)
            else:
                data = secrets.token_bytes(20)
                await put(gw, handle, key, data, user)
                current[key] = data

    writers = [asyncio.ensure_future(write(0, gateway, bucket)), asyncio.ensure_future(write(1, second, there))]
    for shards in (7, 2):
        before = list(counts)
        await gateway.resharder.reshard(await gateway.buckets.get(bucket.name), shards)
        await asyncio.sleep(0.2)
        assert all(now > then for now, then in zip(counts, before, strict=True))
    done.set()
    await asyncio.gather(*writers)
    await second.close()
    await settled(gateway, bucket, 2)
    assert await listed(gateway, bucket) == sorted(current)
    for key, data in current.items():
        assert await fetch(gateway, bucket, key) == data
    versions = await gateway.listing.versions(bucket, max_keys=10_000)
    assert len({(entry.name, entry.instance) for entry in versions.entries}) == len(versions.entries) > 20
    for entry in versions.entries:
        if not entry.flags & 4:  # no delete marker
            assert (await gateway.objects.head(bucket, entry.name, entry.instance or "null")).size > 0


async def test_a_bucket_of_a_tenant(gateway):
    user = await gateway.users.create(f"t{secrets.token_hex(2)}$u{secrets.token_hex(4)}", "A user")
    bucket, _ = await gateway.buckets.create("b", user, AccessControlPolicy.private(user.user_id.text(), "A user"))
    await put(gateway, bucket, "k", b"data", user)
    dead = await Gateway.open(gateway.cluster, gateway.options)
    with pytest.raises(Killed):
        await dead.resharder.reshard(await dead.buckets.get("b", bucket.tenant), 5, dies_at("switched"))
    ioctx, oid = await gateway.pool(gateway.zone.reshard_pool), f"{bucket.tenant}:b:{bucket.bucket_id}"
    assert (await ioctx.read(oid, ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK))))).reply.lockers
    await dead.close()
    await ioctx.write(oid, WriteOp().remove())
    assert await gateway.resharder.recover_all()
    await gateway.buckets.reload(bucket)
    assert bucket.num_shards == 5
    await gateway.resharder.reshard(bucket, 2)
    assert await fetch(gateway, bucket, "k") == b"data"
    await gateway.reshard_queue.add(bucket, 3)
    assert (await gateway.reshard_queue.get(bucket)).tenant == bucket.tenant
    await gateway.reshard_queue.process()
    await gateway.buckets.reload(bucket)
    assert bucket.num_shards == 3 and await gateway.reshard_queue.get(bucket) is None


async def test_a_silent_osd(request, gateway, bucket):
    """A store that stands still for longer than the lock lasts: the reshard is given up or goes through, and nothing is lost."""
    if "ceph" not in request.node.name:
        pytest.skip("an embedded store has no OSD")
    osd = request.getfixturevalue("ceph_cluster")
    gateway.options._values["rgw_reshard_bucket_lock_duration"] = 1.5
    names = await fill(gateway, bucket, 150)
    stopped = asyncio.Event()

    async def stop_for_a_while() -> None:
        await stopped.wait()
        osd.signal("osd", signal.SIGSTOP)
        await asyncio.sleep(2)
        osd.signal("osd", signal.SIGCONT)

    task = asyncio.ensure_future(stop_for_a_while())
    shards = 3
    try:
        await gateway.resharder.reshard(bucket, 7, lambda name, n: stopped.set() if name == "fenced" else None)
        shards = 7
    except S3Error as error:
        assert error.code == "OperationAborted"
    await task
    await asyncio.sleep(1.6)  # the lock of a reshard that was given up has expired by now
    await gateway.resharder.recover_all()
    await settled(gateway, bucket, shards)
    assert await listed(gateway, bucket) == names


async def test_an_osd_that_is_restarted(request, gateway, bucket, monkeypatch):
    """The store is gone for seconds in the middle of the copy: the reshard and a writer go on when it is back."""
    if "ceph" not in request.node.name:
        pytest.skip("an embedded store has no OSD")
    osd = request.getfixturevalue("ceph_cluster")
    names = await fill(gateway, bucket, 150)
    back: list[asyncio.Future] = []

    async def pause(self, oid) -> None:
        if not back:
            await asyncio.to_thread(osd.end, "osd", 60)
            back.append(asyncio.ensure_future(asyncio.to_thread(osd.start_osd)))

    async def write() -> None:
        handle = await gateway.buckets.get(bucket.name)
        while not (back and back[0].done()):
            await add(gateway, handle, f"w{len(written):05d}")
            written.append(f"w{len(written):05d}")

    written: list[str] = []
    monkeypatch.setattr(IndexCopy, "_pause", pause)
    writer = asyncio.ensure_future(write())
    await gateway.resharder.reshard(bucket, 7)
    await back[0]
    await writer
    await settled(gateway, bucket, 7)
    assert await listed(gateway, bucket) == [*names, *written] and written
