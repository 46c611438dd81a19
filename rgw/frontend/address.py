"""From the raw request line and Host to bucket, key and query, byte for byte."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from rgw.errors import S3Error

MAX_KEY = 1024  # bytes of UTF-8
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


def unquote(text: str, *, plus: bool = False) -> str:
    """Percent-decodes; S3Error InvalidURI for broken escapes and what is no UTF-8."""
    if _BAD_ESCAPE.search(text):
        raise S3Error("InvalidURI")
    if plus:
        text = text.replace("+", " ")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise S3Error("InvalidURI") from None


def split_target(raw: str) -> tuple[str, str]:
    """(raw path, raw query) of a request target, absolute form too."""
    if not raw.startswith("/") and "://" in raw:
        rest = raw.partition("://")[2]
        raw = "/" + rest.partition("/")[2]
    path, _, query = raw.partition("?")
    return path or "/", query


def parse_query(raw: str) -> dict[str, str]:
    """Decoded parameters; the first of several with one name counts."""
    query: dict[str, str] = {}
    for item in raw.split("&") if raw else ():
        if item:
            name, _, value = item.partition("=")
            query.setdefault(unquote(name, plus=True), unquote(value, plus=True))
    return query


def bucket_and_key(raw_path: str, host: str, domains: tuple[str, ...]) -> tuple[str, str, bool]:
    """(bucket, key, virtual-host style). S3Error InvalidURI, KeyTooLongError."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    name = name.lower()
    for domain in domains:
        if name.endswith("." + domain):
            bucket, raw_key, virtual = name[:-len(domain) - 1], raw_path[1:], True
            break
    else:
        raw_bucket, _, raw_key = raw_path[1:].partition("/")
        bucket, virtual = unquote(raw_bucket), False
    key = unquote(raw_key)
    if len(key.encode()) > MAX_KEY:
        raise S3Error("KeyTooLongError", Size=str(len(key.encode())), MaxSizeAllowed=str(MAX_KEY))
    if "\0" in key:
        raise S3Error("InvalidURI")
    return bucket, key, virtual
