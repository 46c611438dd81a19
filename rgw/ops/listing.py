"""ListObjects, both versions."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import quote

from rgw.core.listing import Listing
from rgw.errors import S3Error
from rgw.formats.listed import ListedEntry
from rgw.ops.request import Request, Result, Rows

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")


def encoder(req: Request) -> Any:
    """How keys are written: as they are, or percent-encoded. S3Error InvalidArgument for other encodings."""
    kind = req.query.get("encoding-type", "")
    if kind not in ("", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=kind)
    return _url if kind else str


def _url(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe="/")


async def _page(req: Request, marker: str) -> tuple[Listing, int]:
    most = min(req.integer("max-keys", 1000), req.gw.options.rgw_max_listing_results)
    if most == 0:
        return Listing(), 0
    unordered = req.query.get("allow-unordered", "").lower() == "true"
    return await req.gw.listing.objects(req.the_bucket, req.query.get("prefix", ""), req.query.get("delimiter", ""), marker, most,
                                        unordered), most


ABOUT: list[tuple[str, Any]] = [("LastModified", "%t"), ("ETag", '"%s"'), ("Size", "%s"), ("StorageClass", "%s")]
OWNER: list[tuple[str, Any]] = [("Owner", [("ID", "%s"), ("DisplayName", "%s")])]


def keys_column(keys: list[str], encode: Any) -> list[str]:
    """Keys as ``encode`` writes them. Mostly none needs it, which is seen by one look at all."""
    return keys if encode is str or _PLAIN.fullmatch("".join(keys)) else [encode(key) for key in keys]


def about_columns(entries: list[ListedEntry]) -> list[list[Any]]:
    """Times, ETags, sizes and storage classes."""
    return [[entry.mtime for entry in entries], [entry.etag for entry in entries], [entry.accounted_size for entry in entries],
            [entry.storage_class or "STANDARD" for entry in entries]]


def owner_columns(entries: list[ListedEntry]) -> list[list[str]]:
    return [[entry.owner for entry in entries], [entry.owner_display_name for entry in entries]]


def _contents(page: Listing, encode: Any, owners: bool) -> list[tuple[str, Any]]:
    entries = page.entries
    form = ABOUT
    columns: list[list[Any]] = [keys_column([entry.name for entry in entries], encode), *about_columns(entries)]
    if owners:
        form, columns = form + OWNER, columns + owner_columns(entries)
    return [("Contents", Rows([("Key", "%s"), *form], columns)), common_prefixes(page, encode)]


def common_prefixes(page: Listing, encode: Any) -> tuple[str, Rows]:
    return "CommonPrefixes", Rows([("Prefix", "%s")], [keys_column(page.common_prefixes, encode)])


def _common(req: Request, encode: Any, prefix: str) -> list[tuple[str, Any]]:
    delimiter = req.query.get("delimiter", "")
    return [("Name", req.bucket_name), ("Prefix", prefix),
            ("Delimiter", encode(delimiter) if delimiter else None),
            ("EncodingType", req.query.get("encoding-type") or None)]


async def list_v1(req: Request) -> Result:
    encode = encoder(req)  # not for the prefix: as radosgw, and boto3 does not decode it here
    marker = req.query.get("marker", "")
    page, most = await _page(req, marker)
    after = encode(page.next_marker) if page.truncated else None
    return Result(xml=("ListBucketResult", [
        *_common(req, encode, req.query.get("prefix", "")), ("Marker", encode(marker)), ("NextMarker", after), ("MaxKeys", most),
        ("IsTruncated", page.truncated),
        *_contents(page, encode, True)]))


async def list_v2(req: Request) -> Result:
    if req.query["list-type"] != "2":
        raise S3Error("InvalidArgument", ArgumentName="list-type", ArgumentValue=req.query["list-type"])
    encode = encoder(req)
    token, after = req.query.get("continuation-token"), req.query.get("start-after", "")
    marker = after
    if token:
        try:
            marker = base64.urlsafe_b64decode(token.encode("ascii")).decode("utf-8")
        except (UnicodeError, binascii.Error, ValueError):
            marker = ""
        if not marker:
            raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")
    page, most = await _page(req, marker)
    following = base64.urlsafe_b64encode(page.next_marker.encode()).decode() if page.truncated else None
    return Result(xml=("ListBucketResult", [
        *_common(req, encode, encode(req.query.get("prefix", ""))),
        ("StartAfter", encode(after) if after else None), ("ContinuationToken", token),
        ("NextContinuationToken", following), ("KeyCount", len(page.entries) + len(page.common_prefixes)), ("MaxKeys", most),
        ("IsTruncated", page.truncated), *_contents(page, encode, req.query.get("fetch-owner", "").lower() == "true")]))
