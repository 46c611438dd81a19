"""RADOS objects that releases before Firefly put in the wrong place are found and brought to the right one."""

import pytest

from rgw.core import locator_check
from rgw.errors import S3Error
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import MIB, body, completed, fetch, new_upload, put, upload_part


async def move(ioctx, oid: str, old: str, new: str) -> None:
    found = await ioctx.read(oid, ReadOp().stat().getxattrs().read(), old)
    await ioctx.write(oid, WriteOp(found.mtime).write_full(found.data).setxattrs(found.xattrs), new)
    await ioctx.write(oid, WriteOp().remove(), old)


@pytest.fixture
async def misplaced(gateway, bucket, user):
    """A head without its locator, and a part with one; and what is right."""
    if not gateway.cluster.capabilities.locators_tell_apart:
        pytest.skip("nothing can be misplaced in this store")
    await put(gateway, bucket, "plain", b"p", user)
    await put(gateway, bucket, "_right", b"r", user)
    head = await put(gateway, bucket, "_head", b"hello", user, attrs={"user.rgw.content_type": b"text/plain"})
    await move(head.head_pool, head.head_oid, head.head_locator, "")
    upload = await new_upload(gateway, bucket, "_big", user)
    data = body(5 * MIB)
    parts = [await upload_part(gateway, upload, number, data) for number in (1, 2)]
    await gateway.multipart.complete(bucket, "_big", upload.upload_id, completed(parts))
    state = await gateway.objects.head(bucket, "_big")
    oid = f"{bucket.marker}__multipart__big.{upload.upload_id}.2"
    await move(state.head_pool, oid, "", oid.replace("__multipart_", "_", 1))
    return head, data


def told(places) -> dict[tuple[str, str], tuple[bool, str]]:
    return {(place.kind, place.key): (place.needs_fixing, place.status) for place in places}


async def test_what_is_misplaced_is_found_and_mended(gateway, bucket, misplaced):
    head, data = misplaced
    right = {("head", "_right"): (False, "ok"), ("tail", "_right"): (False, "ok"), ("head", "_big"): (False, "ok"), ("tail", "_head"): (False, "ok")}
    assert told(await locator_check.check(gateway, bucket)) == right | {
        ("head", "_head"): (True, "needs_fixing"), ("tail", "_big"): (True, "needs_fixing")}
    with pytest.raises(S3Error, match="NoSuchKey"):
        await gateway.objects.head(bucket, "_head")
    assert told(await locator_check.check(gateway, bucket, fix=True)) == right | {("head", "_head"): (True, "fixed"), ("tail", "_big"): (True, "ok")}
    assert await fetch(gateway, bucket, "_head") == b"hello" and await fetch(gateway, bucket, "_big") == data * 2
    found = await gateway.objects.head(bucket, "_head")
    assert found.attrs["user.rgw.content_type"] == b"text/plain" and found.mtime == head.mtime
    # the head's twin in the wrong place goes when that is asked for
    assert (await head.head_pool.read(head.head_oid, ReadOp().read())).data == b"hello"
    assert told(await locator_check.check(gateway, bucket, fix=True, remove_bad=True))["head", "_head"] == (False, "fixed")
    with pytest.raises(NotFound):
        await head.head_pool.read(head.head_oid, ReadOp().read())
    assert {status for _, status in told(await locator_check.check(gateway, bucket)).values()} == {"ok"}
    assert await fetch(gateway, bucket, "_head") == b"hello"


async def test_what_is_right_stays(gateway, bucket, user):
    await put(gateway, bucket, "_right", data := body(5 * MIB), user)
    places = await locator_check.check(gateway, bucket, fix=True, remove_bad=True)
    assert told(places) == {("head", "_right"): (False, "ok"), ("tail", "_right"): (False, "ok")}
    assert await fetch(gateway, bucket, "_right") == data


async def test_versions(gateway, bucket, user):
    if not gateway.cluster.capabilities.locators_tell_apart:
        pytest.skip("nothing can be misplaced in this store")
    await gateway.buckets.set_versioning(bucket, True)
    for data in (b"1", b"2"):
        head = await put(gateway, bucket, "_v", data, user)
    await gateway.objects.delete(bucket, "_v", owner=user)  # a marker, which has no object of its own
    await move(head.head_pool, head.head_oid, head.head_locator, "")
    found = await locator_check.check(gateway, bucket, fix=True)
    assert [(place.kind, place.instance == head.instance, place.status) for place in found] == [
        ("head", True, "fixed"), ("tail", True, "ok"), ("head", False, "ok"), ("tail", False, "ok")]
    assert (await gateway.objects.head(bucket, "_v", head.instance)).size == 1
