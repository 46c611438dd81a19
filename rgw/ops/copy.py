"""CopyObject, and the source of copies."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from urllib.parse import unquote_to_bytes

from rgw.auth import checksums
from rgw.core.copy import copied_attrs
from rgw.core.objects import ObjectChanged, ObjectState
from rgw.core.state import ACL, text
from rgw.errors import S3Error
from rgw.ops import access, acl, attrs, encryption, versioning
from rgw.ops.object_read import check_conditions
from rgw.ops.object_write import conditions, refuse_locks
from rgw.ops.request import Request, Result, require_key


async def source(req: Request) -> ObjectState:
    """The object that x-amz-copy-source names, readable by the caller, its conditions checked, unlocked if it is encrypted."""
    text = req.headers["x-amz-copy-source"]
    path, _, version = text.partition("?versionId=")
    try:
        decoded = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise S3Error("InvalidArgument", "Invalid copy source encoding.", ArgumentName="x-amz-copy-source") from None
    name, _, key = decoded.removeprefix("/").partition("/")
    if not name or not key:
        raise S3Error("InvalidArgument", "Invalid copy source object key", ArgumentName="x-amz-copy-source", ArgumentValue=decoded)
    require_key(key)
    bucket = await req.find_bucket(name)
    access.require_owner(req, bucket, "x-amz-source-expected-bucket-owner")
    state = await access.load_object(req, bucket, key, version, access.READ, req.gw.objects.head)
    check_conditions(state, req.headers, "x-amz-copy-source-", copying=True)
    encryption.unlock_source(req, state)
    return state


def _directive(req: Request, name: str) -> bool:
    value = req.headers.get(name, "COPY")
    if value not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"Unknown {name}.", ArgumentName=name, ArgumentValue=value)
    return value == "REPLACE"


async def checksum_of(req: Request, src: ObjectState, algorithm: str, offset: int, length: int) -> str:
    """The base64 checksum of a range of a source, which is read for it unless that is known. S3Error OperationAborted (the source changed)."""
    stored = text(src.attrs.get(attrs.CHECKSUM + algorithm))
    if stored and (offset, length) == (0, src.size) and text(src.attrs.get(attrs.CHECKSUM + "type")) == checksums.FULL_OBJECT:
        return stored
    running = checksums.Checksum(algorithm)
    try:
        async with aclosing(req.gw.objects.read(src, offset, length)) as content:
            async for data in content:
                await asyncio.to_thread(running.update, data)
    except ObjectChanged as error:
        raise S3Error("OperationAborted", "the source changed while it was copied") from error
    return running.base64()


def _of_checksum(name: str) -> bool:
    return name.startswith(attrs.CHECKSUM) or name == attrs.PART_SUMS


async def _checksums(req: Request, src: ObjectState) -> dict[str, bytes]:
    """The attributes of the copy's checksum: the source's, or one of the algorithm that x-amz-checksum-algorithm names and no other.

    The source is read for it, unless it has that of its whole content. S3Error InvalidRequest, OperationAborted (the source changed).
    """
    held = {name: value for name, value in src.attrs.items() if _of_checksum(name)}
    if "x-amz-checksum-algorithm" not in req.headers:
        return held
    algorithm = checksums.algorithm_name(req.headers["x-amz-checksum-algorithm"])
    return attrs.checksum_attrs({algorithm: await checksum_of(req, src, algorithm, 0, src.size)})


async def copy_object(req: Request) -> Result:
    refuse_locks(req)
    key = encryption.key_to_write(req)
    replace, retag = _directive(req, "x-amz-metadata-directive"), _directive(req, "x-amz-tagging-directive")
    src = await source(req)
    bucket = req.the_bucket
    own_class = "x-amz-storage-class" in req.headers
    redirected = attrs.REDIRECT in src.attrs or "x-amz-website-redirect-location" in req.headers  # is never copied
    itself = src.bucket.bucket_id == bucket.bucket_id and src.key == req.key and not src.version_id
    if itself and not (replace or retag or own_class or redirected) and key is None and not src.encrypted:
        raise S3Error("InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing "
                      "the object's metadata, storage class, website redirect location or encryption attributes.")
    extra = await acl.new_object(req)
    sums = await _checksums(req, src)
    values: dict[str, bytes] | None = None
    if replace or retag or own_class or redirected:
        fresh = attrs.metadata(req)
        keep = src.attrs
        user = {n: v for n, v in keep.items()
                if n.startswith(attrs.PREFIX + attrs.META) or (n.removeprefix(attrs.PREFIX) in attrs.STORED.values() and n != attrs.REDIRECT)}
        own = {n: v for n, v in fresh.items() if n != attrs.TAGGING}
        values = sums | (own if replace else user | {n: v for n, v in own.items() if n in (attrs.PREFIX + "storage_class", attrs.REDIRECT)})
        tags = fresh.get(attrs.TAGGING) if retag else keep.get(attrs.TAGGING)
        if tags is not None:
            values[attrs.TAGGING] = tags
        values[ACL] = extra[ACL]
    elif "x-amz-checksum-algorithm" in req.headers:
        values = {name: value for name, value in copied_attrs(src.attrs).items() if not _of_checksum(name)} | sums
    async with req.gw.quotas.room(bucket, 0 if itself else src.size, 0 if itself else 1):
        state = await req.gw.objects.copy(
            src, bucket, req.key, owner=req.identity.user, attrs=values, conditions=conditions(req), extra=extra,
            customer_key=key)
    headers = versioning.written_headers(state) | encryption.headers(key)
    if src.version_id:
        headers["x-amz-copy-source-version-id"] = src.version_id
    return Result(headers=headers, xml=("CopyObjectResult", [("LastModified", attrs.iso(state.mtime)), ("ETag", f'"{state.etag}"'),
                                                              *attrs.checksum_elements(state.attrs)]))
