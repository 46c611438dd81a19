"""?versioning and ?versions of buckets, and how replies tell of versions."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rgw.core.buckets import FLAG_OBJECT_LOCK
from rgw.core.listing import Listing
from rgw.core.objects import ObjectState
from rgw.core.versions import Deleted
from rgw.errors import S3Error
from rgw.formats.index import FLAG_DELETE_MARKER
from rgw.formats.listed import ListedEntry
from rgw.ops import access
from rgw.ops.listing import ABOUT, OWNER, about_columns, common_prefixes, encoder, keys_column, owner_columns
from rgw.ops.request import Request, Result, Rows


def headers(state: ObjectState) -> dict[str, str]:
    """The header that tells which version an object is; none in buckets without versions."""
    return {"x-amz-version-id": state.version_id} if state.version_id else {}


def written_headers(state: ObjectState) -> dict[str, str]:
    """The same of an object that was just written: S3 and radosgw do not tell that it is the null version."""
    return {} if state.version_id == "null" else headers(state)


def deleted_headers(done: Deleted) -> dict[str, str]:
    """The headers that tell what a delete did."""
    found = {"x-amz-version-id": done.version_id} if done.version_id else {}
    return found | {"x-amz-delete-marker": "true"} if done.delete_marker else found


async def get(req: Request) -> Result:
    access.require_bucket_owner(req)
    bucket = req.the_bucket
    status = "Enabled" if bucket.versioning_enabled else "Suspended" if bucket.versioning_suspended else None
    return Result(xml=("VersioningConfiguration", [("Status", status)]))


async def put(req: Request) -> Result:
    access.require_bucket_owner(req)
    root = await req.xml()
    if root is None or root.tag != "VersioningConfiguration":
        raise S3Error("MalformedXML")
    mfa = (root.findtext("MfaDelete") or root.findtext("MFADelete") or "").strip()
    if mfa not in ("", "Disabled") or "x-amz-mfa" in req.headers:
        raise S3Error("NotImplemented", "MFA delete is not implemented.")
    status = (root.findtext("Status") or "").strip()
    if status not in ("Enabled", "Suspended"):
        raise S3Error("IllegalVersioningConfigurationException")
    if status == "Suspended" and req.the_bucket.info.flags & FLAG_OBJECT_LOCK:
        raise S3Error("InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
    await req.gw.buckets.set_versioning(req.the_bucket, status == "Enabled")
    return Result()


async def list_versions(req: Request) -> Result:
    encode = encoder(req)
    query = req.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version_marker and not key_marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.", ArgumentName="version-id-marker",
                      ArgumentValue=version_marker)
    most = min(req.integer("max-keys", 1000), req.gw.options.rgw_max_listing_results)
    page = await req.gw.listing.versions(req.the_bucket, prefix, delimiter, key_marker, version_marker, most) if most else Listing()
    rows = [_rows(list(run), encode) for _, run in groupby(page.entries, _is_marker)]
    return Result(xml=("ListVersionsResult", [
        ("Name", req.bucket_name), ("Prefix", encode(prefix)), ("KeyMarker", encode(key_marker)), ("VersionIdMarker", version_marker),
        ("NextKeyMarker", encode(page.next_marker) if page.truncated else None),
        ("NextVersionIdMarker", page.next_version_marker or None if page.truncated else None),
        ("MaxKeys", most), ("Delimiter", encode(delimiter) if delimiter else None), ("IsTruncated", page.truncated),
        ("EncodingType", query.get("encoding-type") or None), *rows, common_prefixes(page, encode)]))


_FORM: list[tuple[str, Any]] = [("Key", "%s"), ("VersionId", "%s"), ("IsLatest", "%s")]


def _is_marker(entry: ListedEntry) -> bool:
    return bool(entry.flags & FLAG_DELETE_MARKER)


def _rows(entries: list[ListedEntry], encode: Any) -> tuple[str, Rows]:
    """Versions, or delete markers."""
    columns = [keys_column([entry.name for entry in entries], encode), [entry.instance or "null" for entry in entries],
               ["true" if entry.current else "false" for entry in entries]]
    about = about_columns(entries)
    if _is_marker(entries[0]):
        return "DeleteMarker", Rows([*_FORM, ABOUT[0], *OWNER], [*columns, about[0], *owner_columns(entries)])
    return "Version", Rows([*_FORM, *ABOUT, *OWNER], [*columns, *about, *owner_columns(entries)])
