"""What a store holds, compared before and after each request that is refused: it may leave nothing, and take nothing away."""

import asyncio

from aiohttp import web

from rgw.core.index import shard_names
from rgw.core.intents import shard_oids
from rgw.errors import S3Error
from rgw.formats.index import DirEntry
from rgw.store.errors import NotFound
from rgw.store.interface import ALL_NAMESPACES, ReadOp

_PATIENCE = 5.0  # seconds: what a refused body wrote may be removed after the reply, or after the client is gone
_LOG = ".log"    # its objects are queues of fixed names, made when first used; the intents in them are looked at by themselves


async def contents(gw) -> set[tuple[str, ...]]:
    """Every RADOS object of every pool."""
    found: set[tuple[str, ...]] = set()
    for pool in await gw.cluster.list_pools():
        if pool.startswith("default.rgw") and not pool.endswith(_LOG):
            ioctx = await gw.cluster.open_pool(pool, ALL_NAMESPACES)
            found |= {(pool, name.namespace, name.name) async for name in ioctx.list_objects()}
    return found


async def index(gw, bucket) -> set[tuple[str, ...]]:
    """The keys of a bucket's index, and which of them wait for a change to end."""
    found: set[tuple[str, ...]] = set()
    ioctx = gw.index_pool(bucket.placement)
    for oid in shard_names(bucket.bucket_id, bucket.num_shards):
        try:
            page = (await ioctx.read(oid, ReadOp().omap_get(max_entries=10_000))).omap
        except NotFound:  # the bucket went
            continue
        for key, value in page.values.items():
            found.add((oid, key.hex(), ""))
            if not key.startswith(b"\x80") and DirEntry.decode(value).pending_map:
                found.add((oid, key.hex(), "pending"))
    return found


class Watched:
    """A handler of requests that notes in ``traces`` what refused ones changed. Requests that overlap are not judged.

    ``bucket_names``: whose indexes are looked at.
    """

    def __init__(self, handler, gw, bucket_names, patience=_PATIENCE) -> None:
        self._handler, self._gw, self._names, self._patience = handler, gw, bucket_names, patience
        self._under_way = self._begun = 0
        self._known: set[tuple[str, ...]] | None = None  # what the store held after the last request, if it was refused
        self.traces: list[str] = []

    def __getattr__(self, name):
        return getattr(self._handler, name)

    @property
    def draining(self):
        return self._handler.draining

    @draining.setter
    def draining(self, value):
        self._handler.draining = value

    async def _look(self) -> set[tuple[str, ...]]:
        found = await contents(self._gw)
        for name in self._names:
            try:
                found |= await index(self._gw, await self._gw.buckets.get(name))
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
        return found

    async def _quiet(self) -> set[tuple[str, ...]]:
        """What the store holds once the index knows of everything: it may learn of a change after the reply."""
        for _ in range(50):
            found = await self._look()
            if not any(item[2] == "pending" for item in found):
                break
            await asyncio.sleep(0.02)
        return found

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self._begun += 1
        number, alone = self._begun, not self._under_way
        self._under_way += 1
        try:
            if alone and self._known is None and request.method not in ("GET", "HEAD"):
                self._known = await self._quiet()
            before = self._known
            response = await self._handler(request)
            if response.status < 400 and request.method not in ("GET", "HEAD"):
                self._known = None
            if response.status >= 500 and response.status not in (501, 503):
                self.traces.append(f"{request.method} {request.raw_path[:200]}: {response.status}")
            if response.status >= 400 and before is not None and alone and self._begun == number:
                await self._compare(request, response.status, before, number)
            return response
        finally:
            self._under_way -= 1

    async def _compare(self, request, status, before, number) -> None:
        for wait in (0.0, 0.02, 0.1, 0.3, 1.0, 5.0):
            if wait > self._patience:
                break
            await asyncio.sleep(wait)
            after = await self._look()
            if self._begun != number:
                return
            if after == before:
                return
        self._known = None
        self.traces.append(f"{request.method} {request.raw_path[:200]} ({status}) left {sorted(after - before)}, took {sorted(before - after)}")


async def intents_left(gw) -> set[bytes]:
    """The keys of the gateway's intents. There are none once it is closed, unless it does not know how far something went."""
    ioctx, found = await gw.intents.pool(), set()
    for oid in shard_oids():
        try:
            page = (await ioctx.read(oid, ReadOp().omap_get(prefix=b"%d." % gw.intents.instance_id, max_entries=10_000))).omap
        except NotFound:
            continue
        found |= set(page.values)
    return found
