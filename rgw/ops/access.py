"""May the caller do it? By what the user may do at all, and the ACLs of bucket and object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rgw.auth import acl as acls
from rgw.auth.identity import Identity
from rgw.core.buckets import Bucket
from rgw.core.objects import ObjectState
from rgw.core.restrictions import ignores_public_acls
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy
from rgw.ops.request import Request

READ, WRITE, READ_ACP, WRITE_ACP = 1, 2, 4, 8
TO_READ, TO_WRITE, TO_DELETE = 1, 2, 4  # the bits of a user's op_mask
_ABSENT = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")  # the last: a delete marker


def require_kind(identity: Identity, kind: int) -> None:
    """S3Error AccessDenied unless the caller may send requests of the kind at all."""
    if identity.user is not None and not identity.user.op_mask & kind:
        raise S3Error("AccessDenied")


def permitted(req: Request, policy: AccessControlPolicy, permission: int) -> bool:
    """Whether the policy grants the permission bits to the caller."""
    return _allowed(req, req.the_bucket, policy, permission)


def _allowed(req: Request, bucket: Bucket, policy: AccessControlPolicy, permission: int) -> bool:
    return acls.allowed(policy, req.identity, permission, bucket.owner.text(), public=not ignores_public_acls(bucket))


def require(req: Request, policy: AccessControlPolicy, permission: int) -> None:
    """S3Error AccessDenied unless the policy grants it."""
    if not permitted(req, policy, permission):
        raise S3Error("AccessDenied")


async def load_object(
    req: Request, bucket: Bucket, key: str, version: str, permission: int, load: Callable[[Bucket, str, str], Awaitable[ObjectState]],
) -> ObjectState:
    """The object, by ``load``, if its ACL grants the permission. S3Error AccessDenied, for one that is not there too unless the caller may
    list the bucket."""
    try:
        state = await load(bucket, key, version)
    except S3Error as error:
        if error.code in _ABSENT and not _allowed(req, bucket, bucket.acl, READ):
            raise S3Error("AccessDenied") from None
        raise
    if not _allowed(req, bucket, state.acl, permission):
        raise S3Error("AccessDenied")
    return state


async def named_object(req: Request, permission: int, *, prefetch: bool = False) -> ObjectState:
    """The object that the request names, with the bytes in its head if ``prefetch``; see ``load_object``."""
    load = req.gw.objects.get if prefetch else req.gw.objects.head
    return await load_object(req, req.the_bucket, req.key, req.query.get("versionId", ""), permission, load)


def owns_bucket(req: Request, permission: int = 0) -> bool:
    """Whether the caller is the bucket's owner, with a key that may use the permission bits, or an admin user."""
    user, mask = req.identity.user, req.identity.perm_mask
    return user is not None and mask & permission == permission and (bool(user.admin) or user.user_id.text() == req.the_bucket.owner.text())


def require_bucket_owner(req: Request, permission: int = 0) -> None:
    """S3Error AccessDenied unless the caller owns the bucket (see ``owns_bucket``)."""
    if not owns_bucket(req, permission):
        raise S3Error("AccessDenied")


def require_owner(req: Request, bucket: Bucket, header: str) -> None:
    """S3Error AccessDenied if the header names another owner than the bucket's."""
    expected = req.headers.get(header)
    if expected is not None and expected != bucket.owner.text():
        raise S3Error("AccessDenied")
