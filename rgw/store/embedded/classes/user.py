"""The object class ``user``: a user's buckets in an omap, their sums in its header."""

from __future__ import annotations

from typing import Any

from rgw.formats.bucket import UserBucketEntry, UserHeader
from rgw.formats.cls_user import (
    CompleteStatsSyncOp,
    GetHeaderRet,
    ListBucketsOp,
    ListBucketsRet,
    RemoveBucketOp,
    ResetStatsOp,
    SetBucketsOp,
)
from rgw.formats.index_keys import raw, text
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import NotFound

_PAGE = 1000
_U64 = (1 << 64) - 1


def _header(ctx: ObjectContext) -> UserHeader:
    data = ctx.omap_header() if ctx.exists else b""
    return UserHeader.decode(data) if data else UserHeader()


def _count(header: UserHeader, entry: UserBucketEntry, sign: int) -> None:
    stats = header.stats
    stats.total_entries = (stats.total_entries + sign * entry.count) & _U64
    stats.total_bytes = (stats.total_bytes + sign * entry.size) & _U64
    stats.total_bytes_rounded = (stats.total_bytes_rounded + sign * entry.size_rounded) & _U64


@implements(classes.USER_SET_BUCKETS_INFO)
def set_buckets_info(ctx: ObjectContext, request: SetBucketsOp) -> None:
    ctx.create()
    header = _header(ctx)
    for update in request.entries:
        key = raw(update.bucket.name)
        data = ctx.omap_get(key)
        if data is None and not request.add:
            continue  # the bucket was removed meanwhile
        entry = UserBucketEntry.decode(update.encode() if data is None else data)
        if entry.user_stats_sync and data is not None:
            _count(header, entry, -1)
        if request.add:  # made anew or resharded, perhaps; its sums stay
            entry.bucket.bucket_id, entry.creation_time = update.bucket.bucket_id, update.creation_time
        else:
            entry.size, entry.size_rounded, entry.count = update.size, update.size_rounded, update.count
        entry.user_stats_sync = True
        ctx.omap_set(key, entry.encode())
        _count(header, entry, 1)
    header.last_stats_update = max(header.last_stats_update, request.time)
    ctx.set_omap_header(header.encode())


@implements(classes.USER_REMOVE_BUCKET)
def remove_bucket(ctx: ObjectContext, request: RemoveBucketOp) -> None:
    header = _header(ctx)
    key = raw(request.bucket.name)
    data = ctx.omap_get(key) if ctx.exists else None
    if data is None:
        return
    entry = UserBucketEntry.decode(data)
    if entry.user_stats_sync:
        _count(header, entry, -1)
    ctx.omap_rm(key)
    ctx.set_omap_header(header.encode())


@implements(classes.USER_LIST_BUCKETS)
def list_buckets(ctx: ObjectContext, request: ListBucketsOp) -> ListBucketsRet:
    if not ctx.exists:
        raise NotFound("no bucket list")
    wanted = _PAGE if request.max_entries < 0 else min(request.max_entries, _PAGE)
    end = raw(request.end_marker)
    entries: list[UserBucketEntry] = []
    last, truncated = b"", False
    for key, value in ctx.omap_iter(raw(request.marker)):
        if len(entries) >= wanted:
            truncated = True
            break
        if end and key >= end:
            break
        entries.append(UserBucketEntry.decode(value))
        last = key
    return ListBucketsRet(entries=entries, marker=text(last) if truncated else "", truncated=truncated)


@implements(classes.USER_GET_HEADER)
def get_header(ctx: ObjectContext, request: Any) -> GetHeaderRet:
    if not ctx.exists:
        raise NotFound("no bucket list")
    return GetHeaderRet(header=_header(ctx))


@implements(classes.USER_COMPLETE_STATS_SYNC)
def complete_stats_sync(ctx: ObjectContext, request: CompleteStatsSyncOp) -> None:
    header = _header(ctx)
    header.last_stats_sync = max(header.last_stats_sync, request.time)
    ctx.create()
    ctx.set_omap_header(header.encode())


@implements(classes.USER_RESET_STATS)
def reset_stats(ctx: ObjectContext, request: ResetStatsOp) -> None:
    """Counts all buckets anew."""
    header = UserHeader()
    if ctx.exists:
        for _, value in ctx.omap_iter():
            _count(header, UserBucketEntry.decode(value), 1)
    header.last_stats_update = request.time
    ctx.create()
    ctx.set_omap_header(header.encode())
