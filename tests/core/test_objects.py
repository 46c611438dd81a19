"""Objects on each store: bytes, conditions, races, and what is left behind."""

import asyncio

import pytest

from rgw.core import head
from rgw.core.conditions import Conditions
from rgw.core.manifest import tails
from rgw.core.state import CONTENT_TYPE, MANIFEST
from rgw.errors import S3Error
from rgw.store.interface import WriteOp
from tests.core.helpers import MIB, body, census, collect, fetch, index_keys, md5, put


@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 7])
async def test_put_and_get(gateway, bucket, user, size):
    data = body(size)
    await put(gateway, bucket, "a", data, user, attrs={CONTENT_TYPE: b"text/plain\0"})
    state = await gateway.objects.head(bucket, "a")
    assert (state.size, state.etag, state.content_type) == (size, md5(data), "text/plain")
    assert state.acl.owner.id == user.user_id.text()
    assert await fetch(gateway, bucket, "a") == data
    listing = await gateway.listing.objects(bucket)
    assert [(entry.name, entry.accounted_size, entry.etag) for entry in listing.entries] == [("a", size, md5(data))]


async def test_ranges(gateway, bucket, user):
    data = body(9 * MIB)
    await put(gateway, bucket, "a", data, user)
    for offset, length in [(0, 10), (4 * MIB - 5, 10), (4 * MIB, 4 * MIB + 1), (9 * MIB - 1, 1), (3, 9 * MIB)]:
        assert await fetch(gateway, bucket, "a", offset, length) == data[offset:offset + length]


@pytest.mark.parametrize("key", ["_x", "__", "a b", "ünï/ñ", "//..//", "%2F", "_multipart_x.2~y.meta"])
async def test_awkward_keys(gateway, bucket, user, key):
    await put(gateway, bucket, key, b"data", user)
    assert await fetch(gateway, bucket, key) == b"data"
    assert [entry.name for entry in (await gateway.listing.objects(bucket)).entries] == [key]
    assert await gateway.objects.delete(bucket, key)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


async def test_missing(gateway, bucket):
    with pytest.raises(S3Error, match="NoSuchKey"):
        await gateway.objects.head(bucket, "nothing")
    with pytest.raises(S3Error, match="NoSuchVersion"):
        await gateway.objects.head(bucket, "nothing", "someversion")
    assert not await gateway.objects.delete(bucket, "nothing")


async def test_overwrite_and_delete_free_the_tail(gateway, bucket, user):
    await put(gateway, bucket, "a", body(9 * MIB), user)
    before = await census(gateway, bucket)
    data = body(5 * MIB)
    await put(gateway, bucket, "a", data, user)
    await collect(gateway)
    after = await census(gateway, bucket)
    assert len(after) == 2 and len(before & after) == 1
    assert await fetch(gateway, bucket, "a") == data
    assert await gateway.objects.delete(bucket, "a")
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_an_aborted_body_leaves_nothing(gateway, bucket, user):
    writer = gateway.objects.writer(bucket, "a", owner=user, attrs={}, size_hint=None)
    await writer.write(body(13 * MIB))
    await writer.abort()
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


async def test_conditions(gateway, bucket, user):
    with pytest.raises(S3Error, match="NoSuchKey"):
        await put(gateway, bucket, "a", b"1", user, conditions=Conditions(if_match='"x"'))
    await put(gateway, bucket, "a", b"1", user, conditions=Conditions(if_none_match="*"))
    before = await census(gateway, bucket)
    for refused in (Conditions(if_none_match="*"), Conditions(if_match='"nope"')):
        with pytest.raises(S3Error, match="PreconditionFailed"):
            await put(gateway, bucket, "a", body(5 * MIB), user, conditions=refused)
    assert await census(gateway, bucket) == before
    await put(gateway, bucket, "a", b"2", user, conditions=Conditions(if_match=f'"{md5(b"1")}"'))
    assert await fetch(gateway, bucket, "a") == b"2"
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await gateway.objects.delete(bucket, "a", conditions=Conditions(if_match='"nope"'))


async def test_create_exclusive_has_one_winner(gateway, bucket, user):
    writes = [put(gateway, bucket, "a", b"%d" % i, user, conditions=Conditions(if_none_match="*")) for i in range(8)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    lost = [result for result in results if isinstance(result, S3Error)]
    assert len(lost) == 7 and {error.code for error in lost} == {"PreconditionFailed"}


async def test_racing_writers_leave_one_whole_object(gateway, bucket, user):
    bodies = [body(5 * MIB + i) for i in range(6)]
    await asyncio.gather(*(put(gateway, bucket, "a", data, user) for data in bodies))
    await collect(gateway)
    assert await fetch(gateway, bucket, "a") in bodies
    assert len(await census(gateway, bucket)) == 2
    assert await index_keys(gateway, bucket) == {"a"}


async def test_set_attrs(gateway, bucket, user):
    data = body(5 * MIB)
    await put(gateway, bucket, "a", data, user, attrs={"user.rgw.x-amz-meta-old": b"1\0"})
    state = await gateway.objects.head(bucket, "a")
    changed = await gateway.objects.set_attrs(state, {"user.rgw.x-amz-meta-new": b"2\0", "user.rgw.x-amz-meta-old": None})
    again = await gateway.objects.head(bucket, "a")
    assert again.attrs == changed.attrs and again.idtag != state.idtag and again.tail_tag == state.tail_tag
    assert "user.rgw.x-amz-meta-old" not in again.attrs and again.attrs["user.rgw.x-amz-meta-new"] == b"2\0"
    assert await fetch(gateway, bucket, "a") == data


@pytest.mark.parametrize("size", [10, 9 * MIB])
async def test_copies_stand_alone(gateway, bucket, user, size):
    data = body(size)
    await put(gateway, bucket, "a", data, user)
    source = await gateway.objects.head(bucket, "a")
    copied = await gateway.objects.copy(source, bucket, "b", owner=user)
    assert copied.etag == md5(data)
    await gateway.objects.delete(bucket, "a")
    await collect(gateway)
    assert await fetch(gateway, bucket, "b") == data
    await gateway.objects.delete(bucket, "b")
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_copy_onto_itself(gateway, bucket, user):
    data = body(9 * MIB)
    await put(gateway, bucket, "a", data, user)
    before = await census(gateway, bucket)
    source = await gateway.objects.head(bucket, "a")
    await gateway.objects.copy(source, bucket, "a", owner=user, attrs={"user.rgw.x-amz-meta-k": b"v\0"})
    await collect(gateway)
    state = await gateway.objects.head(bucket, "a")
    assert state.attrs["user.rgw.x-amz-meta-k"] == b"v\0" and state.etag == md5(data)
    assert await census(gateway, bucket) == before
    assert await fetch(gateway, bucket, "a") == data


async def test_a_refused_copy_gives_its_references_back(gateway, bucket, user):
    data = body(9 * MIB)
    await put(gateway, bucket, "a", data, user)
    await put(gateway, bucket, "b", b"there", user)
    source = await gateway.objects.head(bucket, "a")
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await gateway.objects.copy(source, bucket, "b", owner=user, conditions=Conditions(if_none_match="*"))
    assert await fetch(gateway, bucket, "a") == data
    await gateway.objects.delete(bucket, "a")
    await gateway.objects.delete(bucket, "b")
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_overwriting_what_is_removed_meanwhile(gateway, bucket, user, monkeypatch):
    """A missing head answers the guard as a lost race: the write counts as made before the removal."""
    await put(gateway, bucket, "a", body(9 * MIB), user)
    look = head.existing_head

    async def look_then_remove(*args):
        found = await look(*args)
        monkeypatch.setattr(head, "existing_head", look)
        assert await gateway.objects.delete(bucket, "a")
        return found

    monkeypatch.setattr(head, "existing_head", look_then_remove)
    await put(gateway, bucket, "a", body(5 * MIB), user)
    await collect(gateway)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


async def test_copy_onto_itself_of_what_was_removed(gateway, bucket, user):
    await put(gateway, bucket, "a", b"data", user)
    state = await gateway.objects.get(bucket, "a")
    assert await gateway.objects.delete(bucket, "a")
    with pytest.raises(S3Error, match="OperationAborted"):
        await gateway.objects.copy(state, bucket, "a", owner=user, attrs={})
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


async def test_copies_of_what_a_newer_release_wrote_have_bytes_of_their_own(gateway, bucket, user):
    """A manifest with fields that we do not know may mean more than we would write into a copy, or over the object itself."""
    data = body(5 << 20)
    state = await put(gateway, bucket, "k", data, user)
    known = state.attrs[MANIFEST]
    newer = bytes([known[0] + 1, known[1]]) + (len(known) - 6 + 3).to_bytes(4, "little") + known[6:] + b"new"
    await state.head_pool.write(state.head_oid, WriteOp().setxattr(MANIFEST, newer))
    for key in ("copy", "k"):
        source = await gateway.objects.get(bucket, "k")
        assert source.manifest.newer
        await gateway.objects.copy(source, bucket, key, owner=user)
        copied = await gateway.objects.get(bucket, key)
        assert not copied.manifest.newer and not {piece.oid for piece in tails(copied.manifest)} & {piece.oid for piece in tails(source.manifest)}
        assert await fetch(gateway, bucket, key) == data
