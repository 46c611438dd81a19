"""Setting the quotas of users and buckets. Source: radosgw-admin 16.2."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

from rgw.core.zone import load_period_config, save_period_config
from rgw.errors import S3Error
from rgw.formats.basics import QuotaInfo
from rgw.formats.user import UserInfo
from rgw.formats.zone import PeriodConfig

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

SCOPES = ("user", "bucket")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes of `10G` (B, K, M, G, T), rounded up to whole KiB; negative: no limit. S3Error InvalidArgument."""
    match = re.fullmatch(r"(-?\d+)\s*([bkmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise S3Error("InvalidArgument", f"{text!r} is not a size: a number with B, K, M, G or T")
    size = int(match[1]) * _UNITS[match[2]]
    return -(-size // 1024) * 1024 if size >= 0 else -1


def changed(
    quota: QuotaInfo, *, max_size: int | None = None, max_objects: int | None = None, enabled: bool | None = None,
) -> QuotaInfo:
    """A copy with what is given; ``max_size`` in bytes, negative: no limit."""
    new = copy.copy(quota)
    if max_size is not None:
        new.max_size = max_size if max_size >= 0 else -1
        new.max_size_kb = (max_size + 1023) // 1024 if max_size >= 0 else -1
    if max_objects is not None:
        new.max_objects = max(max_objects, -1)
    if enabled is not None:
        new.enabled = enabled
    return new


async def set_of_user(
    gw: Gateway, uid: str, scope: str, *, max_size: int | None = None, max_objects: int | None = None, enabled: bool | None = None,
) -> UserInfo:
    """Changes a user's own quota, or (scope ``bucket``) that of each of its buckets. S3Error NoSuchUser, InvalidArgument."""
    if scope not in SCOPES:
        raise S3Error("InvalidArgument", f"quota scope {scope!r} is not user or bucket")
    name = f"{scope}_quota"

    def change(info: UserInfo) -> UserInfo:
        setattr(info, name, changed(getattr(info, name), max_size=max_size, max_objects=max_objects, enabled=enabled))
        return info

    return await gw.users.change(uid, change)


async def set_global(
    gw: Gateway, scope: str, *, max_size: int | None = None, max_objects: int | None = None, enabled: bool | None = None,
) -> PeriodConfig:
    """Changes the quota of all users, or of all buckets, that have none of their own; gateways heed it when they start again."""
    config = await load_period_config(gw.cluster)
    if config.newer:
        raise S3Error("NotImplemented", "the global quotas were written by a newer release, whose fields a change would drop")
    name = f"{scope}_quota"
    setattr(config, name, changed(getattr(config, name), max_size=max_size, max_objects=max_objects, enabled=enabled))
    await save_period_config(gw.cluster, config)
    return config


async def set_of_bucket(
    gw: Gateway, bucket: Bucket, *, max_size: int | None = None, max_objects: int | None = None, enabled: bool | None = None,
) -> Bucket:
    """Changes the quota of one bucket. S3Error NoSuchBucket."""
    def change(info, _attrs) -> None:  # type: ignore[no-untyped-def]
        info.quota = changed(info.quota, max_size=max_size, max_objects=max_objects, enabled=enabled)

    return await gw.buckets.modify(bucket, change)
