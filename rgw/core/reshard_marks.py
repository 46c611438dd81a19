"""What an index shard tells of a reshard by this gateway: its state, and marks of the names that change while it is copied.

The state stands in an xattr of every shard of the old index; every index operation compares it with what its gateway believes, so that
a gateway which missed a change is refused instead of being announced to. A mark is written in the same operation as the change.
Formats page, section 13; marks are index log entries, hence no listing shows them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rgw.formats.index import BiLogEntry, ClsObjKey, EntryVer
from rgw.store import classes
from rgw.store.classcall import ClassCall

STATE = "user.gw.reshard"  # xattr: not set, copying(...) or blocked(...)
_COPY, _BLOCK = b"copy:", b"block:"

LOG = b"\x800_"  # all index log entries
MARK = LOG + b"gw."
INSTANCE = b"\x801000_"
OLH = b"\x801001_"

_PENDING, _COMPLETE = 0, 1
_counter = itertools.count()


def copying(new_id: str) -> bytes:
    """The state while the index is copied to the instance ``new_id``: changes leave marks."""
    return _COPY + new_id.encode()


def blocked(new_id: str) -> bytes:
    """The state while the bucket is switched over: no changes."""
    return _BLOCK + new_id.encode()


def is_blocked(state: bytes) -> bool:
    return state.startswith(_BLOCK)


@dataclass(frozen=True, slots=True)
class Change:
    """What a class call may change: entries of these keys; ``completes``: it raises the header's version by one."""

    keys: list[ClsObjKey]
    completes: bool = False
    versions: bool = False  # versions and their order, not just the entries of the keys


def change_of(call: ClassCall) -> Change:
    """The change that a class call makes to an index shard. ValueError for a method that is not known here."""
    request: Any = call.request
    method = call.method
    if method is classes.BUCKET_PREPARE_OP:
        return Change([request.key])
    if method is classes.BUCKET_COMPLETE_OP:
        return Change([request.key, *request.remove_objs], completes=True)
    if method in (classes.BUCKET_LINK_OLH, classes.BUCKET_UNLINK_INSTANCE, classes.BUCKET_CLEAR_OLH):
        return Change([request.key], versions=True)
    if method is classes.BUCKET_TRIM_OLH_LOG:
        return Change([request.olh], versions=True)
    if method is classes.DIR_SUGGEST_CHANGES:
        # It raises the version only where it changes statistics: unknown here, so the check of the count may ask for a full compare.
        return Change([ClsObjKey(change.entry.name, change.entry.instance) for change in request.changes], versions=True)
    raise ValueError(f"{method.name} cannot be marked for a reshard")


def marks(call: ClassCall, source: int) -> dict[bytes, bytes]:
    """Omap entries that mark what ``call`` changes. ``source`` is the writing gateway's instance id. No key is ever used twice."""
    change = change_of(call)
    found: dict[bytes, bytes] = {}
    now = time.time_ns()
    for number, key in enumerate(change.keys):
        name = MARK + b"%d.%d.%d" % (now // 1_000_000_000, source, next(_counter))
        entry = BiLogEntry(
            id=name[len(LOG):].decode(), object=key.name, timestamp=now, ver=EntryVer(), instance=key.instance,
            state=_COMPLETE if change.completes and number == 0 else _PENDING, bilog_flags=int(change.versions))
        found[name] = entry.encode()
    return found


@dataclass(slots=True)
class Marked:
    """What a page of marks says: index names, each with whether versions may have changed; how many marks raised the header's version."""

    names: dict[str, bool]
    completes: int

    @classmethod
    def of(cls, values: Iterable[bytes]) -> Marked:
        marked = cls({}, 0)
        for value in values:
            entry = BiLogEntry.decode(value)
            marked.names[entry.object] = marked.names.get(entry.object, False) or bool(entry.instance or entry.bilog_flags)
            marked.completes += entry.state == _COMPLETE
        return marked
