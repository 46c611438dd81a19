"""Multipart uploads."""

from __future__ import annotations

import re
from typing import Any

from rgw.auth import checksums
from rgw.core.encryption import CustomerKey, is_encrypted, require_key
from rgw.core.multipart import CompletedPart, Part, Upload
from rgw.core.restrictions import require_no_default_lock
from rgw.core.state import ACL, text
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy
from rgw.ops import access, acl, attrs, encryption, versioning
from rgw.ops.copy import checksum_of, source
from rgw.ops.listing import encoder
from rgw.ops.object_write import conditions, refuse_locks
from rgw.ops.receive import received, require_body
from rgw.ops.request import Request, Result

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)


async def create(req: Request) -> Result:
    refuse_locks(req)
    key = encryption.key_to_write(req)
    values = attrs.metadata(req) | await acl.new_object(req)
    headers = encryption.headers(key)
    named = req.headers.get("x-amz-checksum-algorithm")
    if named:
        algorithm = checksums.algorithm_name(named)
        kind = checksums.checksum_type(req.headers, algorithm)
        values |= {attrs.CHECKSUM + "algorithm": algorithm.encode() + b"\0", attrs.CHECKSUM + "type": kind.encode() + b"\0"}
        headers |= {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind}
    upload_id = await req.gw.multipart.create(req.the_bucket, req.key, owner=req.identity.user, attrs=values, customer_key=key)
    return Result(headers=headers, xml=("InitiateMultipartUploadResult", [
        ("Bucket", req.bucket_name), ("Key", req.key), ("UploadId", upload_id)]))


def _number(req: Request) -> int:
    value = req.query["partNumber"]
    most = req.gw.options.rgw_multipart_part_upload_limit
    if not (value.isascii() and value.isdigit() and len(value) < 6 and 1 <= int(value) <= most):
        raise S3Error("InvalidArgument", f"Part number must be an integer between 1 and {most}, inclusive", ArgumentName="partNumber",
                      ArgumentValue=value)
    return int(value)


async def _upload(req: Request) -> Upload:
    return await req.gw.multipart.get(req.the_bucket, req.key, req.query["uploadId"])


def _key(req: Request, upload: Upload) -> CustomerKey | None:
    """The key that a part comes with. S3Error InvalidRequest if its upload is not encrypted: it would be stored as it is."""
    key = encryption.key_to_write(req)
    if key is not None and not is_encrypted(upload.attrs):
        raise S3Error("InvalidRequest", "The upload was created without a customer's key, hence its parts cannot be encrypted.")
    return key


def _same_algorithm(req: Request, upload: Upload) -> None:
    """S3Error InvalidRequest for a part with another checksum than its upload's: the object's could not be made of it."""
    wanted, sent = text(upload.attrs.get(attrs.CHECKSUM + "algorithm")), req.body.algorithm
    if wanted and sent and sent != wanted:
        raise S3Error("InvalidRequest", f"Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {sent}")


async def upload_part(req: Request) -> Result:
    number = _number(req)
    require_body(req)
    upload = await _upload(req)
    key = _key(req, upload)
    _same_algorithm(req, upload)
    writer = req.gw.multipart.part_writer(upload, number, req.body.length, key)
    async with received(req, writer):
        sums = req.body.checksums
        part = await writer.complete(req.body.md5, sums)
    return Result(headers={"ETag": f'"{part.etag}"'} | {f"x-amz-checksum-{name}": value for name, value in sums.items()} | encryption.headers(key))


async def copy_part(req: Request) -> Result:
    number = _number(req)
    upload = await _upload(req)
    key = _key(req, upload)
    require_key(upload.attrs, key)
    src = await source(req)
    offset, length = 0, src.size
    header = req.headers.get("x-amz-copy-source-range")
    if header is not None:
        match = _RANGE.fullmatch(header)
        if match is None or int(match[1]) > int(match[2]):
            raise S3Error("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last",
                          ArgumentName="x-amz-copy-source-range", ArgumentValue=header)
        if int(match[2]) >= src.size:
            raise S3Error("InvalidRange")
        offset, length = int(match[1]), int(match[2]) - int(match[1]) + 1

    async def work() -> tuple[str, Any]:
        async with req.gw.quotas.room(req.the_bucket, length):
            algorithm = text(upload.attrs.get(attrs.CHECKSUM + "algorithm"))  # the bytes are read for it, and copied by reference all the same
            sums = {algorithm: await checksum_of(req, src, algorithm, offset, length)} if algorithm else {}
            part = await req.gw.multipart.copy_part(upload, number, src, offset, length, key, sums)
        return "CopyPartResult", [("LastModified", attrs.iso(part.mtime)), ("ETag", f'"{part.etag}"'), *attrs.sum_elements(sums)]
    return Result(headers=encryption.headers(key), later=work())


async def _listable(req: Request) -> Upload:
    """The upload, if its ACL lets the caller read it or the bucket is his own; S3Error AccessDenied."""
    try:
        upload = await _upload(req)
    except S3Error:
        access.require(req, req.the_bucket.acl, access.READ)  # else nobody may know
        raise
    if not access.owns_bucket(req, access.READ):
        raw = upload.attrs.get(ACL)
        access.require(req, AccessControlPolicy.decode(raw) if raw is not None else AccessControlPolicy(), access.READ)
    return upload


async def list_parts(req: Request) -> Result:
    encode = encoder(req)
    upload = await _listable(req)
    marker, most = req.integer("part-number-marker", 0), min(req.integer("max-parts", 1000), 1000)
    parts, more = await req.gw.multipart.list_parts(upload, marker, most)
    who = [("ID", upload.owner.id), ("DisplayName", upload.owner.display_name)]
    rows = [("Part", [("PartNumber", p.number), ("LastModified", attrs.iso(p.mtime)), ("ETag", f'"{p.etag}"'), ("Size", p.size),
                      *attrs.sum_elements(p.checksums)]) for p in parts]
    return Result(xml=("ListPartsResult", [
        ("Bucket", req.bucket_name), ("Key", encode(req.key)), ("UploadId", upload.upload_id), ("Initiator", who), ("Owner", who),
        ("StorageClass", upload.storage_class or "STANDARD"), ("PartNumberMarker", marker), ("NextPartNumberMarker", parts[-1].number if parts else 0),
        ("MaxParts", most), ("IsTruncated", more), ("ChecksumAlgorithm", text(upload.attrs.get(attrs.CHECKSUM + "algorithm")).upper() or None),
        ("ChecksumType", text(upload.attrs.get(attrs.CHECKSUM + "type")) or None), *rows]))


async def list_uploads(req: Request) -> Result:
    encode = encoder(req)
    prefix, delimiter = req.query.get("prefix", ""), req.query.get("delimiter", "")
    key_marker, id_marker = req.query.get("key-marker", ""), req.query.get("upload-id-marker", "")
    most = min(req.integer("max-uploads", 1000), 1000)
    page = await req.gw.multipart.list_uploads(req.the_bucket, prefix, delimiter, key_marker, id_marker if key_marker else "", most)
    rows: list[tuple[str, Any]] = []
    for u in page.uploads:
        who = [("ID", u.owner), ("DisplayName", u.owner_display_name)]
        rows.append(("Upload", [("Key", encode(u.key)), ("UploadId", u.upload_id), ("Initiator", who), ("Owner", who),
                                ("StorageClass", u.storage_class or "STANDARD"), ("Initiated", attrs.iso(u.initiated))]))
    rows += [("CommonPrefixes", [("Prefix", encode(each))]) for each in page.common_prefixes]
    return Result(xml=("ListMultipartUploadsResult", [
        ("Bucket", req.bucket_name), ("KeyMarker", encode(key_marker)), ("UploadIdMarker", id_marker), ("Prefix", encode(prefix)),
        ("Delimiter", encode(delimiter) if delimiter else None), ("EncodingType", req.query.get("encoding-type") or None),
        ("NextKeyMarker", encode(page.next_key_marker)), ("NextUploadIdMarker", page.next_upload_id_marker), ("MaxUploads", most),
        ("IsTruncated", page.truncated), *rows]))


async def abort(req: Request) -> Result:
    await req.gw.multipart.abort(req.the_bucket, req.key, req.query["uploadId"])
    return Result(204)


def _wanted(root: Any, most: int) -> list[CompletedPart]:
    if root is None or root.tag != "CompleteMultipartUpload":
        raise S3Error("MalformedXML")
    found = []
    for item in root.iterfind("Part"):
        number, etag = (item.findtext("PartNumber") or "").strip(), (item.findtext("ETag") or "").strip().strip('"')
        if not (number.isascii() and number.isdigit() and len(number) < 6) or not etag:
            raise S3Error("MalformedXML")
        if not 1 <= int(number) <= most:
            raise S3Error("InvalidArgument", f"PartNumber must be between 1 and {most}")
        sums = {name: value for name in checksums.ALGORITHMS if (value := item.findtext(f"Checksum{name.upper()}"))}
        found.append(CompletedPart(int(number), etag, sums or None))
    if not found or len(found) > most:
        raise S3Error("MalformedXML")
    return found


async def complete(req: Request) -> Result:
    require_no_default_lock(req.the_bucket)
    key = encryption.key_to_write(req)  # radosgw asks for none here; one that comes must fit
    wanted = _wanted(await req.xml(), req.gw.options.rgw_multipart_part_upload_limit)
    size = req.headers.get("x-amz-mp-object-size")
    upload_id = req.query["uploadId"]
    try:
        held = (await _upload(req)).attrs
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise
        held = {}  # perhaps a retry after success: the core tells
    if key is not None:
        require_key(held, key)
    algorithm, kind = text(held.get(attrs.CHECKSUM + "algorithm")), text(held.get(attrs.CHECKSUM + "type"))

    claimed_kind = req.headers.get("x-amz-checksum-type", "").strip().upper()
    if held and kind and claimed_kind not in ("", kind):
        raise S3Error("InvalidRequest", f"The upload was created using the {kind} checksum type, the complete request names {claimed_kind}.")

    def sums_of(parts: list[Part]) -> dict[str, bytes]:
        if size is not None and size.strip() != str(sum(p.size for p in parts)):
            raise S3Error("InvalidRequest", "The x-amz-mp-object-size header is not the sum of the parts' sizes.")
        if not algorithm or any(algorithm not in p.checksums for p in parts):
            return {}
        if kind == checksums.FULL_OBJECT:
            value = checksums.full_object(algorithm, ((p.checksums[algorithm], p.size) for p in parts))
        else:
            value = checksums.composite(algorithm, (p.checksums[algorithm] for p in parts))
        claimed = req.headers.get(checksums.PREFIX + algorithm)
        if claimed is not None and claimed.strip() not in (value, value.partition("-")[0]):
            checksums.decode_value(algorithm, claimed.partition("-")[0])  # InvalidRequest
            raise S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
        return attrs.checksum_attrs({algorithm: value}, kind) | attrs.part_sums_attrs(algorithm, (p.checksums[algorithm] for p in parts))

    async def work() -> tuple[str, Any]:
        async with req.gw.quotas.room(req.the_bucket, 0, 0):  # the parts are counted already
            state = await req.gw.multipart.complete(req.the_bucket, req.key, upload_id, wanted, conditions=conditions(req), attrs_of=sums_of)
        result.headers |= versioning.written_headers(state)
        return "CompleteMultipartUploadResult", [
            ("Location", req.object_url), ("Bucket", req.bucket_name), ("Key", req.key), ("ETag", f'"{state.etag}"'),
            *attrs.checksum_elements(state.attrs)]
    result = Result()
    result.later = work()
    return result
