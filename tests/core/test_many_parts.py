"""Uploads of very many parts: what Complete and the listing of uploads cost."""

import time
from dataclasses import replace

import pytest

from rgw.core import listing
from rgw.core.index import OP_ADD, IndexKey
from rgw.core.multipart import CompletedPart
from rgw.core.options import Options
from rgw.core.uploads import part_omap_key
from rgw.formats.index import DirEntry, DirEntryMeta
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import md5, new_upload, upload_part

PARTS = 10_000


@pytest.fixture
def options() -> Options:
    return Options({"rgw_gc_obj_min_wait": 0, "rgw_override_bucket_index_max_shards": 1, "rgw_multipart_min_part_size": 0})


async def test_complete_of_ten_thousand_parts(gateway, bucket, user, record_property):
    """The records are copies of one real part's: their bytes, which Complete never looks at, are not there."""
    upload = await new_upload(gateway, bucket, "big", user)
    await upload_part(gateway, upload, 1, b"x")
    (first,), _ = await gateway.multipart.list_parts(upload)
    info = first.info
    for start in range(1, PARTS + 1, 1000):
        rules = {number: {0: replace(info.manifest.rules[0], start_part_num=number)} for number in range(start, start + 1000)}
        records = {part_omap_key(number): replace(info, num=number, manifest=replace(info.manifest, rules=rule)).encode()
                   for number, rule in rules.items()}
        await upload.pool.write(upload.meta_oid, WriteOp().assert_exists().omap_set(records))
    wanted = [CompletedPart(number, md5(b"x")) for number in range(1, PARTS + 1)]
    before = time.perf_counter()
    state = await gateway.multipart.complete(bucket, "big", upload.upload_id, wanted)
    took = time.perf_counter() - before
    record_property("seconds", took)
    print(f"Complete of {PARTS} parts: {took:.2f} s")
    assert state.size == PARTS and state.etag.endswith(f"-{PARTS}")
    assert took < 10  # about one on a machine of its own
    assert len(state.parts) == PARTS and state.parts[-1] == (PARTS, PARTS - 1, 1)


async def test_listing_uploads_jumps_over_parts(gateway, bucket, user, add_entries, monkeypatch):
    for key in ("a", "k", "k.5", "z"):
        await new_upload(gateway, bucket, key, user)
    upload = (await gateway.multipart.list_uploads(bucket, prefix="k")).uploads[0]
    place = IndexKey.multipart(f"k.{upload.upload_id}.1", "k")
    tag = gateway.new_tag()
    await bucket.index.prepare(OP_ADD, tag, place)
    await bucket.index.complete(OP_ADD, tag, place, pool_id=1, version=1, meta=DirEntryMeta(category=1, size=1, accounted_size=1))
    oid, ioctx = bucket.index.shard("k"), bucket.index_ioctx
    made = await ioctx.read(oid, ReadOp().omap_get_keys([place.name.encode()]))
    entry = DirEntry.decode(made.omap.values[place.name.encode()])
    names = [f"_multipart_k.{upload.upload_id}.{number}" for number in range(2, 5001)]
    await ioctx.write(oid, WriteOp().omap_set({name.encode(): replace(entry, name=name).encode() for name in names}))
    fetched = 0
    fetch = listing._fetch

    async def counted(shards):
        nonlocal fetched
        await fetch(shards)
        fetched += sum(len(shard.page) for shard in shards)
    monkeypatch.setattr(listing, "_fetch", counted)
    page = await gateway.multipart.list_uploads(bucket)
    assert [item.key for item in page.uploads] == ["a", "k", "k.5", "z"]
    assert fetched < 2000  # of 5,004
    assert [item.key for item in (await gateway.multipart.list_uploads(bucket, key_marker="k")).uploads] == ["k.5", "z"]
    assert [item.key for item in (await gateway.multipart.list_uploads(bucket, "", "", "k", upload.upload_id[:-1])).uploads] == ["k", "k.5", "z"]
