"""System objects (users, bucket entry points and instances): guarded writes, and a cache that all gateways keep coherent.

Each has its data, xattrs, and a version in the xattr ``ceph.objclass.version``. After each write a notify on one of the
control objects tells every gateway to drop what it holds (formats page, section 8).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from rgw.core.entropy import random_text
from rgw.formats import cls_version
from rgw.formats.basics import ObjVersion, Pool, RawObj
from rgw.formats.misc import CacheNotifyInfo
from rgw.formats.names import notify_oid
from rgw.store import classes
from rgw.store.errors import NotFound, StoreError, TimedOut
from rgw.store.interface import ReadOp, Watch, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

VERSION_XATTR = "ceph.objclass.version"
LONGEST_NAME = 2048  # bytes of an object's name, as OSDs take it: osd_max_object_name_len
_OP_INVALIDATE = 1
_REWATCH_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0)  # seconds; the last one repeats
Key = tuple[str, str]  # pool text, object name


def is_name(oid: str) -> bool:
    """Whether RADOS takes it as an object's name: else there is no such object, and none can be made."""
    return 0 < len(oid.encode("utf-8", "surrogateescape")) <= LONGEST_NAME and "\0" not in oid


def new_version() -> ObjVersion:
    """A first version, with a tag of its own."""
    return ObjVersion(ver=1, tag="_" + random_text(23))


@dataclass(slots=True, eq=False)
class SystemObject:
    """A system object as read: ``xattrs`` without the version's own. ``expires``: until when it is known to be as it is, on the
    monotonic clock; never for one that is not in memory."""

    data: bytes
    xattrs: dict[str, bytes]
    version: ObjVersion
    mtime: int
    expires: float = 0.0

    def fresh(self) -> bool:
        """Whether it may be used again, with what was decoded from it."""
        return self.expires > monotonic()


class Metadata:
    """Reads and writes system objects. The cache is on only while all control objects are watched."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        options = gateway.options
        self._enabled = bool(options.rgw_cache_enabled)
        self._limit = int(options.rgw_cache_lru_size)
        self._ttl = float(options.rgw_cache_expiry_interval)
        self._notify_count = int(options.rgw_num_control_oids)
        self._cache: OrderedDict[Key, SystemObject] = OrderedDict()
        self._drops = 0  # counts invalidations: a read that was under way during one is not kept
        self._watches: dict[str, Watch] = {}
        self._rewatching: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Makes the control objects and watches them."""
        if not self._enabled:
            return
        ioctx = await self._gateway.pool(self._gateway.zone.control_pool)
        for number in range(self._notify_count):
            await ioctx.write(f"notify.{number}", WriteOp().create())
        await asyncio.gather(*(self._watch(f"notify.{number}") for number in range(self._notify_count)))

    async def stop(self) -> None:
        tasks = list(self._rewatching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._rewatching.clear()
        watches, self._watches = list(self._watches.values()), {}
        self._drop_all()
        for watch in watches:
            try:
                await watch.close()
            except StoreError as error:
                log.warning("cannot take a watch back: %s", error)

    @property
    def caching(self) -> bool:
        return self._enabled and len(self._watches) == self._notify_count

    async def _watch(self, oid: str) -> None:
        ioctx = await self._gateway.pool(self._gateway.zone.control_pool)
        self._watches[oid] = await ioctx.watch(oid, self._on_notify, partial(self._on_lost, oid))
        self._drop_all()  # what changed before the watch stood was not heard of

    def _on_notify(self, payload: bytes) -> None:
        try:
            info = CacheNotifyInfo.decode(payload)
        except ValueError as error:
            log.warning("a cache notify does not decode, dropping the whole cache: %s", error)
            self._drop_all()
            return
        self.drop(info.obj.pool.text(), info.obj.oid)

    def _on_lost(self, oid: str) -> None:
        self._watches.pop(oid, None)
        self._drop_all()
        if oid not in self._rewatching:
            log.warning("lost the watch on %s; metadata is not cached until it is back", oid)
            self._rewatching[oid] = asyncio.get_running_loop().create_task(self._rewatch(oid))

    async def _rewatch(self, oid: str) -> None:
        attempt = 0
        try:
            while True:
                await asyncio.sleep(_REWATCH_DELAYS[min(attempt, len(_REWATCH_DELAYS) - 1)])
                attempt += 1
                try:
                    await self._watch(oid)
                except StoreError as error:
                    log.warning("cannot watch %s: %s", oid, error)
                else:
                    log.info("watching %s again", oid)
                    return
        finally:
            self._rewatching.pop(oid, None)

    def _drop_all(self) -> None:
        self._drops += 1
        for found in self._cache.values():
            found.expires = 0.0
        self._cache.clear()

    def drop(self, pool: str, oid: str) -> None:
        """Forgets what is known of an object."""
        self._drops += 1
        self._forget((pool, oid))

    def _forget(self, key: Key) -> None:
        found = self._cache.pop(key, None)
        if found is not None:
            found.expires = 0.0

    def cached(self, pool: str, oid: str) -> SystemObject | None:
        """The object, if it is in memory and fresh."""
        found = self._cache.get((pool, oid))
        if found is None:
            return None
        if not found.fresh():
            del self._cache[(pool, oid)]
            return None
        self._cache.move_to_end((pool, oid))
        return found

    async def get(self, pool: str, oid: str, *, fresh: bool = False) -> SystemObject:
        """The object, from memory unless ``fresh``. NotFound if there is none."""
        if not fresh and (found := self.cached(pool, oid)) is not None:
            return found
        if not is_name(oid):
            raise NotFound("no name of an object")
        before = self._drops
        ioctx = await self._gateway.pool(pool)
        result = await ioctx.read(oid, ReadOp().getxattrs().stat().read())
        raw = result.xattrs.pop(VERSION_XATTR, None)
        version = ObjVersion.decode(raw) if raw else ObjVersion(ver=0, tag="")
        found = SystemObject(result.data, result.xattrs, version, result.mtime)
        if self.caching and before == self._drops:
            self._forget((pool, oid))
            found.expires = monotonic() + self._ttl
            self._cache[(pool, oid)] = found
            while len(self._cache) > self._limit:
                self._forget(next(iter(self._cache)))
        return found

    async def create(
        self, pool: str, oid: str, data: bytes, xattrs: Mapping[str, bytes] | None = None, *, versioned: bool = True,
    ) -> ObjVersion:
        """Makes a new object; Exists if there is one."""
        version = new_version() if versioned else ObjVersion(ver=0, tag="")
        op = WriteOp().create(exclusive=True)
        if versioned:
            op.call(classes.VERSION_SET(cls_version.SetOp(objv=version)))
        op.write_full(data).setxattrs(xattrs or {})
        await (await self._gateway.pool(pool)).write(oid, op)
        await self.announce(pool, oid)
        return version

    async def replace(self, pool: str, oid: str, data: bytes, xattrs: Mapping[str, bytes], old: SystemObject) -> ObjVersion:
        """Writes the object anew, with just these xattrs, if it still has ``old``'s version. Cancelled if not, NotFound if it is gone."""
        version = ObjVersion(ver=old.version.ver + 1, tag=old.version.tag or new_version().tag)
        op = WriteOp().assert_exists().call(self._guard(old.version)).call(classes.VERSION_SET(cls_version.SetOp(objv=version)))
        op.write_full(data)
        for name in old.xattrs.keys() - xattrs.keys():
            op.rmxattr(name)
        op.setxattrs(xattrs)
        await (await self._gateway.pool(pool)).write(oid, op)
        await self.announce(pool, oid)
        return version

    async def remove(self, pool: str, oid: str, expect: ObjVersion | None = None) -> None:
        """Removes the object; Cancelled if its version is not ``expect``, NotFound if it is gone."""
        op = WriteOp().assert_exists()
        if expect is not None:
            op.call(self._guard(expect))
        ioctx = await self._gateway.pool(pool)
        await self.announce(pool, oid)
        await ioctx.write(oid, op.remove())
        await self.announce(pool, oid)  # a gateway may have read it between the first notify and the removal

    @staticmethod
    def _guard(version: ObjVersion):  # type: ignore[no-untyped-def]
        return classes.VERSION_CHECK_CONDS(cls_version.unchanged(version))

    async def announce(self, pool: str, oid: str) -> None:
        """Tells all gateways, this one too, to forget what they know of the object."""
        self.drop(pool, oid)
        parsed = Pool.parse(pool)
        payload = CacheNotifyInfo(op=_OP_INVALIDATE, obj=RawObj(pool=parsed, oid=oid, loc="")).encode()
        target = notify_oid(parsed.name, parsed.ns, oid, self._notify_count)
        ioctx = await self._gateway.pool(self._gateway.zone.control_pool)
        timeout_ms = int(self._gateway.options.rgw_cache_notify_timeout * 1000)
        try:
            await ioctx.notify(target, payload, timeout_ms)
        except TimedOut:
            log.warning("some gateway did not confirm the change of %s in %s; it may serve the old one for a while", oid, pool)
        except NotFound:
            await ioctx.write(target, WriteOp().create())  # nobody watches an object that does not exist
