"""From the raw request line and Host to bucket, key and query, byte for byte."""

from __future__ import annotations

from rgw.auth.request import bucket_of_host, unquote
from rgw.ops.request import require_key


def split_target(raw: str) -> tuple[str, str]:
    """(raw path, raw query) of a request target, absolute form too."""
    if not raw.startswith("/") and "://" in raw:
        rest = raw.partition("://")[2]
        raw = "/" + rest.partition("/")[2]
    path, _, query = raw.partition("?")
    return path or "/", query


def bucket_and_key(raw_path: str, host: str, domains: tuple[str, ...]) -> tuple[str, str, bool]:
    """(bucket, key, virtual-host style). S3Error InvalidURI, KeyTooLongError.

    The path is decoded before it is split, as radosgw does: a signature may have been made of ``/b/k`` where ``/b%2Fk`` is sent.
    """
    path, virtual = unquote(raw_path[1:]), bucket_of_host(host, domains)
    bucket, _, key = (virtual, "", path) if virtual else path.partition("/")
    require_key(key)
    return bucket, key, bool(virtual)
