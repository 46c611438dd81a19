"""Administrative capabilities: what a user may do through the Admin Ops API. Source: RGWUserCaps of Ceph Pacific."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rgw.errors import S3Error
from rgw.formats.user import UserInfo

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

READ, WRITE = 1, 2
BOTH = READ | WRITE
# radosgw 16.2 takes these; `info`, which later releases know, is taken too
TYPES = ("users", "buckets", "metadata", "usage", "zone", "bilog", "mdlog", "datalog", "roles", "user-policy", "amz-cache", "oidc-provider", "info")
_WORDS = {"*": BOTH, "read": READ, "write": WRITE}


def parse(text: str) -> dict[str, int]:
    """`users=read,write; buckets=*` as bits by type. S3Error InvalidCapability."""
    found: dict[str, int] = {}
    for item in text.split(";"):
        if not item.strip():
            continue
        name, equals, words = item.partition("=")
        bits = 0
        for word in re.split(r"[,\s]+", words.strip()):
            if word not in _WORDS:
                raise S3Error("InvalidCapability", f"{word!r} in {item.strip()!r} is not read, write or *")
            bits |= _WORDS[word]
        if not equals or name.strip() not in TYPES:
            raise S3Error("InvalidCapability", f"there is no capability {name.strip()!r}")
        found[name.strip()] = found.get(name.strip(), 0) | bits
    if not found:
        raise S3Error("InvalidCapability", "no capability was given")
    return found


def require(user: UserInfo | None, name: str, bits: int) -> None:
    """AccessDenied unless the user holds the capability, or is an administrator altogether."""
    if user is None or not (user.admin or user.system or user.caps.caps.get(name, 0) & bits == bits):
        raise S3Error("AccessDenied")


async def add(gw: Gateway, uid: str, text: str) -> UserInfo:
    """Adds capabilities to a user's. S3Error NoSuchUser, InvalidCapability."""
    wanted = parse(text)

    def change(info: UserInfo) -> UserInfo:
        for name, bits in wanted.items():
            info.caps.caps[name] = info.caps.caps.get(name, 0) | bits
        return info

    return await gw.users.change(uid, change)


async def remove(gw: Gateway, uid: str, text: str) -> UserInfo:
    """Takes capabilities away; those that the user lacks are no error. S3Error NoSuchUser, InvalidCapability."""
    unwanted = parse(text)

    def change(info: UserInfo) -> UserInfo:
        for name, bits in unwanted.items():
            left = info.caps.caps.get(name, 0) & ~bits
            if left:
                info.caps.caps[name] = left
            else:
                info.caps.caps.pop(name, None)
        return info

    return await gw.users.change(uid, change)
