"""Users in radosgw's JSON."""

from __future__ import annotations

from typing import Any

from rgw.core.dump.basics import flag, moment, quota
from rgw.formats.bucket import UserHeader
from rgw.formats.user import UserInfo

PERMISSIONS = {1: "read", 2: "write", 3: "*"}
SUBUSER_PERMISSIONS = {0: "<none>", 1: "read", 2: "write", 3: "read-write", 15: "full-control"}
USER_TYPES = {0: "none", 1: "rgw", 2: "keystone", 3: "ldap"}
OPERATIONS = ((1, "read"), (2, "write"), (4, "delete"))


def user_id(info: UserInfo) -> str:
    """A user's id as text: `id`, or `tenant$id`."""
    return info.user.text()


def op_mask(mask: int) -> str:
    names = [name for bit, name in OPERATIONS if mask & bit]
    return ", ".join(names) if names else "<none>"


def keys(info: UserInfo) -> list[dict[str, str]]:
    uid = user_id(info)
    return [{"user": uid + (f":{k.subuser}" if k.subuser else ""), "access_key": k.id, "secret_key": k.key} for _, k in sorted(info.access_keys.items())]


def swift_keys(info: UserInfo) -> list[dict[str, str]]:
    uid = user_id(info)
    return [{"user": f"{uid}:{k.subuser}" if k.subuser else uid, "secret_key": k.key}
            for _, k in sorted(info.swift_keys.items())]


def subusers(info: UserInfo) -> list[dict[str, str]]:
    uid = user_id(info)
    return [{"id": f"{uid}:{s.name}", "permissions": SUBUSER_PERMISSIONS.get(s.perm_mask, "<none>")}
            for _, s in sorted(info.subusers.items())]


def caps(info: UserInfo) -> list[dict[str, str]]:
    return [{"type": name, "perm": PERMISSIONS.get(perm, "<none>")} for name, perm in sorted(info.caps.caps.items())]


def user(info: UserInfo) -> dict[str, Any]:
    """A user as radosgw-admin prints it."""
    flags = {name: "true" for name in ("system", "admin") if getattr(info, name)}
    return {
        "user_id": user_id(info),
        "display_name": info.display_name,
        "email": info.email,
        "suspended": int(info.suspended),
        "max_buckets": info.max_buckets,
        "subusers": subusers(info),
        "keys": keys(info),
        "swift_keys": swift_keys(info),
        "caps": caps(info),
        "op_mask": op_mask(info.op_mask),
        **flags,
        "default_placement": info.default_placement.name,
        "default_storage_class": info.default_placement.storage_class,
        "placement_tags": list(info.placement_tags),
        "bucket_quota": quota(info.bucket_quota),
        "user_quota": quota(info.user_quota),
        "temp_url_keys": [{"key": n, "val": k} for n, k in info.temp_url_keys.items()],
        "type": USER_TYPES.get(info.type, "none"),
        "mfa_ids": list(info.mfa_ids),
    }


def admin_user(info: UserInfo) -> dict[str, Any]:
    """A user as the Admin Ops API answers it: the tenant apart from the id, and the flags in any case."""
    out: dict[str, Any] = {"tenant": info.tenant}
    for name, value in user(info).items():
        if name in ("system", "admin"):
            continue
        out[name] = info.user.id if name == "user_id" else value
        if name == "op_mask":
            out.update(system=flag(info.system), admin=flag(info.admin))
    return out


def user_stats(header: UserHeader) -> dict[str, Any]:
    stats = header.stats
    return {
        "stats": {
            "size": stats.total_bytes, "size_actual": stats.total_bytes_rounded, "size_kb": (stats.total_bytes + 1023) // 1024,
            "size_kb_actual": (stats.total_bytes_rounded + 1023) // 1024, "num_objects": stats.total_entries,
        },
        "last_stats_sync": moment(header.last_stats_sync),
        "last_stats_update": moment(header.last_stats_update),
    }


def admin_user_stats(header: UserHeader) -> dict[str, int]:
    """The statistics in an answer of the Admin Ops API; what is not accounted by user is 0 there."""
    stats = user_stats(header)["stats"]
    return {"size": stats["size"], "size_actual": stats["size_actual"], "size_utilized": 0, "size_kb": stats["size_kb"],
            "size_kb_actual": stats["size_kb_actual"], "size_kb_utilized": 0, "num_objects": stats["num_objects"]}
