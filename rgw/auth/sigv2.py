"""Signature Version 2: what is signed and how. Source: the S3 API reference, "Signing and Authenticating REST Requests"."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from .request import octets

# Query parameters that name a subresource or change the reply: only these are signed.
SIGNED_PARAMETERS = frozenset({
    "accelerate", "acl", "analytics", "append", "cors", "defaultObjectAcl", "delete", "encryption", "inventory", "legal-hold", "lifecycle",
    "location", "logging", "metrics", "notification", "object-lock", "partNumber", "policy", "policyStatus", "position",
    "publicAccessBlock",
    "replication", "requestPayment", "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires", "restore", "retention", "select", "select-type", "tagging",
    "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
})


def decoded(text: str) -> str:
    return unquote_to_bytes(octets(text)).decode("utf-8", "surrogateescape")


def canonical_resource(raw_path: str, raw_query: str, bucket: str = "", *, bare: bool = False) -> str:
    """``bucket``: the one named by the Host header, if any. ``bare``: a parameter with an empty value is signed without its ``=``;
    some clients send ``acl=`` and sign ``acl``, others sign what they send. Names count decoded, as where operations are found by them."""
    signed = []
    for piece in raw_query.split("&"):
        name, equals, value = piece.partition("=")
        if "%" in name:
            name = decoded(name)
        if name in SIGNED_PARAMETERS:
            signed.append((name, f"{name}={decoded(value)}" if value or (equals and not bare) else name))
    resource = (f"/{bucket}" if bucket else "") + (raw_path or "/")
    return resource + ("?" + "&".join(text for _, text in sorted(signed)) if signed else "")


def string_to_sign(method: str, headers: Mapping[str, str], date: str, resource: str) -> str:
    """``date``: the Date header, or "" if x-amz-date is there, or a presigned URL's Expires."""
    amz = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    return f"{method}\n{headers.get('content-md5', '')}\n{headers.get('content-type', '')}\n{date}\n{amz}{resource}"


def sign(secret: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(secret, octets(text), "sha1")).decode()
