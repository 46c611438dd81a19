"""What a bucket index shard holds (formats page 3.7). Source: cls_rgw_types.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BOOL, PACKED, S32, STR, TIME, U8, U16, U64, Struct, f, list_of, map_of, multimap_of, struct


@struct(1, 1)
class ClsObjKey(Struct):
    """cls_rgw_obj_key: an escaped index name and a version."""

    name: str = f(STR)
    instance: str = f(STR)


@struct(3, 2)
class CategoryStats(Struct):
    """rgw_bucket_category_stats, in bytes."""

    total_size: int = f(U64)
    total_size_rounded: int = f(U64)
    num_entries: int = f(U64)
    actual_size: int = f(U64, since=3)


@struct(1, 1)
class BucketInstanceEntry(Struct):
    """cls_rgw_bucket_instance_entry: status 0 none, 1 resharding, 2 done."""

    status: int = f(U8)
    new_bucket_instance_id: str = f(STR)
    num_shards: int = f(S32, -1)


@struct(7, 2)
class DirHeader(Struct):
    """rgw_bucket_dir_header; statistics by category (0 none, 1 main, 2 shadow, 3 multipart)."""

    stats: dict[int, CategoryStats] = f(map_of(U8, CategoryStats))
    tag_timeout: int = f(U64, since=3)
    ver: int = f(U64, since=4)
    master_ver: int = f(U64, since=4)
    max_marker: str = f(STR, since=5)
    new_instance: BucketInstanceEntry = f(BucketInstanceEntry, since=6)
    syncstopped: bool = f(BOOL, since=7)


@struct(1, 1)
class EntryVer(Struct):
    """rgw_bucket_entry_ver."""

    pool: int = f(PACKED, -1)
    epoch: int = f(PACKED)


@struct(7, 3)
class DirEntryMeta(Struct):
    """rgw_bucket_dir_entry_meta; sizes in bytes, ``storage_class`` "" is STANDARD."""

    category: int = f(U8)
    size: int = f(U64)
    mtime: int = f(TIME)
    etag: str = f(STR)
    owner: str = f(STR)
    owner_display_name: str = f(STR)
    content_type: str = f(STR)
    accounted_size: int = f(U64, since=4)
    user_data: str = f(STR, since=5)
    storage_class: str = f(STR, since=6)
    appendable: bool = f(BOOL, since=7)


@struct(2, 2)
class PendingInfo(Struct):
    """rgw_bucket_pending_info: state 0 pending, 1 complete."""

    state: int = f(U8)
    timestamp: int = f(TIME)
    op: int = f(U8)


@struct(8, 3)
class DirEntry(Struct):
    """rgw_bucket_dir_entry."""

    name: str = f(STR)
    epoch: int = f(U64)
    exists: bool = f(BOOL)
    meta: DirEntryMeta = f(DirEntryMeta)
    pending_map: list[tuple[str, PendingInfo]] = f(multimap_of(STR, PendingInfo))
    locator: str = f(STR)
    ver: EntryVer = f(EntryVer, since=4)
    index_ver: int = f(PACKED, since=5)
    tag: str = f(STR, since=5)
    instance: str = f(STR, since=6)
    flags: int = f(U16, since=7)
    versioned_epoch: int = f(U64, since=8)


@struct(1, 1)
class OlhLogEntry(Struct):
    """rgw_bucket_olh_log_entry: op 1 link, 2 unlink, 3 remove instance."""

    epoch: int = f(U64)
    op: int = f(U8)
    op_tag: str = f(STR)
    key: ClsObjKey = f(ClsObjKey)
    delete_marker: bool = f(BOOL)


PENDING_LOG = map_of(U64, list_of(OlhLogEntry))


@struct(1, 1)
class OlhEntry(Struct):
    """rgw_bucket_olh_entry."""

    key: ClsObjKey = f(ClsObjKey)
    delete_marker: bool = f(BOOL)
    epoch: int = f(U64)
    pending_log: dict[int, list[OlhLogEntry]] = f(PENDING_LOG)
    tag: str = f(STR)
    exists: bool = f(BOOL)
    pending_removal: bool = f(BOOL)


@struct(4, 1)
class BiLogEntry(Struct):
    """rgw_bi_log_entry."""

    id: str = f(STR)
    object: str = f(STR)
    timestamp: int = f(TIME)
    ver: EntryVer = f(EntryVer)
    tag: str = f(STR)
    op: int = f(U8)
    state: int = f(U8)
    index_ver: int = f(PACKED)
    instance: str = f(STR, since=2)
    bilog_flags: int = f(U16, since=2)
    owner: str = f(STR, since=3)
    owner_display_name: str = f(STR, since=3)
    zones_trace: list[str] = f(list_of(STR), since=4)


@struct(2, 2)
class BucketDir(Struct):
    """rgw_bucket_dir: a header and entries by key."""

    header: DirHeader = f(DirHeader)
    entries: dict[str, DirEntry] = f(map_of(STR, DirEntry))
