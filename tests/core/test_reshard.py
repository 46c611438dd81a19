"""Resharding a bucket's index: every entry finds its shard, whatever the bucket holds and whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, IndexKey, shard_names
from rgw.core.options import Options
from rgw.core.reshard_lock import LOCK
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.cls_lock import GetInfoOp
from rgw.formats.index import ClsObjKey, DirEntryMeta
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import completed, fetch, index_keys, new_upload, put, upload_part
from tests.core.reshard_tools import META, OPTIONS, Killed, add, all_shards, dies_at, fill, listed, remove, settled


@pytest.fixture
def options() -> Options:
    return Options(OPTIONS)


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
        await bucket.index.complete(OP_ADD, tag, place, pool_id=1, version=5, meta=META)
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
