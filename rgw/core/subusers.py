"""Subusers, and keys of either kind that belong to them. Source: radosgw-admin 16.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rgw.core.entropy import random_text
from rgw.core.users import new_key
from rgw.errors import S3Error
from rgw.formats.basics import AccessKey, SubUser
from rgw.formats.user import UserInfo

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

ACCESS = {"read": 1, "write": 2, "readwrite": 3, "full": 15, "read-write": 3, "full-control": 15, "<none>": 0, "": 0}
KEY_TYPES = ("s3", "swift")


def split(subuser: str, uid: str = "") -> tuple[str, str]:
    """(uid, name) of `uid:name`, or of a name beside a uid. S3Error InvalidArgument."""
    before, colon, name = subuser.rpartition(":")
    if colon and uid and before != uid:
        raise S3Error("InvalidArgument", f"{subuser} is not a subuser of {uid}")
    if not name or not (before or uid):
        raise S3Error("InvalidArgument", "give a user and a subuser, or user:subuser")
    return before or uid, name


def mask_of(access: str) -> int:
    """Permission bits of read, write, readwrite or full. S3Error InvalidArgument."""
    if access not in ACCESS:
        raise S3Error("InvalidArgument", f"access {access!r} is not read, write, readwrite or full")
    return ACCESS[access]


def add_key(info: UserInfo, kind: str, subuser: str, access_key: str | None, secret_key: str | None) -> AccessKey:
    """Gives the user or its subuser a key, generated as far as it is not given. S3Error InvalidArgument."""
    if kind not in KEY_TYPES:
        raise S3Error("InvalidArgument", f"key type {kind!r} is not s3 or swift")
    if subuser and subuser not in info.subusers:
        raise S3Error("NoSuchSubUser", f"user {info.user_id.text()} has no subuser {subuser}")
    if kind == "s3":
        key = new_key(access_key, secret_key, subuser)
        info.access_keys[key.id] = key
    else:
        if not subuser:
            raise S3Error("InvalidArgument", "a swift key belongs to a subuser")
        key = AccessKey(id=f"{info.user_id.text()}:{subuser}", key=secret_key or random_text(40), subuser=subuser)
        info.swift_keys[key.id] = key
    return key


async def create(
    gw: Gateway, uid: str, name: str, access: str = "", *, key_type: str = "", access_key: str | None = None, secret_key: str | None = None,
) -> UserInfo:
    """Adds a subuser, with a key if ``key_type`` says of which kind. S3Error NoSuchUser, SubuserExists, InvalidArgument."""
    mask = mask_of(access)

    def add(info: UserInfo) -> UserInfo:
        if name in info.subusers:
            raise S3Error("SubuserExists", f"user {uid} has a subuser {name}")
        info.subusers[name] = SubUser(name=name, perm_mask=mask)
        if key_type:
            add_key(info, key_type, name, access_key, secret_key)
        return info

    return await gw.users.change(uid, add)


async def modify(
    gw: Gateway, uid: str, name: str, access: str | None = None, *, key_type: str = "", access_key: str | None = None,
    secret_key: str | None = None,
) -> UserInfo:
    """Changes a subuser's access, or gives it a key. S3Error NoSuchUser, NoSuchSubUser, InvalidArgument."""
    mask = None if access is None else mask_of(access)

    def change(info: UserInfo) -> UserInfo:
        if name not in info.subusers:
            raise S3Error("NoSuchSubUser", f"user {uid} has no subuser {name}")
        if mask is not None:
            info.subusers[name].perm_mask = mask
        if key_type:
            add_key(info, key_type, name, access_key, secret_key)
        return info

    return await gw.users.change(uid, change)


async def remove(gw: Gateway, uid: str, name: str) -> UserInfo:
    """Removes a subuser and its keys. S3Error NoSuchUser, NoSuchSubUser."""
    def drop(info: UserInfo) -> UserInfo:
        if info.subusers.pop(name, None) is None:
            raise S3Error("NoSuchSubUser", f"user {uid} has no subuser {name}")
        for keys in (info.access_keys, info.swift_keys):
            for key in [key.id for key in keys.values() if key.subuser == name]:
                del keys[key]
        return info

    return await gw.users.change(uid, drop)
