"""What objects' xattrs and uploads' omaps hold (formats page 3.6). Sources: rgw_obj_manifest.h, rgw_compression_types.h of Ceph Pacific."""

from __future__ import annotations

import struct as bits

from rgw.formats.basics import BucketName, Obj, PlacementRule
from rgw.formats.encoding import BOOL, S32, STR, TIME, U32, U64, FormatError, Struct, f, list_of, map_of, optional, struct


@struct(2, 2)
class ManifestPart(Struct):
    """RGWObjManifestPart: ``size`` bytes from ``loc_ofs`` on in one RADOS object."""

    loc: Obj = f(Obj)
    loc_ofs: int = f(U64)
    size: int = f(U64)


@struct(2, 1)
class ManifestRule(Struct):
    """RGWObjManifestRule, in bytes; ``part_size`` 0: unlimited."""

    start_part_num: int = f(U32)
    start_ofs: int = f(U64)
    part_size: int = f(U64)
    stripe_max_size: int = f(U64)
    override_prefix: str = f(STR, since=2)


_START = bits.Struct("<BBIQIB")  # version, compat, length; obj_size, number of objs, explicit_objs
_HEADER = bits.Struct("<BBI")
_SIZE = bits.Struct("<Q")
_OBJS = map_of(U64, ManifestPart)
_RULES = map_of(U64, ManifestRule)
_TAIL_BUCKET = optional(BucketName)
_TAIL_INSTANCE = optional(STR)


@struct(7, 6)
class ObjManifest(Struct):
    """RGWObjManifest, in bytes. ``tail_bucket``, ``tail_instance``: None where they are the object's own."""

    obj_size: int = f(U64)
    objs: dict[int, ManifestPart] = f(_OBJS)
    explicit_objs: bool = f(BOOL)
    obj: Obj = f(Obj)
    head_size: int = f(U64)
    max_head_size: int = f(U64)
    prefix: str = f(STR)
    rules: dict[int, ManifestRule] = f(_RULES)
    tail_bucket: BucketName | None = f(_TAIL_BUCKET)
    tail_instance: str | None = f(_TAIL_INSTANCE)
    head_placement: PlacementRule = f(PlacementRule)
    tail_placement: PlacementRule = f(PlacementRule)

    @staticmethod
    def sizes(data: bytes) -> tuple[int, int] | None:
        """``obj_size`` and ``head_size`` of an encoded manifest by rules, with nothing else decoded. None where ``decode`` must tell."""
        try:
            version, compat, _, obj_size, objs, explicit = _START.unpack_from(data)
            if version < 3 or compat > 7 or objs or explicit:
                return None
            obj_length = _HEADER.unpack_from(data, _START.size)[2]
            return obj_size, _SIZE.unpack_from(data, _START.size + _HEADER.size + obj_length)[0]
        except bits.error:
            return None

    @staticmethod
    def _enc_body(out: bytearray, o: ObjManifest) -> None:
        U64.enc(out, o.obj_size)
        _OBJS.enc(out, o.objs)
        BOOL.enc(out, o.explicit_objs)
        Obj._enc(out, o.obj)
        U64.enc(out, o.head_size)
        U64.enc(out, o.max_head_size)
        STR.enc(out, o.prefix)
        _RULES.enc(out, o.rules)
        _TAIL_BUCKET.enc(out, o.tail_bucket)
        _TAIL_INSTANCE.enc(out, o.tail_instance)
        PlacementRule._enc(out, o.head_placement)
        PlacementRule._enc(out, o.tail_placement)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[ObjManifest, int]:
        if v < 3:
            raise FormatError(f"RGWObjManifest of version {v} is older than this gateway reads")
        o = ObjManifest()
        o.obj_size, pos = U64.dec(buf, pos, end)
        o.objs, pos = _OBJS.dec(buf, pos, end)
        o.explicit_objs, pos = BOOL.dec(buf, pos, end)
        o.obj, pos = Obj._dec(buf, pos, end)
        o.head_size, pos = U64.dec(buf, pos, end)
        o.max_head_size, pos = U64.dec(buf, pos, end)
        o.prefix, pos = STR.dec(buf, pos, end)
        o.rules, pos = _RULES.dec(buf, pos, end)
        if v >= 4:  # before version 6 without the byte that tells whether it is there
            o.tail_bucket, pos = _TAIL_BUCKET.dec(buf, pos, end) if v >= 6 else BucketName._dec(buf, pos, end)
        if v >= 5:
            o.tail_instance, pos = _TAIL_INSTANCE.dec(buf, pos, end) if v >= 6 else STR.dec(buf, pos, end)
        if v >= 7:
            o.head_placement, pos = PlacementRule._dec(buf, pos, end)
            o.tail_placement, pos = PlacementRule._dec(buf, pos, end)
        return o, pos


@struct(1, 1)
class MultipartUploadInfo(Struct):
    """multipart_upload_info."""

    dest_placement: PlacementRule = f(PlacementRule)


@struct(1, 1)
class CompressionBlock(Struct):
    """compression_block."""

    old_ofs: int = f(U64)
    new_ofs: int = f(U64)
    len: int = f(U64)


@struct(2, 1)
class CompressionInfo(Struct):
    """RGWCompressionInfo."""

    compression_type: str = f(STR, "none")
    orig_size: int = f(U64)
    compressor_message: int | None = f(optional(S32), since=2)
    blocks: list[CompressionBlock] = f(list_of(CompressionBlock))


@struct(4, 2)
class UploadPartInfo(Struct):
    """RGWUploadPartInfo."""

    num: int = f(U32)
    size: int = f(U64)
    etag: str = f(STR)
    modified: int = f(TIME)
    manifest: ObjManifest = f(ObjManifest, since=3)
    cs_info: CompressionInfo = f(CompressionInfo, since=4)
    accounted_size: int = f(U64, since=4)


@struct(1, 1)
class OlhInfo(Struct):
    """RGWOLHInfo. ``removed``: the target is a delete marker."""

    target: Obj = f(Obj)
    removed: bool = f(BOOL)


@struct(1, 1)
class OlhPendingInfo(Struct):
    """RGWOLHPendingInfo."""

    time: int = f(TIME)


@struct(1, 1)
class ObjectRetention(Struct):
    """RGWObjectRetention."""

    mode: str = f(STR)
    until: int = f(TIME)


@struct(1, 1)
class ObjectLegalHold(Struct):
    """RGWObjectLegalHold: ON or OFF."""

    status: str = f(STR)
