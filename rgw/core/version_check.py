"""The versions of one key as its index tells them, its head and the versions' objects: what disagrees, and setting it right.

The index holds of a key (formats page, 3.7): each version by its id and once more in the order of listings, the entry that says which
version is current and what its log still asks of RADOS objects, and a placeholder at the plain key. The head of the key follows that entry.

What disagrees is mended where one kind of entry tells what another lacks; entries of versions whose objects are gone go, as do versions that
never were listed. Raw edits compare what was read in the same operation, hence whoever writes meanwhile wins, and are not made during a reshard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from rgw.core import olh, raw_index
from rgw.core.entropy import random_text
from rgw.core.head import entry_meta, existing_head
from rgw.core.index import GUARD, RESHARDING, IndexKey
from rgw.core.index_repair import TAG_TIMEOUT, entry_of, suggest
from rgw.core.indexed import IndexChange
from rgw.core.reshard_marks import STATE
from rgw.core.state import IDTAG, OLH_IDTAG, OLH_INFO, OLH_PENDING, OLH_VER, ObjectState, is_olh_only
from rgw.errors import S3Error
from rgw.formats import cls_rgw, index_keys, names
from rgw.formats.basics import Obj
from rgw.formats.index import FLAG_CURRENT, FLAG_DELETE_MARKER, FLAG_VER, FLAG_VER_MARKER, CategoryStats, ClsObjKey, DirEntry, DirEntryMeta, OlhEntry
from rgw.formats.obj import OlhInfo, OlhPendingInfo
from rgw.store import classes
from rgw.store.errors import Cancelled, ClassError, Exists, NotFound
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

UNFINISHED = "a change of its versions is not finished"
LEFT_OVER = "all versions are removed, but the index still knows the key"
NEVER_LINKED = "written, but it never became a version"
UNLINKED_AFTER = 3600  # seconds after which a version that is in no listing has lost its writer, as with radosgw-admin
_TIMEOUT = TAG_TIMEOUT * 1_000_000_000
_FLAGS = FLAG_VER | FLAG_DELETE_MARKER
_TRIES = 10
_ROUND = 4096  # bytes: statistics count whole blocks
_REMOVE = 3  # operation of the versions' log


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry where it stands."""

    place: bytes
    raw: bytes
    entry: DirEntry

    @property
    def is_marker(self) -> bool:
        return bool(self.entry.flags & FLAG_DELETE_MARKER)


@dataclass(slots=True)
class KeyIndex:
    """All that the index holds of one key. ``listed`` in the order of listings: the newest version first."""

    plain: Stored | None = None
    listed: list[Stored] = field(default_factory=list)
    versions: list[Stored] = field(default_factory=list)
    olh: OlhEntry | None = None
    olh_raw: bytes = b""

    @property
    def versioned(self) -> bool:
        """Whether the key has, or had, versions; else it is a plain object, if anything."""
        return bool(self.listed or self.versions or self.olh_raw or (self.plain and self.plain.entry.flags & FLAG_VER_MARKER))

    def tells_of(self, instance: str) -> bool:
        """Whether there is an entry of a version, or the plain object's for instance ""."""
        found = [*self.versions, *([self.plain] if self.plain else [])]
        return any(stored.entry.instance == instance and (stored.entry.exists or stored.is_marker) for stored in found)

    @property
    def busy(self) -> bool:
        """Whether a gateway has announced a change that it may still end."""
        young = time.time_ns() - _TIMEOUT
        found = [*self.versions, *([self.plain] if self.plain else [])]
        return any(change.timestamp > young for stored in found for change in stored.entry.pending_map.values())


@dataclass(slots=True)
class Finding:
    """``problem`` of a version, of the key itself for instance "". Those of a lower ``stage`` are mended first."""

    stage: int
    instance: str
    problem: str
    mend: Callable[[], Awaitable[object]]
    mended: bool = False


async def read_key(bucket: Bucket, key: str) -> KeyIndex:
    """S3Error NoSuchBucket."""
    found = KeyIndex()
    async for item in raw_index.of_bucket(bucket, key):
        place = index_keys.raw(item.idx)
        if item.type == raw_index.OLH:
            found.olh, found.olh_raw = OlhEntry.decode(item.data), item.data
            continue
        stored = Stored(place, item.data, DirEntry.decode(item.data))
        if item.type == raw_index.INSTANCE:
            found.versions.append(stored)
        elif b"\0" in place:
            found.listed.append(stored)
        else:
            found.plain = stored
    return found


async def edit(bucket: Bucket, key: str, seen: Iterable[tuple[bytes, bytes]], new: dict[bytes, bytes], gone: Iterable[bytes] = (),
               uncount: DirEntryMeta | None = None) -> None:
    """Sets and removes entries of a key if the index still holds what was seen (b"": nothing). Cancelled if not, or during a reshard.

    Statistics are not touched, for ``bucket check --fix`` counts anew in the end; or what ``uncount`` tells is taken off them.
    """
    op = WriteOp().assert_exists().cmpxattr(STATE, b"").call(GUARD)
    for place, raw in seen:
        op.omap_cmp(place, raw)
    if new:
        op.omap_set(new)
    if dropped := list(gone):
        op.omap_rm(dropped)
    if uncount is not None:
        rounded = (uncount.accounted_size + _ROUND - 1) // _ROUND * _ROUND
        less = CategoryStats(*(-value % (1 << 64) for value in (uncount.accounted_size, rounded, 1, uncount.size)))
        op.call(classes.BUCKET_UPDATE_STATS(cls_rgw.UpdateStatsOp(absolute=False, stats={uncount.category: less})))
    try:
        await bucket.index.ioctx.write(bucket.index.shard(key), op)
    except ClassError as error:
        if error.code != RESHARDING:
            raise
        raise Cancelled("the bucket is being resharded") from error


class KeyCheck:
    """The check of one key. ``findings`` are what was found in all rounds."""

    def __init__(self, gw: Gateway, bucket: Bucket, key: str, unlinked_after: float = UNLINKED_AFTER) -> None:
        self._gw = gw
        self._bucket = bucket
        self._key = key
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
        found: list[Finding] = []
        if not index.versioned:
            if head is not None and is_olh_only(head.attrs):
                found.append(Finding(0, "", "the key's head points to versions, but the index knows of none", partial(self._drop_head, head)))
            return found  # a plain object is compared as in buckets without versions
        left_over = index.olh is not None and not index.olh.exists and not index.listed and not index.olh.pending_log
        if index.olh is not None and not left_over and (head is None or head.attrs.get(OLH_IDTAG) != index.olh.tag.encode()):
            what = "the key has no head" if head is None else "the key's head is not the one that the index knows"
            found.append(Finding(0, "", what, partial(self._point, index, head)))
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
                    edit, self._bucket, self._key, [(place, b""), olh_seen], {place: placeholder})))
            return
        if plain.entry.flags & FLAG_VER_MARKER or not index.olh_raw:
            if plain.entry.flags & FLAG_VER_MARKER and not (index.olh_raw or index.listed or index.versions):
                found.append(Finding(2, "", "a placeholder without versions", partial(
                    edit, self._bucket, self._key, [(place, plain.raw), olh_seen], {}, [place])))
            return
        # radosgw's own `bucket check --check-objects --fix` does this to objects from before versioning
        new = {place: placeholder}
        null = index_keys.instance_key(ClsObjKey(self._name))
        if not any(stored.place == null for stored in index.versions):
            new[null] = replace(plain.entry, versioned_epoch=plain.entry.versioned_epoch or 1,
                                flags=(plain.entry.flags | FLAG_VER) & ~FLAG_CURRENT).encode()
        found.append(Finding(2, "", "an entry of a plain object stands where the placeholder should", partial(
            edit, self._bucket, self._key, [(place, plain.raw), olh_seen], new)))

    # each version's two entries

    def _listings(self, index: KeyIndex, found: list[Finding]) -> None:
        removing = _being_removed(index)
        versions = {_id(stored): stored for stored in index.versions}
        seen: set[tuple[str, bool]] = set()
        for listed in index.listed:
            who = _id(listed)
            version = versions.get(who)
            if version is None:
                place = index_keys.instance_key(ClsObjKey(self._name, listed.entry.instance), who[1])
                found.append(Finding(3, listed.entry.instance, "listings show a version that has no entry", partial(
                    edit, self._bucket, self._key, [(place, b""), (listed.place, listed.raw)], {place: listed.raw})))
            elif who in seen or listed.entry.versioned_epoch != version.entry.versioned_epoch:
                found.append(Finding(3, listed.entry.instance, "listings show a version at a place that is not its own", partial(
                    edit, self._bucket, self._key, [(version.place, version.raw), (listed.place, listed.raw)], {}, [listed.place])))
                continue
            elif version.is_marker and listed.is_marker and (_is_object(version.entry) or _is_object(listed.entry)):
                found.append(Finding(3, listed.entry.instance, "a delete marker is taken for an object", partial(
                    edit, self._bucket, self._key, [(version.place, version.raw), (listed.place, listed.raw)], {
                        stored.place: _as_marker(stored.entry, listed.entry).encode() for stored in (version, listed)})))
            elif _told(listed.entry) != _told(version.entry):
                flags = version.entry.flags & ~FLAG_CURRENT | listed.entry.flags & FLAG_CURRENT
                found.append(Finding(3, listed.entry.instance, "listings tell something else of a version than its entry", partial(
                    edit, self._bucket, self._key, [(version.place, version.raw), (listed.place, listed.raw)],
                    {listed.place: replace(version.entry, flags=flags).encode()})))
            seen.add(who)
        for who, version in versions.items():
            epoch = version.entry.versioned_epoch
            if not epoch or who in seen or who[0] in removing or not (version.entry.exists or version.is_marker):
                continue
            place = index_keys.list_key(self._name, epoch, version.entry.instance)
            found.append(Finding(3, version.entry.instance, "a version is missing from listings", partial(
                edit, self._bucket, self._key, [(version.place, version.raw), (place, b"")], {place: version.raw})))

    # versions and their objects

    async def _objects(self, index: KeyIndex, head: ObjectState | None, found: list[Finding]) -> None:
        bucket, key = self._bucket, self._key
        removing = _being_removed(index)
        listed = {_id(stored) for stored in index.listed}
        for version in index.versions:
            entry, instance = version.entry, version.entry.instance
            if version.is_marker or instance in removing:
                continue
            state = await existing_head(self._gw, bucket, key, instance) if instance else head
            if state is not None and is_olh_only(state.attrs):
                state = None
            if not entry.versioned_epoch and _id(version) not in listed:
                if _age(entry) > self._unlinked_after:
                    found.append(Finding(4, instance, NEVER_LINKED, partial(self._forget, index, version, state)))
            elif state is None:
                what = "the index lists it, but there is no such object" if entry.exists else "a leftover entry without object"
                found.append(Finding(4, instance, what, partial(self._forget, index, version, None)))
            elif not entry.exists:
                found.append(Finding(4, instance, "the object exists, but its entry says that it does not", partial(self._retell, version, state)))
            elif wrong := _wrong(entry, state):
                found.append(Finding(4, instance, f"the entry tells {wrong}", partial(self._retell, version, state)))

    async def _forget(self, index: KeyIndex, version: Stored, state: ObjectState | None) -> None:
        """Takes a version away, its object with it if there is one, and makes the next older one current where it was."""
        if state is None and not version.entry.versioned_epoch:
            await edit(self._bucket, self._key, [(version.place, version.raw)], {}, [version.place])
            return
        try:
            await olh.unlink(self._gw, self._bucket, self._key, version.entry.instance, expected=index.olh_raw)
        except NotFound:
            log.info("an older version of %s in bucket %s must be mended first", self._key, self._bucket.name)

    async def _retell(self, version: Stored, state: ObjectState) -> None:
        place = IndexKey.of(self._key, version.entry.instance)
        right = entry_of(version.entry, state)
        if version.entry.instance:
            await suggest(self._bucket, place, index_keys.text(version.place), version.raw, version.entry, right)
        else:  # the class would take the null version's plain key for its place
            await edit(self._bucket, self._key, [(version.place, version.raw)], {version.place: right.encode()})

    # which version is current

    def _current(self, index: KeyIndex, head: ObjectState | None, found: list[Finding], left_over: bool) -> None:
        if left_over:
            found.append(Finding(5, "", LEFT_OVER, partial(self._drop, index, head)))
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
            found.append(Finding(5, "", "; ".join(dict.fromkeys(wrong)), partial(edit, self._bucket, self._key, seen, new)))
        elif index.olh is not None and head is not None and head.attrs.get(OLH_IDTAG) == index.olh.tag.encode():
            told = OlhInfo.decode(head.attrs[OLH_INFO]) if OLH_INFO in head.attrs else None
            if told is None or (told.target.instance.replace("null", ""), told.removed) != (right.key.instance, right.delete_marker):
                found.append(Finding(6, "", "the key's head points to another version than the index", partial(self._point, index, head)))

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

    # the head of the key

    async def _point(self, index: KeyIndex, head: ObjectState | None) -> None:
        """Makes the key's head say what the index says; it is made where there is none."""
        assert index.olh is not None
        info = OlhInfo(target=Obj(self._bucket.info.bucket, "", self._key, index.olh.key.instance), removed=index.olh.delete_marker)
        known = {OLH_IDTAG: index.olh.tag.encode()}
        if index.olh.exists:
            known[OLH_INFO] = info.encode()
        # The log is applied from where the head stands: what it still asks for must not seem done.
        ver = min(index.olh.pending_log) - 1 if index.olh.pending_log else index.olh.epoch
        known[OLH_VER] = str(ver).encode()
        if head is None:
            op = WriteOp().create(exclusive=True).setxattrs({IDTAG: random_text(32).lower().encode(), **known})
        else:
            op = WriteOp(mtime=head.mtime).assert_version(head.version).setxattrs(known)
        await olh.write_head(self._gw, self._bucket, self._key, op)

    async def _drop_head(self, head: ObjectState) -> None:
        await olh.write_head(self._gw, self._bucket, self._key, WriteOp().assert_version(head.version).remove())

    async def _drop(self, index: KeyIndex, head: ObjectState | None) -> None:
        """Ends the removal of the key's last version."""
        assert index.olh is not None
        if head is not None and is_olh_only(head.attrs) and head.attrs[OLH_IDTAG] == index.olh.tag.encode():
            await self._drop_head(head)
        await self._bucket.index.call(self._key, classes.BUCKET_CLEAR_OLH(cls_rgw.ClearOlhOp(
            key=IndexKey.of(self._key).cls_key, olh_tag=index.olh.tag)), expected=(self._olh_place, index.olh_raw))


async def restore_entry(bucket: Bucket, key: str, index: KeyIndex, instance: str) -> bool:
    """Enters a version again that only listings show, by the newest where they show several; whether there is such a one."""
    name = names.index_name(key)
    here = {_id(stored) for stored in index.versions}
    for listed in index.listed:
        if listed.entry.instance == instance and _id(listed) not in here:
            place = index_keys.instance_key(ClsObjKey(name, instance), _id(listed)[1])
            try:
                await edit(bucket, key, [(place, b""), (listed.place, listed.raw)], {place: listed.raw})
            except (Cancelled, NotFound):
                log.debug("%s in bucket %s is being changed", key, bucket.name)
            return True
    return False


async def drop_strays(bucket: Bucket, key: str) -> None:
    """Takes a null version out of listings whose entry went with an object that was removed while it was linked."""
    index = await read_key(bucket, key)
    here = {_id(stored) for stored in index.versions}
    for listed in index.listed:
        if not listed.entry.instance and _id(listed) not in here:
            place = index_keys.instance_key(ClsObjKey(names.index_name(key)), listed.is_marker)
            try:
                await edit(bucket, key, [(place, b""), (listed.place, listed.raw)], {}, [listed.place])
            except (Cancelled, NotFound):
                log.debug("%s in bucket %s is being changed", key, bucket.name)


async def tell_head(gw: Gateway, bucket: Bucket, key: str, instance: str) -> ObjectState | None:
    """Brings the entry of an object, or of a version, up to its head, which is returned; None if there is no object."""
    change = await IndexChange.prepare(gw, bucket, IndexKey.of(key, instance), delete=False, tag=gw.new_tag())
    state = None
    try:
        state = await existing_head(gw, bucket, key, instance)
        if state is not None and is_olh_only(state.attrs):
            state = None
    finally:
        if state is None:
            await change.cancel()
    if state is not None:
        await change.complete(state.head_pool.pool_id, state.version, entry_meta(state.attrs, state.stored_size, state.mtime))
    return state


async def list_version(gw: Gateway, bucket: Bucket, key: str, instance: str) -> bool:
    """Enters an object, whose head stands, into the index as a version at the place that its time gives it; whether it is there."""
    place = IndexKey.of(key, instance)
    state = await tell_head(gw, bucket, key, instance)
    if state is None:
        return False
    index = await read_key(bucket, key)
    if not instance and not index.versioned:
        return True  # as an object from before versioning
    newer = [stored.entry.versioned_epoch for stored in index.listed if stored.entry.meta.mtime > state.mtime]
    older = [stored.entry.versioned_epoch for stored in index.listed if stored.entry.meta.mtime <= state.mtime]
    if index.olh is None or not newer:
        await olh.link(gw, bucket, key, instance)
        return True
    epoch = max(newer[-1] - 1, older[0] if older else 1)  # where no number is free between them, the id decides
    await bucket.index.call(key, classes.BUCKET_LINK_OLH(cls_rgw.LinkOlhOp(
        key=place.cls_key, olh_tag=index.olh.tag, op_tag=olh.new_op_tag(), olh_epoch=epoch, log_op=False, bilog_flags=1,
        zones_trace=bucket.index.zones_trace)))
    return True


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


def _id(stored: Stored) -> tuple[str, bool]:
    """A version's id, and whether it is the delete marker that may stand beside a null version."""
    return stored.entry.instance, stored.is_marker and not stored.entry.instance


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
    young = time.time_ns() - _TIMEOUT
    return any(name.startswith(OLH_PENDING) and OlhPendingInfo.decode(value).time > young for name, value in head.attrs.items())
