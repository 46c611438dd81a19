"""What a lifecycle rule wants done with an object, a version, a delete marker or an upload, and when: pure functions of times.

Ages count from midnight UTC, as radosgw counts them: a thing is n days old once n whole days lie between it and the last midnight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rgw.formats.lifecycle import LcExpiration, LcRule, LcTransition

_DAY = 86400
_NS = 1_000_000_000


def parse_date(text: str) -> int | None:
    """Seconds since the epoch of an ISO 8601 date; None if it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a run. ``debug_interval`` above 0: a day of this many seconds, without midnights (``rgw_lc_debug_interval``)."""

    now: float  # seconds
    debug_interval: int = 0

    def older(self, ns: int, days: int) -> bool:
        """Whether what is of this time is at least so many days old."""
        if self.debug_interval > 0:
            return self.now - ns / _NS >= days * self.debug_interval
        midnight = int(self.now) // _DAY * _DAY
        return midnight - ns // _NS >= days * _DAY

    def due(self, when: LcExpiration | LcTransition, ns: int) -> bool:
        """Whether the moment has come for what is of this time."""
        if when.days:
            return self.older(ns, int(when.days))
        at = parse_date(when.date) if when.date else None
        return at is not None and self.now >= at


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a bucket's index. ``mtime`` ns; ``successor``: since when it is no longer current; ``newer``: noncurrent versions newer than it."""

    key: str
    version: str
    mtime: int
    size: int
    storage_class: str = "STANDARD"
    current: bool = True
    delete_marker: bool = False
    alone: bool = True  # the only entry of its key
    successor: int = 0
    newer: int = 0


EXPIRE = ""  # as an action; others are names of storage classes


def fits(rule: LcRule, item: Item) -> bool:
    """Whether a rule is about the item, its tags aside."""
    if not rule.enabled or not item.key.startswith(rule.key_prefix):
        return False
    chosen = rule.filter
    if item.delete_marker:
        return not (chosen.tags.tags or chosen.size_gt or chosen.size_lt)
    return not (chosen.size_gt and item.size <= int(chosen.size_gt)) and not (chosen.size_lt and item.size >= int(chosen.size_lt))


def tagged(rule: LcRule, tags: Iterable[tuple[str, str]]) -> bool:
    """Whether an object's tags hold all that the rule asks for."""
    return set(rule.filter.tags.tags) <= set(tags)


def _expires(rule: LcRule, item: Item, clock: Clock) -> bool:
    if item.delete_marker and item.current:
        if not item.alone:
            return False
        return rule.dm_expiration or (rule.expiration.given and clock.due(rule.expiration, item.mtime))
    if item.current:
        return rule.expiration.given and clock.due(rule.expiration, item.mtime)
    limit = rule.noncur_expiration
    return bool(limit.days) and item.newer >= int(limit.newer_noncurrent or 0) and clock.due(limit, item.successor)


def _transition(rule: LcRule, item: Item, clock: Clock) -> tuple[int, str] | None:
    """The last class that is due, with its rank among the rule's: later ones go further."""
    if item.delete_marker:
        return None
    group, since = (rule.transitions, item.mtime) if item.current else (rule.noncur_transitions, item.successor)
    due = [each for each in group.values() if clock.due(each, since) and item.newer >= int(each.newer_noncurrent or 0)]
    if not due:
        return None
    ranked = [(int(each.days), each.storage_class) if each.days else (2**40 + (parse_date(each.date) or 0), each.storage_class) for each in due]
    return max(ranked)


def action(rules: Iterable[LcRule], item: Item, clock: Clock) -> str | None:
    """What rules (those that fit, tags included) want now: EXPIRE, a storage class to move to, or None. Expiration goes first."""
    best: tuple[int, str] | None = None
    for rule in rules:
        if _expires(rule, item, clock):
            return EXPIRE
        found = _transition(rule, item, clock)
        if found is not None and (best is None or found > best):
            best = found
    if best is None or best[1] == (item.storage_class or "STANDARD"):
        return None
    return best[1]


def expires_at(rules: Iterable[LcRule], item: Item, tags: Iterable[tuple[str, str]]) -> tuple[int, str] | None:
    """When (seconds, a midnight) the rules let a current object go, and by which rule's id; None: they do not."""
    held = list(tags)
    found: list[tuple[int, str]] = []
    for rule in rules:
        if rule.expiration.given and fits(rule, item) and tagged(rule, held):
            if rule.expiration.days:
                old = item.mtime // _NS + int(rule.expiration.days) * _DAY
                found.append((-(-old // _DAY) * _DAY, rule.id))
            elif (at := parse_date(rule.expiration.date)) is not None:
                found.append((at, rule.id))
    return min(found, default=None)


def common_prefixes(rules: Iterable[LcRule]) -> list[str]:
    """The fewest prefixes that cover all enabled rules."""
    found: list[str] = []
    for prefix in sorted({rule.key_prefix for rule in rules if rule.enabled}):
        if not found or not prefix.startswith(found[-1]):
            found.append(prefix)
    return found
