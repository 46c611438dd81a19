"""What is known of an object after one look at its head."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rgw.core import places
from rgw.core.compression import NONE, original_parts
from rgw.core.encryption import CustomerKey, is_encrypted, require_key
from rgw.core.manifest import part_ranges
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.acl import AccessControlPolicy, shared_policy
from rgw.formats.basics import Obj
from rgw.formats.obj import CompressionInfo, ObjManifest, OlhInfo
from rgw.store import errors as store_errors
from rgw.store.interface import IoCtx, ReadOp, ReadResult

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

IDTAG = "user.rgw.idtag"
TAIL_TAG = "user.rgw.tail_tag"
MANIFEST = "user.rgw.manifest"
ACL = "user.rgw.acl"
ETAG = "user.rgw.etag"
CONTENT_TYPE = "user.rgw.content_type"
STORAGE_CLASS = "user.rgw.storage_class"
PG_VER = "user.rgw.pg_ver"
SOURCE_ZONE = "user.rgw.source_zone"
COMPRESSION = "user.rgw.compression"
LONGEST_ID = 128  # of a version or an upload; RADOS refuses the names that absurd ones would make
OLH_PREFIX = "user.rgw.olh."
OLH_INFO = "user.rgw.olh.info"
OLH_IDTAG = "user.rgw.olh.idtag"
OLH_VER = "user.rgw.olh.ver"
OLH_PENDING = "user.rgw.olh.pending."
PARTS = "user.rgw.x-pyrgw-parts"  # "number:size number:size ..." + NUL, where the manifest cannot tell the parts
PREFIX = "user.rgw."

# Attributes that belong to one state of an object's head and never pass from one object to another.
OWN_ATTRS = frozenset({IDTAG, TAIL_TAG, MANIFEST, PG_VER, SOURCE_ZONE, "refcount"})


def text(value: bytes | None) -> str:
    """An xattr's text without its trailing NULs; "" where it is missing."""
    return "" if value is None else value.rstrip(b"\0").decode("utf-8", "surrogateescape")


def with_nul(value: str) -> bytes:
    """Text as xattrs hold it."""
    return value.encode("utf-8", "surrogateescape") + b"\0"


_IN_ATTRS: Any = object()  # not decoded yet: few requests need more of a manifest than its sizes


class ObjectState:
    """An object as its head tells. ``attrs`` are the head's raw xattrs; ``head_data`` its prefetched start, None if not asked for.

    ``size`` is what clients see, ``version`` the head's user version, ``mtime`` ns, ``instance`` the RADOS name's version ("" for plain
    objects and the null version), ``head_size`` the bytes of the RADOS object. ``manifest`` and ``parts`` (number, offset, size; None where
    there are none) are decoded from the xattrs unless they are given. ``customer_key``: see ``unlock``.
    """

    __slots__ = ("bucket", "key", "version_id", "size", "mtime", "attrs", "head_pool", "head_oid", "head_locator", "instance", "version",
                 "head_size", "head_data", "customer_key", "_manifest", "_parts", "_head_end")

    def __init__(
        self, *, bucket: Bucket, key: str, version_id: str, size: int, mtime: int, attrs: dict[str, bytes], head_pool: IoCtx, head_oid: str,
        head_locator: str, manifest: ObjManifest | None = _IN_ATTRS, instance: str = "", version: int = 0, head_size: int = 0,
        head_data: bytes | None = None, parts: list[tuple[int, int, int]] | None = _IN_ATTRS, head_end: int = 0,
    ) -> None:
        """``head_end``: so many bytes from the object's start on are the RADOS head's, as far as is known."""
        self.bucket = bucket
        self.key = key
        self.version_id = version_id
        self.size = size
        self.mtime = mtime
        self.attrs = attrs
        self.head_pool = head_pool
        self.head_oid = head_oid
        self.head_locator = head_locator
        self.instance = instance
        self.version = version
        self.head_size = head_size
        self.head_data = head_data
        self.customer_key: CustomerKey | None = None
        self._manifest = manifest
        self._parts = parts
        self._head_end = head_end

    @property
    def manifest(self) -> ObjManifest | None:
        if self._manifest is _IN_ATTRS:
            raw = self.attrs.get(MANIFEST)
            self._manifest = None if raw is None else ObjManifest.decode(raw)
        return self._manifest

    @property
    def parts(self) -> list[tuple[int, int, int]] | None:
        if self._parts is _IN_ATTRS:
            listed = self.attrs.get(PARTS)
            parts = part_ranges(self.manifest) if listed is None else _parse_parts(text(listed))
            compression = self.compression
            self._parts = original_parts(compression, parts) if parts and compression is not None else parts
        return self._parts

    @property
    def all_in_head(self) -> bool:
        """Whether it is known, without a look at the manifest, that there is no tail."""
        return self._head_end >= self.size

    def in_head(self, offset: int, length: int) -> bytes | None:
        """Bytes of the object, if they came with its head as they are; None if they must be read."""
        end = offset + length
        if self.head_data is None or end > self._head_end or end > len(self.head_data):
            return None
        return self.head_data if length == len(self.head_data) else self.head_data[offset:end]

    @property
    def etag(self) -> str:
        return text(self.attrs.get(ETAG))

    @property
    def content_type(self) -> str:
        return text(self.attrs.get(CONTENT_TYPE))

    @property
    def storage_class(self) -> str:
        return text(self.attrs.get(STORAGE_CLASS))

    @property
    def idtag(self) -> bytes:
        return self.attrs.get(IDTAG, b"")

    @property
    def tail_tag(self) -> str:
        """The tag of the tail's references, NUL included."""
        return (self.attrs.get(TAIL_TAG) or self.idtag).decode("utf-8", "surrogateescape")

    @property
    def acl(self) -> AccessControlPolicy:
        """The object's policy; the bucket's where it has none."""
        raw = self.attrs.get(ACL)
        return self.bucket.acl if raw is None else shared_policy(raw)

    @property
    def obj(self) -> Obj:
        return Obj(self.bucket.info.bucket, "", self.key, self.instance)

    @property
    def stored_size(self) -> int:
        """Bytes that the object takes in RADOS; less than ``size`` where radosgw compressed it."""
        return self.head_size if self.manifest is None else self.manifest.obj_size

    @property
    def compression(self) -> CompressionInfo | None:
        """How radosgw compressed the object; None if it did not."""
        return compression_of(self.attrs)

    @property
    def encrypted(self) -> bool:
        """Whether the bytes are stored encrypted, in whatever mode."""
        return is_encrypted(self.attrs)

    def unlock(self, key: CustomerKey | None) -> None:
        """Takes the key for what comes; one that is not needed is ignored. S3Error as ``require_key`` has them."""
        require_key(self.attrs, key)
        if self.encrypted:
            if self.compression is not None:
                raise S3Error("NotImplemented", "What is stored compressed and encrypted cannot be read by this gateway.")
            self.customer_key = key

    def require_readable(self) -> None:
        """S3Error as ``unlock`` unless the bytes are plain or were unlocked."""
        if self.customer_key is None:
            self.unlock(None)


def compression_of(attrs: dict[str, bytes]) -> CompressionInfo | None:
    """What a head's xattrs say of its compression; None if it is not compressed."""
    raw = attrs.get(COMPRESSION)
    info = CompressionInfo.decode(raw) if raw is not None else None
    return None if info is None or info.compression_type in NONE else info


def is_olh_only(attrs: dict[str, bytes]) -> bool:
    """Whether a head holds the versions' pointer but no object of its own."""
    return OLH_IDTAG in attrs and MANIFEST not in attrs and ETAG not in attrs


def _from_result(bucket: Bucket, key: str, version_id: str, instance: str, ioctx: IoCtx, oid: str, loc: str, result: ReadResult,
                 prefetched: bool) -> ObjectState:
    attrs = result.xattrs
    raw = attrs.get(MANIFEST)
    manifest: ObjManifest | None = _IN_ATTRS
    if raw is None:
        size = head_end = result.size
    elif (sizes := ObjManifest.sizes(raw)) is not None:
        size, head_end = sizes
    else:
        manifest = ObjManifest.decode(raw)
        size, head_end = manifest.obj_size, 0
    compression = compression_of(attrs)
    if compression is not None:
        size, head_end = compression.orig_size, 0
    elif is_encrypted(attrs):
        head_end = 0  # what came with the head is not what a client may see
    return ObjectState(
        bucket=bucket, key=key, version_id=version_id, size=size, mtime=result.mtime,
        attrs=attrs, manifest=manifest, head_pool=ioctx, head_oid=oid, head_locator=loc, instance=instance, version=result.version,
        head_size=result.size, head_data=result.data if prefetched else None, head_end=head_end,
    )


def _parse_parts(value: str) -> list[tuple[int, int, int]]:
    found, offset = [], 0
    for item in value.split():
        number, _, size = item.partition(":")
        found.append((int(number), offset, int(size)))
        offset += int(size)
    return found


def format_parts(parts: list[tuple[int, int]]) -> bytes:
    """The PARTS xattr of (number, size) pairs."""
    return with_nul(" ".join(f"{number}:{size}" for number, size in parts))


@lru_cache(8)
def _look(prefetched: int) -> ReadOp:
    """The operation that reads a head, with its first ``prefetched`` bytes (0: without)."""
    op = ReadOp().getxattrs().stat()
    return op.read(0, prefetched) if prefetched else op


async def load(gw: Gateway, bucket: Bucket, key: str, version_id: str = "", *, prefetch: bool = False, raw: bool = False) -> ObjectState:
    """Reads an object's head in one round trip, with its first bytes if ``prefetch``; one more where versions must be followed.

    NoSuchKey or NoSuchVersion if it is not there, MethodNotAllowed if the version is a delete marker. ``raw``: the head as it is, without
    following the pointer of a versioned key. Else changes of versions that are announced there are finished first, as far as they came.
    """
    if len(version_id) > LONGEST_ID:
        raise S3Error("NoSuchVersion", Key=key)
    instance = "" if version_id == "null" else version_id
    marker = bucket.marker
    ioctx = bucket.head_ioctx or await places.head_pool(gw, bucket)
    loc = names.locator(marker, key)
    op = _look(gw.options.rgw_max_chunk_size if prefetch else 0)
    settled = False
    gone: set[str] = set()
    for _ in range(8):  # a version that is removed between the pointer and the look is looked up again
        oid = names.raw_name(marker, key, instance)
        try:
            result = await ioctx.read(oid, op, locator=loc)
        except store_errors.NotFound:
            if version_id or not instance:
                raise await _missing(bucket, key, version_id, raw) from None
            if instance in gone:
                raise S3Error("NoSuchKey", Key=key) from None
            gone.add(instance)
            instance = ""
            continue
        if not instance and not raw and OLH_IDTAG in result.xattrs:
            info = OlhInfo.decode(result.xattrs[OLH_INFO]) if OLH_INFO in result.xattrs else None
            astray = info is not None and info.target.name != key  # by radosgw's CopyObject: another key's pointer
            if not settled and (gone or astray or any(name.startswith(OLH_PENDING) for name in result.xattrs)):
                from rgw.core import olh  # which needs heads itself

                settled = True
                await olh.settle(gw, _from_result(bucket, key, "", "", ioctx, oid, loc, result, False), dangling=bool(gone))
                continue
            if not version_id and info is not None:
                if info.removed:
                    raise _deleted("NoSuchKey", key, info.target.instance)
                if info.target.instance not in ("", "null"):
                    instance = info.target.instance
                    continue
            if is_olh_only(result.xattrs):
                raise await _missing(bucket, key, version_id, raw)
        shown = version_id or instance or ("null" if bucket.versioned or OLH_INFO in result.xattrs else "")
        return _from_result(bucket, key, shown, instance, ioctx, oid, loc, result, prefetch)
    raise S3Error("ServiceUnavailable", "the object's versions change too fast")


async def _missing(bucket: Bucket, key: str, version_id: str, raw: bool) -> S3Error:
    """What to answer where there is no head: the version may be a delete marker, which has none."""
    if not version_id:
        return S3Error("NoSuchKey", Key=key)
    if bucket.versioned and not raw:
        from rgw.core import olh

        if (await olh.look(bucket, key, "" if version_id == "null" else version_id)).is_marker:
            return _deleted("MethodNotAllowed", key, version_id)
    return S3Error("NoSuchVersion", Key=key)


def _deleted(code: str, key: str, version_id: str) -> S3Error:
    """The answer where a delete marker stands."""
    error = S3Error(code, Key=key)
    error.headers = {"x-amz-delete-marker": "true", "x-amz-version-id": version_id or "null"}
    return error
