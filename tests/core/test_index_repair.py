"""Entries that a dead gateway left unfinished: listings show what the heads say, and mend the index once the change is old."""

import asyncio

import pytest

from rgw.core import bucket_check
from rgw.core.index import OP_DEL, IndexKey
from rgw.core.index_repair import TAG_TIMEOUT
from rgw.core.indexed import IndexChange
from rgw.core.key_index import read_key
from rgw.core.state import COMPRESSION
from rgw.formats import cls_rgw
from rgw.formats.index import ClsObjKey, DirEntryMeta
from rgw.formats.obj import CompressionInfo
from rgw.store import classes
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import body, fetch, index_keys, md5, new_upload, put


class Killed(Exception):
    pass


@pytest.fixture
def killed(monkeypatch):
    """Within it, changes of the index are never completed, as if the gateway were killed before."""
    def start():
        async def die(*args, **kwargs):
            raise Killed

        monkeypatch.setattr(IndexChange, "complete", die)

    yield start, monkeypatch.undo


async def age(bucket) -> None:
    """Makes unfinished changes old."""
    for oid in bucket.index.shards():
        await bucket.index.ioctx.write(oid, WriteOp().call(classes.BUCKET_SET_TAG_TIMEOUT(cls_rgw.TagTimeoutOp(tag_timeout=1))))
    await asyncio.sleep(1.2)


async def listed(gateway, bucket) -> dict[str, str]:
    return {entry.name: entry.etag for entry in (await gateway.listing.objects(bucket)).entries}


async def stored(bucket, key):
    call = classes.BI_GET(cls_rgw.BiGetOp(key=ClsObjKey(name=key), type=1))
    reply = (await bucket.index.ioctx.read(bucket.index.shard(key), ReadOp().call(call))).reply
    from rgw.formats.index import DirEntry

    return DirEntry.decode(reply.entry.data)


async def true_stats(bucket) -> None:
    """The header of each shard agrees with its entries."""
    for oid in bucket.index.shards():
        reply = (await bucket.index.ioctx.read(oid, ReadOp().call(classes.BUCKET_CHECK_INDEX()))).reply
        assert {k: v for k, v in reply.existing_header.stats.items() if v.num_entries} == reply.calculated_header.stats


async def test_written_but_not_completed(gateway, bucket, user, killed) -> None:
    start, stop = killed
    old, new = body(100), body(200)
    await put(gateway, bucket, "over", old, user)
    start()
    for key in ("new", "over"):
        with pytest.raises(Killed):
            await put(gateway, bucket, key, new, user)
    stop()
    assert await listed(gateway, bucket) == {"new": md5(new), "over": md5(new)}
    assert not (await stored(bucket, "new")).exists  # too young to be mended
    await age(bucket)
    assert await listed(gateway, bucket) == {"new": md5(new), "over": md5(new)}
    for key in ("new", "over"):
        entry = await stored(bucket, key)
        assert entry.exists and not entry.pending_map and entry.meta.size == 200 and entry.meta.owner == user.user_id.text()
    await true_stats(bucket)
    assert await gateway.objects.delete(bucket, "new")
    assert await listed(gateway, bucket) == {"over": md5(new)}


async def test_compressed_and_not_completed(gateway, bucket, user, killed) -> None:
    """Of an object that radosgw compressed the entry tells the stored size and the true one."""
    start, stop = killed
    start()
    with pytest.raises(Killed):
        await put(gateway, bucket, "k", body(100), user, attrs={COMPRESSION: CompressionInfo(compression_type="zlib", orig_size=700).encode()})
    stop()
    await age(bucket)
    await listed(gateway, bucket)
    meta = (await stored(bucket, "k")).meta
    assert (meta.size, meta.accounted_size) == (100, 700)
    await true_stats(bucket)


async def test_removed_but_not_completed(gateway, bucket, user, killed) -> None:
    start, stop = killed
    await put(gateway, bucket, "gone", body(10), user)
    await put(gateway, bucket, "there", body(10), user)
    start()
    with pytest.raises(Killed):
        await gateway.objects.delete(bucket, "gone")
    stop()
    assert list(await listed(gateway, bucket)) == ["there"]
    assert (await stored(bucket, "gone")).exists
    await age(bucket)
    assert list(await listed(gateway, bucket)) == ["there"]
    assert await index_keys(gateway, bucket) == {"there"}
    await true_stats(bucket)


async def test_prepared_but_not_written(gateway, bucket, user) -> None:
    await put(gateway, bucket, "b", body(10), user)
    for key in ("a", "b", "c"):
        await bucket.index.prepare(OP_DEL if key == "b" else 0, gateway.new_tag(), IndexKey.of(key))
    assert list(await listed(gateway, bucket)) == ["b"]
    assert await index_keys(gateway, bucket) == {"a", "b", "c"}
    await age(bucket)
    assert list(await listed(gateway, bucket)) == ["b"]
    assert await index_keys(gateway, bucket) == {"b"}
    assert not (await stored(bucket, "b")).pending_map


async def test_uploads_entry_without_its_upload(gateway, bucket, user, killed) -> None:
    start, stop = killed
    upload = await new_upload(gateway, bucket, "k.with.dots", user)
    start()
    with pytest.raises(Killed):
        await gateway.multipart.create(bucket, "born", owner=user, attrs={})
    with pytest.raises(Killed):
        await gateway.multipart.abort(bucket, upload.key, upload.upload_id)
    stop()
    assert [item.key for item in (await gateway.multipart.list_uploads(bucket)).uploads] == ["born"]
    assert len(await index_keys(gateway, bucket)) == 2
    await age(bucket)
    born = (await gateway.multipart.list_uploads(bucket)).uploads
    assert [(item.key, item.owner) for item in born] == [("born", user.user_id.text())]
    assert len(await index_keys(gateway, bucket)) == 1
    await gateway.multipart.abort(bucket, "born", born[0].upload_id)
    assert await index_keys(gateway, bucket) == set()
    await true_stats(bucket)


async def test_change_that_outlives_its_announcement(gateway, bucket, user) -> None:
    """A writer that stops for long after its prepare: a listing takes the entry away, the writer brings it back."""
    change = await IndexChange.prepare(gateway, bucket, IndexKey.of("slow"), delete=False, tag=gateway.new_tag())
    await age(bucket)
    assert await listed(gateway, bucket) == {}
    assert await index_keys(gateway, bucket) == set()
    await change.complete(1, 10, DirEntryMeta(category=1, size=7, accounted_size=7, etag="e"))
    assert await listed(gateway, bucket) == {"slow": "e"}
    await change.cancel()


async def test_late_delete_spares_a_newer_object(gateway, bucket, user, monkeypatch) -> None:
    """The entry of an object that is written between a removal and the end of its change stays."""
    await put(gateway, bucket, "k", body(10), user)
    complete = IndexChange.complete
    data = body(20)

    async def late(self, *args, **kwargs):
        monkeypatch.undo()
        await put(gateway, bucket, "k", data, user)
        await complete(self, *args, **kwargs)

    monkeypatch.setattr(IndexChange, "complete", late)
    assert await gateway.objects.delete(bucket, "k")
    assert await fetch(gateway, bucket, "k") == data
    assert await listed(gateway, bucket) == {"k": md5(data)}
    await true_stats(bucket)


@pytest.fixture
async def nulls(gateway, bucket, user, killed) -> dict[str, bytes]:
    """Null versions at which a gateway died before or after it wrote the head; others brought the notes into listings. Their bytes."""
    start, stop = killed
    held = {}

    async def write(size: int, *keys: str) -> None:
        for key in keys:
            held[key] = body(size)
            await put(gateway, bucket, key, held[key], user)

    async def write_and_die(*keys: str) -> None:
        start()
        for key in keys:
            with pytest.raises(Killed):
                await write(5_000, key)
        stop()

    async def announce_and_die(*keys: str) -> None:
        for key in keys:
            await bucket.index.prepare(0, gateway.new_tag(), IndexKey.of(key))

    await write(10, "_before", "before")
    await write_and_die("_before")
    await announce_and_die("before")
    await gateway.buckets.set_versioning(bucket, True)
    await gateway.buckets.set_versioning(bucket, False)
    await write(10, "written", "_announced", "again")
    await write_and_die("written")
    await announce_and_die("_announced", "again")
    await write(20, "again")
    await gateway.buckets.set_versioning(bucket, True)
    for key in set(held) - {"again"}:
        await put(gateway, bucket, key, body(30), user)
    for key in held:
        assert [row.entry.instance for row in (await read_key(bucket, key)).listed if row.entry.pending_map] == [""], key
    return held


async def notes(bucket, key) -> tuple[int, int]:
    """How many are in what listings show of a key, and in the entries of its versions."""
    index = await read_key(bucket, key)
    return sum(len(row.entry.pending_map) for row in index.listed), sum(len(stored.entry.pending_map) for stored in index.versions)


async def test_notes_of_null_versions(gateway, bucket, nulls) -> None:
    """Listings lose them, for radosgw would list the version twice; the entries too once they are old, and tell the truth then."""
    await age(bucket)
    rows = (await gateway.listing.versions(bucket)).entries
    assert {row.name: row.accounted_size for row in rows if not row.instance} == {key: len(data) for key, data in nulls.items()}
    assert len(rows) == 2 * len(nulls) - 1 and not any(row.pending for row in rows)
    for key, data in nulls.items():
        assert await notes(bucket, key) == (0, 0)
        state = await gateway.objects.get(bucket, key, "null")
        assert b"".join([part async for part in gateway.objects.read(state)]) == data
    await true_stats(bucket)
    report = await bucket_check.check(gateway, bucket, check_objects=True)
    assert report.clean and not report.statistics_differ and not report.differences
    assert {row.name: row.etag for row in (await gateway.listing.versions(bucket)).entries if not row.instance} == {
        key: md5(data) for key, data in nulls.items()}


async def test_young_notes_of_null_versions(gateway, bucket, nulls, user) -> None:
    """Their gateways may come back: the versions' entries keep them, listings do not."""
    await gateway.listing.objects(bucket)
    assert await notes(bucket, "again") == (0, 1)
    await gateway.listing.versions(bucket)
    for key in nulls:
        assert await notes(bucket, key) == (0, 1)
        await put(gateway, bucket, key, body(1), user)
    await true_stats(bucket)
    await gateway.buckets.set_versioning(bucket, False)
    await gateway.objects.delete(bucket, "again")  # the delete marker is in the null version's place
    assert (await notes(bucket, "again"))[0] == 1
    await gateway.listing.versions(bucket)
    assert (await notes(bucket, "again"))[0] == 0


def test_radosgws_timeout() -> None:
    assert TAG_TIMEOUT == 120
