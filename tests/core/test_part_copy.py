"""UploadPartCopy by reference on each store: what it shares, and what is left in every order of events."""

import asyncio

import pytest

from rgw.core.uploads import PIECES
from rgw.errors import S3Error
from tests.core.helpers import MIB, body, census, collect, completed, fetch, index_keys, md5, new_upload, put, upload_part


async def test_mixed_parts_survive_their_source(gateway, bucket, user):
    data = body(21 * MIB)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    before = await census(gateway, bucket)
    extra = body(5 * MIB)
    parts = await asyncio.gather(
        gateway.multipart.copy_part(upload, 1, source, 0, 6 * MIB),
        upload_part(gateway, upload, 2, extra),
        gateway.multipart.copy_part(upload, 3, source, 5 * MIB + 3, 13 * MIB),
        gateway.multipart.copy_part(upload, 4, source, 20 * MIB, MIB),
    )
    new = await census(gateway, bucket) - before
    assert len(new) == 5  # four parts, and the tail of the uploaded one
    listed, _ = await gateway.multipart.list_parts(upload)
    assert [(p.size, p.etag) for p in listed] == [(p.size, p.etag) for p in parts]
    await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed(parts))
    expected = data[:6 * MIB] + extra + data[5 * MIB + 3:18 * MIB + 3] + data[20 * MIB:]
    assert await fetch(gateway, bucket, "dst") == expected
    assert (await gateway.objects.head(bucket, "dst")).parts == [
        (1, 0, 6 * MIB), (2, 6 * MIB, 5 * MIB), (3, 11 * MIB, 13 * MIB), (4, 24 * MIB, MIB)]
    await gateway.objects.delete(bucket, "src")
    await collect(gateway)
    assert await fetch(gateway, bucket, "dst") == expected
    copied = await gateway.objects.copy(await gateway.objects.head(bucket, "dst"), bucket, "copy", owner=user)
    await gateway.objects.delete(bucket, "dst")
    await collect(gateway)
    assert copied.size == len(expected)
    assert await fetch(gateway, bucket, "copy") == expected
    await gateway.objects.delete(bucket, "copy")
    await collect(gateway)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


@pytest.mark.parametrize("source_first", [True, False])
async def test_abort_gives_back_what_it_took(gateway, bucket, user, source_first):
    data = body(13 * MIB)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    await gateway.multipart.copy_part(upload, 1, source, 0, 13 * MIB)
    if source_first:
        await gateway.objects.delete(bucket, "src")
        await collect(gateway)
    await gateway.multipart.abort(bucket, "dst", upload.upload_id)
    await collect(gateway)
    if not source_first:
        assert await fetch(gateway, bucket, "src") == data
        await gateway.objects.delete(bucket, "src")
        await collect(gateway)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


async def test_replaced_and_unnamed_copies_are_freed(gateway, bucket, user):
    data = body(13 * MIB)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    await gateway.multipart.copy_part(upload, 1, source, 0, 13 * MIB)
    part = await gateway.multipart.copy_part(upload, 1, source, 5 * MIB, 8 * MIB)
    await gateway.multipart.copy_part(upload, 2, source, 0, 13 * MIB)
    await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed([part]))
    await gateway.objects.delete(bucket, "src")
    await collect(gateway)
    assert await fetch(gateway, bucket, "dst") == data[5 * MIB:]
    assert await index_keys(gateway, bucket) == {"dst"}
    await gateway.objects.delete(bucket, "dst")
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_refused_complete_reopens_the_upload(gateway, bucket, user):
    data = body(9 * MIB)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    part = await gateway.multipart.copy_part(upload, 1, source, 0, 9 * MIB)
    from rgw.core.conditions import Conditions

    with pytest.raises(S3Error, match="NoSuchKey"):
        await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed([part]), conditions=Conditions(if_match='"x"'))
    assert [p.number for p in (await gateway.multipart.list_parts(upload))[0]] == [1]
    await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed([part]))
    assert await fetch(gateway, bucket, "dst") == data


async def test_etag_is_md5_where_known_and_stable_elsewhere(gateway, bucket, user):
    data = body(9 * MIB)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    whole = await gateway.multipart.copy_part(upload, 1, source, 0, 9 * MIB)
    assert whole.etag == md5(data)
    first = await gateway.multipart.copy_part(upload, 2, source, MIB, 8 * MIB)
    again = await gateway.multipart.copy_part(upload, 3, source, MIB, 8 * MIB)
    other = await gateway.multipart.copy_part(upload, 4, source, MIB, 8 * MIB - 1)
    assert first.etag == again.etag != other.etag and len(first.etag) == 32


async def test_ranges_in_the_head_are_copied(gateway, bucket, user):
    data = body(9 * MIB)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    part = await gateway.multipart.copy_part(upload, 1, source, 5, 1000)
    assert part.etag == md5(data[5:1005]) and not part.by_reference
    await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed([part]))
    assert await fetch(gateway, bucket, "dst") == data[5:1005]


async def test_an_object_lies_in_no_more_pieces_than_the_limit(gateway, bucket, user):
    """Counted for the source as a whole and for the upload as a whole, not for one range."""
    large, small = body(21 * MIB), body(9 * MIB)
    await put(gateway, bucket, "large", large, user)
    await put(gateway, bucket, "small", small, user)
    gateway.options._values["rgw_part_copy_max_pieces"] = 5
    upload = await new_upload(gateway, bucket, "dst", user)
    source = await gateway.objects.head(bucket, "large")
    await gateway.multipart.copy_part(upload, 1, source, 4 * MIB, 5 * MIB)
    source = await gateway.objects.head(bucket, "small")
    seen = [await gateway.multipart.get(bucket, "dst", upload.upload_id) for _ in range(4)]  # each as its request found it
    await asyncio.gather(*(gateway.multipart.copy_part(each, number, source, 0, 9 * MIB) for number, each in enumerate(seen, 2)))
    parts, _ = await gateway.multipart.list_parts(upload)
    assert not parts[0].by_reference and sum(part.by_reference for part in parts) == 2  # two tails each
    assert {part.etag for part in parts[1:]} == {md5(small)}
    state = await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed(parts))
    assert PIECES not in state.attrs
    for key in ("large", "small"):
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await fetch(gateway, bucket, "dst") == large[4 * MIB:9 * MIB] + small * 4
    await gateway.objects.delete(bucket, "dst")
    await collect(gateway)
    assert await census(gateway, bucket) == set()
