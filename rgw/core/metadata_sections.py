"""Metadata by section and key, to and from radosgw's JSON: users, bucket entry points and bucket instances. Source: radosgw-admin 16.2."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import TYPE_CHECKING, Any

from rgw.core.bucket_owners import unlist
from rgw.core.buckets import refuse_newer
from rgw.core.dump import basics
from rgw.core.dump.user import OPERATIONS, PERMISSIONS, SUBUSER_PERMISSIONS, USER_TYPES, user
from rgw.core.metadata import SystemObject, is_name
from rgw.errors import S3Error
from rgw.formats.basics import AccessKey, BucketName, PlacementRule, Pool, QuotaInfo, SubUser, User, UserCaps
from rgw.formats.bucket import BucketEntryPoint, BucketInfo, BucketLayout, UserBucket
from rgw.formats.encoding import decode_string
from rgw.formats.user import UserInfo
from rgw.store.errors import Cancelled, Exists, NotFound

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

SECTIONS = ("bucket", "bucket.instance", "otp", "user")
_INSTANCE = ".bucket.meta."
_TRIES = 10
Json = dict[str, Any]


def split_key(text: str) -> tuple[str, str]:
    """(section, key) of `section:key`. S3Error NoSuchKey for an unknown section, InvalidArgument without a key."""
    section, colon, key = text.partition(":")
    if section not in SECTIONS:
        raise S3Error("NoSuchKey", f"there is no metadata section {section!r}; there are {', '.join(SECTIONS)}")
    if not colon or not key:
        raise S3Error("InvalidArgument", "give a metadata key: section:key")
    return section, key


def _place(gw: Gateway, section: str, key: str) -> tuple[str, str]:
    """(pool, object name) of a key."""
    if section == "user":
        return gw.zone.uid_pool, key
    if section == "bucket":
        return gw.zone.meta_root, key
    if section == "bucket.instance":
        tenant, slash, rest = key.partition("/")
        return gw.zone.meta_root, f"{_INSTANCE}{tenant}:{rest}" if slash else _INSTANCE + key
    raise S3Error("NotImplemented", f"metadata of the section {section} is not implemented")


async def keys(gw: Gateway, section: str) -> list[str]:
    """All keys of a section, sorted. S3Error NoSuchKey for an unknown section."""
    if section not in SECTIONS:
        raise S3Error("NoSuchKey", f"there is no metadata section {section!r}; there are {', '.join(SECTIONS)}")
    if section == "user":
        return await gw.users.list()
    if section == "otp":
        return []
    ioctx = await gw.pool(gw.zone.meta_root)
    found = [item.name async for item in ioctx.list_objects()]
    if section == "bucket":
        return sorted(name for name in found if not name.startswith(_INSTANCE))
    names = (name.removeprefix(_INSTANCE) for name in found if name.startswith(_INSTANCE))
    return sorted(name.replace(":", "/", 1) if name.count(":") > 1 else name for name in names)


async def page(gw: Gateway, section: str, marker: str, max_entries: int) -> Json:
    """A page of a section's keys after ``marker``."""
    found = [key for key in await keys(gw, section) if key > marker]
    shown = found[:max_entries]
    more = len(found) > len(shown)
    out: Json = {"keys": shown, "truncated": basics.flag(more), "count": len(shown)}
    if more and shown:
        out["marker"] = shown[-1]
    return out


async def _read(gw: Gateway, section: str, key: str) -> SystemObject:
    pool, oid = _place(gw, section, key)
    try:
        return await gw.metadata.get(pool, oid, fresh=True)
    except NotFound:
        raise S3Error("NoSuchKey", f"there is no metadata {section}:{key}") from None


async def get(gw: Gateway, section: str, key: str) -> Json:
    """One object as radosgw shows it. S3Error NoSuchKey."""
    found = await _read(gw, section, key)
    attrs = [{"key": name, "val": base64.b64encode(value).decode()} for name, value in sorted(found.xattrs.items())]
    if section == "user":
        _, start = decode_string(found.data)
        data = {**user(UserInfo.decode(found.data[start:])), "attrs": attrs}
    elif section == "bucket":
        data = entry_point(BucketEntryPoint.decode(found.data))
    else:
        data = {"bucket_info": bucket_info(BucketInfo.decode(found.data)), "attrs": attrs}
    return {
        "key": f"{section}:{key}", "ver": {"tag": found.version.tag, "ver": found.version.ver}, "mtime": basics.moment(found.mtime),
        "data": data,
    }


def entry_point(point: BucketEntryPoint) -> Json:
    return {"bucket": basics.bucket_name(point.bucket), "owner": point.owner.text(), "creation_time": basics.moment(point.creation_time),
            "linked": basics.flag(point.linked), "has_bucket_info": "false"}


def bucket_info(info: BucketInfo) -> Json:
    layout = info.layout.current_index.layout
    return {
        "bucket": basics.bucket_name(info.bucket),
        "creation_time": basics.moment(info.creation_time),
        "owner": info.owner.text(),
        "flags": info.flags,
        "zonegroup": info.zonegroup,
        "placement_rule": info.placement_rule.text(),
        "has_instance_obj": basics.flag(info.has_instance_obj),
        "quota": basics.quota(info.quota),
        "num_shards": info.layout.num_shards,
        "bi_shard_hash_type": layout.normal.hash_type,
        "requester_pays": basics.flag(info.requester_pays),
        "has_website": basics.flag(info.website is not None),
        "swift_versioning": basics.flag(info.swift_versioning),
        "swift_ver_location": info.swift_ver_location,
        "index_type": layout.type,
        "mdsearch_config": [{"key": name, "val": kind} for name, kind in info.mdsearch_config.items()],
        "reshard_status": info.reshard_status,
        "new_bucket_instance_id": info.new_bucket_instance_id,
    }


async def put(gw: Gateway, section: str, key: str, document: Json) -> None:
    """Stores what ``get`` shows, edited; fields that are not shown stay as they are. S3Error InvalidArgument says what does not parse."""
    try:
        data = document["data"]
        if section == "user":
            await _put_user(gw, key, data)
        elif section == "bucket":
            await _put(gw, section, key, lambda old: (_parse_entry_point(data, old).encode(), old.xattrs if old else {}))
        elif section == "bucket.instance":
            attrs = {item["key"]: base64.b64decode(item["val"], validate=True) for item in data.get("attrs", [])}
            await _put(gw, section, key, lambda old: (_parse_info(data["bucket_info"], old).encode(), attrs))
        else:
            _place(gw, section, key)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, struct.error) as error:
        raise S3Error("InvalidArgument", f"the metadata does not parse: {type(error).__name__}: {error}") from error


async def _put(gw: Gateway, section: str, key: str, make) -> None:  # type: ignore[no-untyped-def]
    pool, oid = _place(gw, section, key)
    if not is_name(oid):
        raise S3Error("InvalidArgument", f"{section} cannot have a key of this length")
    for _ in range(_TRIES):
        try:
            try:
                old = await gw.metadata.get(pool, oid, fresh=True)
            except NotFound:
                data, attrs = make(None)
                await gw.metadata.create(pool, oid, data, attrs)
            else:
                data, attrs = make(old)
                await gw.metadata.replace(pool, oid, data, attrs, old)
            return
        except (Cancelled, Exists, NotFound):
            continue  # somebody else was faster
    raise S3Error("OperationAborted")


async def _put_user(gw: Gateway, key: str, data: Json) -> None:
    if data["user_id"] != key:
        raise S3Error("InvalidArgument", f"the key is {key}, the user is {data['user_id']}")
    try:
        await gw.users.get(key)
    except S3Error as error:
        if error.code != "NoSuchUser":
            raise
        await gw.users.create(key, data["display_name"], generate_key=False)
    await gw.users.change(key, lambda info: _parse_user(data, info))


def _bit(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() in ("true", "1")


def _parse_quota(data: Json, old: QuotaInfo) -> QuotaInfo:
    size = int(data.get("max_size", old.max_size))
    return QuotaInfo(max_size_kb=(size + 1023) // 1024 if size >= 0 else -1, max_objects=int(data.get("max_objects", old.max_objects)),
                     enabled=_bit(data.get("enabled", old.enabled)), max_size=size, check_on_raw=_bit(data.get("check_on_raw", old.check_on_raw)))


def _number(table: dict[int, str], text: str) -> int:
    for number, name in table.items():
        if name == text:
            return number
    raise ValueError(f"{text!r} is not one of {', '.join(table.values())}")


def _parse_user(data: Json, info: UserInfo) -> UserInfo:
    def name_of(text: str) -> str:
        return text.partition(":")[2]

    info.display_name, info.email = str(data["display_name"]), str(data.get("email", "")).lower()
    info.suspended, info.max_buckets = int(data.get("suspended", 0)), int(data.get("max_buckets", 1000))
    info.subusers = {name_of(s["id"]): SubUser(name_of(s["id"]), _number(SUBUSER_PERMISSIONS, s["permissions"])) for s in data.get("subusers", [])}
    info.access_keys = {k["access_key"]: AccessKey(k["access_key"], k["secret_key"], name_of(k["user"])) for k in data.get("keys", [])}
    info.swift_keys = {k["user"]: AccessKey(k["user"], k["secret_key"], name_of(k["user"])) for k in data.get("swift_keys", [])}
    info.caps = UserCaps({c["type"]: _number(PERMISSIONS, c["perm"]) for c in data.get("caps", [])})
    words = {word.strip() for word in str(data.get("op_mask", "read, write, delete")).split(",")}
    info.op_mask = sum(bit for bit, name in OPERATIONS if name in words)
    info.system, info.admin = int(_bit(data.get("system", False))), int(_bit(data.get("admin", False)))
    info.default_placement = PlacementRule(str(data.get("default_placement", "")), str(data.get("default_storage_class", "")))
    info.placement_tags = [str(tag) for tag in data.get("placement_tags", [])]
    info.bucket_quota = _parse_quota(data.get("bucket_quota", {}), info.bucket_quota)
    info.user_quota = _parse_quota(data.get("user_quota", {}), info.user_quota)
    info.temp_url_keys = {int(k["key"]): str(k["val"]) for k in data.get("temp_url_keys", [])}
    info.type = _number(USER_TYPES, data.get("type", "rgw"))
    info.mfa_ids = [str(one) for one in data.get("mfa_ids", [])]
    return info


def _parse_bucket(data: Json) -> BucketName:
    pools = data.get("explicit_placement", {})
    return BucketName(data["name"], data["marker"], data["bucket_id"], data.get("tenant", ""), *(
        Pool.parse(pools.get(name, "")) for name in ("data_pool", "data_extra_pool", "index_pool")))


def _parse_entry_point(data: Json, old: SystemObject | None) -> BucketEntryPoint:
    if old is not None:
        refuse_newer(BucketEntryPoint.decode(old.data))
    return BucketEntryPoint(bucket=_parse_bucket(data["bucket"]), owner=User.parse(data["owner"]), linked=_bit(data.get("linked", True)),
                            creation_time=basics.parse_moment(data["creation_time"]))


def _parse_info(data: Json, old: SystemObject | None) -> BucketInfo:
    info = BucketInfo.decode(old.data) if old is not None else BucketInfo(layout=BucketLayout.new(int(data["num_shards"])))
    refuse_newer(info)
    if int(data["num_shards"]) != info.layout.num_shards:
        raise S3Error("InvalidArgument", "the number of shards is changed by resharding, not here")
    if _bit(data.get("has_website", False)) != (info.website is not None):
        raise S3Error("InvalidArgument", "a website's configuration is not part of this; it cannot be added or dropped here")
    info.bucket, info.owner, info.flags = _parse_bucket(data["bucket"]), User.parse(data["owner"]), int(data["flags"])
    info.zonegroup, info.creation_time = str(data["zonegroup"]), basics.parse_moment(data["creation_time"])
    info.placement_rule = PlacementRule.parse(data["placement_rule"])
    info.quota = _parse_quota(data.get("quota", {}), info.quota)
    info.requester_pays = _bit(data.get("requester_pays", False))
    info.reshard_status, info.new_bucket_instance_id = int(data.get("reshard_status", 0)), str(data.get("new_bucket_instance_id", ""))
    return info


async def remove(gw: Gateway, section: str, key: str) -> None:
    """Removes an object: a user with its keys, an entry point with its place in the owner's list, an instance alone. S3Error NoSuchKey.

    A bucket's index and data are left; a user's buckets must be gone (BucketNotEmpty).
    """
    found = await _read(gw, section, key)
    if section == "user":
        await gw.users.remove(key)
        return
    pool, oid = _place(gw, section, key)
    if section == "bucket":
        point = BucketEntryPoint.decode(found.data)
        name = point.bucket
        await unlist(gw, point.owner, UserBucket(name=name.name, marker=name.marker, bucket_id=name.bucket_id))
    try:
        await gw.metadata.remove(pool, oid, found.version)
    except NotFound:
        raise S3Error("NoSuchKey", f"there is no metadata {section}:{key}") from None
    except Cancelled:
        raise S3Error("OperationAborted") from None
