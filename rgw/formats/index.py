"""Entries, headers and logs of bucket index shards (formats page 3.7). Source: cls_rgw_types.h of Ceph Pacific."""

from __future__ import annotations

import struct as bits

from rgw.formats.encoding import BOOL, PACKED, S32, STR, TIME, U8, U16, U32, U64, FormatError, Struct, f, list_of, map_of, struct


@struct(1, 1)
class ClsObjKey(Struct):
    """cls_rgw_obj_key; ``name`` is the escaped index name."""

    name: str = f(STR)
    instance: str = f(STR)

    def __hash__(self) -> int:
        return hash((self.name, self.instance))


@struct(3, 2)
class CategoryStats(Struct):
    """rgw_bucket_category_stats, in bytes; ``total_size_rounded`` counts each entry up to 4096."""

    total_size: int = f(U64)
    total_size_rounded: int = f(U64)
    num_entries: int = f(U64)
    actual_size: int = f(U64, since=3)


@struct(1, 1)
class BucketInstanceEntry(Struct):
    """cls_rgw_bucket_instance_entry. ``status``: 0 not resharding, 1 in progress, 2 done."""

    status: int = f(U8)
    new_bucket_instance_id: str = f(STR)
    num_shards: int = f(S32, -1)


@struct(7, 2)
class DirHeader(Struct):
    """rgw_bucket_dir_header, a shard's omap header."""

    stats: dict[int, CategoryStats] = f(map_of(U8, CategoryStats))
    tag_timeout: int = f(U64, since=3)
    ver: int = f(U64, since=4)
    master_ver: int = f(U64, since=4)
    max_marker: str = f(STR, since=5)
    new_instance: BucketInstanceEntry = f(BucketInstanceEntry, since=6)
    syncstopped: bool = f(BOOL, since=7)


@struct(1, 1)
class EntryVer(Struct):
    """rgw_bucket_entry_ver: pool id (-1 unset) and the head object's version."""

    pool: int = f(PACKED, -1)
    epoch: int = f(PACKED)


@struct(2, 2)
class PendingInfo(Struct):
    """rgw_bucket_pending_info. ``state``: 0 pending, 1 complete."""

    state: int = f(U8)
    timestamp: int = f(TIME)
    op: int = f(U8)


@struct(7, 3)
class DirEntryMeta(Struct):
    """rgw_bucket_dir_entry_meta. ``category``: 0 none, 1 main, 3 multipart meta. ``storage_class`` "" is STANDARD."""

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


# The flags of a DirEntry; the last one stands in listings only.
FLAG_VER, FLAG_CURRENT, FLAG_DELETE_MARKER, FLAG_VER_MARKER, FLAG_COMMON_PREFIX = 1, 2, 4, 8, 0x8000

_LENGTH = bits.Struct("<I").unpack_from
_FRONT = bits.Struct("<Q?").pack  # epoch, exists
_BACK = bits.Struct("<HQ").pack  # flags, versioned epoch
_PENDING = map_of(STR, PendingInfo)
_TWO_EMPTY = bytes(8)  # no pending changes, no locator
_PLAIN_END = bytes(14)  # no instance, no flags, no versioned epoch


@struct(8, 3)
class DirEntry(Struct):
    """rgw_bucket_dir_entry. ``flags``: FLAG_VER and its neighbours; FLAG_VER_MARKER is the placeholder of a key with versions."""

    name: str = f(STR)
    ver: EntryVer = f(EntryVer)
    exists: bool = f(BOOL)
    meta: DirEntryMeta = f(DirEntryMeta)
    pending_map: dict[str, PendingInfo] = f(_PENDING)
    locator: str = f(STR)
    index_ver: int = f(PACKED)
    tag: str = f(STR)
    instance: str = f(STR)
    flags: int = f(U16)
    versioned_epoch: int = f(U64)

    @staticmethod
    def _enc_body(out: bytearray, o: DirEntry) -> None:
        STR.enc(out, o.name)
        out += _FRONT(o.ver.epoch & 0xFFFFFFFFFFFFFFFF, o.exists)
        DirEntryMeta._enc(out, o.meta)
        if o.pending_map or o.locator:
            _PENDING.enc(out, o.pending_map)
            STR.enc(out, o.locator)
        else:
            out += _TWO_EMPTY
        EntryVer._enc(out, o.ver)
        PACKED.enc(out, o.index_ver)
        STR.enc(out, o.tag)
        STR.enc(out, o.instance)
        out += _BACK(o.flags, o.versioned_epoch)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[DirEntry, int]:
        if v < 5:
            raise FormatError(f"rgw_bucket_dir_entry of version {v} is older than this gateway reads")
        # Listings decode thousands of these: runs of fixed fields are taken at once, and what is empty in almost all is looked for first.
        n, = _LENGTH(buf, pos)
        at, pos = pos + 4, pos + 4 + n
        name = buf[at:pos].decode("utf-8", "surrogateescape")
        exists = buf[pos + 8] != 0  # the epoch before it comes again in ver
        meta, pos = DirEntryMeta._dec(buf, pos + 9, end)
        pending: dict[str, PendingInfo] = {}
        locator = ""
        if buf[pos:pos + 8] == _TWO_EMPTY:
            pos += 8
        else:
            pending, pos = _PENDING.dec(buf, pos, end)
            locator, pos = STR.dec(buf, pos, end)
        ver, pos = EntryVer._dec(buf, pos, end)
        index_ver, pos = PACKED.dec(buf, pos, end)
        n, = _LENGTH(buf, pos)
        at, pos = pos + 4, pos + 4 + n
        tag = buf[at:pos].decode("utf-8", "surrogateescape")
        instance, flags, epoch = "", 0, 0
        if buf[pos:pos + 14] == _PLAIN_END and v == 8:
            return DirEntry(name, ver, exists, meta, pending, locator, index_ver, tag, instance, flags, epoch), pos + 14
        if v >= 6:
            instance, pos = STR.dec(buf, pos, end)
        if v >= 7:
            flags, pos = U16.dec(buf, pos, end)
        if v >= 8:
            epoch, pos = U64.dec(buf, pos, end)
        return DirEntry(name, ver, exists, meta, pending, locator, index_ver, tag, instance, flags, epoch), pos


@struct(1, 1)
class OlhLogEntry(Struct):
    """rgw_bucket_olh_log_entry. ``op``: 1 link, 2 unlink the OLH, 3 remove an instance."""

    epoch: int = f(U64)
    op: int = f(U8)
    op_tag: str = f(STR)
    key: ClsObjKey = f(ClsObjKey)
    delete_marker: bool = f(BOOL)


@struct(1, 1)
class OlhEntry(Struct):
    """rgw_bucket_olh_entry."""

    key: ClsObjKey = f(ClsObjKey)
    delete_marker: bool = f(BOOL)
    epoch: int = f(U64)
    pending_log: dict[int, list[OlhLogEntry]] = f(map_of(U64, list_of(OlhLogEntry)))
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


@struct(1, 1)
class ReshardEntry(Struct):
    """cls_rgw_reshard_entry."""

    time: int = f(TIME)
    tenant: str = f(STR)
    bucket_name: str = f(STR)
    bucket_id: str = f(STR)
    new_instance_id: str = f(STR)
    old_num_shards: int = f(U32)
    new_num_shards: int = f(U32)
