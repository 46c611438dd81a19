"""Who sent a request: finds the kind of signature, checks it, names the user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rgw.errors import S3Error

from . import v2, v4
from .identity import FULL_CONTROL, Identity
from .payload import payload_plan
from .request import RequestView

if TYPE_CHECKING:
    from rgw.formats.user import UserInfo

Lookup = Callable[[str], Awaitable["UserInfo"]]


async def authenticate(view: RequestView, lookup: Lookup, now: int, options: Any) -> Identity:
    """The request's identity, anonymous if it is not signed. ``lookup`` gives an access key's user or raises InvalidAccessKeyId;
    ``now`` in nanoseconds; of ``options``, rgw_s3_auth_allowed_skew (seconds) and rgw_dns_name are used. S3Error says what is wrong."""
    headers = view.header_map
    authorization = headers.get("authorization")
    presigned4 = presigned2 = False
    parameters: dict[str, str] = {}
    if view.raw_query:
        parameters = view.parameters
        presigned4 = "X-Amz-Algorithm" in parameters or "X-Amz-Credential" in parameters or "X-Amz-Signature" in parameters
        presigned2 = "AWSAccessKeyId" in parameters or ("Signature" in parameters and "Expires" in parameters)
    if (authorization is not None) + presigned4 + presigned2 > 1:
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
                      "string parameter or the Authorization header should be specified", ArgumentName="Authorization",
                      ArgumentValue=(authorization or "").partition(" ")[0])
    skew = getattr(options, "rgw_s3_auth_allowed_skew", 900)
    if authorization is None and not presigned4 and not presigned2:
        return Identity(None, "", FULL_CONTROL, payload_plan(headers.get("x-amz-content-sha256", ""), headers))
    claim: v4.Claim | v2.Claim
    if presigned4:
        claim = v4.from_query(parameters, headers, now, skew)
    elif presigned2:
        claim = v2.from_query(parameters, now)
    elif authorization is not None and authorization.startswith("AWS4-HMAC-SHA256"):
        claim = v4.from_header(authorization, headers, now, skew)
    elif authorization is not None and authorization.startswith("AWS "):
        claim = v2.from_header(authorization, headers, now, skew)
    else:
        raise S3Error("InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization",
                      ArgumentValue=(authorization or "").partition(" ")[0])
    try:
        user = await lookup(claim.access_key)
    except S3Error as error:
        if error.code == "InvalidAccessKeyId":
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key) from None
        raise
    key = user.access_keys.get(claim.access_key)
    if key is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key)
    secret = key.key.encode("utf-8", "surrogateescape")
    if isinstance(claim, v4.Claim):
        plan = v4.verify(claim, view, headers, secret)
    else:
        v2.verify(claim, view, headers, secret, getattr(options, "rgw_dns_name", ""))
        plan = payload_plan(headers.get("x-amz-content-sha256", ""), headers)
    if user.suspended:  # told only to one who holds the key
        raise S3Error("UserSuspended")
    mask = FULL_CONTROL
    if key.subuser:
        subuser = user.subusers.get(key.subuser)
        mask = subuser.perm_mask & FULL_CONTROL if subuser is not None else 0
    return Identity(user, claim.access_key, mask, plan)
