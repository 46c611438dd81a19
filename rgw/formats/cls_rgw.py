"""Requests and replies of the object class ``rgw`` (formats page 4). Source: cls_rgw_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BLOB, BOOL, S32, STR, TIME, U8, U16, U32, U64, Struct, f, list_of, map_of, struct
from rgw.formats.gc import GcObjInfo
from rgw.formats.index import (
    BucketInstanceEntry,
    CategoryStats,
    ClsObjKey,
    DirEntry,
    DirEntryMeta,
    DirHeader,
    EntryVer,
    OlhLogEntry,
    ReshardEntry,
)
from rgw.formats.listed import BucketDir
from rgw.formats.misc import LcEntry, LcHead

_KEYS = list_of(ClsObjKey)
_TEXTS = list_of(STR)


@struct(6, 4)
class ListOp(Struct):
    """rgw_cls_list_op; ``start_obj`` is exclusive, ``num_entries`` 0 asks for the header alone."""

    num_entries: int = f(U32)
    filter_prefix: str = f(STR)
    start_obj: ClsObjKey = f(ClsObjKey)
    list_versions: bool = f(BOOL, since=5)
    delimiter: str = f(STR, since=6)


@struct(4, 2)
class ListRet(Struct):
    """rgw_cls_list_ret."""

    dir: BucketDir = f(BucketDir)
    truncated: bool = f(BOOL)
    marker: ClsObjKey = f(ClsObjKey, since=4)


@struct(7, 5)
class PrepareOp(Struct):
    """rgw_cls_obj_prepare_op. ``op``: 0 add, 1 delete."""

    op: int = f(U8)
    tag: str = f(STR)
    locator: str = f(STR)
    log_op: bool = f(BOOL)
    key: ClsObjKey = f(ClsObjKey)
    bilog_flags: int = f(U16, since=6)
    zones_trace: list[str] = f(_TEXTS, since=7)


@struct(9, 7)
class CompleteOp(Struct):
    """rgw_cls_obj_complete_op. ``op``: 0 add, 1 delete, 2 cancel."""

    op: int = f(U8)
    tag: str = f(STR)
    locator: str = f(STR)
    log_op: bool = f(BOOL)
    key: ClsObjKey = f(ClsObjKey)
    ver: EntryVer = f(EntryVer)
    meta: DirEntryMeta = f(DirEntryMeta)
    remove_objs: list[ClsObjKey] = f(_KEYS)
    bilog_flags: int = f(U16)
    zones_trace: list[str] = f(_TEXTS)

    @staticmethod
    def _enc_body(out: bytearray, o: CompleteOp) -> None:
        U8.enc(out, o.op)
        U64.enc(out, o.ver.epoch & 0xFFFFFFFFFFFFFFFF)
        DirEntryMeta._enc(out, o.meta)
        STR.enc(out, o.tag)
        STR.enc(out, o.locator)
        _KEYS.enc(out, o.remove_objs)
        EntryVer._enc(out, o.ver)
        BOOL.enc(out, o.log_op)
        ClsObjKey._enc(out, o.key)
        U16.enc(out, o.bilog_flags)
        _TEXTS.enc(out, o.zones_trace)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[CompleteOp, int]:
        o = CompleteOp()
        o.op, pos = U8.dec(buf, pos, end)
        o.meta, pos = DirEntryMeta._dec(buf, pos + 8, end)  # the epoch comes again in ver
        o.tag, pos = STR.dec(buf, pos, end)
        o.locator, pos = STR.dec(buf, pos, end)
        o.remove_objs, pos = _KEYS.dec(buf, pos, end)
        o.ver, pos = EntryVer._dec(buf, pos, end)
        o.log_op, pos = BOOL.dec(buf, pos, end)
        o.key, pos = ClsObjKey._dec(buf, pos, end)
        if v >= 8:
            o.bilog_flags, pos = U16.dec(buf, pos, end)
        if v >= 9:
            o.zones_trace, pos = _TEXTS.dec(buf, pos, end)
        return o, pos


@struct(5, 1)
class LinkOlhOp(Struct):
    """rgw_cls_link_olh_op. ``unmod_seconds`` is ``unmod_since`` for old peers, in seconds."""

    key: ClsObjKey = f(ClsObjKey)
    olh_tag: str = f(STR)
    delete_marker: bool = f(BOOL)
    op_tag: str = f(STR)
    meta: DirEntryMeta = f(DirEntryMeta)
    olh_epoch: int = f(U64)
    log_op: bool = f(BOOL)
    bilog_flags: int = f(U16)
    unmod_seconds: int = f(U64, since=2)
    unmod_since: int = f(TIME, since=3)
    high_precision_time: bool = f(BOOL, since=4)
    zones_trace: list[str] = f(_TEXTS, since=5)


@struct(3, 1)
class UnlinkInstanceOp(Struct):
    """rgw_cls_unlink_instance_op."""

    key: ClsObjKey = f(ClsObjKey)
    op_tag: str = f(STR)
    olh_epoch: int = f(U64)
    log_op: bool = f(BOOL)
    bilog_flags: int = f(U16)
    olh_tag: str = f(STR, since=2)
    zones_trace: list[str] = f(_TEXTS, since=3)


@struct(1, 1)
class ReadOlhLogOp(Struct):
    olh: ClsObjKey = f(ClsObjKey)
    ver_marker: int = f(U64)
    olh_tag: str = f(STR)


@struct(1, 1)
class ReadOlhLogRet(Struct):
    log: dict[int, list[OlhLogEntry]] = f(map_of(U64, list_of(OlhLogEntry)))
    truncated: bool = f(BOOL)


@struct(1, 1)
class TrimOlhLogOp(Struct):
    olh: ClsObjKey = f(ClsObjKey)
    ver: int = f(U64)
    olh_tag: str = f(STR)


@struct(1, 1)
class ClearOlhOp(Struct):
    key: ClsObjKey = f(ClsObjKey)
    olh_tag: str = f(STR)


@struct(1, 1)
class BiGetOp(Struct):
    """``type``: 1 plain, 2 instance, 3 OLH."""

    key: ClsObjKey = f(ClsObjKey)
    type: int = f(U8)


@struct(1, 1)
class BiEntry(Struct):
    """rgw_cls_bi_entry: an omap entry as it stands."""

    type: int = f(U8)
    idx: str = f(STR)
    data: bytes = f(BLOB)


@struct(1, 1)
class BiGetRet(Struct):
    entry: BiEntry = f(BiEntry)


@struct(1, 1)
class BiPutOp(Struct):
    entry: BiEntry = f(BiEntry)


@struct(1, 1)
class BiListOp(Struct):
    max: int = f(U32)
    name_filter: str = f(STR)
    marker: str = f(STR)


@struct(1, 1)
class BiListRet(Struct):
    entries: list[BiEntry] = f(list_of(BiEntry))
    truncated: bool = f(BOOL)


@struct(1, 1)
class CheckIndexRet(Struct):
    existing_header: DirHeader = f(DirHeader)
    calculated_header: DirHeader = f(DirHeader)


@struct(1, 1)
class UpdateStatsOp(Struct):
    absolute: bool = f(BOOL)
    stats: dict[int, CategoryStats] = f(map_of(U8, CategoryStats))


@struct(1, 1)
class TagTimeoutOp(Struct):
    """``tag_timeout`` in seconds; 0: the default."""

    tag_timeout: int = f(U64)


@struct()
class SuggestedChange(Struct):
    """``op``: u (0x75) or r (0x72), with 0x80 if it is to be logged."""

    op: int = f(U8)
    entry: DirEntry = f(DirEntry)


@struct()
class SuggestChangesOp(Struct):
    """Changes one after the other, without a count."""

    changes: list[SuggestedChange] = f(list_of(SuggestedChange))

    @staticmethod
    def _enc_body(out: bytearray, o: SuggestChangesOp) -> None:
        for change in o.changes:
            SuggestedChange._enc(out, change)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[SuggestChangesOp, int]:
        found = []
        while pos < end:
            change, pos = SuggestedChange._dec(buf, pos, end)
            found.append(change)
        return SuggestChangesOp(found), pos


@struct(1, 1)
class ObjRemoveOp(Struct):
    keep_attr_prefixes: list[str] = f(_TEXTS)


@struct(1, 1)
class StorePgVerOp(Struct):
    attr: str = f(STR)


@struct(1, 1)
class CheckAttrsPrefixOp(Struct):
    check_prefix: str = f(STR)
    fail_if_exist: bool = f(BOOL)


@struct(2, 1)
class CheckMtimeOp(Struct):
    """``type``: 0 EQ, 1 LT, 2 LE, 3 GT, 4 GE."""

    mtime: int = f(TIME)
    type: int = f(U8)
    high_precision_time: bool = f(BOOL, since=2)


@struct(1, 1)
class GuardBucketReshardingOp(Struct):
    """``ret_err``: the negative code to fail with."""

    ret_err: int = f(S32)



@struct(1, 1)
class SetBucketReshardingOp(Struct):
    entry: BucketInstanceEntry = f(BucketInstanceEntry)


@struct(1, 1)
class ClearBucketReshardingOp(Struct):
    """No fields."""


@struct(1, 1)
class GetBucketReshardingOp(Struct):
    """No fields."""


@struct(1, 1)
class GetBucketReshardingRet(Struct):
    new_instance: BucketInstanceEntry = f(BucketInstanceEntry)


@struct(2, 2)
class LcEntryOp(Struct):
    """Of set and rm."""

    entry: LcEntry = f(LcEntry)


@struct(1, 1)
class LcMarkerOp(Struct):
    """Of get and get_next."""

    marker: str = f(STR)


@struct(1, 1)
class LcGetEntryRet(Struct):
    entry: LcEntry = f(LcEntry)


@struct(2, 2)
class LcGetNextEntryRet(Struct):
    entry: LcEntry = f(LcEntry)


@struct(1, 1)
class LcPutHeadOp(Struct):
    head: LcHead = f(LcHead)


@struct(1, 1)
class LcGetHeadRet(Struct):
    head: LcHead = f(LcHead)


@struct(3, 1)
class LcListOp(Struct):
    marker: str = f(STR)
    max_entries: int = f(U32)


@struct(3, 1)
class LcListRet(Struct):
    entries: list[LcEntry] = f(list_of(LcEntry))
    is_truncated: bool = f(BOOL)


@struct(1, 1)
class ReshardAddOp(Struct):
    entry: ReshardEntry = f(ReshardEntry)


@struct(1, 1)
class ReshardGetOp(Struct):
    entry: ReshardEntry = f(ReshardEntry)


@struct(1, 1)
class ReshardGetRet(Struct):
    entry: ReshardEntry = f(ReshardEntry)


@struct(1, 1)
class ReshardListOp(Struct):
    max: int = f(U32)
    marker: str = f(STR)


@struct(1, 1)
class ReshardListRet(Struct):
    entries: list[ReshardEntry] = f(list_of(ReshardEntry))
    is_truncated: bool = f(BOOL)


@struct(1, 1)
class ReshardRemoveOp(Struct):
    tenant: str = f(STR)
    bucket_name: str = f(STR)
    bucket_id: str = f(STR)


@struct(1, 1)
class GcSetEntryOp(Struct):
    """cls_rgw_gc_set_entry_op, of the queue's enqueue too."""

    expiration_secs: int = f(U32)
    info: GcObjInfo = f(GcObjInfo)


@struct(2, 1)
class GcListOp(Struct):
    """cls_rgw_gc_list_op, of the queue too."""

    marker: str = f(STR)
    max: int = f(U32)
    expired_only: bool = f(BOOL, True, since=2)


@struct(2, 1)
class GcListRet(Struct):
    """cls_rgw_gc_list_ret, of the queue too."""

    entries: list[GcObjInfo] = f(list_of(GcObjInfo))
    next_marker: str = f(STR, since=2)
    truncated: bool = f(BOOL)


@struct(1, 1)
class GcRemoveOp(Struct):
    tags: list[str] = f(_TEXTS)
