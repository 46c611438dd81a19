"""The policy of a posted form: whose it is, whether it holds. Source: the S3 API reference, "Creating a POST Policy" (V4, and V2 before)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rgw.errors import S3Error

from . import sigv2, sigv4, times, v4
from .identity import FULL_CONTROL, Identity
from .payload import payload_plan
from .request import octets

if TYPE_CHECKING:
    from rgw.formats.user import UserInfo

_V4 = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_V2 = ("awsaccesskeyid", "signature")
_UNLISTED = ("awsaccesskeyid", "signature", "x-amz-signature", "policy", "file")  # fields that no condition has to name
_UNLISTED_PREFIXES = ("x-ignore-", "x-amz-checksum-")  # a checksum only tells what the file is
_MAX_SIZE = 1 << 63


@dataclass(frozen=True, slots=True)
class Limits:
    """The bytes that the file must have at least and may have at most."""

    least: int = 0
    most: int = _MAX_SIZE


async def identify(fields: Mapping[str, str], lookup: Callable[[str], Awaitable[UserInfo]]) -> Identity:
    """Who signed the form's policy; anonymous without one. ``fields`` by their names in lower case.

    S3Error InvalidArgument (a field is missing), InvalidAccessKeyId, SignatureDoesNotMatch, UserSuspended.
    """
    needed = _V4 if any(name in fields for name in _V4) else _V2
    if "policy" not in fields:
        if any(name in fields for name in needed):
            raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'policy'.", ArgumentName="policy", ArgumentValue="")
        return Identity(None, "", FULL_CONTROL, payload_plan("", {}))
    for name in needed:
        if not fields.get(name):
            raise S3Error("InvalidArgument", f"Bucket POST must contain a field named '{name}'.", ArgumentName=name, ArgumentValue="")
    policy = fields["policy"]
    if needed is _V4:
        if fields["x-amz-algorithm"] != sigv4.ALGORITHM:
            raise S3Error("InvalidArgument", 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
        access_key, date, region, service = v4.credential(fields["x-amz-credential"], "InvalidArgument")
        if times.parse_basic(fields["x-amz-date"]) is None or fields["x-amz-date"][:8] != date:
            raise S3Error("InvalidArgument", "X-Amz-Date is not a date of the credential's day", ArgumentName="x-amz-date")
        given = fields["x-amz-signature"]
    else:
        access_key, given = fields["awsaccesskeyid"], fields["signature"]
    try:
        user = await lookup(access_key)
    except S3Error as error:
        if error.code == "InvalidAccessKeyId":
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key) from None
        raise
    key = user.access_keys.get(access_key)
    if key is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    secret = key.key.encode("utf-8", "surrogateescape")
    if needed is _V4:
        ours = sigv4.KEYS.get(access_key, secret, date, region, service).sign(policy)
    else:
        ours = sigv2.sign(secret, policy)
    if not hmac.compare_digest(octets(ours), octets(given)):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key, StringToSign=policy, SignatureProvided=given,
                      StringToSignBytes=octets(policy).hex(" "))
    if user.suspended:
        raise S3Error("UserSuspended")
    mask = FULL_CONTROL
    if key.subuser:
        subuser = user.subusers.get(key.subuser)
        mask = subuser.perm_mask & FULL_CONTROL if subuser is not None else 0
    return Identity(user, access_key, mask, payload_plan("", {}))


def check(policy: str, fields: Mapping[str, str], now: int) -> Limits:
    """Checks a form against its policy (base64 of JSON) and returns what it says of the file's size. ``now`` in nanoseconds.

    ``fields`` hold the form's fields and ``bucket``. S3Error InvalidPolicyDocument; AccessDenied for a policy that expired or a form that
    does not fit it.
    """
    document = _document(policy)
    if now > _expiration(document.get("expiration")):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        raise _invalid("it lacks a list of conditions")
    limits, named = Limits(), set()
    for condition in conditions:
        kind, name, value = _condition(condition)
        if kind == "content-length-range":
            limits = Limits(max(limits.least, name), min(limits.most, value))
            continue
        named.add(name)
        if not _holds(kind, name, value, fields.get(name)):
            raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {json.dumps([kind, '$' + name, value])}")
    extra = [name for name in fields if name not in named and name not in _UNLISTED and not name.startswith(_UNLISTED_PREFIXES)]
    if extra:
        raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(extra)}")
    return limits


def _invalid(why: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {why}.")


def _document(policy: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.b64decode(policy.encode("ascii"), validate=True))
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise _invalid("it is not JSON in base64") from None
    if not isinstance(document, dict):
        raise _invalid("it is not an object")
    return document


def _expiration(text: Any) -> int:
    if isinstance(text, str):
        for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"):
            try:
                return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) * times.SECOND
            except ValueError:
                continue
    raise _invalid("its expiration is not a date in ISO 8601 GMT")


def _condition(condition: Any) -> tuple[str, Any, Any]:
    """(kind, name of the field in lower case, value), or ("content-length-range", least, most)."""
    if isinstance(condition, dict) and len(condition) == 1:
        ((name, value),) = condition.items()
        condition = ["eq", f"${name}", value]
    if isinstance(condition, list) and len(condition) == 3 and isinstance(condition[0], str):
        kind, first, second = condition[0].lower(), condition[1], condition[2]
        if kind == "content-length-range":
            return kind, _size(first), _size(second)
        if kind in ("eq", "starts-with") and isinstance(first, str) and first.startswith("$") and isinstance(second, str):
            return kind, first[1:].lower(), second
    raise _invalid("a condition is not of a known form")


def _size(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _invalid("a size of content-length-range is not a number of bytes")
    return int(text)


def _holds(kind: str, name: str, value: str, given: str | None) -> bool:
    if given is None:
        return False
    if kind == "eq":
        return given == value
    if name == "content-type":  # may be a list, of which each must fit
        return all(item.strip().startswith(value) for item in given.split(","))
    return given.startswith(value)
