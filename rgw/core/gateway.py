"""The gateway: one store, one zone, and the services that work on them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from rgw.core.buckets import Buckets
from rgw.core.entropy import random_bytes
from rgw.core.gc import GarbageCollector
from rgw.core.intents import Intents
from rgw.core.lifecycle import Lifecycle
from rgw.core.listing import Listings
from rgw.core.memory import BodyMemory
from rgw.core.metadata import Metadata
from rgw.core.options import Options
from rgw.core.quota_enforcement import Quotas
from rgw.core.ratelimit import RateLimits
from rgw.core.reshard import Resharder
from rgw.core.reshard_queue import ReshardQueue
from rgw.core.usage import UsageLog
from rgw.core.users import Users
from rgw.core.zone import ZoneConfig, load_zone
from rgw.formats.basics import PlacementRule, Pool
from rgw.store.interface import Cluster, IoCtx

if TYPE_CHECKING:
    from rgw.core.multipart import Multipart
    from rgw.core.objects import Objects
    from rgw.core.recovery import Recovery


class Gateway:
    """Everything a request needs. Made by ``open``; its services are attributes."""

    def __init__(self, cluster: Cluster, options: Options, zone: ZoneConfig) -> None:
        self.cluster = cluster
        self.options = options
        self.zone = zone
        self._pools: dict[str, IoCtx] = {}
        self.requests = 0  # that came so far, for background work that rests while there are some
        self.metadata = Metadata(self)
        self.body_memory = BodyMemory(options.rgw_put_memory)
        self.users = Users(self)
        self.buckets = Buckets(self)
        self.listing = Listings(self)
        self.gc = GarbageCollector(self)
        self.intents = Intents(self)
        self.lifecycle = Lifecycle(self)
        self.quotas = Quotas(self)
        self.usage = UsageLog(self)
        self.rate_limits = RateLimits(self)
        self.resharder = Resharder(self)
        self.reshard_queue = ReshardQueue(self)

    @cached_property
    def objects(self) -> Objects:
        from rgw.core.objects import Objects  # here, since objects stand on the gateway

        return Objects(self)

    @cached_property
    def multipart(self) -> Multipart:
        from rgw.core.multipart import Multipart

        return Multipart(self)

    @cached_property
    def recovery(self) -> Recovery:
        from rgw.core.recovery import Recovery

        return Recovery(self)

    @classmethod
    async def open(cls, cluster: Cluster, options: Options) -> Gateway:
        """A gateway on the cluster's zone, which is made if there is none. ``zone.ZoneError`` if the zone cannot be served.

        Background work (``gc.start()``) is not started. The cluster stays the caller's to close.
        """
        gateway = cls(cluster, options, await load_zone(cluster, options))
        for pool in gateway.zone.all_pools():
            await gateway.pool(pool)
        await gateway.gc.initialise()
        await gateway.metadata.start()
        return gateway

    def start_workers(self) -> None:
        """Starts what works in the background, as the options allow; ``close`` stops it."""
        for worker in (self.gc, self.recovery, self.lifecycle, self.quotas, self.usage, self.reshard_queue):
            worker.start()

    async def close(self) -> None:
        """Stops background work and takes the watches back."""
        await self.reshard_queue.stop()
        await self.lifecycle.stop()
        await self.quotas.stop()
        await self.usage.stop()
        await self.gc.stop()
        await self.recovery.stop()
        await self.intents.close()
        await self.metadata.stop()

    async def pool(self, pool: Pool | str) -> IoCtx:
        """The pool (``name`` or ``name:namespace``); NotFound if it does not exist."""
        text = pool if isinstance(pool, str) else pool.text()
        ioctx = self._pools.get(text)
        if ioctx is None:
            parsed = Pool.parse(text)
            ioctx = self._pools[text] = await self.cluster.open_pool(parsed.name, parsed.ns)
        return ioctx

    def data_pool(self, rule: PlacementRule) -> IoCtx:
        """The pool of a placement rule's storage class. ``zone.ZoneError`` if the zone has no such placement."""
        return self._pools[self.zone.data_pool(rule)]

    def extra_pool(self, rule: PlacementRule) -> IoCtx:
        """The pool of the placement's uploads in progress."""
        return self._pools[self.zone.extra_pool(rule)]

    def index_pool(self, rule: PlacementRule) -> IoCtx:
        return self._pools[self.zone.index_pool(rule)]

    def new_tag(self) -> str:
        """A tag that no other operation of any gateway has: ``<zone id>.<instance id>.<random>``."""
        return f"{self.zone.id}.{self.cluster.instance_id}.{int.from_bytes(random_bytes(8))}"
