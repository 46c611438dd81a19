"""Buckets, their statistics and the entries of their indexes in radosgw's JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rgw.core.buckets import Bucket
from rgw.core.dump.basics import explicit_placement, flag, moment, quota
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.cls_rgw import BiEntry
from rgw.formats.index import ClsObjKey, DirEntry, DirHeader, OlhEntry

CATEGORIES = {0: "rgw.none", 1: "rgw.main", 2: "rgw.shadow", 3: "rgw.multimeta"}
INDEX_KINDS = {1: "plain", 2: "instance", 3: "olh"}
_OLH_OPS = {1: "link_olh", 2: "unlink_olh", 3: "remove_instance"}


def usage(headers: Iterable[DirHeader]) -> dict[str, Any]:
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
        "explicit_placement": explicit_placement(info.bucket),
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
    """An index entry as `radosgw-admin bucket list --bucket` prints it, under its name in the index."""
    meta = entry.meta
    return {
        "name": entry.name,
        "instance": entry.instance,
        "ver": {"pool": entry.ver.pool, "epoch": entry.ver.epoch},
        "locator": entry.locator,
        "exists": flag(entry.exists),
        "meta": {
            "category": meta.category, "size": meta.size, "mtime": moment(meta.mtime), "etag": meta.etag,
            "storage_class": meta.storage_class, "owner": meta.owner, "owner_display_name": meta.owner_display_name,
            "content_type": meta.content_type, "accounted_size": meta.accounted_size, "user_data": meta.user_data,
            "appendable": flag(meta.appendable),
        },
        "tag": entry.tag,
        "flags": entry.flags,
        "pending_map": [{"key": tag, "val": {"state": p.state, "timestamp": moment(p.timestamp), "op": p.op}}
                        for tag, p in entry.pending_map.items()],
        "versioned_epoch": entry.versioned_epoch,
    }


def _key(key: ClsObjKey) -> dict[str, str]:
    return {"name": key.name, "instance": key.instance}


def olh_entry(entry: OlhEntry) -> dict[str, Any]:
    return {
        "key": _key(entry.key),
        "delete_marker": flag(entry.delete_marker),
        "epoch": entry.epoch,
        "pending_log": [
            {"key": epoch, "val": [{"epoch": e.epoch, "op": _OLH_OPS.get(e.op, "unknown"), "op_tag": e.op_tag, "key": _key(e.key),
                                    "delete_marker": flag(e.delete_marker)} for e in entries]}
            for epoch, entries in entry.pending_log.items()],
        "tag": entry.tag,
        "exists": flag(entry.exists),
        "pending_removal": flag(entry.pending_removal),
    }


def raw_entry(entry: BiEntry) -> dict[str, Any]:
    """An omap entry of the index as `radosgw-admin bi list` prints it. Bytes that are no UTF-8 show as a replacement character."""
    shown = entry.idx.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    content = olh_entry(OlhEntry.decode(entry.data)) if entry.type == 3 else index_entry(DirEntry.decode(entry.data))
    return {"type": INDEX_KINDS.get(entry.type, "invalid"), "idx": shown, "entry": content}


def policy(acl: AccessControlPolicy) -> dict[str, Any]:
    """An access control policy: the flat maps that are checked, and the grants."""
    listed = acl.acl
    return {
        "acl": {
            "acl_user_map": [{"user": user, "acl": perm} for user, perm in sorted(listed.user_map.items())],
            "acl_group_map": [{"group": group, "acl": perm} for group, perm in sorted(listed.group_map.items())],
            "grant_map": [
                {"id": name, "grant": {
                    "type": {"type": grant.type.type}, "id": grant.id, "email": grant.email, "permission": {"flags": grant.permission.flags},
                    "name": grant.name, "group": grant.group, "url_spec": grant.url_spec}}
                for name, grant in listed.grants],
        },
        "owner": {"id": acl.owner.id, "display_name": acl.owner.display_name},
    }
