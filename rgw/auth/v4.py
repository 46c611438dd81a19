"""Signature Version 4 as requests carry it, in the Authorization header or in the query, and its check."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from rgw.errors import S3Error

from . import sigv4, times
from .identity import PayloadPlan
from .payload import PLAIN, UNSIGNED_PAYLOAD, payload_plan
from .request import RequestView, octets, without_keys

MAX_EXPIRES = 7 * 24 * 3600  # seconds
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"[0-9]{8}")
_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-zA-Z]+")


class Claim(NamedTuple):
    """What a request says of its signature; not yet checked."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    presigned: bool
    content_sha256: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@lru_cache(1024)
def credential(text: str, code: str) -> tuple[str, str, str, str]:
    """(access key, date, region, service) of a credential; S3Error ``code`` if it is not one."""
    pieces = text.rsplit("/", 4)
    if len(pieces) != 5 or not pieces[0]:
        raise S3Error(code, "Error parsing the Credential; the Credential is mal-formed; expecting "
                      "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
    access_key, date, region, service, end = pieces
    if not _DATE.fullmatch(date):
        raise S3Error(code, f"Invalid credential date \"{date}\". This date is not in the format YYYYMMDD.")
    if end != "aws4_request":
        raise S3Error(code, f"Invalid terminal \"{end}\" in the credential; expecting \"aws4_request\".")
    if service != "s3":
        raise S3Error(code, f"Incorrect service \"{service}\". This endpoint belongs to \"s3\".")
    return access_key, date, region, service


@lru_cache(1024)
def _signed_headers(text: str, code: str) -> tuple[str, ...]:
    names = tuple(text.lower().split(";"))
    if not all(_HEADER_NAME.fullmatch(name) for name in names):
        raise S3Error(code, "The SignedHeaders are malformed.")
    return names


def _check_signature_form(text: str, code: str) -> None:
    if not _SIGNATURE.fullmatch(text):
        raise S3Error(code, "The Signature is not 64 lower-case hexadecimal digits.")


def from_header(authorization: str, headers: Mapping[str, str], now: int, skew: int) -> Claim:
    """AuthorizationHeaderMalformed, AccessDenied (no date), RequestTimeTooSkewed, InvalidRequest (no x-amz-content-sha256)."""
    code = "AuthorizationHeaderMalformed"
    fields: dict[str, str] = {}
    for piece in authorization[len(sigv4.ALGORITHM):].split(","):
        name, equals, value = piece.strip().partition("=")
        if not equals or name in fields:
            raise S3Error(code)
        fields[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if name not in fields:
            raise S3Error(code, f"The authorization header is malformed; the authorization header requires three components: "
                          f"Credential, SignedHeaders, and Signature; {name} is missing.")
    access_key, date, region, service = credential(fields["Credential"], code)
    signed = _signed_headers(fields["SignedHeaders"], code)
    _check_signature_form(fields["Signature"], code)
    moment = times.of_request(headers, now, skew)
    timestamp = times.basic(moment)
    if timestamp[:8] != date:
        raise S3Error(code, f"Invalid credential date \"{date}\". It is not the day of the request's date \"{timestamp}\".")
    if "x-amz-content-sha256" not in headers:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return Claim(access_key, date, region, service, signed, fields["Signature"], timestamp, False, headers["x-amz-content-sha256"])


def from_query(parameters: Mapping[str, str], headers: Mapping[str, str], now: int, skew: int) -> Claim:
    """AuthorizationQueryParametersError; AccessDenied for a URL that expired or is not valid yet."""
    code = "AuthorizationQueryParametersError"
    given = [parameters.get(name) or "" for name in _IN_QUERY]
    if not all(given):
        raise S3Error(code, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
                      "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
    algorithm, who, signature, timestamp, names, text = given
    if algorithm != sigv4.ALGORITHM:
        raise S3Error(code, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    access_key, date, region, service = credential(who, code)
    signed = _signed_headers(names, code)
    _check_signature_form(signature, code)
    moment = times.parse_basic(timestamp)
    if moment is None:
        raise S3Error(code, 'X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd\'T\'HHmmss\'Z\'"')
    if timestamp[:8] != date:
        raise S3Error(code, f"Invalid credential date \"{date}\". This date is not the same as X-Amz-Date: \"{timestamp[:8]}\".")
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
        raise S3Error(code, "X-Amz-Expires should be a number")
    if text.startswith("-"):
        raise S3Error(code, "X-Amz-Expires must be non-negative")
    lasts = int(text)
    if lasts > MAX_EXPIRES:
        raise S3Error(code, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
                      f"{MAX_EXPIRES} seconds")
    ends = moment + lasts * times.SECOND
    if now > ends:
        raise S3Error("AccessDenied", "Request has expired", Expires=times.extended(ends), ServerTime=times.extended(now),
                      **{"X-Amz-Expires": text})
    if moment > now + skew * times.SECOND:
        raise S3Error("AccessDenied", "Request is not valid yet", ServerTime=times.extended(now), **{"X-Amz-Date": timestamp})
    content = headers.get("x-amz-content-sha256") or parameters.get("X-Amz-Content-Sha256") or UNSIGNED_PAYLOAD
    return Claim(access_key, date, region, service, signed, signature, timestamp, True, content)


def _check_signed_headers(claim: Claim, headers: Mapping[str, str]) -> None:
    signed = claim.signed_headers
    missing = [name for name in headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed:
        missing.append("host")
    if missing:
        raise S3Error("AccessDenied", "There were headers present in the request which were not signed", HeadersNotSigned=",".join(missing))


def verify(claim: Claim, view: RequestView, headers: Mapping[str, str], secret: bytes) -> PayloadPlan:
    """Checks the signature and plans the body's check. AccessDenied (headers not signed), SignatureDoesNotMatch."""
    _check_signed_headers(claim, headers)
    key = sigv4.KEYS.get(claim.access_key, secret, claim.date, claim.region, claim.service)
    path, scope = view.raw_path or "/", claim.scope

    def signed(path: str, query: str) -> tuple[str, str]:
        """The canonical request of these, and its string to sign."""
        canonical = sigv4.canonical_request(view.method, path, query, headers, claim.signed_headers, claim.content_sha256)
        return canonical, sigv4.string_to_sign(claim.timestamp, scope, canonical)

    # As they were sent, which they mostly were in canonical form; else as they should have been.
    left_out = "X-Amz-Signature" if claim.presigned else ""
    query = sigv4.sorted_query(view.raw_query, left_out)
    if not hmac.compare_digest(key.sign(signed(path, query)[1]), claim.signature):
        query = sigv4.canonical_query(view.raw_query, left_out)
        canonical, text = signed(path, query)
        if not any(hmac.compare_digest(key.sign(signed(each, query)[1]), claim.signature) for each in (path, sigv4.reencoded_path(path))):
            canonical = without_keys(canonical)
            raise S3Error(
                "SignatureDoesNotMatch", AWSAccessKeyId=claim.access_key, StringToSign=text, SignatureProvided=claim.signature,
                StringToSignBytes=octets(text).hex(" "), CanonicalRequest=canonical, CanonicalRequestBytes=octets(canonical).hex(" "))
    if claim.content_sha256 == UNSIGNED_PAYLOAD:
        return PLAIN
    return payload_plan(claim.content_sha256, headers, seed_signature=claim.signature, timestamp=claim.timestamp, scope=scope,
                        signing_key=key.secret)
