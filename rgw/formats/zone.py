"""Zones and zonegroups in .rgw.root (formats page 3.9). Sources: rgw_zone.h, rgw_zone_types.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.basics import AccessKey, PlacementRule, Pool, QuotaInfo
from rgw.formats.encoding import BOOL, STR, U32, Struct, Wire, f, list_of, map_of, opaque, optional, set_of, struct


def _dec_pool(buf: bytes, pos: int, end: int) -> tuple[Pool, int]:
    text, pos = STR.dec(buf, pos, end)
    return Pool.parse(text), pos


_POOL_TEXT = Wire(lambda out, pool: STR.enc(out, pool.text()), _dec_pool, Pool)
_NO_TIER_CONFIG = b"\x02\x01\x0e\x00\x00\x00" + bytes(14)  # JSONFormattable of no type
_NO_SYNC_POLICY = b"\x01\x01\x04\x00\x00\x00" + bytes(4)  # rgw_sync_policy_info without groups
STANDARD = "STANDARD"


@struct(1, 1)
class NameToId(Struct):
    """RGWNameToId."""

    obj_id: str = f(STR)


@struct(1, 1)
class SystemMeta(Struct):
    """RGWSystemMetaObj."""

    id: str = f(STR)
    name: str = f(STR)


@struct(1, 1)
class ZoneStorageClass(Struct):
    """RGWZoneStorageClass."""

    data_pool: Pool | None = f(optional(Pool))
    compression_type: str | None = f(optional(STR))


@struct(1, 1)
class ZoneStorageClasses(Struct):
    """RGWZoneStorageClasses."""

    classes: dict[str, ZoneStorageClass] = f(map_of(STR, ZoneStorageClass))


@struct(7, 1)
class ZonePlacement(Struct):
    """RGWZonePlacementInfo. The standard class's pool and compression are written twice, as old releases expect them."""

    index_pool: Pool = f(Pool)
    data_extra_pool: Pool = f(Pool)
    index_type: int = f(U32)
    storage_classes: dict[str, ZoneStorageClass] = f(map_of(STR, ZoneStorageClass))

    @staticmethod
    def _enc_body(out: bytearray, o: ZonePlacement) -> None:
        standard = o.storage_classes.get(STANDARD) or ZoneStorageClass()
        _POOL_TEXT.enc(out, o.index_pool)
        _POOL_TEXT.enc(out, standard.data_pool or Pool())
        _POOL_TEXT.enc(out, o.data_extra_pool)
        U32.enc(out, o.index_type)
        STR.enc(out, standard.compression_type or "")
        ZoneStorageClasses._enc(out, ZoneStorageClasses(o.storage_classes))

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[ZonePlacement, int]:
        o, compression = ZonePlacement(), ""
        o.index_pool, pos = _POOL_TEXT.dec(buf, pos, end)
        standard, pos = _POOL_TEXT.dec(buf, pos, end)
        if v >= 4:
            o.data_extra_pool, pos = _POOL_TEXT.dec(buf, pos, end)
        if v >= 5:
            o.index_type, pos = U32.dec(buf, pos, end)
        if v >= 6:
            compression, pos = STR.dec(buf, pos, end)
        if v >= 7:
            classes, pos = ZoneStorageClasses._dec(buf, pos, end)
            o.storage_classes = classes.classes
        else:
            o.storage_classes = {STANDARD: ZoneStorageClass(standard, compression or None)}
        return o, pos


@struct(14, 1)
class ZoneParams(Struct):
    """RGWZoneParams."""

    domain_root: Pool = f(Pool)
    control: Pool = f(Pool)
    gc: Pool = f(Pool)
    log: Pool = f(Pool)
    intent_log: Pool = f(Pool)
    usage_log: Pool = f(Pool)
    user_keys: Pool = f(Pool)
    user_email: Pool = f(Pool)
    user_swift: Pool = f(Pool)
    user_uid: Pool = f(Pool)
    meta: SystemMeta = f(SystemMeta)
    system_key: AccessKey = f(AccessKey, since=2)
    placement_pools: dict[str, ZonePlacement] = f(map_of(STR, ZonePlacement), since=3)
    unused_pool: Pool = f(Pool, since=4)
    realm_id: str = f(STR, since=6)
    lc: Pool = f(Pool, since=8)
    old_tier_config: dict[str, str] = f(map_of(STR, STR), since=9)
    roles: Pool = f(Pool, since=10)
    reshard: Pool = f(Pool, since=11)
    otp: Pool = f(Pool, since=12)
    tier_config: bytes = f(opaque(_NO_TIER_CONFIG), since=13)
    oidc: Pool = f(Pool, since=14)
    notif: Pool = f(Pool, since=14)


@struct(7, 1)
class Zone(Struct):
    """RGWZone, a zone as its zonegroup sees it. ``bucket_index_max_shards``: shards of a new bucket."""

    name: str = f(STR)
    endpoints: list[str] = f(list_of(STR))
    log_meta: bool = f(BOOL, since=2)
    log_data: bool = f(BOOL, since=2)
    bucket_index_max_shards: int = f(U32, since=3)
    id: str = f(STR, since=4)
    read_only: bool = f(BOOL, since=4)
    tier_type: str = f(STR, since=5)
    sync_from_all: bool = f(BOOL, True, since=6)
    sync_from: set[str] = f(set_of(STR), since=6)
    redirect_zone: str = f(STR, since=7)


@struct(2, 1)
class ZoneGroupPlacement(Struct):
    """RGWZoneGroupPlacementTarget."""

    name: str = f(STR)
    tags: set[str] = f(set_of(STR))
    storage_classes: set[str] = f(set_of(STR), since=2)


@struct(5, 1)
class ZoneGroup(Struct):
    """RGWZoneGroup."""

    name: str = f(STR)
    api_name: str = f(STR)
    is_master: bool = f(BOOL)
    endpoints: list[str] = f(list_of(STR))
    master_zone: str = f(STR)
    zones: dict[str, Zone] = f(map_of(STR, Zone))
    placement_targets: dict[str, ZoneGroupPlacement] = f(map_of(STR, ZoneGroupPlacement))
    default_placement: PlacementRule = f(PlacementRule)
    hostnames: list[str] = f(list_of(STR), since=2)
    hostnames_s3website: list[str] = f(list_of(STR), since=3)
    meta: SystemMeta = f(SystemMeta, since=4)
    realm_id: str = f(STR, since=4)
    sync_policy: bytes = f(opaque(_NO_SYNC_POLICY), since=5)


@struct(1, 1)
class PeriodConfig(Struct):
    """RGWPeriodConfig, in the object ``period_config.default`` where there is no realm: the quotas of whoever has none of their own."""

    bucket_quota: QuotaInfo = f(QuotaInfo)
    user_quota: QuotaInfo = f(QuotaInfo)
