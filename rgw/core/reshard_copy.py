"""Copying a bucket's index into one with other shards, and following what changes meanwhile (formats page, section 13)."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from rgw.core.reshard_marks import INSTANCE, MARK, OLH, STATE, Marked
from rgw.formats.cls_rgw import BiListOp, UpdateStatsOp
from rgw.formats.index import CategoryStats, DirEntry, DirHeader, OlhEntry
from rgw.formats.names import bucket_shard, parse_index_name
from rgw.store import classes
from rgw.store.interface import IoCtx, ReadOp, WriteOp

_BLOCK_SIZE = 4096  # statistics count whole blocks of this size
_U64 = (1 << 64) - 1
_MARKS = 200        # marks looked at in one go: more would hold up the event loop
_AT_ONCE = 4        # shards that are caught up with at the same time
_LONGEST_REST = 0.1  # seconds: on a busy machine, too, it comes to an end
_LOOK = 0.25        # seconds between looks whether anybody writes
_BUFFERED = 16384   # entries kept for all new shards together before they are written
_WRITTEN = 128      # entries written in one operation
_CONCURRENCY = 16

Pairs = dict[bytes, bytes]


def raw(text: str) -> bytes:
    """A key's bytes."""
    return text.encode("utf-8", "surrogateescape")


def shard_key(index_name: str) -> str:
    """The object's key that decides the shard of an index name: of an upload's or a part's, the key of the object to be."""
    namespace, name = parse_index_name(index_name)
    return name.rsplit(".", 2)[0] if namespace == "multipart" else name


Counted = tuple[int, tuple[int, int, int, int]] | None  # a category, and what an entry adds to its CategoryStats


def parse_entry(key: bytes, value: bytes) -> tuple[str, Counted]:
    """An entry's index name, and what it counts in the statistics. A version counts where it stands by its instance."""
    if key.startswith(OLH):
        return OlhEntry.decode(value).key.name, None
    entry = DirEntry.decode(value)
    if not entry.exists or (b"\0" in key and not key.startswith(INSTANCE)):
        return entry.name, None
    meta = entry.meta
    rounded = -(-meta.accounted_size // _BLOCK_SIZE) * _BLOCK_SIZE
    return entry.name, (meta.category, (meta.accounted_size, rounded, 1, meta.size))


class StatsChange:
    """A sum of what entries count in the statistics."""

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}

    def add(self, counted: Counted, sign: int = 1) -> None:
        """Adds what an entry counts, or takes it away."""
        if counted is not None:
            row = self._rows.setdefault(counted[0], [0, 0, 0, 0])
            for i, n in enumerate(counted[1]):
                row[i] += sign * n

    def onto(self, op: WriteOp) -> None:
        """Adds the change of the header to an operation. Differences wrap."""
        stats = {category: CategoryStats(*(n & _U64 for n in row)) for category, row in self._rows.items() if any(row)}
        if stats:
            op.call(classes.BUCKET_UPDATE_STATS(UpdateStatsOp(absolute=False, stats=stats)))


@dataclass(slots=True)
class OldShard:
    """A shard that is copied. ``base``: its header's version less the changes it had marks of, None if unknown; ``counted``: what has
    raised the version since and is accounted for."""

    oid: str
    base: int | None = None
    counted: int = 0


class IndexCopy:
    """One copy. ``state`` is what the old shards bear while it goes on.

    While somebody writes to the bucket, ``rest`` seconds of pause follow each second of copying.
    """

    def __init__(self, ioctx: IoCtx, old: list[str], new: list[str], state: bytes, *, versioned: bool, page: int, rest: float) -> None:
        self._ioctx = ioctx
        self._new = new
        self._state = state
        self._versioned = versioned
        self._page_size = page
        self._rest = rest
        self.old = [OldShard(oid) for oid in old]
        self.copied = 0  # entries
        self._resting = False
        self._looked = 0.0
        self._resumed = time.monotonic()  # since when it has been at work without a rest

    def _target(self, name: str) -> str:
        return self._new[bucket_shard(shard_key(name), len(self._new))] if len(self._new) > 1 else self._new[0]

    async def _pages(self, oid: str, name: str = "") -> AsyncIterator[Pairs]:
        """All entries of a shard but its log, or those of one name. The next page is read while one is worked on."""
        async def read(marker: str):  # type: ignore[no-untyped-def]
            request = BiListOp(max=self._page_size, name_filter=name, marker=marker)
            return (await self._ioctx.read(oid, ReadOp().assert_exists().call(classes.BI_LIST(request)))).reply

        ahead = asyncio.ensure_future(read(""))
        try:
            while True:
                page = await ahead
                more = page.truncated and bool(page.entries)
                if more:
                    ahead = asyncio.ensure_future(read(page.entries[-1].idx))
                yield {raw(entry.idx): entry.data for entry in page.entries}
                if not more:
                    return
        finally:
            ahead.cancel()

    async def begin(self) -> None:
        """Notes where each header's version stands. The old shards bear the copy's state already."""
        async def one(shard: OldShard) -> None:
            header, values, more = await self._marks(shard.oid)
            self._resumed = time.monotonic()
            shard.base = None if more else header.ver - Marked.of(values.values()).completes
            shard.counted = 0

        await asyncio.gather(*(one(shard) for shard in self.old))

    async def copy(self) -> AsyncIterator[int]:
        """Copies everything; yields after each page, with the number of entries so far."""
        pairs: dict[str, Pairs] = defaultdict(dict)
        stats: dict[str, StatsChange] = defaultdict(StatsChange)
        full = min(max(_BUFFERED // len(self._new), 32), _WRITTEN)
        for shard in self.old:
            async for page in self._pages(shard.oid):
                for key, value in page.items():
                    name, counted = parse_entry(key, value)
                    target = self._target(name)
                    pairs[target][key] = value
                    stats[target].add(counted)
                self.copied += len(page)
                for target in [oid for oid, found in pairs.items() if len(found) >= full]:
                    await self._put(target, pairs.pop(target), stats.pop(target))
                yield self.copied
                await self._pause(shard.oid)
        for target, found in pairs.items():
            await self._put(target, found, stats[target])

    async def _pause(self, oid: str) -> None:
        """Leaves the store and the event loop to requests, if there are writers: fresh marks tell."""
        now = time.monotonic()
        worked = now - self._resumed
        if now > self._looked + _LOOK:
            self._looked = now
            last_second = MARK + b"%d" % (time.time() - 1)
            found = (await self._ioctx.read(oid, ReadOp().assert_exists().omap_get(last_second, MARK, 1))).omap
            self._resting = found is not None and bool(found.values)
        await asyncio.sleep(min(worked * self._rest, _LONGEST_REST) if self._resting else 0)
        self._resumed = time.monotonic()

    async def _put(self, oid: str, pairs: Pairs, stats: StatsChange) -> None:
        op = WriteOp().assert_exists().omap_set(pairs)
        stats.onto(op)
        await self._ioctx.write(oid, op)

    async def _marks(self, oid: str, after: bytes = b"") -> tuple[DirHeader, Pairs, bool]:
        """The header and a page of marks, of the same instant."""
        found = await self._ioctx.read(oid, ReadOp().assert_exists().omap_get_header().omap_get(after, MARK, _MARKS))
        assert found.omap is not None
        return DirHeader.decode(found.omap_header), found.omap.values, found.omap.more

    async def catch_up(self) -> int:
        """One round: takes over what the marks name, then removes them. The number of marks."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(shard: OldShard) -> int:
            async with limit:
                return await self._catch_up(shard)

        return sum(await asyncio.gather(*(one(shard) for shard in self.old)))

    async def _catch_up(self, shard: OldShard) -> int:
        _, values, _ = await self._marks(shard.oid)
        if not values:
            return 0
        marked = Marked.of(values.values())
        await self._take_over(shard.oid, marked.names)
        await self._ioctx.write(shard.oid, WriteOp().assert_exists().cmpxattr(STATE, self._state).omap_rm(values))
        shard.counted += marked.completes
        return len(values)

    async def finish(self) -> bool:
        """The last marks, once the old shards are blocked; they stay. Whether the headers' versions say that there was no other change."""
        return all(await asyncio.gather(*(self._finish(shard) for shard in self.old)))

    async def _finish(self, shard: OldShard) -> bool:
        after = b""
        while True:
            header, values, more = await self._marks(shard.oid, after)
            if values:
                marked = Marked.of(values.values())
                await self._take_over(shard.oid, marked.names)
                shard.counted += marked.completes
                after = next(reversed(values))
            if not more:
                return shard.base is not None and header.ver == shard.base + shard.counted

    async def _get(self, oid: str, keys: Iterable[bytes]) -> Pairs:
        found = (await self._ioctx.read(oid, ReadOp().assert_exists().omap_get_keys(keys))).omap
        assert found is not None
        return found.values

    async def _versions(self, oid: str, name: str) -> Pairs:
        """All entries of a name: its own, its versions in listing order and by instance, its OLH."""
        found: Pairs = {}
        async for page in self._pages(oid, name):
            found |= page
        return found

    async def _take_over(self, old_oid: str, names: dict[str, bool]) -> None:
        """Makes the new index equal to an old shard in all entries of these names. True: versions are looked at in any case."""
        groups: dict[str, list[str]] = defaultdict(list)
        for name in names:
            groups[self._target(name)].append(name)
        limit = asyncio.Semaphore(_CONCURRENCY)

        async def one(target: str, group: list[str]) -> None:
            keys = [prefix + raw(name) for name in group for prefix in (b"", OLH)]
            async with limit:
                old, new = await asyncio.gather(self._get(old_oid, keys), self._get(target, keys))
            deep = [name for name in group if self._versioned or names[name] or _has_olh(name, old) or _has_olh(name, new)]
            for side, oid in ((old, old_oid), (new, target)):
                for pairs in await asyncio.gather(*(self._bounded_versions(limit, oid, name) for name in deep)):
                    side |= pairs
            await self._bring(target, old, new)

        await asyncio.gather(*(one(target, group) for target, group in groups.items()))

    async def _bounded_versions(self, limit: asyncio.Semaphore, oid: str, name: str) -> Pairs:
        async with limit:
            return await self._versions(oid, name)

    async def _bring(self, target: str, old: Pairs, new: Pairs) -> None:
        """Writes to a new shard what differs in these entries."""
        stats = StatsChange()
        stale = [key for key in new if key not in old]
        differing = {key: value for key, value in old.items() if new.get(key) != value}
        if not stale and not differing:
            return
        for key in stale + list(differing):
            if key in new:
                stats.add(parse_entry(key, new[key])[1], -1)
            if key in old:
                stats.add(parse_entry(key, old[key])[1])
        op = WriteOp().assert_exists()
        if stale:
            op.omap_rm(stale)
        if differing:
            op.omap_set(differing)
        stats.onto(op)
        await self._ioctx.write(target, op)

    async def compare(self) -> AsyncIterator[None]:
        """Compares everything and takes over what differs: somebody changed the old index without marks. Yields after each page."""
        old_oids = [shard.oid for shard in self.old]

        def source(name: str) -> str:
            return old_oids[bucket_shard(shard_key(name), len(old_oids))] if len(old_oids) > 1 else old_oids[0]

        for oids, other, values_too in ((old_oids, self._target, True), (self._new, source, False)):
            for oid in oids:
                async for page in self._pages(oid):
                    groups: dict[str, list[bytes]] = defaultdict(list)
                    names: dict[bytes, str] = {}
                    for key, value in page.items():
                        names[key] = parse_entry(key, value)[0]
                        groups[other(names[key])].append(key)
                    for there, keys in groups.items():
                        found = await self._get(there, keys)
                        wrong = {names[key]: True for key in keys if key not in found or (values_too and found[key] != page[key])}
                        if wrong:
                            await self._take_over(oid if values_too else there, wrong)
                    yield
                    await self._pause(self.old[0].oid)


def _has_olh(name: str, pairs: Pairs) -> bool:
    return OLH + raw(name) in pairs
