"""Lifecycle rules and queues in radosgw's JSON."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from rgw.core.dump.basics import moment
from rgw.core.lc_rules import parse_date
from rgw.formats.basics import ObjTags
from rgw.formats.lifecycle import LcExpiration, LcFilter, LcRule, LcTransition, LifecycleConfiguration
from rgw.formats.misc import LcEntry

_STATUS = {0: "UNINITIAL", 1: "PROCESSING", 2: "FAILED", 3: "COMPLETE"}


def entry(found: LcEntry) -> dict[str, str]:
    """A bucket in its queue."""
    return {"bucket": found.bucket, "started": formatdate(found.start_time, usegmt=True), "status": _STATUS.get(found.status, "<unknown>")}


def _tags(tags: ObjTags) -> dict[str, Any]:
    return {"tagset": dict(tags.tags)}


def _newer(found: LcExpiration | LcTransition) -> dict[str, str]:
    return {"newer_noncurrent": found.newer_noncurrent} if found.newer_noncurrent else {}


def _expiration(found: LcExpiration) -> dict[str, str]:
    return {"days": found.days, "date": found.date, **_newer(found)}


def _filter(found: LcFilter) -> dict[str, Any]:
    sizes = {name: text for name, text in (("size_gt", found.size_gt), ("size_lt", found.size_lt)) if text}
    return {"prefix": found.prefix, "obj_tags": _tags(found.tags), **sizes}


def _transitions(found: dict[str, LcTransition]) -> dict[str, Any]:
    return {name: {"days": each.days, "date": each.date, "storage_class": each.storage_class, **_newer(each)} for name, each in sorted(found.items())}


def rule(found: LcRule) -> dict[str, Any]:
    return {
        "id": found.id, "prefix": found.prefix, "status": found.status, "expiration": _expiration(found.expiration),
        "noncur_expiration": _expiration(found.noncur_expiration), "mp_expiration": _expiration(found.mp_expiration),
        "filter": _filter(found.filter), "transitions": _transitions(found.transitions),
        "noncur_transitions": _transitions(found.noncur_transitions), "dm_expiration": found.dm_expiration,
    }


def _day(date: str) -> str:
    return moment((parse_date(date) or 0) * 10**9, "+0000")


def _steps(found: dict[str, LcTransition]) -> dict[str, Any]:
    return {name: {"date": _day(each.date)} if each.date else {"days": int(each.days or 0)} for name, each in sorted(found.items())}


def _action(found: LcRule) -> dict[str, Any]:
    out: dict[str, Any] = {
        "status": found.enabled, "dm_expiration": found.dm_expiration, "expiration": int(found.expiration.days or 0),
        "noncur_expiration": int(found.noncur_expiration.days or 0), "mp_expiration": int(found.mp_expiration.days or 0),
    }
    if found.expiration.date:
        out["expiration_date"] = _day(found.expiration.date)
    if found.filter.tags.tags:
        out["obj_tags"] = _tags(found.filter.tags)
    return {**out, "transitions": _steps(found.transitions), "noncur_transitions": _steps(found.noncur_transitions)}


def config(found: LifecycleConfiguration) -> dict[str, Any]:
    """A bucket's rules, by prefix (where several have one, radosgw repeats the key and the last is left here) and by id."""
    rules = [each for _, each in found.rules]
    by_prefix = sorted(rules, key=lambda each: each.key_prefix.encode("utf-8", "surrogateescape"))
    return {"prefix_map": {each.key_prefix: _action(each) for each in by_prefix}, "rule_map": [{"id": each.id, "rule": rule(each)} for each in rules]}
