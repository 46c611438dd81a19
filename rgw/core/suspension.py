"""Suspending users: what they ask for is refused, and what anybody asks of their buckets, which have a flag. Source: radosgw 16.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rgw.core.buckets import FLAG_SUSPENDED
from rgw.core.user_stats import bucket_entries
from rgw.errors import S3Error

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway
    from rgw.formats.bucket import BucketInfo
    from rgw.formats.user import UserInfo


async def set_suspended(gw: Gateway, uid: str, suspended: bool) -> UserInfo:
    """Suspends the user with all buckets, or lets both in again. Broken off, it is finished by doing it again. S3Error NoSuchUser."""
    def change(info: UserInfo) -> UserInfo:
        info.suspended = int(suspended)
        return info

    user = await gw.users.change(uid, change)
    await flag_buckets(gw, user)
    return user


async def flag_buckets(gw: Gateway, user: UserInfo) -> None:
    """Gives the user's buckets the flag, or takes it away, as the user is suspended or not."""
    def change(info: BucketInfo, _: dict[str, Any]) -> None:
        info.flags = info.flags | FLAG_SUSPENDED if user.suspended else info.flags & ~FLAG_SUSPENDED

    async for entry in bucket_entries(gw, user):
        try:
            bucket = await gw.buckets.get(entry.bucket.name, user.tenant)
            if bucket.suspended != bool(user.suspended):
                await gw.buckets.modify(bucket, change)
        except S3Error as error:
            if error.code != "NoSuchBucket":  # deleted meanwhile
                raise
