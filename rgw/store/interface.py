"""The storage interface: clusters, pools, and compound operations on one object.

A compound operation is atomic: all of its steps happen, in order, or none. Object names and xattr names are text
(UTF-8, undecodable bytes as surrogate escapes); omap keys and all values are bytes. Times are integer nanoseconds since the epoch.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from rgw.store.classcall import ClassCall

Bytes = bytes | bytearray | memoryview


class StepKind(IntEnum):
    """The steps of compound operations."""

    CREATE = 1            # (exclusive: bool)
    ASSERT_EXISTS = 2     # ()
    ASSERT_VERSION = 3    # (version: int)
    CMPXATTR = 4          # (name: str, value: bytes): equal, a missing xattr equals b""
    WRITE = 5             # (offset: int, data)
    WRITE_FULL = 6        # (data,)
    APPEND = 7            # (data,)
    TRUNCATE = 8          # (size: int)
    REMOVE = 9            # ()
    SETXATTR = 10         # (name: str, value: bytes)
    RMXATTR = 11          # (name: str)
    OMAP_SET = 12         # (values: dict[bytes, bytes])
    OMAP_RM = 13          # (keys: list[bytes])
    OMAP_CMP = 14         # (key: bytes, value: bytes): equal, a missing key equals b""
    OMAP_SET_HEADER = 15  # (data: bytes)
    OMAP_CLEAR = 16       # ()
    CALL = 17             # (call: ClassCall)
    STAT = 18             # ()
    GETXATTRS = 19        # ()
    READ = 20             # (offset: int, length: int); length 0 reads to the end
    OMAP_GET = 21         # (start_after: bytes, prefix: bytes, max_entries: int)
    OMAP_GET_KEYS = 22    # (keys: list[bytes])
    OMAP_GET_HEADER = 23  # ()


Step = tuple[StepKind, tuple[Any, ...]]


class _Op:
    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def assert_exists(self):  # type: ignore[no-untyped-def]
        """NotFound if the object does not exist."""
        self.steps.append((StepKind.ASSERT_EXISTS, ()))
        return self

    def assert_version(self, version: int):  # type: ignore[no-untyped-def]
        """Cancelled if the object's version is another one."""
        self.steps.append((StepKind.ASSERT_VERSION, (version,)))
        return self

    def cmpxattr(self, name: str, value: bytes):  # type: ignore[no-untyped-def]
        """Cancelled unless the xattr equals ``value``. A missing xattr equals the empty string; NotFound without the object."""
        self.steps.append((StepKind.CMPXATTR, (name, value)))
        return self

    def omap_cmp(self, key: bytes, value: bytes):  # type: ignore[no-untyped-def]
        """Cancelled unless the omap entry equals ``value``."""
        self.steps.append((StepKind.OMAP_CMP, (key, value)))
        return self

    def call(self, call: ClassCall):  # type: ignore[no-untyped-def]
        """Runs an object class method; its errors fail the whole operation."""
        self.steps.append((StepKind.CALL, (call,)))
        return self


class WriteOp(_Op):
    """A compound change of one object. ``mtime`` (ns) is the modification time to set; None: the store's clock.

    ``urgent``: to be done by a full pool too, where the store has room in reserve: for the notes without which nothing can be removed.
    """

    __slots__ = ("mtime", "urgent")

    def __init__(self, mtime: int | None = None, *, urgent: bool = False) -> None:
        self.steps = []
        self.mtime = mtime
        self.urgent = urgent

    def create(self, exclusive: bool = False) -> WriteOp:
        """Makes sure that the object exists; Exists if ``exclusive`` and it did."""
        self.steps.append((StepKind.CREATE, (exclusive,)))
        return self

    def write(self, offset: int, data: Bytes) -> WriteOp:
        self.steps.append((StepKind.WRITE, (offset, data)))
        return self

    def write_full(self, data: Bytes) -> WriteOp:
        """Replaces the object's bytes (xattrs and omap stay)."""
        self.steps.append((StepKind.WRITE_FULL, (data,)))
        return self

    def append(self, data: Bytes) -> WriteOp:
        self.steps.append((StepKind.APPEND, (data,)))
        return self

    def truncate(self, size: int) -> WriteOp:
        self.steps.append((StepKind.TRUNCATE, (size,)))
        return self

    def remove(self) -> WriteOp:
        """Removes the object with everything in it; NotFound if there is none."""
        self.steps.append((StepKind.REMOVE, ()))
        return self

    def setxattr(self, name: str, value: bytes) -> WriteOp:
        self.steps.append((StepKind.SETXATTR, (name, value)))
        return self

    def setxattrs(self, values: Mapping[str, bytes]) -> WriteOp:
        self.steps += [(StepKind.SETXATTR, item) for item in values.items()]
        return self

    def rmxattr(self, name: str) -> WriteOp:
        """Removes an xattr; no error if it is not set."""
        self.steps.append((StepKind.RMXATTR, (name,)))
        return self

    def omap_set(self, values: Mapping[bytes, bytes]) -> WriteOp:
        self.steps.append((StepKind.OMAP_SET, (dict(values),)))
        return self

    def omap_rm(self, keys: Iterable[bytes]) -> WriteOp:
        """Removes omap entries; keys that are not there are no error."""
        self.steps.append((StepKind.OMAP_RM, (list(keys),)))
        return self

    def omap_set_header(self, data: bytes) -> WriteOp:
        self.steps.append((StepKind.OMAP_SET_HEADER, (data,)))
        return self

    def omap_clear(self) -> WriteOp:
        self.steps.append((StepKind.OMAP_CLEAR, ()))
        return self


class ReadOp(_Op):
    """A compound read of one object, at one instant."""

    __slots__ = ()

    def stat(self) -> ReadOp:
        self.steps.append((StepKind.STAT, ()))
        return self

    def getxattrs(self) -> ReadOp:
        self.steps.append((StepKind.GETXATTRS, ()))
        return self

    def read(self, offset: int = 0, length: int = 0) -> ReadOp:
        """Reads ``length`` bytes (0: to the end); fewer come back where the object ends."""
        self.steps.append((StepKind.READ, (offset, length)))
        return self

    def omap_get(self, start_after: bytes = b"", prefix: bytes = b"", max_entries: int = 1000) -> ReadOp:
        """Omap entries in byte order of their keys, after ``start_after``, those with ``prefix`` only."""
        self.steps.append((StepKind.OMAP_GET, (start_after, prefix, max_entries)))
        return self

    def omap_get_keys(self, keys: Iterable[bytes]) -> ReadOp:
        """The named omap entries; missing ones are left out."""
        self.steps.append((StepKind.OMAP_GET_KEYS, (list(keys),)))
        return self

    def omap_get_header(self) -> ReadOp:
        self.steps.append((StepKind.OMAP_GET_HEADER, ()))
        return self


@dataclass(slots=True)
class Stat:
    size: int
    mtime: int  # ns since the epoch


@dataclass(frozen=True, slots=True)
class OmapPage:
    values: dict[bytes, bytes]  # in byte order of the keys
    more: bool


@dataclass(slots=True)
class ReadResult:
    """What a ReadOp read: the last result of each kind, and the class replies in the order of their calls."""

    version: int = 0
    stat: Stat | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    data: bytes = b""
    omap: OmapPage | None = None
    omap_header: bytes = b""
    replies: list[Any] = field(default_factory=list)

    @property
    def size(self) -> int:
        assert self.stat is not None
        return self.stat.size

    @property
    def mtime(self) -> int:
        assert self.stat is not None
        return self.stat.mtime

    @property
    def reply(self) -> Any:
        """The reply of the only class call."""
        return self.replies[-1]


@dataclass(slots=True)
class WriteResult:
    """``version`` is the object's user version after the write."""

    version: int


@dataclass(frozen=True, slots=True)
class ObjectName:
    name: str
    locator: str = ""
    namespace: str = ""


class Watch(ABC):
    """A registered watch on an object."""

    @abstractmethod
    async def close(self) -> None:
        """Takes the watch back."""


class IoCtx(ABC):
    """One pool, or one namespace of it."""

    pool: str
    pool_id: int
    namespace: str

    @abstractmethod
    async def write(self, oid: str, op: WriteOp, locator: str = "") -> WriteResult:
        """Applies ``op`` durably. Raises a StoreError, and then nothing was changed (except after TimedOut: unknown)."""

    @abstractmethod
    async def read(self, oid: str, op: ReadOp, locator: str = "") -> ReadResult:
        """Runs ``op``. Raises NotFound if the object does not exist."""

    @abstractmethod
    async def call_each(self, calls: Sequence[tuple[str, ClassCall]]) -> list[Any]:
        """Runs class calls that read, each on an object, side by side: a reply or a StoreError for each. Replies are decoded one after the
        other when the last one is there: thousands of entries of many requests at a time would push one another out of the caches.
        """

    async def remove_gradually(self, oid: str) -> None:
        """Removes an object whose omap may be large, a thousand entries at a time: an OSD does nothing else for the objects beside it while
        it removes one (some 110 ms for a million entries). It loses its entries first. NotFound if there is no such object.
        """
        while True:
            started = time.monotonic()
            omap = (await self.read(oid, ReadOp().assert_exists().omap_get())).omap
            assert omap is not None
            if not omap.more:
                break
            await self.write(oid, WriteOp().assert_exists().omap_rm(omap.values))
            await asyncio.sleep(time.monotonic() - started)
        await self.write(oid, WriteOp().remove())

    @abstractmethod
    def list_objects(self) -> AsyncIterator[ObjectName]:
        """All objects of this namespace (of all namespaces where it is ``ALL_NAMESPACES``), in no particular order."""

    @abstractmethod
    async def watch(self, oid: str, on_notify: Callable[[bytes], None], on_lost: Callable[[], None]) -> Watch:
        """Calls ``on_notify`` in the event loop with each payload (already acknowledged), ``on_lost`` when the watch is lost."""

    @abstractmethod
    async def notify(self, oid: str, payload: bytes, timeout_ms: int = 10_000) -> None:
        """Tells all watchers and waits for their acknowledgements; TimedOut if some did not answer."""


ALL_NAMESPACES = "\x01"  # librados' LIBRADOS_ALL_NSPACES


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do beyond the interface; nobody asks for a backend's name."""

    shared_with_radosgw: bool  # other gateways may serve the same pools
    locators_tell_apart: bool  # objects of one name with different locators are different objects


@dataclass(frozen=True, slots=True)
class PoolStat:
    objects: int
    bytes: int


class Cluster(ABC):
    """A store: pools, and what identifies it."""

    capabilities: Capabilities
    fsid: str
    instance_id: int  # unique among all clients there ever are of this store

    @abstractmethod
    async def open_pool(self, pool: str, namespace: str = "") -> IoCtx:
        """NotFound if the pool does not exist. IoCtxs are cached: opening again is cheap."""

    @abstractmethod
    async def list_pools(self) -> list[str]: ...

    @abstractmethod
    async def create_pool(self, pool: str) -> None:
        """Makes a pool tagged for the application ``rgw``; no error if it exists."""

    @abstractmethod
    async def pool_stat(self, pool: str) -> PoolStat: ...

    @abstractmethod
    async def close(self) -> None: ...
