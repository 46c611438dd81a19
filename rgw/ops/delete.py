"""DeleteObject and DeleteObjects."""

from __future__ import annotations

import asyncio
from typing import Any

from rgw.core.conditions import Conditions
from rgw.core.restrictions import require_removable
from rgw.errors import S3Error
from rgw.ops import versioning
from rgw.ops.request import Request, Result, require_key
from rgw.store.errors import StoreError

_CONDITIONS = ("x-amz-if-match-last-modified-time", "x-amz-if-match-size")  # of directory buckets; to ignore them would delete too much


async def delete_one(req: Request) -> Result:
    for name in _CONDITIONS:
        if name in req.headers:
            raise S3Error("NotImplemented", f"{name} is not implemented.")
    match = req.headers.get("if-match")
    wanted = Conditions(if_match=match) if match is not None else None
    version = req.query.get("versionId", "")
    await require_removable(req.gw, req.the_bucket, req.key, version)
    done = await req.gw.objects.delete(req.the_bucket, req.key, version, wanted, req.identity.user)
    return Result(204, versioning.deleted_headers(done))


async def delete_many(req: Request) -> Result:
    root = await req.xml()
    if root is None or root.tag != "Delete":
        raise S3Error("MalformedXML")
    if not any(name == "content-md5" or name.startswith("x-amz-checksum-") for name in req.headers) and not req.body.checksums:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 or a checksum")
    quiet = (root.findtext("Quiet") or "").strip().lower() == "true"
    if any(item.find(name) is not None for item in root.iterfind("Object") for name in ("LastModifiedTime", "Size")):
        raise S3Error("NotImplemented", "Conditions on an object's time or size are not implemented.")
    wanted = [(item.findtext("Key") or "", item.findtext("VersionId") or "", item.findtext("ETag")) for item in root.iterfind("Object")]
    if not wanted or len(wanted) > req.gw.options.rgw_delete_multi_obj_max_num or any(not key for key, _, _ in wanted):
        raise S3Error("MalformedXML")
    gate = asyncio.Semaphore(req.gw.options.rgw_multi_obj_del_max_aio)

    async def remove(key: str, version: str, etag: str | None) -> tuple[str, Any] | None:
        row: list[tuple[str, Any]] = [("Key", key), ("VersionId", version or None)]
        try:
            require_key(key)
            async with gate:
                await require_removable(req.gw, req.the_bucket, key, version)
                done = await req.gw.objects.delete(
                    req.the_bucket, key, version, Conditions(if_match=etag) if etag else None, req.identity.user)
        except S3Error as error:
            return "Error", [*row, ("Code", error.code), ("Message", error.message)]
        except StoreError:
            return "Error", [*row, ("Code", "ServiceUnavailable"), ("Message", S3Error("ServiceUnavailable").message)]
        if done.delete_marker:
            row += [("DeleteMarker", True), ("DeleteMarkerVersionId", done.version_id)]
        return None if quiet else ("Deleted", row)

    rows = await asyncio.gather(*(remove(*item) for item in wanted))
    return Result(xml=("DeleteResult", [row for row in rows if row is not None]))
