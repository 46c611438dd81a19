"""Requests and replies of the object class ``user`` (formats page 4). Source: cls_user_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.bucket import UserBucket, UserBucketEntry, UserHeader
from rgw.formats.encoding import BOOL, S32, STR, TIME, Struct, f, list_of, struct


@struct(1, 1)
class SetBucketsOp(Struct):
    entries: list[UserBucketEntry] = f(list_of(UserBucketEntry))
    add: bool = f(BOOL)
    time: int = f(TIME)


@struct(1, 1)
class RemoveBucketOp(Struct):
    bucket: UserBucket = f(UserBucket)


@struct(2, 1)
class ListBucketsOp(Struct):
    marker: str = f(STR)
    max_entries: int = f(S32)
    end_marker: str = f(STR, since=2)


@struct(1, 1)
class ListBucketsRet(Struct):
    entries: list[UserBucketEntry] = f(list_of(UserBucketEntry))
    marker: str = f(STR)
    truncated: bool = f(BOOL)


@struct(1, 1)
class GetHeaderOp(Struct):
    """No fields."""


@struct(1, 1)
class GetHeaderRet(Struct):
    header: UserHeader = f(UserHeader)


@struct(1, 1)
class CompleteStatsSyncOp(Struct):
    time: int = f(TIME)


@struct(1, 1)
class ResetStatsOp(Struct):
    time: int = f(TIME)
