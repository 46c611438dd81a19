"""RADOS objects of the data pools that nothing reaches: no head, no manifest, no upload, no garbage that is queued.

A job goes through steps and keeps what it found in a file, so that it can be broken off and resumed:

1. ``list``: the names of all objects of the pool are noted. What is written later is not looked at.
2. ``uploads``, then ``buckets``: what the uploads under way and the objects of every bucket reach is struck off. Uploads come first, for one that
   is completed meanwhile is met as an object then.
3. ``heads``: heads that no index lists are no orphans (a GET finds them): they and their tails are struck off, and reported for `bucket check`.
4. ``garbage``: what the garbage collector has queued is struck off.
5. ``look``: what is left is looked at: it may be gone by now, or be younger than the job's ``stale`` seconds, and then is nobody's orphan yet.
   A tail on which a copy took a reference was changed by that, and counts as young too.

Only then something is called an orphan. Nothing is removed unless asked for, and then only what has not changed since it was looked at.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgw.core import bucket_owners, metadata_sections, places, radoslist
from rgw.core.bucket_check import parse_head
from rgw.core.buckets import Bucket
from rgw.core.parallel import each
from rgw.errors import S3Error
from rgw.formats.basics import Pool
from rgw.store.errors import Cancelled, NotFound
from rgw.store.interface import IoCtx, ObjectName, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

STEPS = ("list", "uploads", "buckets", "heads", "garbage", "look", "done")
_BATCH = 1000    # names noted in one go
_PARALLEL = 32   # objects looked at or removed at the same time
_SCHEMA = """
create table if not exists state (name text primary key, value text not null);
create table if not exists seen (name text, locator text, namespace text, primary key (name, namespace)) without rowid;
create table if not exists done (bucket text primary key) without rowid;
create table if not exists unlisted (bucket text, key text, primary key (bucket, key)) without rowid;
create table if not exists orphan (name text, locator text, namespace text, size integer, mtime integer, version integer, bucket text, cause text,
                                   removed integer not null default 0, primary key (name, namespace)) without rowid;
"""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object that nothing reaches: ``bucket`` is the bucket's name, "" if it is gone; ``mtime`` in ns."""

    oid: str
    size: int
    mtime: int
    bucket: str
    cause: str
    removed: bool


class OrphanJob:
    """A search in one pool, kept in the file ``<folder>/orphans.<job id>.db``."""

    def __init__(self, path: Path, pool: str = "", stale: int = 86400) -> None:
        """Opens a job, or starts one. S3Error InvalidArgument if there is no such job and no pool is named, or another pool's job."""
        known = path.exists()
        if not known and not pool:
            raise S3Error("InvalidArgument", f"there is no job {path.stem}: name the pool to start one")
        self.path = path
        self._left = 0  # names that nothing struck off yet
        self._db = sqlite3.connect(path)
        self._db.executescript(_SCHEMA)
        if not known:
            self._set(pool=pool, step=STEPS[0], stale=str(stale), started=str(time.time_ns()))
        self.pool, self.step = self._get("pool"), self._get("step")
        self.stale, self.started = int(self._get("stale")), int(self._get("started"))
        if pool and pool != self.pool:
            self.close()
            raise S3Error("InvalidArgument", f"the job {path.stem} searches the pool {self.pool}")

    @classmethod
    def place(cls, folder: Path, job_id: str) -> Path:
        """A job's file. S3Error InvalidArgument for an id that is no file's name."""
        if not job_id or job_id.startswith(".") or "/" in job_id:
            raise S3Error("InvalidArgument", f"{job_id!r} is not a job's id")
        return folder / f"orphans.{job_id}.db"

    def close(self) -> None:
        self._db.close()

    def _get(self, name: str) -> str:
        row = self._db.execute("select value from state where name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def _set(self, **values: str) -> None:
        with self._db:
            self._db.executemany("insert or replace into state values (?, ?)", values.items())

    def _next(self) -> None:
        self.step = STEPS[STEPS.index(self.step) + 1]
        self._set(step=self.step)

    def _strike(self, oids: Iterable[str]) -> None:
        with self._db:
            done = self._db.executemany("delete from seen where name = ? and namespace = ?", ((_text(oid), self._namespace) for oid in oids))
        self._left -= max(done.rowcount, 0)

    @property
    def _namespace(self) -> str:
        return Pool.parse(self.pool).ns

    def _count(self, table: str) -> int:
        return int(self._db.execute(f"select count(*) from {table}").fetchone()[0])  # noqa: S608 - tables of this module

    async def run(self, gw: Gateway, progress: Progress) -> None:
        """Goes on from where the job stands to its end. Broken off at any point, it loses at most the step's current bucket."""
        work = {"list": self._list, "uploads": self._uploads, "buckets": self._buckets, "heads": self._heads, "garbage": self._garbage,
                "look": self._look}
        while self.step != "done":
            await work[self.step](gw, progress)
            self._next()

    async def _list(self, gw: Gateway, progress: Progress) -> None:
        ioctx = await gw.pool(self.pool)
        batch: list[ObjectName] = []
        count = 0

        def note() -> None:
            with self._db:
                self._db.executemany("insert or ignore into seen values (?, ?, ?)",
                                     [(_text(item.name), _text(item.locator), item.namespace) for item in batch])
            batch.clear()

        async for item in ioctx.list_objects():
            batch.append(item)
            count += 1
            if len(batch) == _BATCH:
                note()
                progress(f"{self.pool}: {count:,} objects listed")
        note()

    async def _each_bucket(self, gw: Gateway, progress: Progress, what: str, work) -> None:  # type: ignore[no-untyped-def]
        buckets = await self._by_marker(gw)
        self._left = self._count("seen")  # counted once: of a large pool that takes as long as a small bucket
        for number, (marker, bucket) in enumerate(buckets.items()):
            if self._db.execute("select 1 from done where bucket = ?", (f"{what}:{marker}",)).fetchone():
                continue
            progress(f"{what}: bucket {number + 1} of {len(buckets)}, {self._left:,} objects not reached yet")
            try:
                await work(gw, bucket)
            except S3Error as error:
                if error.code != "NoSuchBucket":  # deleted meanwhile; one that got another name instead is met again before the end
                    raise
                continue
            with self._db:
                self._db.execute("insert or ignore into done values (?)", (f"{what}:{marker}",))

    async def _uploads(self, gw: Gateway, progress: Progress) -> None:
        async def one(gw: Gateway, bucket: Bucket) -> None:
            """By the upload objects themselves: one that the index lost is an upload all the same."""
            prefix = f"{bucket.marker}__multipart_"
            ioctx = await places.extra_pool(gw, bucket)
            async for item in ioctx.list_objects():
                if item.name.startswith(prefix) and item.name.endswith(".meta"):
                    self._strike([item.name])
                    key, dot, upload_id = item.name.removeprefix(prefix).removesuffix(".meta").rpartition(".")
                    if dot:
                        self._strike(found.oid for found in await radoslist.of_upload(gw, bucket, key, upload_id))

        await self._each_bucket(gw, progress, "uploads", one)

    async def _buckets(self, gw: Gateway, progress: Progress) -> None:
        async def one(gw: Gateway, bucket: Bucket) -> None:
            batch: list[str] = []
            async for found in radoslist.of_bucket(gw, bucket):
                batch.append(found.oid)
                if len(batch) >= _BATCH:
                    self._strike(batch)
                    batch.clear()
            self._strike(batch)

        await self._each_bucket(gw, progress, "objects", one)

    async def _by_marker(self, gw: Gateway) -> dict[str, Bucket]:
        found: dict[str, Bucket] = {}
        for name in await metadata_sections.keys(gw, "bucket"):
            tenant, _, plain = name.rpartition("/")
            try:
                bucket = await bucket_owners.find(gw, plain, tenant)
            except S3Error:
                continue  # deleted meanwhile
            found[bucket.marker] = bucket
        return found

    async def _heads(self, gw: Gateway, progress: Progress) -> None:
        buckets = await self._by_marker(gw)
        heads = []
        for (name,) in self._db.execute("select name from seen"):
            bucket = buckets.get(_marker(name))
            parsed = parse_head(bucket.marker, name) if bucket is not None else None
            if bucket is not None and parsed is not None:
                heads.append((name, bucket, *parsed))
        for number, (name, bucket, key, instance) in enumerate(heads):
            reached = await radoslist.of_head(gw, bucket, _untext(key), instance)
            self._strike([*(found.oid for found in reached), _untext(name)])
            with self._db:
                self._db.execute("insert or ignore into unlisted values (?, ?)", (bucket.name, key))
            progress(f"heads that no index lists: {number + 1:,} of {len(heads):,}")

    async def _garbage(self, gw: Gateway, progress: Progress) -> None:
        progress("reading what the garbage collector has queued")
        for entry in await gw.gc.list(include_all=True):
            self._strike(obj.key.name or obj.oid for obj in entry.chain.objs)

    async def _look(self, gw: Gateway, progress: Progress) -> None:
        await self._uploads(gw, progress)  # of buckets that had no name, or another one, when their turn came
        await self._buckets(gw, progress)
        buckets = await self._by_marker(gw)
        ioctx = await gw.pool(self.pool)
        rows = self._db.execute("select name, locator, namespace from seen").fetchall()
        newest = self.started - self.stale * 1_000_000_000
        for start in range(0, len(rows), _BATCH):
            page = rows[start:start + _BATCH]
            looks = await each(page, lambda row: self._stat(ioctx, row[0], row[1]), _PARALLEL)
            found = []
            for (name, locator, namespace), look in zip(page, looks, strict=True):
                if look is not None and look.mtime <= newest:
                    bucket = buckets.get(_marker(name))
                    found.append((name, locator, namespace, look.size, look.mtime, look.version, bucket.name if bucket else "",
                                  _cause(name, bucket is not None)))
            with self._db:
                self._db.executemany("insert or replace into orphan values (?, ?, ?, ?, ?, ?, ?, ?, 0)", found)
            progress(f"{start + len(page):,} of {len(rows):,} objects looked at")

    @staticmethod
    async def _stat(ioctx: IoCtx, name: str, locator: str) -> Any:
        try:
            return await ioctx.read(_untext(name), ReadOp().stat(), _untext(locator))
        except NotFound:
            return None  # removed since it was listed

    def orphans(self) -> list[Orphan]:
        """What was found, by name."""
        rows = self._db.execute("select name, size, mtime, bucket, cause, removed from orphan order by name")
        return [Orphan(_untext(name), size, mtime, bucket, cause, bool(removed)) for name, size, mtime, bucket, cause, removed in rows]

    def unlisted(self) -> list[tuple[str, str]]:
        """(bucket, key) of objects that no index lists; `bucket check --check-objects --fix` lists them again."""
        return [(bucket, _untext(key)) for bucket, key in self._db.execute("select bucket, key from unlisted order by bucket, key")]

    async def remove(self, gw: Gateway, progress: Progress) -> int:
        """Removes the orphans that have not changed since they were looked at; their number. Broken off, a second run goes on."""
        ioctx = await gw.pool(self.pool)
        rows = self._db.execute("select name, locator, namespace, version from orphan where removed = 0").fetchall()
        count = 0

        async def one(name: str, locator: str, version: int) -> bool:
            try:
                await ioctx.write(_untext(name), WriteOp().assert_version(version).remove(), _untext(locator))
            except NotFound:
                return True
            except Cancelled:
                return False  # somebody wants it after all
            return True

        for start in range(0, len(rows), _BATCH):
            page = rows[start:start + _BATCH]
            gone = await each(page, lambda row: one(row[0], row[1], row[3]), _PARALLEL)
            with self._db:
                self._db.executemany("update orphan set removed = 1 where name = ? and namespace = ?",
                                     [(row[0], row[2]) for row, done in zip(page, gone, strict=True) if done])
            count += sum(gone)
            progress(f"{count:,} of {len(rows):,} orphans removed")
        return count


def _text(name: str) -> str:
    """A name as SQLite takes it: bytes that are no UTF-8 escaped."""
    return name.encode("utf-8", "surrogateescape").decode("latin-1")


def _untext(name: str) -> str:
    return name.encode("latin-1").decode("utf-8", "surrogateescape")


def _marker(name: str) -> str:
    """The bucket marker that a RADOS name begins with: markers hold no underscore."""
    return name.partition("_")[0]


def _cause(name: str, bucket_there: bool) -> str:
    """Why nothing reaches an object, as far as its name tells."""
    rest = name[len(_marker(name)) + 1:]
    if not bucket_there:
        return "its bucket is gone"
    if rest.startswith("_multipart_") or (rest.startswith("_shadow_") and ".2~" in rest):
        return "part of an upload that has ended, or that was uploaded again"
    if rest.startswith("_shadow"):
        return "tail of an object that is gone or was overwritten"
    return "not an object of any kind that is known"


def data_pools(gw: Gateway) -> list[str]:
    """The pools that hold heads and tails."""
    found: dict[str, None] = {}
    for placement in gw.zone.params.placement_pools.values():
        for storage_class in placement.storage_classes.values():
            if storage_class.data_pool is not None:
                found[storage_class.data_pool.text()] = None
    return list(found)


def jobs(folder: Path) -> list[dict[str, str]]:
    """The jobs whose files lie in a folder."""
    found = []
    for path in sorted(folder.glob("orphans.*.db")):
        with closing(OrphanJob(path)) as job:
            found.append({"job-id": path.name.removeprefix("orphans.").removesuffix(".db"), "pool": job.pool, "step": job.step})
    return found


def report(job: OrphanJob) -> dict[str, Any]:
    """A job's findings as JSON: bytes and objects by cause and bucket, then each orphan."""
    sums: dict[tuple[str, str], list[int]] = {}
    found = job.orphans()
    for orphan in found:
        row = sums.setdefault((orphan.cause, orphan.bucket), [0, 0])
        row[0] += 1
        row[1] += orphan.size
    return {
        "pool": job.pool,
        "step": job.step,
        "objects": len(found),
        "bytes": sum(orphan.size for orphan in found),
        "removed": sum(orphan.removed for orphan in found),
        "causes": [{"cause": cause, "bucket": bucket, "objects": count, "bytes": size} for (cause, bucket), (count, size) in sorted(sums.items())],
        "unlisted_objects": [{"bucket": bucket, "key": key} for bucket, key in job.unlisted()],
        "orphans": [{"oid": orphan.oid, "bucket": orphan.bucket, "cause": orphan.cause, "bytes": orphan.size, "removed": orphan.removed}
                    for orphan in found],
    }
