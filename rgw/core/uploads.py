"""A multipart upload in progress: its ``.meta`` object, the records of its parts, and their names (formats page, 5.6 and 12)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.compression import NONE
from rgw.core.index import IndexKey
from rgw.core.manifest import Piece, gc_chain, pieces, stripe_name, tails
from rgw.core.state import LONGEST_ID, MANIFEST, STORAGE_CLASS, TAIL_TAG, text
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.acl import AccessControlPolicy, AclOwner
from rgw.formats.basics import Obj, PlacementRule
from rgw.formats.gc import GcObj, GcObjChain
from rgw.formats.obj import CompressionInfo, MultipartUploadInfo, ObjManifest, UploadPartInfo
from rgw.store import errors as store_errors
from rgw.store.interface import IoCtx, ReadOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

PART = b"part."
CLOSED_PART = b"ext.part."  # parts of an upload whose object is being made; radosgw sees no parts then
SUMS = b"ext.sum."          # checksums of a part: "<etag> <algorithm>=<base64> ..."
NOTE = b"ext.ref."          # tails that a part copy takes references on: + "<part number>.<key of its intent>"
FORMER = b"ext.old."        # records of parts that were replaced, until their data is freed
# radosgw reads the keys from "part." on, but all keys once it finds that a part number is missing; then it takes each value for a part's
# record, what comes later for the truth, and does not count number 0. So every other value begins with such a record, in its shortest form.
_NO_PART = b"\x02\x02\x18\0\0\0" + bytes(24)
CLOSING = "user.rgw.x-pyrgw-closing"  # set on .meta while the upload is completed or aborted: no part may be recorded
NO_VERSION = b"1"  # its value, or the id of the version that the upload becomes
PIECES = "user.rgw.x-pyrgw-pieces"    # of .meta: how many pieces of other objects' tails its parts were given, as decimal digits
CHECKSUM_PREFIX = "user.rgw.x-amz-checksum-"
PAGE = 1000


@dataclass(slots=True)
class Upload:
    """An upload as its ``.meta`` object tells. ``mtime`` ns; ``placement`` of the parts."""

    bucket: Bucket
    key: str
    upload_id: str
    attrs: dict[str, bytes]
    owner: AclOwner
    mtime: int
    placement: PlacementRule
    pool: IoCtx

    @property
    def name(self) -> str:
        return f"{self.key}.{self.upload_id}"

    @property
    def meta_oid(self) -> str:
        return names.raw_name(self.bucket.marker, f"{self.name}.meta", "", "multipart")

    @property
    def meta_key(self) -> IndexKey:
        return IndexKey.multipart(f"{self.name}.meta", self.key)

    @property
    def storage_class(self) -> str:
        return text(self.attrs.get(STORAGE_CLASS)) or self.placement.storage_class

    @property
    def instance(self) -> str:
        """The version that the upload becomes, chosen when it is closed."""
        closing = self.attrs.get(CLOSING, NO_VERSION)
        return "" if closing == NO_VERSION else closing.decode()

    @property
    def final_obj(self) -> Obj:
        return Obj(self.bucket.info.bucket, "", self.key, self.instance)

    def part_obj(self, prefix: str, number: int, stripe: int = 0) -> Obj:
        """The RADOS object of a part's stripe, as an rgw_obj."""
        ns, name = stripe_name(prefix, number, stripe)
        return Obj(self.bucket.info.bucket, ns, name, "")

    def part_oid(self, prefix: str, number: int, stripe: int = 0) -> str:
        obj = self.part_obj(prefix, number, stripe)
        return names.raw_name(self.bucket.marker, obj.name, "", obj.ns)

    def part_key(self, prefix: str, number: int) -> IndexKey:
        return IndexKey.multipart(f"{prefix}.{number}", self.key)


@dataclass(slots=True)
class Part:
    """An uploaded part of ``size`` bytes as sent: ``checksums`` maps an algorithm in lower case to base64 text.

    ``info`` is its record, ``raw`` that as it was read.
    """

    number: int
    size: int
    etag: str
    mtime: int
    checksums: dict[str, str] = field(default_factory=dict)
    info: UploadPartInfo | None = None
    raw: bytes = b""

    @property
    def manifest(self) -> ObjManifest:
        assert self.info is not None
        return self.info.manifest

    @property
    def cs_info(self) -> CompressionInfo:
        assert self.info is not None
        return self.info.cs_info

    @property
    def stored_size(self) -> int:
        """Bytes that the part takes in RADOS, its own or others'."""
        return self.size if self.by_reference else self.manifest.obj_size

    @property
    def by_reference(self) -> bool:
        """Whether the part's bytes lie in other objects' tails: its record then has an empty manifest."""
        return not self.manifest.rules and not self.manifest.explicit_objs

    def prefix(self, upload: Upload) -> str:
        return self.manifest.prefix or upload.name


def reference_tag(upload_id: str, intent: bytes) -> str:
    """The tag of all references that a part's copy takes, and the tail_tag of its part's object; ``intent`` is the key of its intent."""
    return f"{upload_id}.{intent.decode()}"


def reference_intent(tag: str) -> bytes:
    """The key of the intent, from the tag; empty if that is no tag of one copy alone."""
    return ".".join(tag.rsplit(".", 2)[1:]).encode() if tag.count(".") >= 2 else b""


def object_tag(upload_id: str, cookie: str) -> str:
    """The tail_tag of an object that holds references on others' tails: they are those of one Complete, which its lock's cookie tells."""
    return f"{upload_id}/{cookie}"


def beside_parts(value: bytes) -> bytes:
    """A value of ``.meta``'s omap that is no record of a part, as it is stored."""
    return _NO_PART + value


def read_beside_parts(stored: bytes) -> bytes:
    return stored.removeprefix(_NO_PART)


def part_omap_key(number: int, prefix: bytes = PART) -> bytes:
    return prefix + b"%08d" % number


def encode_sums(etag: str, checksums: dict[str, str]) -> bytes:
    return beside_parts(" ".join([etag, *(f"{name}={value}" for name, value in sorted(checksums.items()))]).encode())


def _decode_sums(value: bytes | None, etag: str) -> dict[str, str]:
    if value is None:
        return {}
    first, *rest = read_beside_parts(value).decode().split(" ")
    if first != etag:
        return {}  # of a part that another gateway replaced
    return dict(item.split("=", 1) for item in rest)


def combined_etag(etags: list[str]) -> str:
    """The MD5 of the parts' MD5s, and their number. S3Error InvalidPart for what is no MD5."""
    try:
        joined = b"".join(bytes.fromhex(etag) for etag in etags)
    except ValueError:
        raise S3Error("InvalidPart") from None
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"


async def load_upload(gw: Gateway, bucket: Bucket, key: str, upload_id: str) -> Upload:
    """Reads ``.meta``. S3Error NoSuchUpload."""
    if len(upload_id) > LONGEST_ID or "." in upload_id:  # with a dot it could be the end of another key
        raise S3Error("NoSuchUpload", UploadId=upload_id[:LONGEST_ID])
    pool = await places.extra_pool(gw, bucket)
    oid = names.raw_name(bucket.marker, f"{key}.{upload_id}.meta", "", "multipart")
    try:
        result = await pool.read(oid, ReadOp().getxattrs().stat().read(0, 0))
    except store_errors.NotFound:
        raise S3Error("NoSuchUpload", UploadId=upload_id) from None
    placement = MultipartUploadInfo.decode(result.data).dest_placement if result.data else places.bucket_rule(bucket)
    policy = AccessControlPolicy.decode(result.xattrs["user.rgw.acl"]) if "user.rgw.acl" in result.xattrs else bucket.acl
    return Upload(bucket, key, upload_id, result.xattrs, policy.owner, result.mtime, placement, pool)


async def read_parts(upload: Upload, marker: int = 0, limit: int | None = None) -> tuple[list[Part], bool, int]:
    """Recorded parts after ``marker``: (parts, whether there are more, version of ``.meta``). S3Error NoSuchUpload.

    Both open and closed records are read; there is only one of a kind at a time.
    """
    found: list[Part] = []
    version = 0
    for prefix in (PART, CLOSED_PART):
        start = part_omap_key(marker, prefix)
        more = True
        while more and (limit is None or len(found) <= limit):
            wanted = PAGE if limit is None else min(PAGE, limit + 1 - len(found))
            op = ReadOp().omap_get(start, prefix, wanted)
            try:
                result = await upload.pool.read(upload.meta_oid, op)
            except store_errors.NotFound:
                raise S3Error("NoSuchUpload", UploadId=upload.upload_id) from None
            assert result.omap is not None
            version = result.version
            page = [_part(value) for value in result.omap.values.values()]
            await _add_sums(upload, page)
            found.extend(page)
            more = result.omap.more and bool(page)
            if page:
                start = list(result.omap.values)[-1]
        if found:
            break
    if limit is not None and len(found) > limit:
        return found[:limit], True, version
    return found, False, version


def _part(value: bytes) -> Part:
    info = UploadPartInfo.decode(value)
    size = info.accounted_size if info.cs_info.compression_type not in NONE else info.size
    return Part(info.num, size, info.etag, info.modified, info=info, raw=value)


async def _add_sums(upload: Upload, parts: list[Part]) -> None:
    if not parts:
        return
    keys = {part.number: part_omap_key(part.number, SUMS) for part in parts}
    try:
        result = await upload.pool.read(upload.meta_oid, ReadOp().omap_get_keys(keys.values()))
    except store_errors.NotFound:
        return  # the upload ended between two looks
    assert result.omap is not None
    for part in parts:
        part.checksums = _decode_sums(result.omap.values.get(keys[part.number]), part.etag)


async def _values(upload: Upload, prefix: bytes) -> AsyncIterator[tuple[bytes, bytes]]:
    """The keys of ``.meta`` that begin with ``prefix``, without it, and their values. NotFound of the store if ``.meta`` is gone."""
    start, more = prefix, True
    while more:
        result = await upload.pool.read(upload.meta_oid, ReadOp().omap_get(start, prefix, PAGE))
        assert result.omap is not None
        for key, value in result.omap.values.items():
            yield key.removeprefix(prefix), value
        start = next(reversed(result.omap.values), start)
        more = result.omap.more and bool(result.omap.values)


async def former_parts(upload: Upload) -> list[Part]:
    """Parts that were replaced and whose data a gateway may not have lived to free."""
    infos = [UploadPartInfo.decode(value) async for _, value in _values(upload, FORMER)]
    return [Part(info.num, info.size, info.etag, info.modified, info=info) for info in infos]


async def noted_references(upload: Upload) -> list[tuple[str, list[GcObj]]]:
    """All references that the upload's parts ever took, by their tags, given back or not; none if ``.meta`` is gone."""
    try:
        return [(reference_tag(upload.upload_id, key.partition(b".")[2]), GcObjChain.decode(read_beside_parts(value)).objs)
                async for key, value in _values(upload, NOTE)]
    except store_errors.NotFound:  # radosgw aborted the upload meanwhile, seeing no parts
        return []


async def part_pieces(gw: Gateway, upload: Upload, part: Part) -> list[Piece]:
    """Where a part's bytes lie, offsets from the part's start, pools named. For a part by reference its own object tells."""
    pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
    manifest = part.manifest
    if part.by_reference:
        manifest = ObjManifest.decode((await _part_xattrs(gw, upload, part))[MANIFEST])
    return [Piece(p.offset, p.length, p.loc, p.start, p.pool or pool, p.head) for p in pieces(manifest)]


async def _part_xattrs(gw: Gateway, upload: Upload, part: Part) -> dict[str, bytes]:
    ioctx = await gw.pool(places.tail_pool_name(gw, upload.bucket, upload.placement))
    return (await ioctx.read(upload.part_oid(part.prefix(upload), part.number), ReadOp().getxattrs())).xattrs


async def part_references(gw: Gateway, upload: Upload, part: Part) -> tuple[str, list[GcObj]]:
    """The references that a part by reference holds: their tag and the tails; none if its object is gone."""
    try:
        return held_references(await _part_xattrs(gw, upload, part), places.tail_pool_name(gw, upload.bucket, upload.placement))
    except store_errors.NotFound:
        return "", []


def held_references(xattrs: dict[str, bytes], pool: str) -> tuple[str, list[GcObj]]:
    """Of a part's object, by its xattrs: the tag of the references that it holds and the tails, none of a part that owns all its bytes."""
    if MANIFEST not in xattrs:
        return "", []
    return xattrs[TAIL_TAG].decode(), gc_chain(tails(ObjManifest.decode(xattrs[MANIFEST])), pool)
