"""The zone: read from .rgw.root as radosgw left it, or made as radosgw makes it on an empty cluster."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from rgw.core.options import Options
from rgw.formats.basics import PlacementRule, Pool
from rgw.formats.encoding import Struct
from rgw.formats.zone import NameToId, PeriodConfig, SystemMeta, Zone, ZoneGroup, ZoneGroupPlacement, ZoneParams, ZonePlacement, ZoneStorageClass
from rgw.store.errors import Exists, NotFound
from rgw.store.interface import Cluster, IoCtx, ReadOp, WriteOp

ROOT_POOL = ".rgw.root"
STANDARD = "STANDARD"
DEFAULT = "default"  # the name of the zone, and of the zonegroup, that a gateway makes by itself
DEFAULT_PLACEMENT = "default-placement"
_DEFAULT_SHARDS = 11  # of a zonegroup made by 16.2.15
# the struct versions that this gateway knows (formats page, 3.9); a newer one may mean more than we would see
_KNOWN = {"zone": 14, "zonegroup": 5}
_PERIOD_CONFIG = "period_config.default"
_MULTISITE = ("default.realm", "realms.", "realms_names.", "periods.")


class ZoneError(Exception):
    """The cluster's zone is not one that this gateway can serve; the text says why and what to do."""


class NoSuchZone(ZoneError):
    """The zone or zonegroup that the options name does not exist."""


@dataclass(slots=True)
class ZoneConfig:
    """The zone and its zonegroup, with the pools in ``name`` or ``name:namespace`` form."""

    params: ZoneParams
    group: ZoneGroup
    period: PeriodConfig

    @property
    def id(self) -> str:
        return self.params.meta.id

    @property
    def name(self) -> str:
        return self.params.meta.name

    @property
    def zonegroup_id(self) -> str:
        return self.group.meta.id

    @property
    def api_name(self) -> str:
        """The zonegroup's name as clients know it: the region."""
        return self.group.api_name or self.group.meta.name

    @property
    def meta_root(self) -> str:
        """Where bucket entry points and instances are."""
        return self.params.domain_root.text()

    @property
    def uid_pool(self) -> str:
        return self.params.user_uid.text()

    @property
    def key_pool(self) -> str:
        return self.params.user_keys.text()

    @property
    def email_pool(self) -> str:
        return self.params.user_email.text()

    @property
    def swift_pool(self) -> str:
        return self.params.user_swift.text()

    @property
    def control_pool(self) -> str:
        return self.params.control.text()

    @property
    def gc_pool(self) -> str:
        return self.params.gc.text()

    @property
    def lc_pool(self) -> str:
        return self.params.lc.text()

    @property
    def usage_pool(self) -> str:
        return self.params.usage_log.text()

    @property
    def reshard_pool(self) -> str:
        return self.params.reshard.text()

    @property
    def log_pool(self) -> str:
        return self.params.log.text()

    @property
    def default_placement(self) -> PlacementRule:
        rule = self.group.default_placement
        return rule if rule.name else PlacementRule(DEFAULT_PLACEMENT, "")

    @property
    def index_shards(self) -> int:
        """Index shards of a new bucket; 0: unsharded."""
        zone = self.group.zones.get(self.id)
        return zone.bucket_index_max_shards if zone else 0

    def placement(self, rule: PlacementRule) -> ZonePlacement:
        """ZoneError if the zone has no such placement."""
        name = rule.name or self.default_placement.name
        found = self.params.placement_pools.get(name)
        if found is None:
            raise ZoneError(f"zone {self.name} has no placement {name}")
        return found

    def data_pool(self, rule: PlacementRule) -> str:
        classes = self.placement(rule).storage_classes
        found = classes.get(rule.storage_class or STANDARD)
        if found is None or found.data_pool is None:
            raise ZoneError(f"placement {rule.name} of zone {self.name} has no data pool for {rule.storage_class or STANDARD}")
        return found.data_pool.text()

    def extra_pool(self, rule: PlacementRule) -> str:
        """The pool of uploads in progress: the placement's, or else its standard data pool."""
        return self.placement(rule).data_extra_pool.text() or self.data_pool(PlacementRule(rule.name, ""))

    def index_pool(self, rule: PlacementRule) -> str:
        return self.placement(rule).index_pool.text()

    def all_pools(self) -> list[str]:
        """Every pool that serving needs."""
        pools = [self.meta_root, self.uid_pool, self.key_pool, self.email_pool, self.control_pool, self.gc_pool, self.lc_pool, self.usage_pool,
                 self.reshard_pool, self.log_pool]
        for name, placement in self.params.placement_pools.items():
            rule = PlacementRule(name, "")
            pools += [self.index_pool(rule), self.extra_pool(rule)]
            pools += [pool.data_pool.text() for pool in placement.storage_classes.values() if pool.data_pool is not None]
        return [pool for pool in dict.fromkeys(pools) if pool]


async def load_zone(cluster: Cluster, options: Options) -> ZoneConfig:
    """The zone that the options name. On a cluster without one, the zone ``default``, its zonegroup and pools are made.

    ZoneError if the cluster is part of a multisite realm, or its zone is of a newer release; NoSuchZone.
    """
    if options.rgw_realm:
        raise ZoneError("rgw_realm is set: multisite realms are not supported")
    existing = set(await cluster.list_pools())
    found_zone = found_group = None
    if ROOT_POOL in existing:
        root = await cluster.open_pool(ROOT_POOL)
        async for found in root.list_objects():
            if found.name.startswith(_MULTISITE):
                raise ZoneError(f"the cluster is set up for multisite ({found.name} in {ROOT_POOL}): realms and periods are not supported")
        found_group = await _group(root, options.rgw_zonegroup)  # a gateway that starts now makes it after the zone
        found_zone = await _zone(root, options.rgw_zone)
    for missing, kind, name in ((found_zone is None, "zone", options.rgw_zone), (found_group is None, "zonegroup", options.rgw_zonegroup)):
        if missing and name != DEFAULT:
            raise NoSuchZone(f"there is no {kind} {name}")
    if found_zone is not None and found_group is not None:
        _check_pair(found_zone, found_group)
    elif found_group is not None:
        raise ZoneError(f"zonegroup {found_group.meta.name} is there, but its zone {options.rgw_zone} is not")
    # nothing was written so far
    if ROOT_POOL not in existing:
        await cluster.create_pool(ROOT_POOL)
    root = await cluster.open_pool(ROOT_POOL)
    params = found_zone or await _make_zone(root)
    group = found_group or await _make_group(root, params)
    _check_pair(params, group)
    config = ZoneConfig(params, group, await load_period_config(cluster))
    for pool in dict.fromkeys(Pool.parse(text).name for text in config.all_pools()):
        if pool not in existing:
            await cluster.create_pool(pool)
    return config


def _check_pair(params: ZoneParams, group: ZoneGroup) -> None:
    if params.meta.id not in group.zones:
        raise ZoneError(f"zonegroup {group.meta.name} has no zone {params.meta.name}: rgw_zone and rgw_zonegroup do not belong together")
    if len(group.zones) > 1:
        raise ZoneError(f"zonegroup {group.meta.name} has {len(group.zones)} zones: multisite is not supported")


async def load_period_config(cluster: Cluster) -> PeriodConfig:
    """The settings of all zones: the global quotas. Gateways read them when they start."""
    try:
        return PeriodConfig.decode((await (await cluster.open_pool(ROOT_POOL)).read(_PERIOD_CONFIG, ReadOp().read())).data)
    except NotFound:
        return PeriodConfig()


async def save_period_config(cluster: Cluster, config: PeriodConfig) -> None:
    await (await cluster.open_pool(ROOT_POOL)).write(_PERIOD_CONFIG, WriteOp().write_full(config.encode()))


async def _find(root: IoCtx, kind: str, names: str, name: str) -> bytes | None:
    try:
        named = await root.read(f"{names}.{name}", ReadOp().read())
        found = await root.read(f"{kind}_info.{NameToId.decode(named.data).obj_id}", ReadOp().read())
    except NotFound:
        return None
    if found.data and found.data[0] > _KNOWN[kind]:
        raise ZoneError(f"the {kind} {name} was written by a newer Ceph (structure version {found.data[0]}, known up to {_KNOWN[kind]})")
    return found.data


async def _make(root: IoCtx, kind: str, names: str, name: str, obj_id: str, data: bytes) -> bool:
    """Stores a new zone or zonegroup; False if another gateway was faster."""
    await root.write(f"{kind}_info.{obj_id}", WriteOp().create(exclusive=True).write_full(data))
    try:
        await root.write(f"{names}.{name}", WriteOp().create(exclusive=True).write_full(NameToId(obj_id=obj_id).encode()))
    except Exists:
        await root.write(f"{kind}_info.{obj_id}", WriteOp().remove())
        return False
    return True


def _refuse_newer(placements: Mapping[str, Struct], owner: str) -> None:
    for placement, found in placements.items():
        if found.newer:
            raise ZoneError(f"placement {placement} of {owner} was written by a newer Ceph")


async def _zone(root: IoCtx, name: str) -> ZoneParams | None:
    data = await _find(root, "zone", "zone_names", name)
    if data is None:
        return None
    params = ZoneParams.decode(data)
    _refuse_newer(params.placement_pools, f"zone {name}")
    return params


async def _group(root: IoCtx, name: str) -> ZoneGroup | None:
    data = await _find(root, "zonegroup", "zonegroups_names", name)
    if data is None:
        return None
    group = ZoneGroup.decode(data)
    _refuse_newer(group.placement_targets, f"zonegroup {name}")
    return group


async def _make_zone(root: IoCtx) -> ZoneParams:
    params = default_zone(str(uuid.uuid4()))
    if await _make(root, "zone", "zone_names", DEFAULT, params.meta.id, params.encode()):
        return params
    found = await _zone(root, DEFAULT)
    if found is None:
        raise ZoneError(f"zone_names.{DEFAULT} names a zone that does not exist")
    return found


async def _make_group(root: IoCtx, params: ZoneParams) -> ZoneGroup:
    group = default_zonegroup(str(uuid.uuid4()), params)
    if await _make(root, "zonegroup", "zonegroups_names", DEFAULT, group.meta.id, group.encode()):
        return group
    found = await _group(root, DEFAULT)
    if found is None:
        raise ZoneError(f"zonegroups_names.{DEFAULT} names a zonegroup that does not exist")
    return found


def default_zone(zone_id: str) -> ZoneParams:
    """The zone that radosgw makes by itself on a new cluster."""
    def pool(text: str) -> Pool:
        return Pool.parse(f"default.rgw.{text}")

    placement = ZonePlacement(
        index_pool=pool("buckets.index"), data_extra_pool=pool("buckets.non-ec"),
        storage_classes={STANDARD: ZoneStorageClass(data_pool=pool("buckets.data"))},
    )
    return ZoneParams(
        domain_root=pool("meta:root"), control=pool("control"), gc=pool("log:gc"), log=pool("log"), intent_log=pool("log:intent"),
        usage_log=pool("log:usage"), user_keys=pool("meta:users.keys"), user_email=pool("meta:users.email"),
        user_swift=pool("meta:users.swift"), user_uid=pool("meta:users.uid"), meta=SystemMeta(id=zone_id, name="default"),
        placement_pools={DEFAULT_PLACEMENT: placement}, lc=pool("log:lc"), roles=pool("meta:roles"), reshard=pool("log:reshard"),
        otp=pool("otp"), oidc=pool("meta:oidc"), notif=pool("log:notif"),
    )


def default_zonegroup(group_id: str, params: ZoneParams) -> ZoneGroup:
    """The zonegroup that radosgw makes around its only zone."""
    zone_id = params.meta.id
    return ZoneGroup(
        name="default", api_name="default", is_master=True, master_zone=zone_id,
        zones={zone_id: Zone(name="default", id=zone_id, bucket_index_max_shards=_DEFAULT_SHARDS, sync_from_all=True)},
        placement_targets={DEFAULT_PLACEMENT: ZoneGroupPlacement(name=DEFAULT_PLACEMENT, storage_classes=[STANDARD])},
        default_placement=PlacementRule(DEFAULT_PLACEMENT, ""), meta=SystemMeta(id=group_id, name="default"),
    )
