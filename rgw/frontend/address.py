"""From the raw request line and Host to bucket, key and query, byte for byte."""

from __future__ import annotations

import re

from rgw.auth.request import unquote
from rgw.errors import S3Error

MAX_KEY = 1024  # bytes of UTF-8
_PORT = re.compile(r":\d+$")


def split_target(raw: str) -> tuple[str, str]:
    """(raw path, raw query) of a request target, absolute form too."""
    if not raw.startswith("/") and "://" in raw:
        rest = raw.partition("://")[2]
        raw = "/" + rest.partition("/")[2]
    path, _, query = raw.partition("?")
    return path or "/", query


def bucket_and_key(raw_path: str, host: str, domains: tuple[str, ...]) -> tuple[str, str, bool]:
    """(bucket, key, virtual-host style). S3Error InvalidURI, KeyTooLongError."""
    name = host.lower()
    if domains and _PORT.search(name):
        name = name.rpartition(":")[0]
    for domain in domains:
        if name.endswith("." + domain):
            bucket, raw_key, virtual = name[:-len(domain) - 1], raw_path[1:], True
            break
    else:
        raw_bucket, _, raw_key = raw_path[1:].partition("/")
        bucket, virtual = unquote(raw_bucket), False
    key = unquote(raw_key)
    size = len(key.encode())
    if size > MAX_KEY:
        raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(MAX_KEY))
    if "\0" in key:
        raise S3Error("InvalidURI")
    return bucket, key, virtual
