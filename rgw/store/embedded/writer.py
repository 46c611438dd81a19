"""Group commit: one thread takes all changes that wait, applies them in one transaction, and syncs once."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb

from rgw.store.embedded import steps
from rgw.store.embedded.database import Database, WriteSession, translate
from rgw.store.embedded.files import DataFiles
from rgw.store.embedded.layout import PoolRecord
from rgw.store.embedded.objecttxn import ObjectTxn
from rgw.store.errors import NoSpace, StoreError, Unavailable
from rgw.store.interface import Step, StepKind

log = logging.getLogger(__name__)

MAX_BATCH = 512
_NEARLY_FULL = 1 << 20
_FAR_FROM_FULL, _FAR_FOR = 1 << 30, 0.02  # a disk with so many bytes left is not looked at for so many seconds: nobody fills it meanwhile
_IDLE = 0.002  # seconds without a change after which dropped maps are removed a bit
# Refused while the disk is nearly full. Class calls are not: a removal needs them to make room.
_GROWING = frozenset((StepKind.CREATE, StepKind.WRITE, StepKind.WRITE_FULL, StepKind.APPEND, StepKind.SETXATTR, StepKind.OMAP_SET))


@dataclass(slots=True)
class Change:
    """A compound operation on its way into the store. ``new_files`` are those it wrote beforehand."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[int]
    pool: str
    key: bytes
    oid: bytes
    namespace: bytes
    locator: bytes
    steps: list[Step]
    mtime: int | None
    new_files: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Task:
    """Any other change: a function of the session."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    function: Callable[[WriteSession], Any]
    new_files: list[int] = field(default_factory=list)


class _Tainted(Exception):
    """A change failed while it was going into the transaction."""


Outcome = tuple[Any, BaseException | None]


class Writer:
    """``max_bytes``: refuse to grow beyond it (the database's pages, and all objects' sizes). ``reserve``: bytes of the disk
    that are left for removals."""

    def __init__(self, database: Database, files: DataFiles, folder: Path, max_bytes: int | None, reserve: int) -> None:
        self._database = database
        self._files = files
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserve = reserve
        self._queue: queue.SimpleQueue[list[Change | Task] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[Change | Task]] = {}
        self._unlinked: list[int] = []  # their marks in the trash may go
        self._dropped = True  # there may be dropped maps to remove
        self._look_at_disk = 0.0  # by the monotonic clock
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="rgw-store-writer", daemon=True)
        self._thread.start()

    def submit(self, change: Change | Task) -> None:
        """From any thread; the future is resolved in its loop once the change is durable, or has failed."""
        self._queue.put([change])

    def submit_soon(self, change: Change | Task) -> None:
        """As ``submit``, from the loop's own thread. What one turn of the loop submits goes together: the writer wakes once, when the loop
        is done with its turn, instead of fighting with it for the interpreter's lock over a first change."""
        gathered = self._gathered.get(change.loop)
        if gathered is None:
            self._gathered[change.loop] = [change]
            change.loop.call_soon(self.hand_over, change.loop)
        else:
            gathered.append(change)

    def hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Submits what ``submit_soon`` has gathered, in the loop's thread. Needed before ``close``."""
        gathered = self._gathered.pop(loop, None)
        if gathered is not None:
            self._queue.put(gathered)

    def close(self) -> None:
        """Finishes what waits. Blocking."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                batch = self._queue.get(timeout=_IDLE if self._dropped else None)
            except queue.Empty:
                self._purge()
                continue
            if batch is None:
                break
            try:
                while len(batch) < MAX_BATCH:
                    more = self._queue.get_nowait()
                    if more is None:
                        self._queue.put(None)
                        break
                    batch += more
            except queue.Empty:
                pass
            try:
                outcomes = self._commit(batch)
            except Exception as error:  # nobody may wait forever
                log.exception("the store's writer failed")
                outcomes = [(None, Unavailable(f"the store failed: {error}"))] * len(batch)
            self._answer(batch, outcomes)
        if self._unlinked:
            self._commit([])

    def _purge(self) -> None:
        """Removes a bit of dropped maps while nobody waits."""
        try:
            self._transaction([])  # which does that
        except (lmdb.Error, OSError) as error:
            self._dropped = False  # until the next is dropped
            log.warning("dropped maps could not be removed: %s", error)

    def _commit(self, batch: list[Change | Task]) -> list[Outcome]:
        try:
            return self._transaction(batch)
        except (lmdb.Error, _Tainted, OSError) as error:
            cause = error.__cause__ if isinstance(error, _Tainted) and error.__cause__ else error
            if len(batch) > 1:  # find out whose fault it was
                return [outcome for change in batch for outcome in self._commit([change])]
            if isinstance(cause, StoreError):
                failure: BaseException = cause
            elif isinstance(cause, lmdb.Error):
                failure = translate(cause)
                # A disk that becomes full in the midst of a write is a short write, which LMDB reports as EIO.
                if os.strerror(errno.EIO) in str(cause) and self._disk_free() < max(self._reserve, _NEARLY_FULL):
                    failure = NoSpace("the disk is full")
            elif isinstance(cause, OSError):
                failure = Unavailable(f"the store failed: {cause}")
            else:
                failure = cause
            log.warning("a change could not be stored: %s", failure)
            return [(None, failure)] * len(batch)

    def _transaction(self, batch: list[Change | Task]) -> list[Outcome]:
        session = WriteSession(self._database, self._files)
        freed: list[int] = []
        outcomes: list[Outcome] = []
        unlinked = self._unlinked
        try:
            full = self._full(session)
            now = time.time_ns()
            for change in batch:
                try:
                    if isinstance(change, Task):
                        outcomes.append((change.function(session), None))
                    else:
                        if full and any(kind in _GROWING for kind, _ in change.steps):
                            raise NoSpace(full)
                        outcomes.append((self._apply(session, change, now, freed), None))
                except (lmdb.Error, _Tainted):
                    raise
                except StoreError as error:
                    outcomes.append((None, error))
                except Exception as error:  # a bug in a class must not stop the store; the caller gets it
                    if isinstance(change, Task):
                        raise _Tainted from error
                    log.exception("an operation on %r failed", change.oid)
                    outcomes.append((None, error))
            if self._dropped or session.dropped:
                self._dropped = session.purge_dropped()
            for file_id in unlinked:
                session.txn.delete(file_id.to_bytes(8, "big"), db=self._database.trash)
            session.commit()
        except BaseException:
            session.abort()
            raise
        self._unlinked = self._unlink(freed)
        return outcomes

    def _unlink(self, file_ids: list[int]) -> list[int]:
        """Removes files that are referenced no more; those that cannot be removed stay in the trash until the next opening."""
        done: list[int] = []
        for file_id in file_ids:
            try:
                self._files.unlink(file_id)
                done.append(file_id)
            except OSError as error:
                log.error("a data file that is not needed any more cannot be removed: %s", error)
        return done

    def _apply(self, session: WriteSession, change: Change, now: int, freed: list[int]) -> int:
        pool = session.pool(change.pool)
        obj = ObjectTxn(session, change.key, change.oid, change.namespace, change.locator, now, pool.version + 1)
        steps.run_write(obj, change.steps)
        if not obj.changed:
            return obj.record.version
        try:
            freed.extend(obj.flush(pool, now if change.mtime is None else change.mtime))
        except Exception as error:
            raise _Tainted from error
        return pool.version

    def _disk_free(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def _full(self, session: WriteSession) -> str:
        now = time.monotonic()
        if now >= self._look_at_disk:
            free = self._disk_free()
            if free < self._reserve:
                return "the disk is full"
            if free > self._reserve + _FAR_FROM_FULL:
                self._look_at_disk = now + _FAR_FOR
        if self._max_bytes is not None:
            used = self._database.used_bytes(session.txn)
            for _, data in session.txn.cursor(db=self._database.pools):
                used += PoolRecord.decode(data).size
            if used > self._max_bytes:
                return f"the store has reached its limit of {self._max_bytes} bytes"
        return ""

    def _answer(self, batch: list[Change | Task], outcomes: list[Outcome]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        for change, (value, error) in zip(batch, outcomes, strict=True):
            if error is not None:
                self._unlink(change.new_files)
            loops.setdefault(change.loop, []).append((change.future, value, error))
        for loop, answers in loops.items():
            try:
                loop.call_soon_threadsafe(_resolve, answers)
            except RuntimeError:
                log.info("an event loop was closed before its changes were stored")


def _resolve(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, value, error in answers:
        if not future.done():  # the caller may have been cancelled
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
