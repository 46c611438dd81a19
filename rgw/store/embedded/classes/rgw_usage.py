"""The object class ``rgw`` on the usage log: each hour's entry stands twice in the omap, by time and by user."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import islice
from typing import Any

from rgw.formats.index_keys import raw, text
from rgw.formats.usage import UsageAddOp, UsageLogEntry, UsageReadOp, UsageReadRet, UsageTrimOp, UserBucketKey
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import NoData, NotFound

_READ_PAGE, _TRIM_PAGE = 1000, 1000


def _by_time(entry: UsageLogEntry, user: str) -> bytes:
    return raw(f"{entry.epoch:011}_{user}_{entry.bucket}")


def _by_user(entry: UsageLogEntry, user: str) -> bytes:
    return raw(f"{user}_{entry.epoch:011}_{entry.bucket}")


def _add(entry: UsageLogEntry, more: UsageLogEntry) -> None:
    if not entry.owner:
        entry.owner, entry.bucket, entry.epoch, entry.payer = more.owner, more.bucket, more.epoch, more.payer
    for category, data in more.categories.items():
        entry.count(category, data)


@implements(classes.USAGE_LOG_ADD)
def user_usage_log_add(ctx: ObjectContext, request: UsageAddOp) -> None:
    entries = copy.deepcopy(request.info.entries)  # the request is the caller's
    for entry in entries:  # an OSD sees nothing of what the same operation writes, so all is read first
        known = ctx.omap_get(_by_time(entry, entry.user)) if ctx.exists else None
        if known is not None:
            _add(entry, UsageLogEntry.decode(known))
    for entry in entries:
        ctx.create()
        data = entry.encode()
        ctx.omap_set(_by_time(entry, entry.user), data)
        ctx.omap_set(_by_user(entry, entry.user), data)


def _scan(ctx: ObjectContext, start: int, end: int, user: str, bucket: str, marker: str, most: int,
          visit: Callable[[UsageLogEntry], None]) -> tuple[bool, str]:
    """Visits the entries of a range; whether there are more, and behind which key."""
    after = raw(marker or (f"{user}_{start:011}_" if user else f"{start:011}"))
    page = list(islice(ctx.omap_iter(after), most + 1))
    more, page = len(page) > most, page[:most]
    last = marker
    for number, (key, value) in enumerate(page):
        outside = not key.startswith(raw(user + "_")) if user else key >= b"%011d" % end
        if outside:
            return False, text(key)
        entry = UsageLogEntry.decode(value)
        if (bucket and entry.bucket != bucket) or entry.epoch < start:
            continue
        if entry.epoch >= end:
            return False, last
        visit(entry)
        if number == len(page) - 1:
            last = text(key)
    return more, last


@implements(classes.USAGE_LOG_READ)
def user_usage_log_read(ctx: ObjectContext, request: UsageReadOp) -> UsageReadRet:
    found: dict[UserBucketKey, UsageLogEntry] = {}

    def visit(entry: UsageLogEntry) -> None:
        _add(found.setdefault(UserBucketKey(entry.user, entry.bucket), UsageLogEntry()), entry)

    if not ctx.exists:
        raise NotFound("no usage log")
    more, marker = _scan(ctx, request.start_epoch, request.end_epoch, request.owner, request.bucket, request.iter,
                         request.max_entries or _READ_PAGE, visit)
    return UsageReadRet(usage=found, truncated=more, next_iter=marker if more else "")


@implements(classes.USAGE_LOG_TRIM)
def user_usage_log_trim(ctx: ObjectContext, request: UsageTrimOp) -> None:
    """Removes a page of the range; ENODATA when there is nothing left."""
    if not ctx.exists:
        raise NotFound("no usage log")
    gone: list[UsageLogEntry] = []
    more, _ = _scan(ctx, request.start_epoch, request.end_epoch, request.user, request.bucket, "", _TRIM_PAGE, gone.append)
    for entry in gone:
        ctx.omap_rm(_by_time(entry, entry.owner))
        ctx.omap_rm(_by_user(entry, entry.owner))
    if not more and not gone:
        raise NoData("no usage in the range")


@implements(classes.USAGE_LOG_CLEAR)
def usage_log_clear(ctx: ObjectContext, request: Any) -> None:
    if ctx.exists:
        for key, _ in list(ctx.omap_iter()):
            ctx.omap_rm(key)
