"""Zones and zonegroups, the objects of `.rgw.root` (formats page 3.9). Sources: rgw_zone.h, rgw_zone_types.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.basics import AccessKey, PlacementRule, Pool
from rgw.formats.encoding import BOOL, STR, U32, FormatError, Struct, Wire, f, list_of, map_of, opaque, optional, struct


@struct(1, 1)
class NameToId(Struct):
    """RGWNameToId."""

    obj_id: str = f(STR)


@struct(1, 1)
class SystemMeta(Struct):
    """RGWSystemMetaObj."""

    id: str = f(STR)
    name: str = f(STR)


def _enc_pool_text(out: bytearray, pool: Pool) -> None:
    STR.enc(out, pool.text())


def _dec_pool_text(buf: bytes, pos: int, end: int) -> tuple[Pool, int]:
    text, pos = STR.dec(buf, pos, end)
    return Pool.parse(text), pos


POOL_TEXT = Wire(_enc_pool_text, _dec_pool_text, Pool)


@struct(1, 1)
class ZoneStorageClass(Struct):
    """RGWZoneStorageClass."""

    data_pool: Pool | None = f(optional(Pool))
    compression: str | None = f(optional(STR))


_CLASSES = map_of(STR, ZoneStorageClass)


@struct(1, 1)
class ZoneStorageClasses(Struct):
    """RGWZoneStorageClasses."""

    classes: dict[str, ZoneStorageClass] = f(_CLASSES)


@struct(7, 1)
class ZonePlacement(Struct):
    """RGWZonePlacementInfo. The pool and compression of STANDARD are written twice, as radosgw does."""

    index_pool: Pool = f(POOL_TEXT)
    data_extra_pool: Pool = f(POOL_TEXT)
    index_type: int = f(U32)
    storage_classes: dict[str, ZoneStorageClass] = f(_CLASSES)

    @staticmethod
    def _enc_body(out: bytearray, o: ZonePlacement) -> None:
        standard = o.storage_classes.get("STANDARD", ZoneStorageClass())
        POOL_TEXT.enc(out, o.index_pool)
        POOL_TEXT.enc(out, standard.data_pool or Pool())
        POOL_TEXT.enc(out, o.data_extra_pool)
        U32.enc(out, o.index_type)
        STR.enc(out, standard.compression or "")
        ZoneStorageClasses._enc(out, ZoneStorageClasses(o.storage_classes))

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[ZonePlacement, int]:
        if v < 4:
            raise FormatError(f"RGWZonePlacementInfo of version {v} is older than this gateway reads")
        o = ZonePlacement()
        o.index_pool, pos = POOL_TEXT.dec(buf, pos, end)
        standard, pos = POOL_TEXT.dec(buf, pos, end)
        o.data_extra_pool, pos = POOL_TEXT.dec(buf, pos, end)
        o.index_type, pos = U32.dec(buf, pos, end)
        compression = ""
        if v >= 6:
            compression, pos = STR.dec(buf, pos, end)
        if v >= 7:
            found, pos = ZoneStorageClasses._dec(buf, pos, end)
            o.storage_classes = found.classes
        else:
            o.storage_classes = {"STANDARD": ZoneStorageClass(standard, compression or None)}
        return o, pos


@struct(14, 1)
class ZoneParams(Struct):
    """RGWZoneParams: a zone's pools. ``tier_config`` is kept as its bytes."""

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
    system_key: AccessKey = f(AccessKey)
    placement_pools: dict[str, ZonePlacement] = f(map_of(STR, ZonePlacement))
    metadata_heap: Pool = f(Pool)
    realm_id: str = f(STR)
    lc: Pool = f(Pool)
    old_tier_config: dict[str, str] = f(map_of(STR, STR))
    roles: Pool = f(Pool)
    reshard: Pool = f(Pool)
    otp: Pool = f(Pool)
    tier_config: bytes = f(opaque(bytes.fromhex("010100000000")))
    oidc: Pool = f(Pool)
    notif: Pool = f(Pool)


@struct(7, 1)
class Zone(Struct):
    """RGWZone, a zone as its zonegroup knows it."""

    name: str = f(STR)
    endpoints: list[str] = f(list_of(STR))
    log_meta: bool = f(BOOL)
    log_data: bool = f(BOOL)
    bucket_index_max_shards: int = f(U32)
    id: str = f(STR)
    read_only: bool = f(BOOL)
    tier_type: str = f(STR)
    sync_from_all: bool = f(BOOL)
    sync_from: list[str] = f(list_of(STR))
    redirect_zone: str = f(STR)


@struct(2, 1)
class ZoneGroupPlacement(Struct):
    """RGWZoneGroupPlacementTarget."""

    name: str = f(STR)
    tags: list[str] = f(list_of(STR))
    storage_classes: list[str] = f(list_of(STR))


@struct(5, 1)
class ZoneGroup(Struct):
    """RGWZoneGroup. ``sync_policy`` is kept as its bytes."""

    name: str = f(STR)
    api_name: str = f(STR)
    is_master: bool = f(BOOL)
    endpoints: list[str] = f(list_of(STR))
    master_zone: str = f(STR)
    zones: dict[str, Zone] = f(map_of(STR, Zone))
    placement_targets: dict[str, ZoneGroupPlacement] = f(map_of(STR, ZoneGroupPlacement))
    default_placement: PlacementRule = f(PlacementRule)
    hostnames: list[str] = f(list_of(STR))
    hostnames_s3website: list[str] = f(list_of(STR))
    meta: SystemMeta = f(SystemMeta)
    realm_id: str = f(STR)
    sync_policy: bytes = f(opaque())
