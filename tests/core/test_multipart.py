"""Multipart uploads on each store."""

import asyncio
import time

import pytest

from rgw.core import complete, upload_lock
from rgw.core.conditions import Conditions
from rgw.core.multipart import CompletedPart
from rgw.core.uploads import combined_etag
from rgw.errors import S3Error
from rgw.formats.cls_lock import EXCLUSIVE, LockOp, UnlockOp
from rgw.store import classes
from rgw.store.interface import WriteOp
from tests.core.helpers import MIB, body, census, collect, completed, fetch, index_keys, md5, new_upload, put, upload_part


async def test_parts_become_an_object(gateway, bucket, user):
    upload = await new_upload(gateway, bucket, "a", user)
    bodies = [body(5 * MIB), body(5 * MIB), body(100)]
    parts = await asyncio.gather(*(upload_part(gateway, upload, n, data) for n, data in enumerate(bodies, 1)))
    assert f"{bucket.marker}__multipart_a.{upload.upload_id}.meta" in await census(gateway, bucket)
    assert f"{bucket.marker}__shadow_a.{upload.upload_id}.1_1" in await census(gateway, bucket)
    listed, more = await gateway.multipart.list_parts(upload)
    assert [(p.number, p.size, p.etag) for p in listed] == [(n, len(d), md5(d)) for n, d in enumerate(bodies, 1)] and not more
    state = await gateway.multipart.complete(bucket, "a", upload.upload_id, completed(parts))
    assert state.etag == combined_etag([md5(d) for d in bodies])
    whole = b"".join(bodies)
    assert await fetch(gateway, bucket, "a") == whole
    assert await fetch(gateway, bucket, "a", 5 * MIB - 3, 10) == whole[5 * MIB - 3:5 * MIB + 7]
    assert await index_keys(gateway, bucket) == {"a"}
    assert (await gateway.objects.head(bucket, "a")).parts == [(1, 0, 5 * MIB), (2, 5 * MIB, 5 * MIB), (3, 10 * MIB, 100)]
    await gateway.objects.delete(bucket, "a")
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_complete_is_idempotent(gateway, bucket, user):
    upload = await new_upload(gateway, bucket, "a", user)
    parts = [await upload_part(gateway, upload, 1, b"data")]
    both = await asyncio.gather(*(gateway.multipart.complete(bucket, "a", upload.upload_id, completed(parts)) for _ in range(3)))
    assert len({state.etag for state in both}) == 1
    again = await gateway.multipart.complete(bucket, "a", upload.upload_id, completed(parts))
    assert again.etag == both[0].etag
    assert await fetch(gateway, bucket, "a") == b"data"
    with pytest.raises(S3Error, match="NoSuchUpload"):
        await gateway.multipart.complete(bucket, "a", upload.upload_id, [CompletedPart(1, md5(b"other"))])
    with pytest.raises(S3Error, match="NoSuchUpload"):
        await gateway.multipart.abort(bucket, "a", upload.upload_id)


async def test_abort_leaves_nothing(gateway, bucket, user):
    upload = await new_upload(gateway, bucket, "a", user)
    await upload_part(gateway, upload, 1, body(5 * MIB))
    await upload_part(gateway, upload, 2, b"")
    await gateway.multipart.abort(bucket, "a", upload.upload_id)
    await collect(gateway)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()
    with pytest.raises(S3Error, match="NoSuchUpload"):
        await gateway.multipart.abort(bucket, "a", upload.upload_id)


async def test_a_part_uploaded_again_replaces_the_old_one(gateway, bucket, user):
    upload = await new_upload(gateway, bucket, "a", user)
    await upload_part(gateway, upload, 1, body(9 * MIB))
    data = body(6 * MIB)
    part = await upload_part(gateway, upload, 1, data)
    await collect(gateway)
    assert len(await census(gateway, bucket)) == 3  # .meta, a part and its tail
    assert len(await index_keys(gateway, bucket)) == 2
    await gateway.multipart.complete(bucket, "a", upload.upload_id, completed([part]))
    assert await fetch(gateway, bucket, "a") == data
    assert await index_keys(gateway, bucket) == {"a"}


@pytest.mark.parametrize("ending", ["abort", "complete"])
async def test_a_late_part_leaves_nothing(gateway, bucket, user, ending):
    upload = await new_upload(gateway, bucket, "a", user)
    part = await upload_part(gateway, upload, 1, b"first")
    writer = gateway.multipart.part_writer(upload, 2)
    await writer.write(body(6 * MIB))
    if ending == "abort":
        await gateway.multipart.abort(bucket, "a", upload.upload_id)
    else:
        await gateway.multipart.complete(bucket, "a", upload.upload_id, completed([part]))
        await gateway.objects.delete(bucket, "a")
    with pytest.raises(S3Error, match="NoSuchUpload"):
        await writer.complete("e" * 32)
    await writer.abort()
    await collect(gateway)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


async def test_refusals_keep_the_upload(gateway, bucket, user):
    upload = await new_upload(gateway, bucket, "a", user)
    one, two = [await upload_part(gateway, upload, n, b"small") for n in (1, 2)]
    cases = [
        ("MalformedXML", []), ("InvalidPartOrder", completed([two, one])), ("InvalidPart", [CompletedPart(1, md5(b"x"))]),
        ("InvalidPart", [CompletedPart(3, one.etag)]), ("EntityTooSmall", completed([one, two])),
    ]
    for code, wanted in cases:
        with pytest.raises(S3Error, match=code):
            await gateway.multipart.complete(bucket, "a", upload.upload_id, wanted)
    await put(gateway, bucket, "a", b"there", user)
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await gateway.multipart.complete(
            bucket, "a", upload.upload_id, completed([one]), conditions=Conditions(if_none_match="*"))
    await upload_part(gateway, upload, 3, b"still open")
    await gateway.multipart.complete(bucket, "a", upload.upload_id, completed([one]))
    await collect(gateway)
    assert await fetch(gateway, bucket, "a") == b"small"
    assert await census(gateway, bucket) == {f"{bucket.marker}_a", f"{bucket.marker}__multipart_a.{upload.upload_id}.1"}
    assert await index_keys(gateway, bucket) == {"a"}


async def test_racing_ends_agree(gateway, bucket, user):
    for _ in range(5):
        upload = await new_upload(gateway, bucket, "a", user)
        part = await upload_part(gateway, upload, 1, b"data")
        done, aborted, _ = await asyncio.gather(
            gateway.multipart.complete(bucket, "a", upload.upload_id, completed([part])),
            gateway.multipart.abort(bucket, "a", upload.upload_id),
            upload_part(gateway, upload, 1, b"again"), return_exceptions=True)
        await collect(gateway)
        if isinstance(done, S3Error):
            with pytest.raises(S3Error, match="NoSuchKey"):
                await gateway.objects.head(bucket, "a")
        else:
            assert isinstance(aborted, S3Error)
            assert await fetch(gateway, bucket, "a") == b"data"
            await gateway.objects.delete(bucket, "a")
            await collect(gateway)
        assert await census(gateway, bucket) == set()
        assert await index_keys(gateway, bucket) == set()


async def test_listing_uploads(gateway, bucket, user):
    ids = {key: await gateway.multipart.create(bucket, key, owner=user, attrs={}) for key in ("a", "a-b", "d/1", "d/2", "e")}
    upload = await gateway.multipart.get(bucket, "a", ids["a"])
    await upload_part(gateway, upload, 1, b"x")
    everything = await gateway.multipart.list_uploads(bucket, "", "", "", "", 1000)
    assert [(item.key, item.upload_id) for item in everything.uploads] == list(ids.items())
    assert everything.uploads[0].owner == user.user_id.text()
    rolled = await gateway.multipart.list_uploads(bucket, "", "/", "", "", 3)
    assert ([u.key for u in rolled.uploads], rolled.common_prefixes, rolled.truncated) == (["a", "a-b"], ["d/"], True)
    rest = await gateway.multipart.list_uploads(bucket, "", "/", rolled.next_key_marker, rolled.next_upload_id_marker, 3)
    assert ([u.key for u in rest.uploads], rest.common_prefixes, rest.truncated) == (["e"], [], False)
    after = await gateway.multipart.list_uploads(bucket, "", "", "a", ids["a"], 1000)
    assert [item.key for item in after.uploads] == ["a-b", "d/1", "d/2", "e"]


async def test_many_parts_complete_quickly(gateway, bucket, user):
    upload = await new_upload(gateway, bucket, "a", user)
    gateway.options = type(gateway.options)({"rgw_multipart_min_part_size": 1, "rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 4})
    parts = []
    for start in range(1, 1201, 50):
        parts += await asyncio.gather(*(upload_part(gateway, upload, n, b"x") for n in range(start, start + 50)))
    page, more = await gateway.multipart.list_parts(upload, 0, 1000)
    assert len(page) == 1000 and more
    page, more = await gateway.multipart.list_parts(upload, 1000, 1000)
    assert [p.number for p in page] == list(range(1001, 1201)) and not more
    began = time.monotonic()
    await gateway.multipart.complete(bucket, "a", upload.upload_id, completed(parts))
    assert time.monotonic() - began < 2
    assert await fetch(gateway, bucket, "a") == b"x" * 1200


@pytest.mark.parametrize("collected", [False, True])
async def test_a_replaced_object_does_not_come_back(gateway, bucket, user, monkeypatch, collected):
    """A Complete dies after its head stands, the object is overwritten, and only then the client tries again."""
    upload = await new_upload(gateway, bucket, "k", user)
    parts = [await upload_part(gateway, upload, 1, body(6 * MIB)), await upload_part(gateway, upload, 2, body(MIB))]

    async def die(*_args, **_kwargs):
        raise RuntimeError("killed")
    with monkeypatch.context() as patch:
        patch.setattr(complete, "_finish", die)
        with pytest.raises(RuntimeError):
            await gateway.multipart.complete(bucket, "k", upload.upload_id, completed(parts))
    await upload.pool.write(upload.meta_oid, WriteOp().rmxattr(f"lock.{upload_lock.LOCK_NAME}"))  # as when its time is over
    await put(gateway, bucket, "k", b"newer", user)
    if collected:
        await collect(gateway)
    with pytest.raises(S3Error, match="NoSuchUpload"):
        await gateway.multipart.complete(bucket, "k", upload.upload_id, completed(parts))
    await collect(gateway)
    assert await fetch(gateway, bucket, "k") == b"newer"
    assert len(await census(gateway, bucket)) == 1 and await index_keys(gateway, bucket) == {"k"}


async def test_an_upload_that_another_is_ending(gateway, bucket, user, monkeypatch):
    """Whoever finds it locked is told so in time, and the upload goes on as before."""
    upload = await new_upload(gateway, bucket, "k", user)
    parts = [await upload_part(gateway, upload, 1, b"data")]
    lock = LockOp(name=upload_lock.LOCK_NAME, type=EXCLUSIVE, cookie="another", tag="", description="", duration=60_000_000_000, flags=0)
    await upload.pool.write(upload.meta_oid, WriteOp().call(classes.LOCK_LOCK(lock)))
    monkeypatch.setattr(upload_lock, "_LOCK_WAIT", 0.2)
    for refused in (gateway.multipart.complete(bucket, "k", upload.upload_id, completed(parts)),
                    gateway.multipart.abort(bucket, "k", upload.upload_id)):
        with pytest.raises(S3Error, match="OperationAborted"):
            await refused
    await upload.pool.write(upload.meta_oid, WriteOp().call(classes.LOCK_UNLOCK(UnlockOp(name=upload_lock.LOCK_NAME, cookie="another"))))
    await gateway.multipart.complete(bucket, "k", upload.upload_id, completed(parts))
    assert await fetch(gateway, bucket, "k") == b"data"
