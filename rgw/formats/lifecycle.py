"""Lifecycle configurations, the xattr ``user.rgw.lc`` of a bucket instance (formats page 3.8). Source: rgw_lc.h of Ceph Pacific and Squid.

Sizes and counts of newer versions came after Pacific, whose radosgw would skip them and so expire what a rule spares. Where a rule has
them, their structure is written with a compat version that Pacific refuses: it then leaves the whole bucket alone. No release of Ceph has
the count of a transition: its structure is version 2 here alone, and every radosgw refuses it.
"""

from __future__ import annotations

from rgw.formats.basics import ObjTags
from rgw.formats.encoding import BOOL, STR, U32, Struct, f, map_of, multimap_of, struct


@struct(4, 2)
class LcExpiration(Struct):
    """LCExpiration. Numbers are decimal text, ``date`` is ISO 8601; empty: not given."""

    days: str = f(STR)
    date: str = f(STR, since=3)
    newer_noncurrent: str = f(STR, since=4)

    @property
    def given(self) -> bool:
        return bool(self.days or self.date or self.newer_noncurrent)


@struct(2, 1)
class LcTransition(Struct):
    """LCTransition."""

    days: str = f(STR)
    date: str = f(STR)
    storage_class: str = f(STR)
    newer_noncurrent: str = f(STR, since=2)


@struct(4, 1)
class LcFilter(Struct):
    """LCFilter. Sizes are decimal text, in bytes, exclusive; ``flags`` are of archive zones."""

    prefix: str = f(STR)
    tags: ObjTags = f(ObjTags, since=2)
    flags: int = f(U32, since=3)
    size_gt: str = f(STR, since=4)
    size_lt: str = f(STR, since=4)


def _write(out: bytearray, version: int, compat: int, values: list[tuple[object, object]]) -> None:
    start = len(out)
    out += b"\0" * 6
    for kind, value in values:
        (kind.enc if hasattr(kind, "enc") else kind._enc)(out, value)  # type: ignore[attr-defined]
    out[start:start + 6] = bytes((version, compat)) + (len(out) - start - 6).to_bytes(4, "little")


def _enc_expiration(out: bytearray, o: LcExpiration) -> None:
    known: list[tuple[object, object]] = [(STR, o.days), (STR, o.date)]
    if o.newer_noncurrent:
        _write(out, 4, 4, [*known, (STR, o.newer_noncurrent)])
    else:
        _write(out, 3, 2, known)


def _enc_transition(out: bytearray, o: LcTransition) -> None:
    known: list[tuple[object, object]] = [(STR, o.days), (STR, o.date), (STR, o.storage_class)]
    if o.newer_noncurrent:
        _write(out, 2, 2, [*known, (STR, o.newer_noncurrent)])
    else:
        _write(out, 1, 1, known)


def _enc_filter(out: bytearray, o: LcFilter) -> None:
    known: list[tuple[object, object]] = [(STR, o.prefix), (ObjTags, o.tags)]
    if o.flags or o.size_gt or o.size_lt:
        _write(out, 4, 4, [*known, (U32, o.flags), (STR, o.size_gt), (STR, o.size_lt)])
    else:
        _write(out, 2, 1, known)


LcExpiration._enc = staticmethod(_enc_expiration)  # type: ignore[assignment]  # two forms each, as told above
LcTransition._enc = staticmethod(_enc_transition)  # type: ignore[assignment]
LcFilter._enc = staticmethod(_enc_filter)  # type: ignore[assignment]


@struct(6, 1)
class LcRule(Struct):
    """LCRule. ``status``: Enabled or Disabled; transitions by storage class; ``prefix`` is of the old form, without a filter."""

    id: str = f(STR)
    prefix: str = f(STR)
    status: str = f(STR)
    expiration: LcExpiration = f(LcExpiration)
    noncur_expiration: LcExpiration = f(LcExpiration, since=2)
    mp_expiration: LcExpiration = f(LcExpiration, since=3)
    dm_expiration: bool = f(BOOL, since=4)
    filter: LcFilter = f(LcFilter, since=5)
    transitions: dict[str, LcTransition] = f(map_of(STR, LcTransition), since=6)
    noncur_transitions: dict[str, LcTransition] = f(map_of(STR, LcTransition), since=6)

    @property
    def enabled(self) -> bool:
        return self.status == "Enabled"

    @property
    def key_prefix(self) -> str:
        """The beginning of the keys that the rule is about."""
        return self.filter.prefix or self.prefix


@struct(1, 1)
class LifecycleConfiguration(Struct):
    """RGWLifecycleConfiguration: rules by their id."""

    rules: list[tuple[str, LcRule]] = f(multimap_of(STR, LcRule))
