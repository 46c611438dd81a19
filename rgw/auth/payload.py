"""From x-amz-content-sha256 and its companions to a PayloadPlan."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rgw.errors import S3Error

from .identity import PayloadKind, PayloadPlan
from .secret import Secret

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
PLAIN = PayloadPlan()  # of a body that is sent as it is, and not signed
_HEX64 = re.compile(r"[0-9a-fA-F]{64}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_STREAMING = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": PayloadKind.STREAMING_SIGNED,
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": PayloadKind.STREAMING_SIGNED_TRAILER,
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": PayloadKind.STREAMING_UNSIGNED_TRAILER,
}


def decoded_length(headers: Mapping[str, str]) -> int:
    """x-amz-decoded-content-length in bytes; MissingContentLength without it."""
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise S3Error("MissingContentLength")
    if not _LENGTH.fullmatch(text) or not text.isascii():
        raise S3Error("InvalidArgument", "x-amz-decoded-content-length is not a length")
    return int(text)


def trailer_names(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip())


def payload_plan(
    content_sha256: str, headers: Mapping[str, str], *, seed_signature: str = "", timestamp: str = "", scope: str = "",
    signing_key: Secret | None = None,
) -> PayloadPlan:
    """The plan for a body announced as ``content_sha256`` ("" counts as unsigned). Signed chunks need a signing key: InvalidRequest."""
    if content_sha256 in ("", UNSIGNED_PAYLOAD):
        if not signing_key and "aws-chunked" in headers.get("content-encoding", "") and "x-amz-trailer" in headers:
            content_sha256 = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"  # anonymous clients leave x-amz-content-sha256 out
        else:
            return PLAIN
    kind = _STREAMING.get(content_sha256)
    if kind is None:
        if not _HEX64.fullmatch(content_sha256):
            raise S3Error("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
                          "STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
                          ArgumentName="x-amz-content-sha256", ArgumentValue=content_sha256)
        return PayloadPlan(PayloadKind.SIGNED_SHA256, content_sha256.lower())
    if kind is PayloadKind.STREAMING_UNSIGNED_TRAILER:
        return PayloadPlan(kind, "", decoded_length(headers), trailers=trailer_names(headers))
    if signing_key is None:
        raise S3Error("InvalidRequest", "Signed chunks need a request signed with Signature Version 4 in its headers.")
    trailers = trailer_names(headers) if kind is PayloadKind.STREAMING_SIGNED_TRAILER else ()
    return PayloadPlan(kind, "", decoded_length(headers), seed_signature, timestamp, scope, signing_key, trailers)
