"""The zone and its zonegroup in radosgw's JSON."""

from __future__ import annotations

from typing import Any

from rgw.core.dump.basics import flag
from rgw.core.zone import ZoneConfig
from rgw.formats.zone import STANDARD, ZoneParams, ZonePlacement, ZoneStorageClass


def _storage_class(found: ZoneStorageClass) -> dict[str, str]:
    out = {"data_pool": found.data_pool.text()} if found.data_pool is not None else {}
    return out | ({"compression_type": found.compression_type} if found.compression_type else {})


def _placement(placement: ZonePlacement) -> dict[str, Any]:
    return {
        "index_pool": placement.index_pool.text(),
        "storage_classes": {name: _storage_class(found) for name, found in sorted(placement.storage_classes.items())},
        "data_extra_pool": placement.data_extra_pool.text(),
        "index_type": placement.index_type,
    }


def zone(params: ZoneParams) -> dict[str, Any]:
    return {
        "id": params.meta.id,
        "name": params.meta.name,
        "domain_root": params.domain_root.text(),
        "control_pool": params.control.text(),
        "gc_pool": params.gc.text(),
        "lc_pool": params.lc.text(),
        "log_pool": params.log.text(),
        "intent_log_pool": params.intent_log.text(),
        "usage_log_pool": params.usage_log.text(),
        "roles_pool": params.roles.text(),
        "reshard_pool": params.reshard.text(),
        "user_keys_pool": params.user_keys.text(),
        "user_email_pool": params.user_email.text(),
        "user_swift_pool": params.user_swift.text(),
        "user_uid_pool": params.user_uid.text(),
        "otp_pool": params.otp.text(),
        "system_key": {"access_key": params.system_key.id, "secret_key": params.system_key.key},
        "placement_pools": [{"key": name, "val": _placement(found)} for name, found in sorted(params.placement_pools.items())],
        "realm_id": params.realm_id,
        "notif_pool": params.notif.text(),
    }


def zonegroup(config: ZoneConfig) -> dict[str, Any]:
    group = config.group
    return {
        "id": group.meta.id,
        "name": group.meta.name,
        "api_name": group.api_name,
        "is_master": flag(group.is_master),
        "endpoints": list(group.endpoints),
        "hostnames": list(group.hostnames),
        "hostnames_s3website": list(group.hostnames_s3website),
        "master_zone": group.master_zone,
        "zones": [
            {"id": zone.id, "name": zone.name, "endpoints": list(zone.endpoints), "log_meta": flag(zone.log_meta), "log_data": flag(zone.log_data),
             "bucket_index_max_shards": zone.bucket_index_max_shards, "read_only": flag(zone.read_only), "tier_type": zone.tier_type,
             "sync_from_all": flag(zone.sync_from_all), "sync_from": sorted(zone.sync_from), "redirect_zone": zone.redirect_zone}
            for _, zone in sorted(group.zones.items())],
        "placement_targets": [
            {"name": target.name, "tags": sorted(target.tags), "storage_classes": sorted(target.storage_classes or [STANDARD])}
            for _, target in sorted(group.placement_targets.items())],
        "default_placement": group.default_placement.text(),
        "realm_id": group.realm_id,
        "sync_policy": {"groups": []},
    }
