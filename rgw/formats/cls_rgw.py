"""Requests and replies of the object class `rgw` (formats page, section 4). Source: cls_rgw_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import (
    BLOB, BOOL, S32, STR, TIME, U8, U16, U32, U64, Struct, f, list_of, map_of, struct,
)
from rgw.formats.gc import GcObjInfo
from rgw.formats.index import (
    PENDING_LOG, BucketDir, BucketInstanceEntry, CategoryStats, ClsObjKey, DirEntry, DirEntryMeta, DirHeader, EntryVer,
)
from rgw.formats.misc import LcEntry, LcHead, ReshardEntry


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
    """rgw_cls_obj_prepare_op."""

    op: int = f(U8)
    tag: str = f(STR)
    locator: str = f(STR)
    log_op: bool = f(BOOL)
    key: ClsObjKey = f(ClsObjKey)
    bilog_flags: int = f(U16, since=6)
    zones_trace: list[str] = f(list_of(STR), since=7)


@struct(9, 7)
class CompleteOp(Struct):
    """rgw_cls_obj_complete_op; the epoch is written twice, once alone and once in ``ver``."""

    op: int = f(U8)
    meta: DirEntryMeta = f(DirEntryMeta)
    tag: str = f(STR)
    locator: str = f(STR)
    remove_objs: list[ClsObjKey] = f(list_of(ClsObjKey))
    ver: EntryVer = f(EntryVer)
    log_op: bool = f(BOOL)
    key: ClsObjKey = f(ClsObjKey)
    bilog_flags: int = f(U16)
    zones_trace: list[str] = f(list_of(STR))

    @staticmethod
    def _enc_body(out: bytearray, o: CompleteOp) -> None:
        U8.enc(out, o.op)
        U64.enc(out, o.ver.epoch)
        DirEntryMeta._enc(out, o.meta)
        STR.enc(out, o.tag)
        STR.enc(out, o.locator)
        list_of(ClsObjKey).enc(out, o.remove_objs)
        EntryVer._enc(out, o.ver)
        BOOL.enc(out, o.log_op)
        ClsObjKey._enc(out, o.key)
        U16.enc(out, o.bilog_flags)
        list_of(STR).enc(out, o.zones_trace)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[CompleteOp, int]:
        o = CompleteOp()
        o.op, pos = U8.dec(buf, pos, end)
        _, pos = U64.dec(buf, pos, end)
        o.meta, pos = DirEntryMeta._dec(buf, pos, end)
        o.tag, pos = STR.dec(buf, pos, end)
        o.locator, pos = STR.dec(buf, pos, end)
        o.remove_objs, pos = list_of(ClsObjKey).dec(buf, pos, end)
        o.ver, pos = EntryVer._dec(buf, pos, end)
        o.log_op, pos = BOOL.dec(buf, pos, end)
        o.key, pos = ClsObjKey._dec(buf, pos, end)
        if v >= 8:
            o.bilog_flags, pos = U16.dec(buf, pos, end)
        if v >= 9:
            o.zones_trace, pos = list_of(STR).dec(buf, pos, end)
        return o, pos


@struct(5, 1)
class LinkOlhOp(Struct):
    """rgw_cls_link_olh_op; ``unmod_since`` 0: no such condition."""

    key: ClsObjKey = f(ClsObjKey)
    olh_tag: str = f(STR)
    delete_marker: bool = f(BOOL)
    op_tag: str = f(STR)
    meta: DirEntryMeta = f(DirEntryMeta)
    olh_epoch: int = f(U64)
    log_op: bool = f(BOOL)
    bilog_flags: int = f(U16)
    unmod_since_seconds: int = f(U64, since=2)
    unmod_since: int = f(TIME, since=3)
    high_precision_time: bool = f(BOOL, since=3)
    zones_trace: list[str] = f(list_of(STR), since=5)


@struct(3, 1)
class UnlinkInstanceOp(Struct):
    """rgw_cls_unlink_instance_op."""

    key: ClsObjKey = f(ClsObjKey)
    op_tag: str = f(STR)
    olh_epoch: int = f(U64)
    log_op: bool = f(BOOL)
    bilog_flags: int = f(U16)
    olh_tag: str = f(STR, since=2)
    zones_trace: list[str] = f(list_of(STR), since=3)


@struct(1, 1)
class ReadOlhLogOp(Struct):
    """rgw_cls_read_olh_log_op."""

    olh: ClsObjKey = f(ClsObjKey)
    ver_marker: int = f(U64)
    olh_tag: str = f(STR)


@struct(1, 1)
class ReadOlhLogRet(Struct):
    """rgw_cls_read_olh_log_ret."""

    log: dict[int, list[object]] = f(PENDING_LOG)
    truncated: bool = f(BOOL)


@struct(1, 1)
class TrimOlhLogOp(Struct):
    """rgw_cls_trim_olh_log_op."""

    olh: ClsObjKey = f(ClsObjKey)
    ver: int = f(U64)
    olh_tag: str = f(STR)


@struct(1, 1)
class ClearOlhOp(Struct):
    """rgw_cls_bucket_clear_olh_op."""

    key: ClsObjKey = f(ClsObjKey)
    olh_tag: str = f(STR)


@struct(1, 1)
class BiEntry(Struct):
    """rgw_cls_bi_entry: type 1 plain, 2 instance, 3 OLH."""

    type: int = f(U8)
    idx: str = f(STR)
    data: bytes = f(BLOB)


@struct(1, 1)
class BiGetOp(Struct):
    """rgw_cls_bi_get_op."""

    key: ClsObjKey = f(ClsObjKey)
    type: int = f(U8)


@struct(1, 1)
class BiGetRet(Struct):
    """rgw_cls_bi_get_ret."""

    entry: BiEntry = f(BiEntry)


@struct(1, 1)
class BiPutOp(Struct):
    """rgw_cls_bi_put_op."""

    entry: BiEntry = f(BiEntry)


@struct(1, 1)
class BiListOp(Struct):
    """rgw_cls_bi_list_op."""

    max: int = f(U32)
    name_filter: str = f(STR)
    marker: str = f(STR)


@struct(1, 1)
class BiListRet(Struct):
    """rgw_cls_bi_list_ret."""

    entries: list[BiEntry] = f(list_of(BiEntry))
    truncated: bool = f(BOOL)


@struct(1, 1)
class CheckIndexRet(Struct):
    """rgw_cls_check_index_ret."""

    existing_header: DirHeader = f(DirHeader)
    calculated_header: DirHeader = f(DirHeader)


@struct(1, 1)
class UpdateStatsOp(Struct):
    """rgw_cls_bucket_update_stats_op; relative changes wrap as u64."""

    absolute: bool = f(BOOL)
    stats: dict[int, CategoryStats] = f(map_of(U8, CategoryStats))


@struct(1, 1)
class TagTimeoutOp(Struct):
    """rgw_cls_tag_timeout_op, in seconds; 0: the default of 120."""

    tag_timeout: int = f(U64)


@struct()
class SuggestedChange(Struct):
    """One suggestion: 'u' (0x75) update or 'r' (0x72) remove, with 0x80 if it is to be logged."""

    op: int = f(U8)
    entry: DirEntry = f(DirEntry)


@struct()
class SuggestChangesOp(Struct):
    """The input of dir_suggest_changes: suggestions to the end."""

    changes: list[SuggestedChange] = f(list_of(SuggestedChange))

    @staticmethod
    def _enc_body(out: bytearray, o: SuggestChangesOp) -> None:
        for change in o.changes:
            SuggestedChange._enc(out, change)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[SuggestChangesOp, int]:
        changes = []
        while pos < end:
            change, pos = SuggestedChange._dec(buf, pos, end)
            changes.append(change)
        return SuggestChangesOp(changes), pos


@struct(1, 1)
class ObjRemoveOp(Struct):
    """rgw_cls_obj_remove_op."""

    keep_attr_prefixes: list[str] = f(list_of(STR))


@struct(1, 1)
class StorePgVerOp(Struct):
    """rgw_cls_obj_store_pg_ver_op."""

    attr: str = f(STR)


@struct(1, 1)
class CheckAttrsPrefixOp(Struct):
    """rgw_cls_obj_check_attrs_prefix."""

    check_prefix: str = f(STR)
    fail_if_exist: bool = f(BOOL)


@struct(2, 1)
class CheckMtimeOp(Struct):
    """rgw_cls_obj_check_mtime: type 0 EQ, 1 LT, 2 LE, 3 GT, 4 GE."""

    mtime: int = f(TIME)
    type: int = f(U8)
    high_precision_time: bool = f(BOOL, since=2)


@struct(1, 1)
class GuardBucketReshardingOp(Struct):
    """cls_rgw_guard_bucket_resharding_op."""

    ret_err: int = f(S32)


@struct(1, 1)
class SetBucketReshardingOp(Struct):
    """cls_rgw_set_bucket_resharding_op."""

    entry: BucketInstanceEntry = f(BucketInstanceEntry)


@struct(1, 1)
class ClearBucketReshardingOp(Struct):
    """cls_rgw_clear_bucket_resharding_op."""


@struct(1, 1)
class GetBucketReshardingOp(Struct):
    """cls_rgw_get_bucket_resharding_op."""


@struct(1, 1)
class GetBucketReshardingRet(Struct):
    """cls_rgw_get_bucket_resharding_ret."""

    new_instance: BucketInstanceEntry = f(BucketInstanceEntry)


@struct(2, 2)
class LcEntryOp(Struct):
    """cls_rgw_lc_set_entry_op and cls_rgw_lc_rm_entry_op."""

    entry: LcEntry = f(LcEntry)


@struct(1, 1)
class LcMarkerOp(Struct):
    """cls_rgw_lc_get_entry_op and cls_rgw_lc_get_next_entry_op."""

    marker: str = f(STR)


@struct(2, 1)
class LcGetEntryRet(Struct):
    """cls_rgw_lc_get_entry_ret and cls_rgw_lc_get_next_entry_ret."""

    entry: LcEntry = f(LcEntry)


@struct(1, 1)
class LcPutHeadOp(Struct):
    """cls_rgw_lc_put_head_op."""

    head: LcHead = f(LcHead)


@struct(1, 1)
class LcGetHeadRet(Struct):
    """cls_rgw_lc_get_head_ret."""

    head: LcHead = f(LcHead)


@struct(3, 1)
class LcListOp(Struct):
    """cls_rgw_lc_list_entries_op."""

    marker: str = f(STR)
    max_entries: int = f(U32)


@struct(3, 1)
class LcListRet(Struct):
    """cls_rgw_lc_list_entries_ret."""

    entries: list[LcEntry] = f(list_of(LcEntry))
    truncated: bool = f(BOOL)


@struct(1, 1)
class ReshardAddOp(Struct):
    """cls_rgw_reshard_add_op."""

    entry: ReshardEntry = f(ReshardEntry)


@struct(1, 1)
class ReshardGetOp(Struct):
    """cls_rgw_reshard_get_op."""

    entry: ReshardEntry = f(ReshardEntry)


@struct(1, 1)
class ReshardGetRet(Struct):
    """cls_rgw_reshard_get_ret."""

    entry: ReshardEntry = f(ReshardEntry)


@struct(1, 1)
class ReshardListOp(Struct):
    """cls_rgw_reshard_list_op."""

    max: int = f(U32)
    marker: str = f(STR)


@struct(1, 1)
class ReshardListRet(Struct):
    """cls_rgw_reshard_list_ret."""

    entries: list[ReshardEntry] = f(list_of(ReshardEntry))
    truncated: bool = f(BOOL)


@struct(1, 1)
class ReshardRemoveOp(Struct):
    """cls_rgw_reshard_remove_op."""

    tenant: str = f(STR)
    bucket_name: str = f(STR)
    bucket_id: str = f(STR)


@struct(1, 1)
class GcSetEntryOp(Struct):
    """cls_rgw_gc_set_entry_op, also of the class rgw_gc."""

    expiration_secs: int = f(U32)
    info: GcObjInfo = f(GcObjInfo)


@struct(2, 1)
class GcListOp(Struct):
    """cls_rgw_gc_list_op."""

    marker: str = f(STR)
    max: int = f(U32)
    expired_only: bool = f(BOOL, True, since=2)


@struct(2, 1)
class GcListRet(Struct):
    """cls_rgw_gc_list_ret; the marker stands between older fields since version 2."""

    entries: list[GcObjInfo] = f(list_of(GcObjInfo))
    next_marker: str = f(STR, since=2)
    truncated: bool = f(BOOL)


@struct(1, 1)
class GcRemoveOp(Struct):
    """cls_rgw_gc_remove_op."""

    tags: list[str] = f(list_of(STR))
