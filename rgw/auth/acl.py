"""Access control lists: canned ones, grants from headers, and the question whether someone may do something.

An ACL is kept in RGW's format: a list of grants, and maps of the same permissions summed up per user and per group. Checks use the maps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rgw.errors import S3Error
from rgw.formats.acl import (
    ALL_USERS,
    AUTHENTICATED_USERS,
    FULL_CONTROL,
    READ,
    READ_ACP,
    WRITE,
    WRITE_ACP,
    AccessControlPolicy,
    AclGrant,
    AclOwner,
)

if TYPE_CHECKING:
    from .identity import Identity

PERMISSIONS = {"READ": READ, "WRITE": WRITE, "READ_ACP": READ_ACP, "WRITE_ACP": WRITE_ACP, "FULL_CONTROL": FULL_CONTROL}
GROUP_URIS = {
    "http://acs.amazonaws.com/groups/global/AllUsers": ALL_USERS,
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers": AUTHENTICATED_USERS,
}
MAX_GRANTS = 100

# canned ACL: what it gives beside the owner's full control
_GROUP_GRANTS: dict[str, tuple[tuple[int, int], ...]] = {
    "private": (),
    "public-read": ((ALL_USERS, READ),),
    "public-read-write": ((ALL_USERS, READ), (ALL_USERS, WRITE)),
    "authenticated-read": ((AUTHENTICATED_USERS, READ),),
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
}
_GRANT_HEADERS = {
    "x-amz-grant-read": READ, "x-amz-grant-write": WRITE, "x-amz-grant-read-acp": READ_ACP, "x-amz-grant-write-acp": WRITE_ACP,
    "x-amz-grant-full-control": FULL_CONTROL,
}
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]+))\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission for a user (``user``: its text), a ``group``, or whoever has an ``email`` (to be looked up by the caller)."""

    permission: int
    user: str = ""
    display_name: str = ""
    group: int = 0
    email: str = ""


def policy(owner: str, display_name: str, grants: Iterable[Grant]) -> AccessControlPolicy:
    """An ACL in RGW's format, maps and grants. InvalidArgument for a grant whose e-mail address was not looked up."""
    made = AccessControlPolicy(AclOwner(owner, display_name))  # type: ignore[call-arg]  # the format gives every field a default
    for grant in grants:
        if grant.group:
            made.acl.add(AclGrant.to_group(grant.group, grant.permission))
        elif grant.user:
            made.acl.add(AclGrant.user(grant.user, grant.display_name, grant.permission))
        else:
            raise S3Error("InvalidArgument", "The e-mail address you provided does not match any account on record.")
    made.acl.grants.sort(key=lambda pair: pair[0])  # the format is a multimap
    return made


def canned(
    name: str, owner: str, display_name: str, bucket_owner: str = "", bucket_owner_name: str = "",
) -> AccessControlPolicy:
    """The canned ACL of a new bucket or object; "" is private. InvalidArgument for an unknown name. Owners as user texts."""
    name = name or "private"
    if name not in _GROUP_GRANTS:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=name)
    grants = [Grant(FULL_CONTROL, owner, display_name)]
    grants += [Grant(permission, group=group) for group, permission in _GROUP_GRANTS[name]]
    if name.startswith("bucket-owner-") and bucket_owner and bucket_owner != owner:
        grants.append(Grant(READ if name == "bucket-owner-read" else FULL_CONTROL, bucket_owner, bucket_owner_name))
    return policy(owner, display_name, grants)


@lru_cache(1024)
def encoded_canned(name: str, owner: str, display_name: str, bucket_owner: str = "", bucket_owner_name: str = "") -> bytes:
    """``canned`` in RGW's format: most objects of a user have the very same."""
    return canned(name, owner, display_name, bucket_owner, bucket_owner_name).encode()


def header_grants(headers: Mapping[str, str]) -> list[Grant]:
    """The grants in x-amz-grant-* headers. InvalidArgument if malformed; InvalidRequest beside a canned ACL."""
    found: list[Grant] = []
    for name, permission in _GRANT_HEADERS.items():
        text = headers.get(name)
        if text is None:
            continue
        at = 0
        while at < len(text):
            match = _GRANTEE.match(text, at)
            if match is None or (match.end() < len(text) and text[match.end()] != ","):
                raise S3Error("InvalidArgument", "Argument format not recognized", ArgumentName=name, ArgumentValue=text)
            at = match.end() + 1
            found.append(_grant(match[1].lower(), match[2] if match[2] is not None else match[3], permission, name))
            if len(found) > MAX_GRANTS:
                raise S3Error("InvalidRequest", f"An ACL may have at most {MAX_GRANTS} grants.")
    if found and headers.get("x-amz-acl"):
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    return found


def _grant(kind: str, value: str, permission: int, header: str) -> Grant:
    if kind == "uri":
        group = GROUP_URIS.get(value)
        if group is None:
            raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName=header, ArgumentValue=value)
        return Grant(permission, group=group)
    if not value:
        raise S3Error("InvalidArgument", "Invalid id", ArgumentName=header, ArgumentValue=value)
    return Grant(permission, email=value) if kind == "emailaddress" else Grant(permission, user=value)


def allowed(acl: AccessControlPolicy, identity: Identity, permission: int, bucket_owner: str = "", *, public: bool = True) -> bool:
    """Whether the ACL gives ``identity`` all the bits of ``permission``. ``bucket_owner`` (user text) counts as the owner of what
    names none. Owners may always read and write the ACL; a subuser's key never gives more than its mask; an admin user may do all.
    ``public``: whether grants to groups count."""
    groups = acl.acl.group_map if public else {}
    given = groups.get(ALL_USERS, 0)
    user = identity.user
    if user is not None:
        if user.admin:
            return True
        name = user.user_id.text()
        given |= groups.get(AUTHENTICATED_USERS, 0) | acl.acl.user_map.get(name, 0)
        if name == (acl.owner.id or bucket_owner):
            given |= READ_ACP | WRITE_ACP
    return given & identity.perm_mask & permission == permission
