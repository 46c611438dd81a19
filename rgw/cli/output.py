"""radosgw-admin's JSON for users, buckets and quotas. Source: the output of radosgw-admin 16.2."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from rgw.core.buckets import Bucket
from rgw.formats.basics import QuotaInfo
from rgw.formats.index import DirEntry, DirHeader
from rgw.formats.user import UserInfo

CATEGORIES = {0: "rgw.none", 1: "rgw.main", 2: "rgw.shadow", 3: "rgw.multimeta"}
PERMISSIONS = {1: "read", 2: "write", 3: "*"}
SUBUSER_PERMISSIONS = {0: "<none>", 1: "read", 2: "write", 3: "read-write", 15: "full-control"}
USER_TYPES = {0: "none", 1: "rgw", 2: "keystone", 3: "ldap"}


def show(value: Any) -> None:
    """Prints JSON as radosgw-admin lays it out."""
    click.echo(json.dumps(value, indent=4, ensure_ascii=False))


def user_id(info: UserInfo) -> str:
    """A user's id as text: `id`, or `tenant$id`."""
    return info.user.text()


def quota(info: QuotaInfo) -> dict[str, Any]:
    return {
        "enabled": info.enabled,
        "check_on_raw": info.check_on_raw,
        "max_size": info.max_size,
        "max_size_kb": (info.max_size + 1023) // 1024 if info.max_size >= 0 else 0,
        "max_objects": info.max_objects,
    }


def op_mask(mask: int) -> str:
    names = [name for bit, name in ((1, "read"), (2, "write"), (4, "delete")) if mask & bit]
    return ", ".join(names) if names else "<none>"


def user(info: UserInfo) -> dict[str, Any]:
    uid = user_id(info)
    out: dict[str, Any] = {
        "user_id": uid,
        "display_name": info.display_name,
        "email": info.email,
        "suspended": int(info.suspended),
        "max_buckets": info.max_buckets,
        "subusers": [{"id": f"{uid}:{s.name}", "permissions": SUBUSER_PERMISSIONS.get(s.perm_mask, "<none>")}
                     for s in info.subusers.values()],
        "keys": [{"user": uid + (f":{k.subuser}" if k.subuser else ""), "access_key": k.id, "secret_key": k.key}
                 for k in info.access_keys.values()],
        "swift_keys": [{"user": f"{uid}:{k.subuser}" if k.subuser else uid, "secret_key": k.key} for k in info.swift_keys.values()],
        "caps": [{"type": name, "perm": PERMISSIONS.get(perm, "")} for name, perm in info.caps.caps.items()],
        "op_mask": op_mask(info.op_mask),
        "default_placement": info.default_placement.name,
        "default_storage_class": info.default_placement.storage_class,
        "placement_tags": list(info.placement_tags),
        "bucket_quota": quota(info.bucket_quota),
        "user_quota": quota(info.user_quota),
        "temp_url_keys": [{"key": n, "val": k} for n, k in info.temp_url_keys.items()],
        "type": USER_TYPES.get(info.type, "none"),
        "mfa_ids": list(info.mfa_ids),
    }
    return out


def moment(ns: int) -> str:
    """A time as radosgw-admin prints it: microseconds, UTC."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 1_000_000_000 // 1000:06d}Z"


def usage(headers: list[DirHeader]) -> dict[str, Any]:
    """The statistics of all shards, added up by category."""
    total: dict[int, list[int]] = {}
    for header in headers:
        for category, stats in header.stats.items():
            row = total.setdefault(category, [0, 0, 0, 0])
            for i, n in enumerate((stats.total_size, stats.total_size_rounded, stats.actual_size, stats.num_entries)):
                row[i] += n
    return {
        CATEGORIES.get(category, str(category)): {
            "size": size, "size_actual": rounded, "size_utilized": utilized,
            "size_kb": (size + 1023) // 1024, "size_kb_actual": (rounded + 1023) // 1024, "size_kb_utilized": (utilized + 1023) // 1024,
            "num_objects": entries,
        }
        for category, (size, rounded, utilized, entries) in sorted(total.items())
    }


def bucket_stats(bucket: Bucket, headers: list[DirHeader]) -> dict[str, Any]:
    info = bucket.info
    return {
        "bucket": bucket.name,
        "num_shards": bucket.num_shards,
        "tenant": bucket.tenant,
        "zonegroup": info.zonegroup,
        "placement_rule": info.placement_rule.text(),
        "explicit_placement": {"data_pool": "", "data_extra_pool": "", "index_pool": ""},
        "id": bucket.bucket_id,
        "marker": bucket.marker,
        "index_type": "Normal",
        "owner": info.owner.text(),
        "ver": ",".join(f"{i}#{h.ver}" for i, h in enumerate(headers)),
        "master_ver": ",".join(f"{i}#{h.master_ver}" for i, h in enumerate(headers)),
        "mtime": moment(bucket.instance.mtime),
        "creation_time": moment(info.creation_time),
        "max_marker": ",".join(f"{i}#{h.max_marker}" for i, h in enumerate(headers)),
        "usage": usage(headers),
        "bucket_quota": quota(info.quota),
    }


def index_entry(entry: DirEntry) -> dict[str, Any]:
    """An index entry as `radosgw-admin bucket list --bucket` prints it."""
    meta = entry.meta
    return {
        "name": entry.name,
        "instance": entry.instance,
        "ver": {"pool": entry.ver.pool, "epoch": entry.ver.epoch},
        "locator": entry.locator,
        "exists": "true" if entry.exists else "false",
        "meta": {
            "category": meta.category, "size": meta.size, "mtime": moment(meta.mtime), "etag": meta.etag,
            "storage_class": meta.storage_class, "owner": meta.owner, "owner_display_name": meta.owner_display_name,
            "content_type": meta.content_type, "accounted_size": meta.accounted_size, "user_data": meta.user_data,
            "appendable": "true" if meta.appendable else "false",
        },
        "tag": entry.tag,
        "flags": entry.flags,
        "pending_map": [],
        "versioned_epoch": entry.versioned_epoch,
    }
