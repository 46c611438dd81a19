"""`bucket check`: what was broken on purpose is found, told and mended; what is right is left alone."""

import asyncio

import pytest

from rgw.core import bucket_check, raw_index
from rgw.core.index import IndexKey
from rgw.core.purge import purge_bucket
from rgw.errors import S3Error
from rgw.formats.index import DirEntry
from rgw.formats.names import raw_name
from rgw.store.interface import WriteOp
from tests.core.helpers import body, census, new_upload, put, upload_part


async def damaged(gateway, bucket, user):
    """A bucket with every kind of difference; the keys by what is wrong with them."""
    for key in ("good", "_good", "ünï", "unlisted", "_unlisted", "gone", "_gone", "wrong"):
        await put(gateway, bucket, key, body(5_000), user)
    for key in ("unlisted", "_unlisted"):
        await gateway_write(bucket, key, WriteOp().omap_rm([IndexKey.of(key).name.encode()]))
    for key in ("gone", "_gone"):
        head = await gateway.objects.head(bucket, key)
        await head.head_pool.write(head.head_oid, WriteOp().remove(), head.head_locator)
    entry = DirEntry.decode((await raw_index.get(bucket, "wrong")).data)
    entry.meta.size = entry.meta.accounted_size = 4
    await gateway_write(bucket, "wrong", WriteOp().omap_set({b"wrong": entry.encode()}))


async def gateway_write(bucket, key, op):
    await bucket.index_ioctx.write(bucket.index.shard(key), op)


async def test_everything_is_found_and_mended(gateway, bucket, user):
    await damaged(gateway, bucket, user)
    report = await bucket_check.check(gateway, bucket, check_objects=True)
    expected = {
        "unlisted": "the object exists, but the index does not list it", "__unlisted": "the object exists, but the index does not list it",
        "gone": "the index lists it, but there is no such object", "__gone": "the index lists it, but there is no such object",
        "wrong": "the entry tells size 4 instead of 5000",
    }
    assert {item.object: item.problem for item in report.differences} == expected
    assert not report.clean and not any(item.mended for item in report.differences)
    assert report.statistics_differ  # entries went without being taken off
    mended = await bucket_check.check(gateway, bucket, fix=True, check_objects=True)
    assert {item.object: item.problem for item in mended.differences} == expected
    assert all(item.mended for item in mended.differences)
    again = await bucket_check.check(gateway, bucket, check_objects=True)
    assert again.clean and not again.differences
    dump = again.dump()["check_result"]
    assert dump["existing_header"] == dump["calculated_header"]
    assert dump["existing_header"]["usage"]["rgw.main"]["num_objects"] == 6
    assert dump["existing_header"]["usage"]["rgw.main"]["size"] == 6 * 5_000
    listing = await gateway.listing.objects(bucket)
    assert [(entry.name, entry.accounted_size) for entry in listing.entries] == [
        (key, 5_000) for key in ("_good", "_unlisted", "good", "unlisted", "wrong", "ünï")]


async def test_without_looking_at_objects_only_statistics_are_mended(gateway, bucket, user):
    await damaged(gateway, bucket, user)
    assert (await bucket_check.check(gateway, bucket, fix=True)).dump().keys() == {"invalid_multipart_entries", "check_result"}
    report = await bucket_check.check(gateway, bucket)
    assert not report.statistics_differ and report.objects is None


async def test_parts_without_an_upload(gateway, bucket, user):
    """What radosgw 16 leaves of parts that were uploaded again: entries that no upload explains. Those of uploads under way stay."""
    upload = await new_upload(gateway, bucket, "open", user)
    await upload_part(gateway, upload, 1, body(100))
    await upload_part(gateway, upload, 1, body(101))
    ended = await new_upload(gateway, bucket, "_ended", user)
    await upload_part(gateway, ended, 1, body(100))
    await ended.pool.write(ended.meta_oid, WriteOp().remove())
    report = await bucket_check.check(gateway, bucket)
    stale = [f"_multipart__ended.{ended.upload_id}.{end}" for end in ("1", "meta")]
    assert report.invalid_multipart_entries == stale and not report.clean
    assert (await bucket_check.check(gateway, bucket, fix=True)).invalid_multipart_entries == stale
    assert (await bucket_check.check(gateway, bucket)).invalid_multipart_entries == []
    parts, _ = await gateway.multipart.list_parts(upload)
    assert [part.size for part in parts] == [101]


async def test_a_write_that_comes_between_wins(gateway, bucket, user):
    """An entry that changed after it was read is not mended by what was read before."""
    await put(gateway, bucket, "k", body(10), user)
    raw = await raw_index.get(bucket, "k")
    stale = bucket_check.Difference("k", "", "x", key="k", entry=DirEntry.decode(raw.data), raw=raw.data)
    await put(gateway, bucket, "k", body(20), user)
    assert not await bucket_check._mend_one(gateway, bucket, stale)
    assert (await gateway.listing.objects(bucket)).entries[0].accounted_size == 20


async def test_beside_writers_nothing_is_found_and_nothing_lost(gateway, bucket, user):
    stop = asyncio.Event()
    keys = [f"k{number}" for number in range(8)]

    async def write(key):
        size = 1
        while not stop.is_set():
            await put(gateway, bucket, key, body(size), user)
            size += 1
        return size - 1

    writers = [asyncio.ensure_future(write(key)) for key in keys]
    for _ in range(5):
        await bucket_check.check(gateway, bucket, fix=True, check_objects=True)
    stop.set()
    sizes = await asyncio.gather(*writers)
    assert [entry.accounted_size for entry in (await gateway.listing.objects(bucket)).entries] == list(sizes)
    assert (await bucket_check.check(gateway, bucket, check_objects=True)).clean


async def test_a_bucket_that_is_gone(gateway, bucket):
    await gateway.buckets.delete(bucket)
    with pytest.raises(S3Error, match="NoSuchBucket"):
        await bucket_check.check(gateway, bucket)


@pytest.mark.parametrize("key,instance", [("a", ""), ("_x", ""), ("__", ""), ("a/b_c:d", ""), ("a", "VER-1.x"), ("_x", "VER")])
def test_heads_are_known_by_their_names(key, instance):
    assert bucket_check.parse_head("m.1", raw_name("m.1", key, instance)) == (key, instance)


@pytest.mark.parametrize("oid", ["m.1__shadow_.abc_1", "m.1__multipart_a.2~x.1", "m.1__shadow:VER_.abc_1", "m.12_a", "other"])
def test_other_names_are_no_heads(oid):
    assert bucket_check.parse_head("m.1", oid) is None


async def test_a_purge_of_a_bucket_that_lists_what_is_not_there(gateway, bucket, user, add_entries):
    """It does not list and remove nothing for ever, and takes what is there and not listed along."""
    await add_entries(bucket, "k1", "k2", "k3")
    for key in ("last", "unlisted"):
        await put(gateway, bucket, key, b"x", user)
    await gateway_write(bucket, "unlisted", WriteOp().omap_rm([b"unlisted"]))
    assert await asyncio.wait_for(purge_bucket(gateway, bucket), 60) == 2
    assert not await census(gateway, bucket)
    with pytest.raises(S3Error, match="NoSuchBucket"):
        await gateway.buckets.get(bucket.name)
