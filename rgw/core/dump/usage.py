"""The usage log in radosgw's JSON."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rgw.core.dump.basics import moment
from rgw.formats.usage import UsageData, UsageLogEntry


def _counts(data: UsageData) -> dict[str, int]:
    return {"bytes_sent": data.bytes_sent, "bytes_received": data.bytes_received, "ops": data.ops, "successful_ops": data.successful_ops}


def _categories(found: dict[str, UsageData], wanted: frozenset[str]) -> list[dict[str, Any]]:
    return [{"category": name, **_counts(data)} for name, data in sorted(found.items()) if not wanted or name in wanted]


def _bucket(entry: UsageLogEntry, wanted: frozenset[str]) -> dict[str, Any]:
    payer = {"payer": entry.payer} if entry.payer and entry.payer != entry.owner else {}
    return {"bucket": entry.bucket, "time": moment(entry.epoch * 10**9), "epoch": entry.epoch, "owner": entry.owner, **payer,
            "categories": _categories(entry.categories, wanted)}


def _sum(entries: list[UsageLogEntry], wanted: frozenset[str]) -> dict[str, Any]:
    sums: dict[str, UsageData] = {}
    total = UsageData()
    for entry in entries:
        for name, data in entry.categories.items():
            if not wanted or name in wanted:
                sums.setdefault(name, UsageData()).add(data)
                total.add(data)
    return {"categories": _categories(sums, wanted), "total": _counts(total)}


def usage(found: list[UsageLogEntry], *, entries: bool = True, summary: bool = True, categories: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What `usage show` prints of entries in the order of their users; ``categories`` empty: all."""
    users = [(user, list(group)) for user, group in groupby(found, key=lambda entry: entry.user)]
    out: dict[str, Any] = {}
    if entries:
        out["entries"] = [{"user": user, "buckets": [_bucket(entry, categories) for entry in group]} for user, group in users]
    if summary:
        out["summary"] = [{"user": user, **_sum(group, categories)} for user, group in users]
    return out
