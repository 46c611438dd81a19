"""Requests and replies of the object class `user`. Source: cls_user_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.bucket import UserBucket, UserBucketEntry, UserHeader
from rgw.formats.encoding import BOOL, S32, STR, TIME, Struct, f, list_of, struct


@struct(1, 1)
class SetBucketsOp(Struct):
    """cls_user_set_buckets_op."""

    entries: list[UserBucketEntry] = f(list_of(UserBucketEntry))
    add: bool = f(BOOL)
    time: int = f(TIME)


@struct(1, 1)
class RemoveBucketOp(Struct):
    """cls_user_remove_bucket_op."""

    bucket: UserBucket = f(UserBucket)


@struct(2, 1)
class ListBucketsOp(Struct):
    """cls_user_list_buckets_op."""

    marker: str = f(STR)
    max_entries: int = f(S32)
    end_marker: str = f(STR, since=2)


@struct(1, 1)
class ListBucketsRet(Struct):
    """cls_user_list_buckets_ret."""

    entries: list[UserBucketEntry] = f(list_of(UserBucketEntry))
    marker: str = f(STR)
    truncated: bool = f(BOOL)


@struct(1, 1)
class GetHeaderOp(Struct):
    """cls_user_get_header_op."""


@struct(1, 1)
class GetHeaderRet(Struct):
    """cls_user_get_header_ret."""

    header: UserHeader = f(UserHeader)


@struct(1, 1)
class CompleteStatsSyncOp(Struct):
    """cls_user_complete_stats_sync_op."""

    time: int = f(TIME)


@struct(1, 1)
class ResetStatsOp(Struct):
    """cls_user_reset_stats_op."""

    time: int = f(TIME)
