"""?acl of buckets and objects, and the ACLs of new ones."""

from __future__ import annotations

from typing import Any

from rgw.auth import acl as acls
from rgw.core.restrictions import blocks_public_acls
from rgw.core.state import ACL
from rgw.errors import S3Error
from rgw.formats.acl import GROUP, AccessControlPolicy
from rgw.ops import access, versioning
from rgw.ops.request import Request, Result

_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_NAMES = {"READ": 1, "WRITE": 2, "READ_ACP": 4, "WRITE_ACP": 8, "FULL_CONTROL": 15}
_URIS = {group: uri for uri, group in acls.GROUP_URIS.items()}


async def from_headers(req: Request, owner: str, display_name: str) -> AccessControlPolicy:
    """The policy that x-amz-acl or x-amz-grant-* ask for; private without."""
    return AccessControlPolicy.decode(await _encoded(req, owner, display_name))


async def new_object(req: Request) -> dict[str, bytes]:
    """The ACL xattr of an object that the caller writes. What the anonymous write belongs to the bucket's owner."""
    user = req.identity.user
    owner, name = (user.user_id.text(), user.display_name) if user else (req.the_bucket.owner.text(), req.the_bucket.acl.owner.display_name)
    return {ACL: await _encoded(req, owner, name)}


def _refuse_public(req: Request, policy: AccessControlPolicy) -> AccessControlPolicy:
    """The policy; S3Error AccessDenied if it grants anything to everybody, or to every user, where the bucket blocks that."""
    if req.bucket is not None and blocks_public_acls(req.bucket) and any(policy.acl.group_map.values()):
        raise S3Error("AccessDenied")
    return policy


async def _encoded(req: Request, owner: str, display_name: str) -> bytes:
    """The policy of ``from_headers`` as it is kept. S3Error AccessDenied where the bucket blocks it."""
    made = await _asked(req, owner, display_name)
    if req.bucket is not None and blocks_public_acls(req.bucket):
        _refuse_public(req, AccessControlPolicy.decode(made))
    return made


async def _asked(req: Request, owner: str, display_name: str) -> bytes:
    grants = acls.header_grants(req.headers)
    if grants:
        known = [g if g.group else await _known(req, g.permission, g.user, g.email) for g in grants]
        return acls.policy(owner, display_name, known).encode()
    bucket_owner = req.bucket.owner.text() if req.bucket is not None else ""
    bucket_owner_name = req.bucket.acl.owner.display_name if req.bucket is not None else ""
    return acls.encoded_canned(req.headers.get("x-amz-acl", ""), owner, display_name, bucket_owner, bucket_owner_name)


def _document(policy: AccessControlPolicy) -> tuple[str, Any]:
    grants: list[tuple[str, Any]] = []
    for _, grant in policy.acl.grants:
        flags = grant.permission.flags & 15
        names = ["FULL_CONTROL"] if flags == 15 else [name for name, bit in _NAMES.items() if bit != 15 and flags & bit]
        if grant.type.type == GROUP:
            grantee = (f'Grantee {_XSI} xsi:type="Group"', [("URI", _URIS.get(grant.group, ""))])
        else:
            grantee = (f'Grantee {_XSI} xsi:type="CanonicalUser"', [("ID", grant.id), ("DisplayName", grant.name)])
        grants += [("Grant", [grantee, ("Permission", name)]) for name in names]
    owner = [("ID", policy.owner.id), ("DisplayName", policy.owner.display_name)]
    return "AccessControlPolicy", [("Owner", owner), ("AccessControlList", grants)]


async def _known(req: Request, permission: int, user: str, email: str) -> acls.Grant:
    """A grant to a user that exists, by id or e-mail address. S3Error InvalidArgument, UnresolvableGrantByEmailAddress."""
    try:
        info = await (req.gw.users.get(user) if user else req.gw.users.get_by_email(email))
    except S3Error as error:
        if error.code == "NoSuchUser":
            raise S3Error("InvalidArgument", "Invalid id") if user else S3Error("UnresolvableGrantByEmailAddress") from None
        raise
    return acls.Grant(permission, user=info.user_id.text(), display_name=info.display_name)


async def _grant(req: Request, node: Any) -> acls.Grant:
    permission, grantee = _NAMES.get((node.findtext("Permission") or "").strip()), node.find("Grantee")
    if permission is None or grantee is None:
        raise S3Error("MalformedACLError")
    uri, user, email = grantee.findtext("URI"), grantee.findtext("ID"), grantee.findtext("EmailAddress")
    if uri:
        if uri.strip() not in acls.GROUP_URIS:
            raise S3Error("InvalidArgument", "Invalid group uri")
        return acls.Grant(permission, group=acls.GROUP_URIS[uri.strip()])
    if not user and not email:
        raise S3Error("MalformedACLError")
    return await _known(req, permission, (user or "").strip(), (email or "").strip())


async def _wanted(req: Request, current: AccessControlPolicy) -> AccessControlPolicy:
    owner, name = current.owner.id, current.owner.display_name
    root = await req.xml()
    if root is None:
        return await from_headers(req, owner, name)
    if root.tag != "AccessControlPolicy" or "x-amz-acl" in req.headers:
        raise S3Error("MalformedACLError" if "x-amz-acl" not in req.headers else "UnexpectedContent")
    said = root.findtext("Owner/ID")
    if said and said.strip() != owner:
        raise S3Error("AccessDenied")
    nodes = root.findall("AccessControlList/Grant")
    if root.find("AccessControlList") is None or len(nodes) > 100:
        raise S3Error("MalformedACLError")
    return _refuse_public(req, acls.policy(owner, name, [await _grant(req, node) for node in nodes]))


async def get_bucket(req: Request) -> Result:
    return Result(xml=_document(req.the_bucket.acl))


async def put_bucket(req: Request) -> Result:
    await req.gw.buckets.set_acl(req.the_bucket, await _wanted(req, req.the_bucket.acl))
    return Result()


async def get_object(req: Request) -> Result:
    state = await access.named_object(req, access.READ_ACP)
    return Result(headers=versioning.headers(state), xml=_document(state.acl))


async def put_object(req: Request) -> Result:
    state = await access.named_object(req, access.WRITE_ACP)
    await req.gw.objects.set_attrs(state, {ACL: (await _wanted(req, state.acl)).encode()})
    return Result(headers=versioning.headers(state))
