"""Giving buckets to other users, and taking them out of a user's list. Source: radosgw-admin 16.2."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from rgw.core.buckets import ACL_XATTR, Bucket, entry_oid, instance_oid, refuse_newer
from rgw.core.parallel import each
from rgw.core.state import ACL
from rgw.errors import S3Error
from rgw.formats import cls_user
from rgw.formats.acl import FULL_CONTROL, AccessControlPolicy, AclGrant, AclOwner
from rgw.formats.basics import User
from rgw.formats.bucket import BucketEntryPoint, BucketInfo, UserBucket
from rgw.formats.index import FLAG_DELETE_MARKER
from rgw.formats.listed import ListedEntry
from rgw.formats.user import UserInfo
from rgw.store import classes
from rgw.store.errors import Cancelled, Exists, NotFound
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

_TRIES = 10
_PARALLEL = 16  # objects whose owner is changed at the same time


async def find(gw: Gateway, name: str, tenant: str = "") -> Bucket:
    """The bucket as it is in the store, also one that is unlinked. S3Error NoSuchBucket."""
    root = gw.zone.meta_root
    try:
        entry = await gw.metadata.get(root, entry_oid(name, tenant), fresh=True)
        instance = await gw.metadata.get(root, instance_oid(BucketEntryPoint.decode(entry.data).bucket), fresh=True)
    except NotFound:
        raise S3Error("NoSuchBucket", BucketName=name) from None
    info = BucketInfo.decode(instance.data)
    explicit = info.bucket.index_pool
    index = await gw.pool(explicit) if explicit.name else gw.index_pool(info.placement_rule)
    return Bucket(gw, info, instance.xattrs, instance.version, entry, instance, index)


async def unlist(gw: Gateway, user: User, bucket: UserBucket) -> None:
    """Takes a bucket out of a user's list."""
    ioctx = await gw.pool(gw.zone.uid_pool)
    op = WriteOp().assert_exists().call(classes.USER_REMOVE_BUCKET(cls_user.RemoveBucketOp(bucket=bucket)))
    try:
        await ioctx.write(f"{user.text()}.buckets", op)
    except NotFound:
        return  # a user without list, or a bucket that was not in it


def _listed(bucket: Bucket) -> UserBucket:
    return UserBucket(name=bucket.name, marker=bucket.marker, bucket_id=bucket.bucket_id)


async def _set_entry_point(gw: Gateway, bucket: Bucket, owner: User, linked: bool) -> BucketEntryPoint:
    root, oid = gw.zone.meta_root, entry_oid(bucket.name, bucket.tenant)
    for _ in range(_TRIES):
        try:
            old = await gw.metadata.get(root, oid, fresh=True)
            point = BucketEntryPoint.decode(old.data)
            point.owner, point.linked = owner, linked
            await gw.metadata.replace(root, oid, point.encode(), old.xattrs, old)
        except Cancelled:
            continue
        except NotFound:
            raise S3Error("NoSuchBucket", BucketName=bucket.name) from None
        return point
    raise S3Error("OperationAborted")


async def unlink(gw: Gateway, name: str, tenant: str, user: UserInfo) -> None:
    """Takes a bucket from its owner: it keeps its data, but nobody can use it until it is linked again.

    S3Error NoSuchBucket, InvalidArgument (another user's bucket).
    """
    bucket = await find(gw, name, tenant)
    if bucket.owner.text() != user.user_id.text():
        raise S3Error("InvalidArgument", f"bucket {name} belongs to {bucket.owner.text()}, not to {user.user_id.text()}")
    refuse_newer(BucketEntryPoint.decode(bucket.entry.data))
    await unlist(gw, user.user_id, _listed(bucket))
    await _set_entry_point(gw, bucket, bucket.owner, linked=False)


async def link(gw: Gateway, name: str, tenant: str, owner: UserInfo, *, new_name: str = "", bucket_id: str = "") -> Bucket:
    """Gives a bucket to a user, with a private ACL, under another name if ``new_name``; the user's tenant becomes the bucket's.

    The ACLs of the objects stay. S3Error NoSuchBucket, InvalidArgument (``bucket_id`` is not the bucket's), BucketAlreadyExists.
    """
    bucket = await find(gw, name, tenant)
    if bucket_id and bucket_id != bucket.bucket_id:
        raise S3Error("InvalidArgument", f"bucket {name} has the id {bucket.bucket_id}")
    refuse_newer(bucket.info, BucketEntryPoint.decode(bucket.entry.data))
    former = bucket.owner
    acl = AccessControlPolicy.private(owner.user_id.text(), owner.display_name)
    target = new_name or bucket.name
    if (target, owner.tenant) != (bucket.name, bucket.tenant):
        await _move(gw, bucket, owner, acl, target)
    else:
        def change(info: BucketInfo, attrs: dict[str, bytes]) -> None:
            info.owner = copy.copy(owner.user_id)
            attrs[ACL_XATTR] = acl.encode()

        point = await _set_entry_point(gw, bucket, owner.user_id, linked=True)
        await gw.buckets.modify(bucket, change)
        await gw.buckets.link(point)
        if former.text() != owner.user_id.text():
            await unlist(gw, former, _listed(bucket))
    moved = await gw.buckets.get(target, owner.tenant)
    await gw.buckets.sync_stats(moved)
    return moved


async def _move(gw: Gateway, bucket: Bucket, owner: UserInfo, acl: AccessControlPolicy, name: str) -> None:
    """Makes a second name for the bucket's data, then drops the first: a crash between leaves the bucket reachable."""
    root, metadata = gw.zone.meta_root, gw.metadata
    info = BucketInfo.decode(bucket.instance.data)
    info.bucket.name, info.bucket.tenant, info.owner = name, owner.tenant, copy.copy(owner.user_id)
    point = BucketEntryPoint(bucket=info.bucket, owner=info.owner, linked=True, creation_time=bucket.creation_time)
    attrs = {**bucket.attrs, ACL_XATTR: acl.encode()}
    try:
        await metadata.create(root, instance_oid(info.bucket), info.encode(), attrs)
        await metadata.create(root, entry_oid(name, owner.tenant), point.encode())
    except Exists:
        raise S3Error("BucketAlreadyExists", BucketName=name) from None
    await gw.buckets.link(point)
    await metadata.remove(root, entry_oid(bucket.name, bucket.tenant))
    await metadata.remove(root, instance_oid(bucket.info.bucket))
    await unlist(gw, bucket.owner, _listed(bucket))


async def chown(
    gw: Gateway, name: str, tenant: str, owner: UserInfo, *, new_name: str = "", progress: Callable[[str], None] | None = None,
) -> int:
    """Gives a bucket and the objects in it to a user; the number of objects. Broken off, a second run goes on.

    S3Error NoSuchBucket, BucketAlreadyExists, NotImplemented (a newer release wrote what would be written again).
    """
    bucket = await link(gw, name, tenant, owner, new_name=new_name)
    marker = version = ""
    count = 0

    async def one(entry: ListedEntry) -> None:
        if entry.flags & FLAG_DELETE_MARKER:
            return
        try:
            state = await gw.objects.head(bucket, entry.name, (entry.instance or "null") if bucket.versioned else "")
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchVersion"):  # removed meanwhile
                return
            raise
        if state.acl.newer:
            raise S3Error("NotImplemented", f"the ACL of {entry.name} was written by a newer release, whose fields a change would drop")
        if state.acl.owner.id != owner.user_id.text():
            await gw.objects.set_attrs(state, {ACL: given_to(state.acl, owner).encode()})

    while True:
        page = await gw.listing.versions(bucket, key_marker=marker, version_marker=version)
        await each(page.entries, one, _PARALLEL)
        count += len(page.entries)
        if progress is not None:
            progress(f"{count} objects processed in {bucket.name}")
        if not page.truncated:
            return count
        marker, version = page.next_marker, page.next_version_marker


def given_to(acl: AccessControlPolicy, owner: UserInfo) -> AccessControlPolicy:
    """The policy with another owner, who gets full control; the grants to others stay, the former owner's go."""
    uid = owner.user_id.text()
    new = AccessControlPolicy(AclOwner(uid, owner.display_name))
    new.acl.add(AclGrant.user(uid, owner.display_name, FULL_CONTROL))
    for _, grant in acl.acl.grants:
        if grant.id not in (acl.owner.id, uid):
            new.acl.add(grant)
    return new
