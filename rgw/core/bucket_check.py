"""Is a bucket's index right? Compares index, heads and statistics, says what differs, and mends it (radosgw-admin's `bucket check`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rgw.core import places, raw_index
from rgw.core.dump.bucket import CATEGORIES, usage
from rgw.core.index import GUARD, OP_DEL, RESHARDING, IndexKey
from rgw.core.index_repair import entry_of, suggest
from rgw.core.key_index import read_key
from rgw.core.parallel import each
from rgw.core.state import ObjectState, is_olh_only, load
from rgw.core.uploads import load_upload
from rgw.core.version_check import LEFT_OVER, NEVER_LINKED, UNFINISHED, UNLINKED_AFTER, Finding, KeyCheck
from rgw.core.version_mend import list_version, tell_head
from rgw.errors import S3Error
from rgw.formats import index_keys, names
from rgw.formats.index import FLAG_DELETE_MARKER, FLAG_VER_MARKER, DirEntry, DirEntryMeta, DirHeader, OlhEntry
from rgw.store import classes
from rgw.store.errors import ClassError, NotFound
from rgw.store.interface import ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

_TAG_TIMEOUT = 120_000_000_000  # ns; an unfinished change that is older has lost its gateway (the class goes by the same)
_BATCH = 500  # entries
_PARALLEL = 32  # heads looked at, or entries mended, at the same time
Progress = Callable[[str], None]


@dataclass(slots=True)
class Difference:
    """``problem``: what index and heads disagree about; ``mended`` if it was set right."""

    object: str      # the index name
    instance: str
    problem: str
    mended: bool = False
    key: str = ""    # the object's own key
    entry: DirEntry | None = None
    raw: bytes = b""  # the entry's bytes
    mtime: int = 0   # of an object that is not listed, ns
    version: bool = False  # found by the check of a key with versions

    def dump(self) -> dict[str, Any]:
        return {"object": self.object, "instance": self.instance, "problem": self.problem, "mended": self.mended}


@dataclass(slots=True)
class Report:
    """``objects``: the index names that were compared with heads, None if none were asked for."""

    existing: list[DirHeader]
    calculated: list[DirHeader]
    invalid_multipart_entries: list[str] = field(default_factory=list)
    objects: list[str] | None = None
    differences: list[Difference] = field(default_factory=list)
    statistics_differ: bool = False
    fixed: bool = False

    @property
    def clean(self) -> bool:
        """Nothing is left to mend."""
        left = [item for item in self.differences if not item.mended]
        return not left and (self.fixed or not (self.invalid_multipart_entries or self.statistics_differ))

    def dump(self) -> dict[str, Any]:
        """radosgw's JSON; ``differences`` and the list form of ``objects`` are ours (radosgw's repeats one JSON key)."""
        out: dict[str, Any] = {"invalid_multipart_entries": list(self.invalid_multipart_entries)}
        if self.objects is not None:
            out["objects"] = list(self.objects)
            out["differences"] = [item.dump() for item in self.differences]
        out["check_result"] = {"existing_header": {"usage": usage(self.existing)}, "calculated_header": {"usage": usage(self.calculated)}}
        return out


async def check(gw: Gateway, bucket: Bucket, *, fix: bool = False, check_objects: bool = False, progress: Progress | None = None) -> Report:
    """Looks at the whole index; with ``check_objects`` at every head in the data pool too. ``fix`` mends what differs.

    May run beside writers: an entry whose change is under way, or that changes while it is compared, is left alone, and a mended entry
    never wins over a newer write.
    S3Error NoSuchBucket, OperationAborted (the bucket is being resharded).
    """
    existing, calculated = await _headers(gw, bucket)
    report = Report(existing, calculated)
    await _check_parts(gw, bucket, report, fix)
    if check_objects:
        await _check_objects(gw, bucket, report, progress)
        if fix:
            await _mend(gw, bucket, report, progress)
        report.differences.sort(key=lambda item: (item.object, item.instance))
    if fix:
        _, again = await _headers(gw, bucket)
        await _rebuild(gw, bucket)
        report.calculated = again
    report.statistics_differ = _counts(report.existing) != _counts(report.calculated)
    report.fixed = fix
    return report


def _counts(headers: list[DirHeader]) -> dict[str, Any]:
    """Usage of what is stored: headers go on telling of a category whose last object is gone, and of some delete markers only counts tell."""
    return {category: row for category, row in usage(headers).items() if any(row.values()) and category != CATEGORIES[0]}


async def _headers(gw: Gateway, bucket: Bucket) -> tuple[list[DirHeader], list[DirHeader]]:
    """Each shard's header as it is, and as its entries add up."""
    async def one(oid: str):  # type: ignore[no-untyped-def]
        return (await bucket.index_ioctx.read(oid, ReadOp().call(classes.BUCKET_CHECK_INDEX()))).reply

    try:
        replies = await gw.buckets.each(bucket.index.shards(), one)
    except NotFound:
        raise S3Error("NoSuchBucket", f"the index of {bucket.name} is gone: resharded or deleted", BucketName=bucket.name) from None
    return [reply.existing_header for reply in replies], [reply.calculated_header for reply in replies]


async def _rebuild(gw: Gateway, bucket: Bucket) -> None:
    async def one(oid: str) -> None:
        await bucket.index_ioctx.write(oid, WriteOp().assert_exists().call(GUARD).call(classes.BUCKET_REBUILD_INDEX()))

    try:
        await gw.buckets.each(bucket.index.shards(), one)
    except ClassError as error:
        if error.code != RESHARDING:
            raise
        raise S3Error("OperationAborted", f"{bucket.name} is being resharded") from error


async def _check_parts(gw: Gateway, bucket: Bucket, report: Report, fix: bool) -> None:
    """Finds the entries of uploads that are no more, and of their parts; drops them if ``fix``.

    The prefix of a part that was uploaded again is not its upload's id: such a part counts while its key has any upload.
    """
    keys: set[str] = set()  # that have uploads under way
    stale: list[str] = []
    async for entry in gw.listing.uploads(bucket):
        upload = entry.name.rpartition(".")[0]
        if entry.pending_map or await _upload_exists(gw, bucket, upload):
            keys.add(upload.rpartition(".")[0])
        else:
            stale.append(entry.name)
    async for entry in gw.listing.namespace(bucket, "multipart"):
        upload, _, number = entry.name.rpartition(".")
        key = upload.rpartition(".")[0]
        if number != "meta" and key not in keys and not entry.pending_map and not await _upload_exists(gw, bucket, upload):
            stale.append(entry.name)  # looked up once more, for an upload may have begun since the first list
    for name in sorted(stale):
        place = IndexKey.multipart(name, name.rsplit(".", 2)[0])
        report.invalid_multipart_entries.append(place.name)
        if fix:
            tag = gw.new_tag()
            await bucket.index.prepare(OP_DEL, tag, place)
            await bucket.index.complete(OP_DEL, tag, place, meta=DirEntryMeta())


async def _upload_exists(gw: Gateway, bucket: Bucket, name: str) -> bool:
    key, _, upload_id = name.rpartition(".")
    try:
        await load_upload(gw, bucket, key, upload_id)
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise
        return False
    return True


async def _state(gw: Gateway, bucket: Bucket, key: str, instance: str) -> ObjectState | None:
    try:
        state = await load(gw, bucket, key, instance or ("null" if bucket.versioned else ""), raw=True)
    except S3Error as error:
        if error.code not in ("NoSuchKey", "NoSuchVersion"):
            raise
        return None
    return None if is_olh_only(state.attrs) else state


def _disagreement(entry: DirEntry, state: ObjectState | None) -> str:
    """What an object's entry and its head disagree about; nothing if they agree."""
    if state is None:
        return "the index lists it, but there is no such object" if entry.exists else "a leftover entry without object"
    if not entry.exists:
        return "the object exists, but its entry says that it does not"
    if entry.ver.epoch > state.version:
        return ""  # written anew since the head was read
    wrong = [f"{what} {said!r} instead of {true!r}" for what, said, true in (
        ("size", entry.meta.size, state.stored_size), ("etag", entry.meta.etag, state.etag)) if said != true]
    if wrong:
        return "the entry tells " + ", ".join(wrong)
    return "a change that nobody ends is noted in the entry" if entry.pending_map else ""


async def _stands(bucket: Bucket, name: str, entry: DirEntry, raw: bytes) -> bool:
    """Whether an object's entry is as it was before the head was looked at: a change alters it before the head, and again afterwards."""
    place = index_keys.raw(entry.name)
    result = await bucket.index.read(name, ReadOp().assert_exists().omap_get_keys([place]))
    return result.omap is not None and result.omap.values.get(place) == raw


async def _check_objects(gw: Gateway, bucket: Bucket, report: Report, progress: Progress | None) -> None:
    report.objects = []
    seen: set[tuple[str, str]] = set()

    async def one(found: tuple[DirEntry, str, bytes]) -> None:
        entry, name, raw = found
        problem = _disagreement(entry, await _state(gw, bucket, name, entry.instance))
        if problem and await _stands(bucket, name, entry, raw):
            report.differences.append(Difference(entry.name, entry.instance, problem, key=name, entry=entry, raw=raw))

    now = time.time_ns()
    batch: list[tuple[DirEntry, str, bytes]] = []
    versioned: set[str] = set()
    async for raw in raw_index.of_bucket(bucket):
        if raw.type == raw_index.OLH:
            versioned.add(names.parse_index_name(OlhEntry.decode(raw.data).key.name)[1])
            continue
        entry = DirEntry.decode(raw.data)
        namespace, name = names.parse_index_name(entry.name)
        if entry.flags or raw.type != raw_index.PLAIN:
            versioned.add(name)
        if raw.type == raw_index.INSTANCE:
            seen.add((name, entry.instance))
        if raw.type != raw_index.PLAIN or entry.flags & (FLAG_VER_MARKER | FLAG_DELETE_MARKER):
            continue
        report.objects.append(entry.name)
        if namespace:
            continue  # uploads and parts: looked at above
        seen.add((name, entry.instance))
        if entry.flags:
            continue  # a version
        if any(change.timestamp + _TAG_TIMEOUT > now for change in entry.pending_map.values()):
            continue  # a gateway is at work on it
        batch.append((entry, name, raw.data))
        if len(batch) >= _BATCH:
            await each(batch, one, _PARALLEL)
            batch = []
            if progress is not None:
                progress(f"{bucket.name}: {len(seen):,} entries compared with their objects")
    await each(batch, one, _PARALLEL)
    report.objects.sort()
    await _check_versions(gw, bucket, report, sorted(versioned), progress)
    await _check_heads(gw, bucket, report, seen, progress)


async def _check_versions(gw: Gateway, bucket: Bucket, report: Report, keys: list[str], progress: Progress | None) -> None:
    """What the entries of each key with versions disagree about among each other and with heads."""
    done = 0

    async def one(key: str) -> None:
        nonlocal done
        report.differences += [_of_version(key, finding) for finding in await KeyCheck(gw, bucket, key).run(fix=False)]
        done += 1
        if progress is not None and done % 100 == 0:
            progress(f"{bucket.name}: versions of {done:,} of {len(keys):,} keys compared")

    await each(keys, one, _PARALLEL)


def _of_version(key: str, finding: Finding) -> Difference:
    return Difference(names.index_name(key), finding.instance, finding.problem, finding.mended, key=key, version=True)


async def _check_heads(gw: Gateway, bucket: Bucket, report: Report, seen: set[tuple[str, str]], progress: Progress | None) -> None:
    """Finds heads in the data pool that the index does not list."""
    ioctx = await places.head_pool(gw, bucket)
    count = 0
    async for item in ioctx.list_objects():
        count += 1
        if progress is not None and count % 10_000 == 0:
            progress(f"{bucket.name}: {count:,} objects of the pool {ioctx.pool} seen")
        found = parse_head(bucket.marker, item.name)
        if found is None or found in seen:
            continue
        key, instance = found
        state = await _state(gw, bucket, key, instance)
        if state is None:
            continue  # the pointer of a versioned key, or removed meanwhile
        index = await read_key(bucket, key)
        if index.tells_of(instance) or index.busy:
            continue
        again = await _state(gw, bucket, key, instance)
        if again is not None and again.idtag == state.idtag:  # else it was being removed
            report.differences.append(Difference(
                names.index_name(key), instance, "the object exists, but the index does not list it", key=key, mtime=state.mtime))


def parse_head(marker: str, oid: str) -> tuple[str, str] | None:
    """(key, version) of a head's RADOS name; None for tails, parts and other buckets' objects."""
    if not oid.startswith(marker + "_"):
        return None
    rest = oid[len(marker) + 1:]
    if not rest.startswith("_"):
        return rest, ""
    if rest.startswith("__"):
        return rest[1:], ""
    namespace, _, name = rest[1:].partition("_")
    plain, _, instance = namespace.partition(":")
    return None if plain or not instance else (name, instance)


async def _mend(gw: Gateway, bucket: Bucket, report: Report, progress: Progress | None) -> None:
    """Sets the index right by what the heads tell now: what it has, then what it lacks."""
    plain = [item for item in report.differences if not item.version]
    unlisted = _by_key(item for item in plain if item.entry is None and (item.instance or bucket.versioned))
    plain = [item for item in plain if item.key not in unlisted or item.entry is not None]
    told = _by_key(item for item in report.differences if item.version)
    total, done = len(plain) + len(told) + len(unlisted), 0

    def one_done() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(f"{bucket.name}: {done:,} of {total:,} entries mended")

    async def one(item: Difference) -> None:
        item.mended = await _mend_one(gw, bucket, item)
        one_done()

    async def versions(key: str) -> None:
        found = {(finding.instance, finding.problem): _of_version(key, finding) for finding in await KeyCheck(gw, bucket, key).run(fix=True)}
        for item in told.get(key, []):  # one that is not found any more was mended by somebody else
            found.setdefault((item.instance, item.problem), replace(item, mended=True))
        told[key] = list(found.values())
        one_done()

    async def missing(key: str) -> None:
        for item in sorted(unlisted[key], key=lambda item: item.mtime):
            item.mended = await list_version(gw, bucket, key, item.instance)
        one_done()

    await each(plain, one, _PARALLEL)
    await each(list(told), versions, _PARALLEL)
    await each(list(unlisted), missing, _PARALLEL)
    report.differences = [item for items in (plain, *told.values(), *unlisted.values()) for item in items]


def _by_key(items: Iterable[Difference]) -> dict[str, list[Difference]]:
    found: dict[str, list[Difference]] = {}
    for item in items:
        found.setdefault(item.key, []).append(item)
    return found


async def _mend_one(gw: Gateway, bucket: Bucket, item: Difference) -> bool:
    """Whether the entry was as it had been read, and is right now. A write that begins meanwhile changes the entry first: then it is left."""
    if item.entry is None:
        await tell_head(gw, bucket, item.key, "")  # as a write does: whatever is written meanwhile has a later version, and wins
        return True
    key = IndexKey.of(item.key)
    state = await _state(gw, bucket, item.key, "")
    return await suggest(bucket, key, key.name, item.raw, item.entry, None if state is None else entry_of(item.entry, state))


async def check_olh(gw: Gateway, bucket: Bucket, *, fix: bool = False, progress: Progress | None = None) -> list[str]:
    """Keys whose last version is removed, but which the index still knows: their gateway died, or lost a race. ``fix`` ends the removal."""
    wanted: set[str] = set()
    async for raw in raw_index.of_bucket(bucket):
        if raw.type == raw_index.OLH:
            entry = OlhEntry.decode(raw.data)
            if not entry.exists and entry.pending_removal:
                wanted.add(names.parse_index_name(entry.key.name)[1])
    found = await _check_keys(gw, bucket, sorted(wanted), (UNFINISHED, LEFT_OVER), fix, progress)
    return list(dict.fromkeys(item.key for item in found))


async def check_unlinked(
    gw: Gateway, bucket: Bucket, *, fix: bool = False, min_age: float = UNLINKED_AFTER, progress: Progress | None = None,
) -> list[tuple[str, str]]:
    """Versions (key, id) that were written ``min_age`` seconds ago or longer and are in no listing. ``fix`` removes them."""
    wanted: set[str] = set()
    async for raw in raw_index.of_bucket(bucket):
        if raw.type == raw_index.INSTANCE:
            entry = DirEntry.decode(raw.data)
            if not entry.versioned_epoch:
                wanted.add(names.parse_index_name(entry.name)[1])
    found = await _check_keys(gw, bucket, sorted(wanted), (NEVER_LINKED,), fix, progress, min_age)
    return [(item.key, item.instance) for item in found]


async def _check_keys(gw: Gateway, bucket: Bucket, keys: list[str], problems: tuple[str, ...], fix: bool, progress: Progress | None,
                      min_age: float = UNLINKED_AFTER) -> list[Difference]:
    found: list[Difference] = []

    async def one(key: str) -> None:
        found.extend(_of_version(key, finding) for finding in await KeyCheck(gw, bucket, key, min_age).run(fix, problems))
        if progress is not None:
            progress(f"{bucket.name}: {len(found):,} found among {len(keys):,} keys in doubt")

    await each(keys, one, _PARALLEL)
    return sorted(found, key=lambda item: (item.key, item.instance))
