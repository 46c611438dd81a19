"""Structures of a newer release are read for what is known of them, and never written again: whoever would lose its fields is refused."""

from __future__ import annotations

import secrets

import pytest

from rgw.core import bucket_check, bucket_owners, upload_lock
from rgw.core.index_repair import suggest
from rgw.core.indexed import IndexKey
from rgw.core.intents import OBJECT, shard_oids
from rgw.core.ratelimit import XATTR
from rgw.core.state import ACL, OLH_INFO
from rgw.core.uploads import part_omap_key, read_parts
from rgw.errors import S3Error
from rgw.formats import cls_lock, cls_refcount, cls_user
from rgw.formats.encoding import NewerRelease, decode_string
from rgw.formats.index import DirEntry
from rgw.formats.intent import Intent
from rgw.formats.ratelimit import RateLimitInfo
from rgw.store import classes
from rgw.store.interface import ReadOp, WriteOp
from tests.classes.memory import MemoryObject
from tests.classes.scripts import complete, init, prepare
from tests.core.helpers import body, completed, fetch, new_upload, put, upload_part
from tests.core.test_zone import newer


async def refused(awaitable) -> None:
    with pytest.raises(S3Error) as refusal:
        await awaitable
    assert refusal.value.code == "NotImplemented"


async def test_users(gateway, user):
    ioctx, uid = await gateway.pool(gateway.zone.uid_pool), user.user_id.text()
    data = (await ioctx.read(uid, ReadOp().read())).data
    at = decode_string(data)[1]
    record = data[:at] + newer(data[at:])
    await ioctx.write(uid, WriteOp().write_full(record))
    await gateway.metadata.announce(gateway.zone.uid_pool, uid)
    assert (await gateway.users.get(uid)).display_name == user.display_name
    await refused(gateway.users.change(uid, lambda info: info))
    assert (await ioctx.read(uid, ReadOp().read())).data == record


async def test_acls(gateway, bucket, user):
    state = await put(gateway, bucket, "k", b"data", user)
    acl = newer(state.attrs[ACL])
    await state.head_pool.write(state.head_oid, WriteOp().setxattr(ACL, acl))
    assert await fetch(gateway, bucket, "k") == b"data"
    other = await gateway.users.create(f"o{secrets.token_hex(4)}", "Other")
    await refused(bucket_owners.chown(gateway, bucket.name, "", other))
    assert (await gateway.objects.get(bucket, "k")).attrs[ACL] == acl


async def test_limits(gateway, bucket):
    raw = newer(RateLimitInfo(max_read_ops=3).encode())
    bucket = await gateway.buckets.set_attrs(bucket, {XATTR: raw})
    info = gateway.rate_limits.of_bucket(bucket)
    assert info.max_read_ops == 3
    await refused(gateway.rate_limits.set_bucket(bucket, info))


async def test_parts(gateway, bucket, user):
    """A record of a part comes back as it was after a refused Complete; a part whose manifest is not understood makes no object."""
    upload = await new_upload(gateway, bucket, "k", user)
    part = await upload_part(gateway, upload, 1, body(100))
    key = part_omap_key(1)

    async def record() -> bytes:
        return (await upload.pool.read(upload.meta_oid, ReadOp().omap_get_keys([key]))).omap.values[key]

    known = await record()
    raw = newer(known)
    await upload.pool.write(upload.meta_oid, WriteOp().omap_set({key: raw}))
    await upload_lock.close(gateway, upload, "cookie")
    parts = (await read_parts(upload))[0]
    await upload_lock.hide_parts(upload, parts)
    await upload_lock.reopen(upload, "cookie", parts)
    assert await record() == raw
    manifest = part.manifest.encode()
    longer = newer(manifest)
    raw = known.replace(manifest, longer)
    raw = raw[:2] + (len(raw) - 6).to_bytes(4, "little") + raw[6:]
    await upload.pool.write(upload.meta_oid, WriteOp().omap_set({key: raw}))
    await refused(gateway.multipart.complete(bucket, "k", upload.upload_id, completed([part])))
    assert await record() == raw
    await gateway.multipart.abort(bucket, "k", upload.upload_id)


async def test_heads_of_versions(gateway, bucket, user):
    await gateway.buckets.set_versioning(bucket, True)
    first = await put(gateway, bucket, "k", b"1", user)
    head = await gateway.objects.head(bucket, "k")
    oid = f"{bucket.marker}_k"
    info = newer((await head.head_pool.read(oid, ReadOp().getxattrs())).xattrs[OLH_INFO])
    await head.head_pool.write(oid, WriteOp().setxattr(OLH_INFO, info))
    assert await fetch(gateway, bucket, "k") == b"1"
    await refused(put(gateway, bucket, "k", b"2", user))
    await refused(gateway.objects.delete(bucket, "k"))
    await refused(gateway.objects.delete(bucket, "k", first.version_id))
    await gateway.buckets.set_versioning(bucket, False)
    await refused(put(gateway, bucket, "k", b"3", user))
    assert (await bucket_check.check(gateway, bucket, check_objects=True, fix=True)).differences == []
    assert (await head.head_pool.read(oid, ReadOp().getxattrs())).xattrs[OLH_INFO] == info and await fetch(gateway, bucket, "k") == b"1"


async def test_index_entries(gateway, bucket, user):
    """What a repair would write is computed from the entry that is there."""
    await put(gateway, bucket, "k", b"data", user)
    oid, place = bucket.index.shard("k"), b"k"
    found = (await bucket.index.ioctx.read(oid, ReadOp().omap_get_keys([place]))).omap.values[place]
    raw = newer(found)
    await bucket.index.ioctx.write(oid, WriteOp().omap_set({place: raw}))
    entry = DirEntry.decode(raw)
    assert [row.name for row in (await gateway.listing.objects(bucket)).entries] == ["k"]
    for right in (DirEntry.decode(found), None):
        assert not await suggest(bucket, IndexKey.of("k"), "k", raw, entry, right)
    assert (await bucket.index.ioctx.read(oid, ReadOp().omap_get_keys([place]))).omap.values[place] == raw


async def test_intents(gateway, bucket):
    """Of a gateway of a newer release that died: such a one settles it."""
    ioctx = await gateway.intents.pool()
    key, oid = b"12345.1", shard_oids()[0]
    raw = newer(Intent(kind=OBJECT, bucket=bucket.info.bucket, key="k").encode())
    await ioctx.write(oid, WriteOp().create().omap_set({key: raw}))
    await gateway.recovery.run()
    assert (await ioctx.read(oid, ReadOp().omap_get_keys([key]))).omap.values[key] == raw
    await ioctx.write(oid, WriteOp().omap_rm([key]))


def _lock() -> cls_lock.LockOp:
    return cls_lock.LockOp(name="l", type=2, cookie="c", duration=0)


@pytest.mark.parametrize(("calls", "again"), [
    ([init(), prepare("k"), complete("k")], prepare("k", "another")),
    ([classes.REFCOUNT_GET(cls_refcount.RefcountOp(tag="a"))], classes.REFCOUNT_GET(cls_refcount.RefcountOp(tag="b"))),
    ([classes.LOCK_LOCK(_lock())], classes.LOCK_UNLOCK(cls_lock.UnlockOp(name="l", cookie="c"))),
    ([classes.USER_COMPLETE_STATS_SYNC(cls_user.CompleteStatsSyncOp(time=1))], classes.USER_COMPLETE_STATS_SYNC(cls_user.CompleteStatsSyncOp(time=2))),
], ids=["index", "refcount", "lock", "user"])
def test_what_classes_hold(calls, again):
    """The embedded store's classes leave what is newer as it is; on Ceph this is up to the OSD."""
    o = MemoryObject()
    o.create()
    for call in calls:
        o.call(call)
    for key, value in list(o.omap.items()):
        o.omap_set(key, newer(value))
    for name, value in o.xattrs().items():
        o.set_xattr(name, newer(value))
    if o.omap_header():
        o.set_omap_header(newer(o.omap_header()))
    before = dict(o.omap), o.xattrs(), o.omap_header()
    with pytest.raises(NewerRelease):
        o.call(again)
    assert (dict(o.omap), o.xattrs(), o.omap_header()) == before
