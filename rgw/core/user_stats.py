"""What a user's buckets add up to, and whether the user's list of buckets is right."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from rgw.core.bucket_owners import unlist
from rgw.errors import S3Error
from rgw.formats import cls_user
from rgw.formats.bucket import BucketEntryPoint, UserBucketEntry, UserHeader
from rgw.formats.user import UserInfo
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway


def _oid(info: UserInfo) -> str:
    return f"{info.user_id.text()}.buckets"


async def bucket_entries(gw: Gateway, info: UserInfo) -> AsyncIterator[UserBucketEntry]:
    """The entries of a user's list of buckets, by name."""
    marker, more = "", True
    while more:
        page, more = await gw.buckets.list(info, marker)
        for entry in page:
            yield entry
            marker = entry.bucket.name


async def read(gw: Gateway, info: UserInfo) -> UserHeader:
    """The sums as stored. S3Error NoSuchUser if the user never had a bucket."""
    ioctx = await gw.pool(gw.zone.uid_pool)
    try:
        return (await ioctx.read(_oid(info), ReadOp().call(classes.USER_GET_HEADER(cls_user.GetHeaderOp())))).reply.header
    except NotFound:
        raise S3Error("NoSuchUser", "the user has not been initialised: it never had a bucket") from None


async def sync(gw: Gateway, info: UserInfo, progress: Callable[[str], None] | None = None) -> None:
    """Brings the sums up to date from the indexes of the user's buckets."""
    done = 0
    async for entry in bucket_entries(gw, info):
        done += 1
        if progress is not None:
            progress(f"bucket {done:,}: {entry.bucket.name}")
        try:
            await gw.buckets.sync_stats(await gw.buckets.get(entry.bucket.name, info.tenant))
        except S3Error as error:
            if error.code != "NoSuchBucket":  # deleted meanwhile
                raise
    ioctx = await gw.pool(gw.zone.uid_pool)
    await ioctx.write(_oid(info), WriteOp().call(classes.USER_COMPLETE_STATS_SYNC(cls_user.CompleteStatsSyncOp(time=time.time_ns()))))


async def reset(gw: Gateway, info: UserInfo) -> None:
    """Adds the sums up anew from the list of buckets, as it stands."""
    ioctx = await gw.pool(gw.zone.uid_pool)
    await ioctx.write(_oid(info), WriteOp().call(classes.USER_RESET_STATS(cls_user.ResetStatsOp(time=time.time_ns()))))


async def check(gw: Gateway, info: UserInfo, *, fix: bool = False) -> list[dict[str, Any]]:
    """Differences between the user's list and the buckets themselves, mended if ``fix``: what is listed wrongly, what is not listed."""
    found: list[dict[str, Any]] = []
    listed: set[str] = set()
    async for entry in bucket_entries(gw, info):
        name = entry.bucket.name
        listed.add(name)
        problem = ""
        try:
            bucket = await gw.buckets.get(name, info.tenant)
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
            problem = "listed, but there is no such bucket"
        else:
            if bucket.owner.text() != info.user_id.text():
                problem = f"listed, but the bucket belongs to {bucket.owner.text()}"
            elif entry.bucket.bucket_id != bucket.bucket_id:
                problem = f"listed with id {entry.bucket.bucket_id}, but its id is {bucket.bucket_id}"
                if fix:
                    await gw.buckets.link(BucketEntryPoint.decode(bucket.entry.data))
                    await gw.buckets.sync_stats(bucket)
        if problem:
            if fix and "with id" not in problem:
                await unlist(gw, info.user_id, entry.bucket)
            found.append({"bucket": name, "problem": problem, "fixed": fix})
    root = await gw.pool(gw.zone.meta_root)
    async for item in root.list_objects():
        tenant, slash, name = item.name.rpartition("/")
        if item.name.startswith(".bucket.meta.") or tenant != info.tenant or name in listed:
            continue
        try:
            bucket = await gw.buckets.get(name, tenant)
        except S3Error:
            continue  # unlinked, or deleted meanwhile
        if bucket.owner.text() == info.user_id.text():
            if fix:
                await gw.buckets.link(BucketEntryPoint.decode(bucket.entry.data))
                await gw.buckets.sync_stats(bucket)
            found.append({"bucket": name, "problem": "the user's bucket, but not listed", "fixed": fix})
    return found
