"""A radosgw died in CompleteMultipartUpload behind the object's head: its lock stands on the upload, whose parts are the object's."""

import pytest

from rgw.core import complete, upload_lock
from rgw.core.entropy import random_text
from rgw.core.head import HeadWrite
from rgw.core.state import ACL, ETAG
from rgw.core.uploads import combined_etag, load_upload, read_parts
from rgw.core.versions import new_instance, put_head
from rgw.errors import S3Error
from rgw.formats.cls_lock import EXCLUSIVE, LockOp
from rgw.store import classes
from rgw.store.interface import WriteOp
from tests.core.helpers import MIB, body, census, collect, completed, fetch, new_upload, put, upload_part


@pytest.fixture(params=["plain", "versions", "suspended"])
async def died(request, gateway, bucket, user):
    """The upload, its bytes, what a Complete names, and the object's state."""
    if request.param != "plain":
        bucket = await gateway.buckets.set_versioning(bucket, request.param == "versions")
    upload = await new_upload(gateway, bucket, "k", user)
    data = [body(5 * MIB), body(1000)]
    done = [await upload_part(gateway, upload, number, part) for number, part in enumerate(data, 1)]
    upload = await load_upload(gateway, bucket, "k", upload.upload_id)
    lock = LockOp(name=upload_lock.LOCK_NAME, type=EXCLUSIVE, cookie=random_text(16), tag="", description="", duration=1_000_000, flags=0)
    await upload.pool.write(upload.meta_oid, WriteOp().assert_exists().call(classes.LOCK_LOCK(lock)))
    parts, _, _ = await read_parts(upload)
    manifest, _ = await complete._manifest(gateway, upload, parts)
    attrs = {ACL: upload.attrs[ACL], ETAG: combined_etag([part.etag for part in parts]).encode()}
    state, _ = await put_head(gateway, HeadWrite(bucket, "k", attrs, manifest, None, instance=new_instance(bucket)))  # under radosgw's own tag
    return upload, b"".join(data), completed(done), state


async def _over(gateway, upload) -> None:
    with pytest.raises(S3Error) as refusal:
        await load_upload(gateway, upload.bucket, "k", upload.upload_id)
    assert refusal.value.code == "NoSuchUpload"


async def test_abort(gateway, user, died):
    """The Complete counts, and keeps its parts, below a newer version too."""
    upload, data, _, state = died
    if upload.bucket.versioning_enabled:
        await put(gateway, upload.bucket, "k", b"newer", user)
    with pytest.raises(S3Error) as refusal:
        await gateway.multipart.abort(upload.bucket, "k", upload.upload_id)
    assert refusal.value.code == "NoSuchUpload"
    await collect(gateway)
    found = await gateway.objects.get(upload.bucket, "k", state.version_id)
    assert b"".join([part async for part in gateway.objects.read(found)]) == data
    await _over(gateway, upload)


async def test_complete_again(gateway, died):
    upload, data, wanted, state = died
    again = await gateway.multipart.complete(upload.bucket, "k", upload.upload_id, wanted)
    assert again.version_id == state.version_id
    await collect(gateway)
    assert await fetch(gateway, upload.bucket, "k") == data
    await _over(gateway, upload)


@pytest.mark.parametrize("died", ["plain"], indirect=True)
@pytest.mark.parametrize("collected", [False, True])
async def test_complete_of_what_was_replaced(gateway, user, died, collected):
    """The object's parts are garbage already: no second object is made of them."""
    upload, _, wanted, _ = died
    await put(gateway, upload.bucket, "k", b"newer", user)
    if collected:
        await collect(gateway)
    with pytest.raises(S3Error) as refusal:
        await gateway.multipart.complete(upload.bucket, "k", upload.upload_id, wanted)
    assert refusal.value.code == "NoSuchUpload"
    await collect(gateway)
    assert await fetch(gateway, upload.bucket, "k") == b"newer" and len(await census(gateway, upload.bucket)) == 1
    await _over(gateway, upload)
