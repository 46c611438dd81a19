"""Signature Version 2 as requests carry it, in the Authorization header or in the query, and its check."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from rgw.errors import S3Error

from . import sigv2, times
from .request import RequestView, bucket_of_host, gateway_domains, octets, without_keys


@dataclass(frozen=True, slots=True)
class Claim:
    """``date``: the date line of the string to sign."""

    access_key: str
    signature: str
    date: str


def from_header(authorization: str, headers: Mapping[str, str], now: int, skew: int) -> Claim:
    """InvalidArgument, AccessDenied (no date), RequestTimeTooSkewed."""
    access_key, colon, signature = authorization[len("AWS "):].strip().rpartition(":")
    if not colon or not access_key or not signature:
        raise S3Error("InvalidArgument", "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
                      ArgumentName="Authorization")
    times.of_request(headers, now, skew)
    return Claim(access_key, signature, "" if "x-amz-date" in headers else headers.get("date", ""))


def from_query(parameters: Mapping[str, str], now: int) -> Claim:
    """AccessDenied: parameters missing, or expired."""
    if not all(parameters.get(name) for name in ("AWSAccessKeyId", "Signature", "Expires")):
        raise S3Error("AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    expires = parameters["Expires"]
    if not (expires.isascii() and expires.isdigit()) or len(expires) > 15:
        raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires[:64]}")
    if now > int(expires) * times.SECOND:
        raise S3Error("AccessDenied", "Request has expired", Expires=expires, ServerTime=times.extended(now))
    return Claim(parameters["AWSAccessKeyId"], parameters["Signature"], expires)


def verify(claim: Claim, view: RequestView, headers: Mapping[str, str], secret: bytes, dns_name: str) -> None:
    """SignatureDoesNotMatch unless the claim's signature is the request's."""
    bucket = bucket_of_host(headers.get("host", ""), gateway_domains(dns_name))
    paths = [view.raw_path]
    if not bucket and "/" not in view.raw_path[1:]:
        paths.insert(0, view.raw_path + "/")  # boto3 asks for /bucket and signs /bucket/, as S3 lets it
    text = ""
    for path in paths:
        for bare in (True, False):
            resource = sigv2.canonical_resource(path, view.raw_query, bucket, bare=bare)
            text = sigv2.string_to_sign(view.method, headers, claim.date, resource)
            if hmac.compare_digest(octets(sigv2.sign(secret, text)), octets(claim.signature)):
                return
    text = without_keys(text)
    raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=claim.access_key, StringToSign=text, SignatureProvided=claim.signature,
                  StringToSignBytes=octets(text).hex(" "))
