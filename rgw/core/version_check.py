"""The versions of one key as its index tells them (rgw.core.key_index), its head and the versions' objects: what disagrees.

It is mended (rgw.core.version_mend) where one kind of entry tells what another lacks; entries of versions whose objects are gone go, as do
versions that never were listed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rgw.core import olh
from rgw.core.entropy import random_text
from rgw.core.head import existing_head
from rgw.core.key_index import CHANGE_TIMEOUT, KeyIndex, edit, read_key
from rgw.core.state import OLH_IDTAG, OLH_INFO, OLH_PENDING, ObjectState, is_olh_only
from rgw.core.version_mend import drop_head, end_removal, forget, point, retell
from rgw.errors import S3Error
from rgw.formats import index_keys, names
from rgw.formats.index import FLAG_CURRENT, FLAG_DELETE_MARKER, FLAG_VER, FLAG_VER_MARKER, ClsObjKey, DirEntry, DirEntryMeta, OlhEntry
from rgw.formats.obj import OlhInfo, OlhPendingInfo
from rgw.store.errors import Cancelled, Exists, NotFound

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

UNFINISHED = "a change of its versions is not finished"
LEFT_OVER = "all versions are removed, but the index still knows the key"
NEVER_LINKED = "written, but it never became a version"
UNLINKED_AFTER = 3600  # seconds after which a version that is in no listing has lost its writer, as with radosgw-admin
_FLAGS = FLAG_VER | FLAG_DELETE_MARKER
_TRIES = 10
_REMOVE = 3  # operation of the versions' log


@dataclass(slots=True)
class Finding:
    """``problem`` of a version, of the key itself for instance "". Those of a lower ``stage`` are mended first."""

    stage: int
    instance: str
    problem: str
    mend: Callable[[], Awaitable[object]]
    mended: bool = False


class KeyCheck:
    """The check of one key. ``findings`` are what was found in all rounds."""

    def __init__(self, gw: Gateway, bucket: Bucket, key: str, unlinked_after: float = UNLINKED_AFTER) -> None:
        self._gw = gw
        self._bucket = bucket
        self._key = key
        self._place = (gw, bucket, key)
        self._edit = partial(edit, bucket, key)
        self._unlinked_after = unlinked_after
        self._name = names.index_name(key)
        self._olh_place = index_keys.olh_key(self._name)
        self.findings: dict[tuple[str, str], Finding] = {}

    async def run(self, fix: bool, only: Collection[str] = ()) -> list[Finding]:
        """What disagrees, or those problems of it; with ``fix`` it is mended as far as possible. Nothing while a gateway is at work on the key."""
        tried: dict[tuple[str, str], int] = {}
        while True:
            found = [finding for finding in await self._look() if not only or finding.problem in only]
            for finding in found:
                self.findings.setdefault((finding.instance, finding.problem), finding)
            todo = [finding for finding in found if tried.get((finding.instance, finding.problem), 0) < 2]
            if not fix or not todo:
                break
            stage = min(finding.stage for finding in todo)
            for finding in todo:
                if finding.stage == stage:
                    tried[finding.instance, finding.problem] = tried.get((finding.instance, finding.problem), 0) + 1
                    try:
                        await finding.mend()
                    except (Cancelled, Exists, NotFound, olh.Moved) as error:
                        log.info("%s in bucket %s changed while it was mended: %s", self._key, self._bucket.name, error)
        left = {(finding.instance, finding.problem) for finding in found}
        for key, finding in self.findings.items():
            finding.mended = fix and key not in left
        return list(self.findings.values())

    async def _look(self) -> list[Finding]:
        """What disagrees in a state of the index that stood while the heads were looked at. Nothing where others never let it stand."""
        index = await read_key(self._bucket, self._key)
        for _ in range(_TRIES):
            found = await self._compare(index)
            if not found:
                return []
            # A change alters the index before objects go, and after they were written: what others were at since then shows there.
            before, index = index, await read_key(self._bucket, self._key)
            if index == before:
                return found
        return []

    async def _compare(self, index: KeyIndex) -> list[Finding]:
        head = await existing_head(self._gw, self._bucket, self._key)
        if index.busy or _announced(head):
            return []
        if index.newer or olh.is_newer(head):
            log.warning("%s in bucket %s is left as it is: a newer release wrote what the index or its head tells", self._key, self._bucket.name)
            return []
        found: list[Finding] = []
        if not index.versioned:
            if head is not None and is_olh_only(head.attrs):
                what = "the key's head points to versions, but the index knows of none"
                found.append(Finding(0, "", what, partial(drop_head, *self._place, head)))
            return found  # a plain object is compared as in buckets without versions
        left_over = index.olh is not None and not index.olh.exists and not index.listed and not index.olh.pending_log
        if index.olh is not None and not left_over and (head is None or head.attrs.get(OLH_IDTAG) != index.olh.tag.encode()):
            what = "the key has no head" if head is None else "the key's head is not the one that the index knows"
            found.append(Finding(0, "", what, partial(point, *self._place, index, head)))
        elif index.olh is not None and index.olh.pending_log:
            found.append(Finding(1, "", UNFINISHED, partial(olh.apply_log, self._gw, self._bucket, self._key)))
        self._plain(index, found)
        self._listings(index, found)
        await self._objects(index, head, found)
        self._current(index, head, found, left_over)
        return found

    # the placeholder

    def _plain(self, index: KeyIndex, found: list[Finding]) -> None:
        place = index_keys.raw(self._name)
        placeholder = DirEntry(name=self._name, flags=FLAG_VER_MARKER).encode()
        plain = index.plain
        olh_seen = (self._olh_place, index.olh_raw)
        if plain is None:
            if index.olh is not None:
                found.append(Finding(2, "", "the placeholder at the plain key is missing", partial(
                    self._edit, [(place, b""), olh_seen], {place: placeholder})))
            return
        if plain.entry.flags & FLAG_VER_MARKER or not index.olh_raw:
            if plain.entry.flags & FLAG_VER_MARKER and not (index.olh_raw or index.listed or index.versions):
                found.append(Finding(2, "", "a placeholder without versions", partial(
                    self._edit, [(place, plain.raw), olh_seen], {}, [place])))
            return
        # radosgw's own `bucket check --check-objects --fix` does this to objects from before versioning
        new = {place: placeholder}
        null = index_keys.instance_key(ClsObjKey(self._name))
        if not any(stored.place == null for stored in index.versions):
            new[null] = replace(plain.entry, versioned_epoch=plain.entry.versioned_epoch or 1,
                                flags=(plain.entry.flags | FLAG_VER) & ~FLAG_CURRENT).encode()
        found.append(Finding(2, "", "an entry of a plain object stands where the placeholder should", partial(
            self._edit, [(place, plain.raw), olh_seen], new)))

    # each version's two entries

    def _listings(self, index: KeyIndex, found: list[Finding]) -> None:
        removing = _being_removed(index)
        versions = {stored.who: stored for stored in index.versions}
        seen: set[tuple[str, bool]] = set()
        for listed in index.listed:
            who = listed.who
            version = versions.get(who)
            if version is None:
                place = index_keys.instance_key(ClsObjKey(self._name, listed.entry.instance), who[1])
                found.append(Finding(3, listed.entry.instance, "listings show a version that has no entry", partial(
                    self._edit, [(place, b""), (listed.place, listed.raw)], {place: listed.raw})))
            elif who in seen or listed.entry.versioned_epoch != version.entry.versioned_epoch:
                found.append(Finding(3, listed.entry.instance, "listings show a version at a place that is not its own", partial(
                    self._edit, [(version.place, version.raw), (listed.place, listed.raw)], {}, [listed.place])))
                continue
            elif version.is_marker and listed.is_marker and (_is_object(version.entry) or _is_object(listed.entry)):
                found.append(Finding(3, listed.entry.instance, "a delete marker is taken for an object", partial(
                    self._edit, [(version.place, version.raw), (listed.place, listed.raw)], {
                        stored.place: _as_marker(stored.entry, listed.entry).encode() for stored in (version, listed)})))
            elif _told(listed.entry) != _told(version.entry):
                flags = version.entry.flags & ~FLAG_CURRENT | listed.entry.flags & FLAG_CURRENT
                found.append(Finding(3, listed.entry.instance, "listings tell something else of a version than its entry", partial(
                    self._edit, [(version.place, version.raw), (listed.place, listed.raw)],
                    {listed.place: replace(version.entry, flags=flags).encode()})))
            seen.add(who)
        for who, version in versions.items():
            epoch = version.entry.versioned_epoch
            if not epoch or who in seen or who[0] in removing or not (version.entry.exists or version.is_marker):
                continue
            place = index_keys.list_key(self._name, epoch, version.entry.instance)
            found.append(Finding(3, version.entry.instance, "a version is missing from listings", partial(
                self._edit, [(version.place, version.raw), (place, b"")], {place: version.raw})))

    # versions and their objects

    async def _objects(self, index: KeyIndex, head: ObjectState | None, found: list[Finding]) -> None:
        bucket, key = self._bucket, self._key
        removing = _being_removed(index)
        listed = {stored.who for stored in index.listed}
        for version in index.versions:
            entry, instance = version.entry, version.entry.instance
            if version.is_marker or instance in removing:
                continue
            state = await existing_head(self._gw, bucket, key, instance) if instance else head
            if state is not None and is_olh_only(state.attrs):
                state = None
            if not entry.versioned_epoch and version.who not in listed:
                if _age(entry) > self._unlinked_after:
                    found.append(Finding(4, instance, NEVER_LINKED, partial(forget, *self._place, index, version, state)))
            elif state is None:
                what = "the index lists it, but there is no such object" if entry.exists else "a leftover entry without object"
                found.append(Finding(4, instance, what, partial(forget, *self._place, index, version, None)))
            elif not entry.exists:
                what = "the object exists, but its entry says that it does not"
                found.append(Finding(4, instance, what, partial(retell, bucket, key, version, state)))
            elif wrong := _wrong(entry, state):
                found.append(Finding(4, instance, f"the entry tells {wrong}", partial(retell, bucket, key, version, state)))

    # which version is current

    def _current(self, index: KeyIndex, head: ObjectState | None, found: list[Finding], left_over: bool) -> None:
        if left_over:
            found.append(Finding(5, "", LEFT_OVER, partial(end_removal, *self._place, index, head)))
            return
        if index.olh is not None and index.olh.pending_log:
            return
        right = self._right_olh(index, head)
        if right is None:
            return
        newest = index.listed[0] if index.listed else None
        new: dict[bytes, bytes] = {}
        seen = [(self._olh_place, index.olh_raw)]
        wrong = []
        if index.olh is None:
            wrong.append("the index does not know which version is current")
        elif (index.olh.key, index.olh.delete_marker, index.olh.exists) != (right.key, right.delete_marker, right.exists):
            wrong.append("the index takes another version for the current one than the newest" if newest else "the current version is gone")
        if index.olh is None or wrong:
            new[self._olh_place] = right.encode()
        for stored in index.listed:
            current = bool(stored.entry.flags & FLAG_CURRENT)
            if current != (stored is newest):
                wrong.append("listings show another version as the current one" if current else "listings show no version as the current one")
                new[stored.place] = replace(stored.entry, flags=stored.entry.flags ^ FLAG_CURRENT).encode()
                seen.append((stored.place, stored.raw))
        if wrong:
            found.append(Finding(5, "", "; ".join(dict.fromkeys(wrong)), partial(self._edit, seen, new)))
        elif index.olh is not None and head is not None and head.attrs.get(OLH_IDTAG) == index.olh.tag.encode():
            told = OlhInfo.decode(head.attrs[OLH_INFO]) if OLH_INFO in head.attrs else None
            if told is None or (told.target.instance.replace("null", ""), told.removed) != (right.key.instance, right.delete_marker):
                found.append(Finding(6, "", "the key's head points to another version than the index", partial(point, *self._place, index, head)))

    def _right_olh(self, index: KeyIndex, head: ObjectState | None) -> OlhEntry | None:
        """What the entry of the key's current version should be; None where it cannot be told, or none is due."""
        newest = index.listed[0].entry if index.listed else None
        if newest is None:
            return replace(index.olh, key=ClsObjKey(self._name), delete_marker=False, exists=False, pending_removal=True) if index.olh else None
        tag = head.attrs[OLH_IDTAG].decode() if head is not None and OLH_IDTAG in head.attrs else random_text(32).lower()
        before = index.olh or OlhEntry(tag=tag)
        return replace(
            before, key=ClsObjKey(self._name, newest.instance), delete_marker=bool(newest.flags & FLAG_DELETE_MARKER), exists=True,
            pending_removal=False, epoch=max(before.epoch, newest.versioned_epoch))


async def unlink(gw: Gateway, bucket: Bucket, key: str, instance: str) -> bool:
    """Drops a version's entries from the index; its object stays, the next older version becomes current. Whether there was such a version.

    S3Error OperationAborted if writers or a reshard come between.
    """
    for _ in range(_TRIES):
        index = await read_key(bucket, key)
        ours = [stored for stored in (*index.versions, *index.listed) if stored.entry.instance == instance]
        if not ours:
            return False
        seen = [(stored.place, stored.raw) for stored in ours]
        counted = [stored.entry.meta for stored in ours if stored in index.versions and stored.entry.exists and not stored.is_marker]
        try:
            await edit(bucket, key, seen, {}, [stored.place for stored in ours], counted[0] if counted else None)
        except Cancelled:
            continue
        await KeyCheck(gw, bucket, key).run(fix=True)
        return True
    raise S3Error("OperationAborted", f"{key} is being changed, or its bucket resharded")


def _is_object(entry: DirEntry) -> bool:
    """Whether an entry counts in the statistics, which a delete marker must not (radosgw-admin's `bucket check --fix` makes it so).

    One that replaced a null version is made of that one's entry by the class, and goes on existing.
    """
    return bool(entry.meta.category or (entry.exists and entry.instance))


def _as_marker(entry: DirEntry, listed: DirEntry) -> DirEntry:
    """A delete marker's entry as it should be: by the listing's, if that is right."""
    told = entry.meta if _is_object(listed) else listed.meta
    meta = DirEntryMeta(mtime=told.mtime, owner=told.owner, owner_display_name=told.owner_display_name)
    return replace(entry, exists=False, meta=meta)


def _told(entry: DirEntry) -> tuple[object, ...]:
    meta = entry.meta
    return meta.size, meta.accounted_size, meta.etag, meta.category, entry.flags & _FLAGS, entry.exists


def _wrong(entry: DirEntry, state: ObjectState) -> str:
    return ", ".join(f"{what} {said!r} instead of {true!r}" for what, said, true in (
        ("size", entry.meta.size, state.stored_size), ("etag", entry.meta.etag, state.etag)) if said != true)


def _age(entry: DirEntry) -> float:
    """Seconds since the version was written, or begun."""
    begun = [change.timestamp for change in entry.pending_map.values()]
    return (time.time_ns() - max(entry.meta.mtime, *begun, 0)) / 1e9


def _being_removed(index: KeyIndex) -> set[str]:
    """Versions that the log still is to remove."""
    log_entries = [item for items in index.olh.pending_log.values() for item in items] if index.olh else []
    return {item.key.instance.replace("null", "") for item in log_entries if item.op == _REMOVE}


def _announced(head: ObjectState | None) -> bool:
    """Whether a gateway has announced a change of the key's versions that it may still end."""
    if head is None:
        return False
    young = time.time_ns() - CHANGE_TIMEOUT
    return any(name.startswith(OLH_PENDING) and OlhPendingInfo.decode(value).time > young for name, value in head.attrs.items())
