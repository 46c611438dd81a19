"""Bucket entry points, instances and layouts (formats page 3.3), and entries of a user's bucket list (3.4)."""

from __future__ import annotations

from rgw.formats.basics import BucketName, PlacementRule, QuotaInfo, User
from rgw.formats.encoding import (
    BOOL,
    SECONDS,
    STR,
    TIME,
    U8,
    U32,
    U64,
    FormatError,
    Struct,
    f,
    list_of,
    map_of,
    opaque,
    optional,
    struct,
)


@struct(10, 8)
class BucketEntryPoint(Struct):
    """RGWBucketEntryPoint: which instance a bucket's name stands for."""

    bucket: BucketName = f(BucketName)
    owner: User = f(User)
    linked: bool = f(BOOL)
    creation_time: int = f(TIME)

    @staticmethod
    def _enc_body(out: bytearray, o: BucketEntryPoint) -> None:
        BucketName._enc(out, o.bucket)
        STR.enc(out, o.owner.id)
        BOOL.enc(out, o.linked)
        SECONDS.enc(out, o.creation_time)
        User._enc(out, o.owner)
        TIME.enc(out, o.creation_time)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[BucketEntryPoint, int]:
        if v < 10:
            raise FormatError(f"RGWBucketEntryPoint of version {v} is older than this gateway reads")
        o = BucketEntryPoint()
        o.bucket, pos = BucketName._dec(buf, pos, end)
        _, pos = STR.dec(buf, pos, end)
        o.linked, pos = BOOL.dec(buf, pos, end)
        _, pos = SECONDS.dec(buf, pos, end)
        o.owner, pos = User._dec(buf, pos, end)
        o.creation_time, pos = TIME.dec(buf, pos, end)
        return o, pos


@struct(1, 1)
class NormalLayout(Struct):
    """bucket_index_normal_layout."""

    num_shards: int = f(U32, 1)
    hash_type: int = f(U8)


@struct(1, 1)
class IndexLayout(Struct):
    """bucket_index_layout; type 0 normal, 1 indexless."""

    type: int = f(U8)
    normal: NormalLayout = f(NormalLayout)

    @staticmethod
    def _enc_body(out: bytearray, o: IndexLayout) -> None:
        out.append(o.type)
        if o.type == 0:
            NormalLayout._enc(out, o.normal)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[IndexLayout, int]:
        kind, pos = U8.dec(buf, pos, end)
        if kind != 0:
            return IndexLayout(kind), pos
        normal, pos = NormalLayout._dec(buf, pos, end)
        return IndexLayout(kind, normal), pos


@struct(1, 1)
class IndexGeneration(Struct):
    """bucket_index_layout_generation."""

    gen: int = f(U64)
    layout: IndexLayout = f(IndexLayout)


@struct(1, 1)
class IndexLogLayout(Struct):
    """bucket_index_log_layout."""

    gen: int = f(U64)
    layout: NormalLayout = f(NormalLayout)


@struct(1, 1)
class LogLayout(Struct):
    """bucket_log_layout; type 0: in the index."""

    type: int = f(U8)
    in_index: IndexLogLayout = f(IndexLogLayout)


@struct(1, 1)
class LogGeneration(Struct):
    """bucket_log_layout_generation."""

    gen: int = f(U64)
    layout: LogLayout = f(LogLayout)


@struct(2, 1)
class BucketLayout(Struct):
    """BucketLayout."""

    resharding: int = f(U8)
    current_index: IndexGeneration = f(IndexGeneration)
    target_index: IndexGeneration | None = f(optional(IndexGeneration))
    logs: list[LogGeneration] = f(list_of(LogGeneration), since=2)

    @classmethod
    def new(cls, num_shards: int) -> BucketLayout:
        """The layout of a new bucket: one log that repeats the index."""
        return cls(0, IndexGeneration(0, IndexLayout(0, NormalLayout(num_shards))), None,
                   [LogGeneration(0, LogLayout(0, IndexLogLayout(0, NormalLayout(num_shards))))])

    @property
    def num_shards(self) -> int:
        return self.current_index.layout.normal.num_shards


_OBJECT_LOCK = opaque()
_ANY = opaque()
_MDSEARCH = map_of(STR, U32)


@struct(23, 4)
class BucketInfo(Struct):
    """RGWBucketInfo. Website, object lock and sync policy are kept as their bytes (None: not there)."""

    bucket: BucketName = f(BucketName)
    owner: User = f(User)
    flags: int = f(U32)
    zonegroup: str = f(STR)
    creation_time: int = f(TIME)
    placement_rule: PlacementRule = f(PlacementRule)
    has_instance_obj: bool = f(BOOL)
    quota: QuotaInfo = f(QuotaInfo)
    requester_pays: bool = f(BOOL)
    website: bytes | None = f(optional(_ANY))
    swift_versioning: bool = f(BOOL)
    swift_ver_location: str = f(STR)
    mdsearch_config: dict[str, int] = f(_MDSEARCH)
    reshard_status: int = f(U8)
    new_bucket_instance_id: str = f(STR)
    object_lock: bytes = f(_OBJECT_LOCK, b"\x01\x01\x02\x00\x00\x00\x01\x00")
    sync_policy: bytes | None = f(optional(_ANY))
    layout: BucketLayout = f(BucketLayout)

    @staticmethod
    def _enc_body(out: bytearray, o: BucketInfo) -> None:
        BucketName._enc(out, o.bucket)
        STR.enc(out, o.owner.id)
        U32.enc(out, o.flags)
        STR.enc(out, o.zonegroup)
        SECONDS.enc(out, o.creation_time)
        PlacementRule._enc(out, o.placement_rule)
        BOOL.enc(out, o.has_instance_obj)
        QuotaInfo._enc(out, o.quota)
        BOOL.enc(out, o.requester_pays)
        STR.enc(out, o.owner.tenant)
        optional(_ANY).enc(out, o.website)
        BOOL.enc(out, o.swift_versioning)
        if o.swift_versioning:
            STR.enc(out, o.swift_ver_location)
        TIME.enc(out, o.creation_time)
        _MDSEARCH.enc(out, o.mdsearch_config)
        U8.enc(out, o.reshard_status)
        STR.enc(out, o.new_bucket_instance_id)
        if o.flags & 0x20:
            out += o.object_lock
        optional(_ANY).enc(out, o.sync_policy)
        BucketLayout._enc(out, o.layout)
        STR.enc(out, o.owner.ns)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[BucketInfo, int]:
        if v < 22:
            raise FormatError(f"RGWBucketInfo of version {v} is older than this gateway reads")
        o = BucketInfo()
        o.bucket, pos = BucketName._dec(buf, pos, end)
        o.owner.id, pos = STR.dec(buf, pos, end)
        o.flags, pos = U32.dec(buf, pos, end)
        o.zonegroup, pos = STR.dec(buf, pos, end)
        _, pos = SECONDS.dec(buf, pos, end)
        o.placement_rule, pos = PlacementRule._dec(buf, pos, end)
        o.has_instance_obj, pos = BOOL.dec(buf, pos, end)
        o.quota, pos = QuotaInfo._dec(buf, pos, end)
        o.requester_pays, pos = BOOL.dec(buf, pos, end)
        o.owner.tenant, pos = STR.dec(buf, pos, end)
        o.website, pos = optional(_ANY).dec(buf, pos, end)
        o.swift_versioning, pos = BOOL.dec(buf, pos, end)
        if o.swift_versioning:
            o.swift_ver_location, pos = STR.dec(buf, pos, end)
        o.creation_time, pos = TIME.dec(buf, pos, end)
        o.mdsearch_config, pos = _MDSEARCH.dec(buf, pos, end)
        o.reshard_status, pos = U8.dec(buf, pos, end)
        o.new_bucket_instance_id, pos = STR.dec(buf, pos, end)
        if o.flags & 0x20:
            o.object_lock, pos = _OBJECT_LOCK.dec(buf, pos, end)
        o.sync_policy, pos = optional(_ANY).dec(buf, pos, end)
        o.layout, pos = BucketLayout._dec(buf, pos, end)
        if v >= 23:
            o.owner.ns, pos = STR.dec(buf, pos, end)
        return o, pos




@struct(9, 3)
class UserBucket(Struct):
    """cls_user_bucket. Written as 7/3 with empty pools, as radosgw does; as 9/8 if a placement is named."""

    name: str = f(STR)
    marker: str = f(STR)
    bucket_id: str = f(STR)
    placement_id: str = f(STR)

    @staticmethod
    def _enc_body(out: bytearray, o: UserBucket) -> None:
        new_form = (o.name, o.marker, o.bucket_id, o.placement_id)
        for text in new_form if o.placement_id else (o.name, "", o.marker, o.bucket_id, "", ""):
            STR.enc(out, text)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[UserBucket, int]:
        texts: list[str] = []
        while len(texts) < (6 if v < 8 else 4):
            text = ""
            if pos < end:  # the extra pool came last
                text, pos = STR.dec(buf, pos, end)
            texts.append(text)
        if v < 8:
            return UserBucket(texts[0], texts[2], texts[3]), pos
        return UserBucket(*texts), pos


def _enc_user_bucket(out: bytearray, o: UserBucket) -> None:
    start = len(out)
    out += b"\0" * 6
    UserBucket._enc_body(out, o)
    version, compat = (9, 8) if o.placement_id else (7, 3)
    out[start:start + 6] = bytes((version, compat)) + (len(out) - start - 6).to_bytes(4, "little")


UserBucket._enc = staticmethod(_enc_user_bucket)  # type: ignore[assignment]  # two forms, so two headers


@struct(9, 5)
class UserBucketEntry(Struct):
    """cls_user_bucket_entry. Sizes in bytes."""

    bucket: UserBucket = f(UserBucket)
    size: int = f(U64)
    size_rounded: int = f(U64)
    count: int = f(U64)
    creation_time: int = f(TIME)
    user_stats_sync: bool = f(BOOL)

    @staticmethod
    def _enc_body(out: bytearray, o: UserBucketEntry) -> None:
        STR.enc(out, "")
        U64.enc(out, o.size)
        U32.enc(out, o.creation_time // 1_000_000_000)
        U64.enc(out, o.count)
        UserBucket._enc(out, o.bucket)
        U64.enc(out, o.size_rounded)
        BOOL.enc(out, o.user_stats_sync)
        TIME.enc(out, o.creation_time)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[UserBucketEntry, int]:
        if v < 7:
            raise FormatError(f"cls_user_bucket_entry of version {v} is older than this gateway reads")
        o = UserBucketEntry()
        _, pos = STR.dec(buf, pos, end)
        o.size, pos = U64.dec(buf, pos, end)
        seconds, pos = U32.dec(buf, pos, end)
        o.creation_time = seconds * 1_000_000_000
        o.count, pos = U64.dec(buf, pos, end)
        o.bucket, pos = UserBucket._dec(buf, pos, end)
        o.size_rounded, pos = U64.dec(buf, pos, end)
        o.user_stats_sync, pos = BOOL.dec(buf, pos, end)
        if v >= 8:
            o.creation_time, pos = TIME.dec(buf, pos, end)
        return o, pos


@struct(1, 1)
class UserStats(Struct):
    """cls_user_stats."""

    total_entries: int = f(U64)
    total_bytes: int = f(U64)
    total_bytes_rounded: int = f(U64)


@struct(1, 1)
class UserHeader(Struct):
    """cls_user_header, the omap header of `<uid>.buckets`."""

    stats: UserStats = f(UserStats)
    last_stats_sync: int = f(TIME)
    last_stats_update: int = f(TIME)


