"""What only radosgw can set and this gateway must not pass over: locks of versions, a second factor, denying policies, blocks of public access.

Where it cannot be judged here, what it stands on is refused. Sources: radosgw 16.2's checks and its xattrs.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from rgw.core.buckets import FLAG_MFA, FLAG_OBJECT_LOCK
from rgw.core.state import ObjectState, load
from rgw.errors import S3Error
from rgw.formats.encoding import STR, map_of
from rgw.formats.obj import ObjectLegalHold, ObjectRetention

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.formats.user import UserInfo

POLICY, PUBLIC_ACCESS, USER_POLICIES = "user.rgw.iam-policy", "user.rgw.public-access", "user.rgw.user-policy"
_RETENTION, _LEGAL_HOLD = "user.rgw.object-retention", "user.rgw.object-legal-hold"
_BY_NAME = map_of(STR, STR)
_HAS_RULE = 7  # where RGWObjectLock tells that there is a default retention
_BLOCKS, _IGNORES = 6, 7  # where PublicAccessBlockConfiguration has BlockPublicAcls and IgnorePublicAcls


def require_served(bucket: Bucket, user: UserInfo | None) -> None:
    """S3Error UserSuspended for buckets of suspended users, NotImplemented for those with a policy that denies anything.

    A policy that only allows is no danger: ACLs alone allow no more. System users may do all, an admin user all but what is suspended.
    """
    if user is not None and user.system:
        return
    if bucket.suspended:
        raise S3Error("UserSuspended")
    policy = bucket.attrs.get(POLICY)
    if policy is not None and denies(policy) and not (user is not None and user.admin):
        raise S3Error("NotImplemented", "The bucket has a policy that denies something. Policies are not implemented.")


def require_no_denials(attrs: dict[str, bytes]) -> None:
    """S3Error NotImplemented for a user, by the record's xattrs, whose own policies deny anything."""
    stored = attrs.get(USER_POLICIES)
    if stored is not None and any(denies(policy) for policy in _policies(stored)):
        raise S3Error("NotImplemented", "The user has a policy that denies something. Policies are not implemented.")


def _policies(stored: bytes) -> list[bytes]:
    """The documents of a map by name."""
    found, _ = _BY_NAME.dec(stored, 0, len(stored))
    return [document.encode("utf-8", "surrogateescape") for document in found.values()]


@lru_cache(1024)
def denies(policy: bytes) -> bool:
    """Whether any statement of a policy is something else than an Allow; so too if it cannot be read."""
    try:
        statements = json.loads(policy.rstrip(b"\0"))["Statement"]
        return any(each["Effect"] != "Allow" for each in (statements if isinstance(statements, list) else [statements]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


async def require_removable(gw: Gateway, bucket: Bucket, key: str, version_id: str) -> None:
    """S3Error AccessDenied for a version that is locked, and for any in a bucket whose versions need a second factor."""
    if not version_id:
        return  # a delete marker is put on top
    if bucket.info.flags & FLAG_MFA:
        raise S3Error("AccessDenied", "Versions of this bucket are removed with a second factor only, which is not implemented.")
    if bucket.info.flags & FLAG_OBJECT_LOCK:
        try:
            state = await load(gw, bucket, key, version_id)
        except S3Error as error:
            if error.code not in ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed"):  # the last is a delete marker, which has no lock
                raise
            return
        if locked(state):
            raise S3Error("AccessDenied", "The version is locked.")


def locked(state: ObjectState) -> bool:
    """Whether object lock forbids to remove the version."""
    hold, retention = state.attrs.get(_LEGAL_HOLD), state.attrs.get(_RETENTION)
    if hold is not None and ObjectLegalHold.decode(hold).status == "ON":
        return True
    return retention is not None and ObjectRetention.decode(retention).until > time.time_ns()


def blocks_public_acls(bucket: Bucket) -> bool:
    """Whether no ACL may be set that grants anything to everybody, or to every user."""
    return bucket.attrs.get(PUBLIC_ACCESS, b"")[_BLOCKS:_BLOCKS + 1] == b"\1"


def ignores_public_acls(bucket: Bucket) -> bool:
    """Whether what ACLs grant to everybody, or to every user, does not count."""
    return bucket.attrs.get(PUBLIC_ACCESS, b"")[_IGNORES:_IGNORES + 1] == b"\1"


def require_no_default_lock(bucket: Bucket) -> None:
    """S3Error NotImplemented in a bucket whose new objects are to be locked: here they would not be."""
    if bucket.info.flags & FLAG_OBJECT_LOCK and bucket.info.object_lock[_HAS_RULE:_HAS_RULE + 1] == b"\1":
        raise S3Error("NotImplemented", "The bucket locks its new objects, which is not implemented.")
