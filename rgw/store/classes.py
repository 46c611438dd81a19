"""The object class methods that the gateway calls, with their requests and replies (section 4 of the formats)."""

from __future__ import annotations

from rgw.formats import cls_gc, cls_lock, cls_refcount, cls_rgw, cls_user, cls_version, usage
from rgw.store.classcall import ClassMethod

# rgw: bucket index shards
BUCKET_INIT_INDEX = ClassMethod("rgw", "bucket_init_index")
BUCKET_LIST = ClassMethod("rgw", "bucket_list", cls_rgw.ListOp, cls_rgw.ListRet, writes=False)
BUCKET_PREPARE_OP = ClassMethod("rgw", "bucket_prepare_op", cls_rgw.PrepareOp)
BUCKET_COMPLETE_OP = ClassMethod("rgw", "bucket_complete_op", cls_rgw.CompleteOp)
BUCKET_LINK_OLH = ClassMethod("rgw", "bucket_link_olh", cls_rgw.LinkOlhOp)
BUCKET_UNLINK_INSTANCE = ClassMethod("rgw", "bucket_unlink_instance", cls_rgw.UnlinkInstanceOp)
BUCKET_READ_OLH_LOG = ClassMethod("rgw", "bucket_read_olh_log", cls_rgw.ReadOlhLogOp, cls_rgw.ReadOlhLogRet, writes=False)
BUCKET_TRIM_OLH_LOG = ClassMethod("rgw", "bucket_trim_olh_log", cls_rgw.TrimOlhLogOp)
BUCKET_CLEAR_OLH = ClassMethod("rgw", "bucket_clear_olh", cls_rgw.ClearOlhOp)
BI_GET = ClassMethod("rgw", "bi_get", cls_rgw.BiGetOp, cls_rgw.BiGetRet, writes=False)
BI_PUT = ClassMethod("rgw", "bi_put", cls_rgw.BiPutOp)
BI_LIST = ClassMethod("rgw", "bi_list", cls_rgw.BiListOp, cls_rgw.BiListRet, writes=False)
BUCKET_CHECK_INDEX = ClassMethod("rgw", "bucket_check_index", None, cls_rgw.CheckIndexRet, writes=False)
BUCKET_REBUILD_INDEX = ClassMethod("rgw", "bucket_rebuild_index")
BUCKET_UPDATE_STATS = ClassMethod("rgw", "bucket_update_stats", cls_rgw.UpdateStatsOp)
BUCKET_SET_TAG_TIMEOUT = ClassMethod("rgw", "bucket_set_tag_timeout", cls_rgw.TagTimeoutOp)
DIR_SUGGEST_CHANGES = ClassMethod("rgw", "dir_suggest_changes", cls_rgw.SuggestChangesOp)
SET_BUCKET_RESHARDING = ClassMethod("rgw", "set_bucket_resharding", cls_rgw.SetBucketReshardingOp)
CLEAR_BUCKET_RESHARDING = ClassMethod("rgw", "clear_bucket_resharding", cls_rgw.ClearBucketReshardingOp)
GET_BUCKET_RESHARDING = ClassMethod(
    "rgw", "get_bucket_resharding", cls_rgw.GetBucketReshardingOp, cls_rgw.GetBucketReshardingRet, writes=False)
GUARD_BUCKET_RESHARDING = ClassMethod("rgw", "guard_bucket_resharding", cls_rgw.GuardBucketReshardingOp, writes=False)

# rgw: data objects
OBJ_REMOVE = ClassMethod("rgw", "obj_remove", cls_rgw.ObjRemoveOp)
OBJ_STORE_PG_VER = ClassMethod("rgw", "obj_store_pg_ver", cls_rgw.StorePgVerOp)
OBJ_CHECK_ATTRS_PREFIX = ClassMethod("rgw", "obj_check_attrs_prefix", cls_rgw.CheckAttrsPrefixOp, writes=False)
OBJ_CHECK_MTIME = ClassMethod("rgw", "obj_check_mtime", cls_rgw.CheckMtimeOp, writes=False)

# rgw: lifecycle, resharding, the usage log, garbage in an omap (from before the queue)
LC_SET_ENTRY = ClassMethod("rgw", "lc_set_entry", cls_rgw.LcEntryOp)
LC_RM_ENTRY = ClassMethod("rgw", "lc_rm_entry", cls_rgw.LcEntryOp)
LC_GET_ENTRY = ClassMethod("rgw", "lc_get_entry", cls_rgw.LcMarkerOp, cls_rgw.LcGetEntryRet, writes=False)
LC_GET_NEXT_ENTRY = ClassMethod("rgw", "lc_get_next_entry", cls_rgw.LcMarkerOp, cls_rgw.LcGetNextEntryRet, writes=False)
LC_PUT_HEAD = ClassMethod("rgw", "lc_put_head", cls_rgw.LcPutHeadOp)
LC_GET_HEAD = ClassMethod("rgw", "lc_get_head", None, cls_rgw.LcGetHeadRet, writes=False)
LC_LIST_ENTRIES = ClassMethod("rgw", "lc_list_entries", cls_rgw.LcListOp, cls_rgw.LcListRet, writes=False)
RESHARD_ADD = ClassMethod("rgw", "reshard_add", cls_rgw.ReshardAddOp)
RESHARD_GET = ClassMethod("rgw", "reshard_get", cls_rgw.ReshardGetOp, cls_rgw.ReshardGetRet, writes=False)
RESHARD_LIST = ClassMethod("rgw", "reshard_list", cls_rgw.ReshardListOp, cls_rgw.ReshardListRet, writes=False)
RESHARD_REMOVE = ClassMethod("rgw", "reshard_remove", cls_rgw.ReshardRemoveOp)
USAGE_LOG_ADD = ClassMethod("rgw", "user_usage_log_add", usage.UsageAddOp)
USAGE_LOG_READ = ClassMethod("rgw", "user_usage_log_read", usage.UsageReadOp, usage.UsageReadRet, writes=False)
USAGE_LOG_TRIM = ClassMethod("rgw", "user_usage_log_trim", usage.UsageTrimOp)
USAGE_LOG_CLEAR = ClassMethod("rgw", "usage_log_clear")
GC_SET_ENTRY = ClassMethod("rgw", "gc_set_entry", cls_rgw.GcSetEntryOp)
GC_LIST = ClassMethod("rgw", "gc_list", cls_rgw.GcListOp, cls_rgw.GcListRet, writes=False)
GC_REMOVE = ClassMethod("rgw", "gc_remove", cls_rgw.GcRemoveOp)

VERSION_SET = ClassMethod("version", "set", cls_version.SetOp)
VERSION_INC = ClassMethod("version", "inc", cls_version.IncOp)
VERSION_INC_CONDS = ClassMethod("version", "inc_conds", cls_version.IncOp)
VERSION_CHECK_CONDS = ClassMethod("version", "check_conds", cls_version.CheckOp, writes=False)
VERSION_READ = ClassMethod("version", "read", None, cls_version.ReadRet, writes=False)

USER_SET_BUCKETS_INFO = ClassMethod("user", "set_buckets_info", cls_user.SetBucketsOp)
USER_REMOVE_BUCKET = ClassMethod("user", "remove_bucket", cls_user.RemoveBucketOp)
USER_LIST_BUCKETS = ClassMethod("user", "list_buckets", cls_user.ListBucketsOp, cls_user.ListBucketsRet, writes=False)
USER_GET_HEADER = ClassMethod("user", "get_header", cls_user.GetHeaderOp, cls_user.GetHeaderRet, writes=False)
USER_COMPLETE_STATS_SYNC = ClassMethod("user", "complete_stats_sync", cls_user.CompleteStatsSyncOp)
USER_RESET_STATS = ClassMethod("user", "reset_user_stats", cls_user.ResetStatsOp)

REFCOUNT_GET = ClassMethod("refcount", "get", cls_refcount.RefcountOp)
REFCOUNT_PUT = ClassMethod("refcount", "put", cls_refcount.RefcountOp)
REFCOUNT_SET = ClassMethod("refcount", "set", cls_refcount.SetOp)
REFCOUNT_READ = ClassMethod("refcount", "read", cls_refcount.ReadOp, cls_refcount.ReadRet, writes=False)

GC_QUEUE_INIT = ClassMethod("rgw_gc", "rgw_gc_queue_init", cls_gc.QueueInitOp)
GC_QUEUE_ENQUEUE = ClassMethod("rgw_gc", "rgw_gc_queue_enqueue", cls_rgw.GcSetEntryOp)
GC_QUEUE_LIST_ENTRIES = ClassMethod("rgw_gc", "rgw_gc_queue_list_entries", cls_rgw.GcListOp, cls_rgw.GcListRet, writes=False)
GC_QUEUE_REMOVE_ENTRIES = ClassMethod("rgw_gc", "rgw_gc_queue_remove_entries", cls_gc.QueueRemoveOp)
GC_QUEUE_UPDATE_ENTRY = ClassMethod("rgw_gc", "rgw_gc_queue_update_entry", cls_rgw.GcSetEntryOp)

LOCK_LOCK = ClassMethod("lock", "lock", cls_lock.LockOp)
LOCK_UNLOCK = ClassMethod("lock", "unlock", cls_lock.UnlockOp)
LOCK_BREAK_LOCK = ClassMethod("lock", "break_lock", cls_lock.BreakLockOp)
LOCK_GET_INFO = ClassMethod("lock", "get_info", cls_lock.GetInfoOp, cls_lock.GetInfoRet, writes=False)
LOCK_LIST_LOCKS = ClassMethod("lock", "list_locks", None, cls_lock.ListLocksRet, writes=False)
LOCK_ASSERT_LOCKED = ClassMethod("lock", "assert_locked", cls_lock.AssertLockedOp, writes=False)
LOCK_SET_COOKIE = ClassMethod("lock", "set_cookie", cls_lock.SetCookieOp)
