"""Scripts of class calls on one object, to be run on any store; and what a run of one leaves to compare."""

from __future__ import annotations

import random
import re
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rgw.formats import cls_lock, cls_refcount, cls_rgw, cls_user, cls_version
from rgw.formats.basics import ObjVersion
from rgw.formats.bucket import UserBucket, UserBucketEntry
from rgw.formats.cls_gc import QueueDeferOp, QueueInitOp, QueueRemoveOp
from rgw.formats.gc import GcObj, GcObjChain, GcObjInfo, GcUrgentData, QueueHead
from rgw.formats.index import (
    BucketInstanceEntry,
    CategoryStats,
    ClsObjKey,
    DirEntry,
    DirEntryMeta,
    EntryVer,
    PendingInfo,
    ReshardEntry,
)
from rgw.formats.misc import LcEntry, LcHead
from rgw.formats.usage import UsageAddOp, UsageData, UsageLogEntry, UsageLogInfo, UsageReadOp, UsageTrimOp
from rgw.store import classes as c
from rgw.store.classcall import ClassCall
from rgw.store.errors import NotFound, StoreError
from rgw.store.interface import IoCtx, ReadOp, WriteOp


@dataclass(frozen=True)
class Break:
    """Breaks a lock of whoever holds it under the cookie, or of some other client."""

    cookie: str
    other: bool = False

    async def call(self, ioctx: IoCtx, oid: str) -> ClassCall:
        held = await ioctx.read(oid, ReadOp().call(c.LOCK_GET_INFO(cls_lock.GetInfoOp(name="l"))))
        number = next((locker.id.locker.num for locker in held.reply.lockers), 0) + self.other
        return c.LOCK_BREAK_LOCK(cls_lock.BreakLockOp(name="l", locker=cls_lock.EntityName(num=number), cookie=self.cookie))


Step = ClassCall | WriteOp | ReadOp | Break
_SECOND = 1_000_000_000
_OLD_GC = re.compile(rb"(?<=1_)0\d{10}\.\d{9}")
_TAG = re.compile(rb"(?<=\x18\0\0\0)[A-Za-z0-9+/]{24}")


def key(name: str, instance: str = "") -> ClsObjKey:
    return ClsObjKey(name=name, instance=instance)


def meta(size: int, category: int = 1) -> DirEntryMeta:
    return DirEntryMeta(category=category, size=size, accounted_size=size, etag="e", owner="o", mtime=12345, content_type="text/plain")


def prepare(name: str, tag: str = "t", op: int = 0, instance: str = "") -> ClassCall:
    return c.BUCKET_PREPARE_OP(cls_rgw.PrepareOp(op=op, tag=tag, locator="", key=key(name, instance), zones_trace=["z:b"]))


def complete(name: str, tag: str = "t", op: int = 0, instance: str = "", size: int = 100, epoch: int = 1, pool: int = 7,
             remove: tuple[str, ...] = (), category: int = 1) -> ClassCall:
    return c.BUCKET_COMPLETE_OP(cls_rgw.CompleteOp(
        op=op, tag=tag, key=key(name, instance), ver=EntryVer(pool=pool, epoch=epoch), meta=meta(size, category),
        remove_objs=[key(n) for n in remove], zones_trace=["z:b"]))


def put(name: str, **how: Any) -> list[Step]:
    return [prepare(name, instance=how.get("instance", ""), op=how.get("op", 0)), complete(name, **how)]


def listing(**how: Any) -> ClassCall:
    fields = {"num_entries": 100, "start_obj": key(""), "filter_prefix": "", "delimiter": "", "list_versions": False} | how
    return c.BUCKET_LIST(cls_rgw.ListOp(**fields))


def link(name: str, instance: str = "", delete_marker: bool = False, **how: Any) -> ClassCall:
    fields = {"olh_tag": "olh", "op_tag": f"op-{instance}", "meta": meta(0 if delete_marker else 100)} | how
    return c.BUCKET_LINK_OLH(cls_rgw.LinkOlhOp(key=key(name, instance), delete_marker=delete_marker, **fields))


def unlink(name: str, instance: str = "", **how: Any) -> ClassCall:
    return c.BUCKET_UNLINK_INSTANCE(cls_rgw.UnlinkInstanceOp(key=key(name, instance), **{"olh_tag": "olh", "op_tag": "un"} | how))


def olh_log(name: str, tag: str = "olh", marker: int = 0) -> ClassCall:
    return c.BUCKET_READ_OLH_LOG(cls_rgw.ReadOlhLogOp(olh=key(name), ver_marker=marker, olh_tag=tag))


def bi_list(name: str = "", marker: str = "", limit: int = 100) -> ClassCall:
    return c.BI_LIST(cls_rgw.BiListOp(max=limit, name_filter=name, marker=marker))


def bi_get(name: str, kind: int, instance: str = "") -> ClassCall:
    return c.BI_GET(cls_rgw.BiGetOp(key=key(name, instance), type=kind))


def init() -> Step:
    return c.BUCKET_INIT_INDEX()


def marked(check: ClassCall) -> WriteOp:
    """A change that a check guards."""
    return WriteOp().call(check).setxattr("user.mark", b"1")


def index_basics() -> list[Step]:
    return [
        listing(), init(), init(), *put("a"), *put("b", size=5000), *put("a", size=50, epoch=2), *put("a", size=1, epoch=1),
        prepare("new"), complete("new", op=2), prepare("x", op=1), complete("x", op=1), complete("nobody", tag="none"),
        complete("ghost", tag=""), prepare("c", "1"), prepare("c", "2"), complete("c", "1"), complete("c", "2", op=1, epoch=0),
        prepare("c", "3"), complete("c", "3", op=2), prepare("d", ""), *put("m1", category=3), *put("m2", category=3),
        *put("joined", remove=("m1", "m2", "missing")), *put("b", op=1, epoch=0), *put("b", op=1, epoch=0), listing(num_entries=0),
        c.BUCKET_SET_TAG_TIMEOUT(cls_rgw.TagTimeoutOp(tag_timeout=5)), listing(), c.BUCKET_CHECK_INDEX(), c.BUCKET_REBUILD_INDEX(),
        c.BUCKET_CHECK_INDEX(),
        c.BUCKET_UPDATE_STATS(cls_rgw.UpdateStatsOp(absolute=False, stats={1: CategoryStats(5, 6, 7, 8), 2: CategoryStats(1, 2, 3, 4)})),
        c.BUCKET_UPDATE_STATS(cls_rgw.UpdateStatsOp(absolute=True, stats={1: CategoryStats(50, 60, 70, 80), 4: CategoryStats(1, 1, 1, 1)})),
        c.BUCKET_CHECK_INDEX(), c.BUCKET_REBUILD_INDEX(),
    ]


def index_listing() -> list[Step]:
    steps: list[Step] = [init()]
    for name in ("a", "d/1", "d/2", "d/e/f", "d/", "d0", "é", "z/1", "z//2", "__under", "~", "d\x7f", "日本"):
        steps += put(name)
    for name in ("pending", "d/pending"):
        steps.append(prepare(name))
    for delimiter in ("", "/", "//", "e"):
        for prefix in ("", "d", "d/", "z", "none", "é"):
            for limit in (1, 2, 100):
                steps.append(listing(delimiter=delimiter, filter_prefix=prefix, num_entries=limit))
        for start in ("a", "d/", "d/1", "d/e", "d/e/", "z/", "é", "zzz"):
            steps += [listing(delimiter=delimiter, start_obj=key(start), num_entries=n) for n in (1, 3, 100)]
            steps.append(listing(delimiter=delimiter, start_obj=key(start), filter_prefix="d/"))
    return steps


def index_versions() -> list[Step]:
    looks: list[Step] = [
        listing(), listing(list_versions=True), listing(list_versions=True, num_entries=1), bi_list(), bi_list("a"), olh_log("a"),
        c.BUCKET_CHECK_INDEX()]
    return [
        init(), *put("a"), *put("other"), *put("a", instance="v1"), link("a", "v1"), *looks,
        *put("a", instance="v2"), link("a", "v2"), *looks, link("a", "v2", olh_tag="wrong"), link("a", "missing"),
        link("a", "dm", delete_marker=True), *looks, link("a", "", delete_marker=True), *looks, unlink("a", "dm"), unlink("a", "v2"), *looks,
        unlink("a", "v2"), unlink("a", "null"), *looks, unlink("a", "v1"), *looks, olh_log("a", "bad"), olh_log("a", marker=3),
        c.BUCKET_TRIM_OLH_LOG(cls_rgw.TrimOlhLogOp(olh=key("a"), ver=3, olh_tag="bad")),
        c.BUCKET_TRIM_OLH_LOG(cls_rgw.TrimOlhLogOp(olh=key("a"), ver=3, olh_tag="olh")), *looks,
        c.BUCKET_TRIM_OLH_LOG(cls_rgw.TrimOlhLogOp(olh=key("a"), ver=300, olh_tag="olh")), *looks,
        c.BUCKET_CLEAR_OLH(cls_rgw.ClearOlhOp(key=key("a"), olh_tag="bad")), c.BUCKET_CLEAR_OLH(cls_rgw.ClearOlhOp(key=key("a"), olh_tag="olh")),
        *looks, olh_log("a", ""), olh_log("nothing", ""), olh_log("nothing", "x"),
        listing(list_versions=True, start_obj=key("a", "v1")), listing(list_versions=True, start_obj=key("a", "gone")),
    ]


def index_null_versions() -> list[Step]:
    looks: list[Step] = [listing(), listing(list_versions=True), bi_list(), olh_log("n"), c.BUCKET_CHECK_INDEX()]
    return [
        init(), *put("n"), link("n", "", delete_marker=True), *looks, *put("n", instance="v1"), link("n", "v1"), *looks,
        *put("n", epoch=5), link("n", ""), *looks, unlink("n", "v1"), *looks, unlink("n", "null"), *looks, unlink("n", ""), *looks,
        link("m", "", delete_marker=True), unlink("m", ""), *put("k"), unlink("k", ""), *looks, bi_list("k"), bi_list("m"),
        *put("u", instance="v1"), link("u", "v1", olh_epoch=9), *put("u", instance="v2"), link("u", "v2", olh_epoch=4), *looks,
        link("u", "v2", unmod_since=1, high_precision_time=True), link("u", "v2", unmod_since=10**12), unlink("u", "v1", olh_epoch=3), *looks,
        unlink("u", "v2", olh_epoch=20), unlink("u", "v1", olh_epoch=20), *looks,
    ]


def index_raw() -> list[Step]:
    steps: list[Step] = [bi_list(), bi_get("a", 1), init(), *put("a"), *put("ab"), *put("b", instance="v1"), link("b", "v1")]
    for kind in (0, 1, 2, 3, 4):
        steps += [bi_get("a", kind), bi_get("b", kind), bi_get("b", kind, "v1"), bi_get("none", kind, "v1")]
    for name in ("", "a", "b", "none"):
        steps += [bi_list(name, limit=n) for n in (*range(16), 100)]
    steps += [bi_list(marker=m) for m in ("a", "ab", "b", "zz", "\x00")]
    entry = cls_rgw.BiEntry(type=1, idx="raw", data=DirEntry(name="raw", exists=True, meta=meta(77)).encode())
    version = cls_rgw.BiEntry(type=1, idx="raw1", data=DirEntry(name="raw1", exists=True, flags=1, meta=meta(7)).encode())
    other = cls_rgw.BiEntry(type=2, idx="raw2", data=b"data")
    return [*steps, c.BI_PUT(cls_rgw.BiPutOp(entry=entry)), listing(), c.BUCKET_CHECK_INDEX(), c.BI_PUT(cls_rgw.BiPutOp(entry=version)),
            c.BUCKET_CHECK_INDEX(), c.BI_PUT(cls_rgw.BiPutOp(entry=other)), bi_get("raw2", 1)]


def suggestions() -> list[Step]:
    def suggest(*changes: tuple[str, DirEntry]) -> ClassCall:
        return c.DIR_SUGGEST_CHANGES(cls_rgw.SuggestChangesOp([cls_rgw.SuggestedChange(op=ord(op), entry=entry) for op, entry in changes]))

    def entry(name: str, size: int = 9, exists: bool = True, index_ver: int = 0) -> DirEntry:
        return DirEntry(name=name, ver=EntryVer(pool=7, epoch=9), exists=exists, meta=meta(size), tag="s", index_ver=index_ver)

    old = DirEntry(name="old", pending_map={"t": PendingInfo(state=0, timestamp=1000, op=0)})
    older = DirEntry(name="old2", exists=True, meta=meta(55), pending_map={"t": PendingInfo(state=0, timestamp=1000, op=0)})

    def plain(item: DirEntry) -> ClassCall:
        return c.BI_PUT(cls_rgw.BiPutOp(entry=cls_rgw.BiEntry(type=1, idx=item.name, data=item.encode())))

    return [
        suggest(("u", entry("a"))), init(), *put("a"), *put("b"), suggest(("u", entry("a"))), suggest(("r", entry("b"))), suggest(("u", entry("new"))),
        suggest(("r", entry("none"))), prepare("busy"), suggest(("u", entry("busy"))), suggest(("r", entry("busy"))),
        plain(old), plain(older), suggest(("r", entry("old"))), suggest(("u", entry("old2", 60))), plain(old), suggest(("u", entry("old", 5, False))),
        suggest(("u", entry("a", 1)), ("r", entry("new")), ("u", entry("c"))), suggest(), *put("w"), suggest(("r", entry("w", index_ver=1))),
        suggest(("r", entry("w", index_ver=5))),
        suggest(("r", entry("w", index_ver=99))), listing(), c.BUCKET_CHECK_INDEX(),
    ]


def resharding() -> list[Step]:
    guard = c.GUARD_BUCKET_RESHARDING(cls_rgw.GuardBucketReshardingOp(ret_err=-2300))
    get = c.GET_BUCKET_RESHARDING(cls_rgw.GetBucketReshardingOp())
    steps: list[Step] = [guard, get, init(), guard, get]
    for status in (1, 2, 0):
        entry = BucketInstanceEntry(status=status, new_bucket_instance_id="new:1", num_shards=11)
        steps += [c.SET_BUCKET_RESHARDING(cls_rgw.SetBucketReshardingOp(entry=entry)), guard, get, *put("a", epoch=status + 1),
                  WriteOp().call(guard).call(prepare("g"))]
    return [*steps, c.CLEAR_BUCKET_RESHARDING(cls_rgw.ClearBucketReshardingOp()), guard, get, listing(num_entries=0)]


def user_buckets() -> list[Step]:
    def entry(name: str, size: int = 10, count: int = 1) -> UserBucketEntry:
        return UserBucketEntry(bucket=UserBucket(name=name, marker="m", bucket_id="i"), size=size, size_rounded=4096, count=count,
                               creation_time=5 * _SECOND)

    def update(add: bool, when: int, *entries: UserBucketEntry) -> ClassCall:
        return c.USER_SET_BUCKETS_INFO(cls_user.SetBucketsOp(entries=list(entries), add=add, time=when * _SECOND))

    def page(marker: str = "", limit: int = 100, end: str = "") -> ClassCall:
        return c.USER_LIST_BUCKETS(cls_user.ListBucketsOp(marker=marker, max_entries=limit, end_marker=end))

    header = c.USER_GET_HEADER(cls_user.GetHeaderOp())
    gone = c.USER_REMOVE_BUCKET(cls_user.RemoveBucketOp(bucket=UserBucket(name="b1")))
    return [
        page(), header, gone, update(True, 5, entry("b1"), entry("b2", 20, 2), entry("b3")), header, page(), page(limit=2), page("b1"),
        page("b2", 1), page(end="b2"), page("b1", 1, "b3"), page(limit=0), page(limit=-1), update(False, 4, entry("b1", 500, 5), entry("new")), header, page(),
        update(True, 9, entry("b1", 1, 1)), gone, gone, header, c.USER_COMPLETE_STATS_SYNC(cls_user.CompleteStatsSyncOp(time=7 * _SECOND)), header,
        c.USER_COMPLETE_STATS_SYNC(cls_user.CompleteStatsSyncOp(time=6 * _SECOND)), c.USER_RESET_STATS(cls_user.ResetStatsOp(time=8 * _SECOND)),
        header, page(),
    ]


def fresh_user() -> list[Step]:
    return [c.USER_COMPLETE_STATS_SYNC(cls_user.CompleteStatsSyncOp(time=7 * _SECOND)), c.USER_GET_HEADER(cls_user.GetHeaderOp()),
            WriteOp().remove(), c.USER_RESET_STATS(cls_user.ResetStatsOp(time=8 * _SECOND)), c.USER_GET_HEADER(cls_user.GetHeaderOp())]


def object_checks() -> list[Step]:
    def attrs(prefix: str, fail: bool) -> ClassCall:
        return c.OBJ_CHECK_ATTRS_PREFIX(cls_rgw.CheckAttrsPrefixOp(check_prefix=prefix, fail_if_exist=fail))

    def times() -> Iterator[ClassCall]:
        for kind in (0, 1, 2, 3, 4, 9):
            for when in (0, 99, 100, 101):
                for precise in (False, True):
                    for extra in (0, 5):
                        yield c.OBJ_CHECK_MTIME(cls_rgw.CheckMtimeOp(mtime=when * _SECOND + extra, type=kind, high_precision_time=precise))

    checks = [attrs(prefix, fail) for prefix in ("", "user.rgw.", "user.rgw.olh.", "user.none", "user.rgw.acl") for fail in (False, True)]
    remove = c.OBJ_REMOVE(cls_rgw.ObjRemoveOp(keep_attr_prefixes=["user.rgw.olh."]))
    return [
        *checks, *[marked(check) for check in checks], *times(), *[marked(t) for t in times()], WriteOp().remove(), remove,
        c.OBJ_STORE_PG_VER(cls_rgw.StorePgVerOp(attr="user.rgw.pg_ver")),
        WriteOp(mtime=100 * _SECOND).write_full(b"data").setxattr("user.rgw.acl", b"1").setxattr("user.rgw.olh.info", b"2").omap_set({b"k": b"v"}),
        *checks, *times(), WriteOp().call(remove).setxattr("user.rgw.new", b"n").write_full(b"later"), remove, *checks,
        c.OBJ_REMOVE(cls_rgw.ObjRemoveOp(keep_attr_prefixes=[])), remove,
    ]


def lifecycle() -> list[Step]:
    def one(method: Any, bucket: str, start: int = 1, status: int = 0) -> ClassCall:
        return method(cls_rgw.LcEntryOp(entry=LcEntry(bucket=bucket, start_time=start, status=status)))

    def get(method: Any, marker: str) -> ClassCall:
        return method(cls_rgw.LcMarkerOp(marker=marker))

    def page(marker: str = "", limit: int = 100) -> ClassCall:
        return c.LC_LIST_ENTRIES(cls_rgw.LcListOp(marker=marker, max_entries=limit))

    looks: list[Step] = [
        c.LC_GET_HEAD(), page(), page("b"), page(limit=1), page("a", 1), page(limit=0), *(get(c.LC_GET_ENTRY, n) for n in ("a", "none", "")),
        *(get(c.LC_GET_NEXT_ENTRY, n) for n in ("", "a", "c", "zz"))]
    return [
        *looks, one(c.LC_RM_ENTRY, "none"), c.LC_PUT_HEAD(cls_rgw.LcPutHeadOp(head=LcHead(start_date=77, marker="m"))), *looks,
        one(c.LC_SET_ENTRY, "a"), one(c.LC_SET_ENTRY, "b", 5, 1), one(c.LC_SET_ENTRY, "c", 6, 3), *looks, one(c.LC_SET_ENTRY, "b", 9, 2),
        one(c.LC_RM_ENTRY, "a"), one(c.LC_RM_ENTRY, "none"), *looks,
    ]


def usage_log() -> list[Step]:
    def entry(owner: str, bucket: str, epoch: int, category: str = "get_obj", payer: str = "", ops: int = 1) -> UsageLogEntry:
        made = UsageLogEntry(owner=owner, bucket=bucket, epoch=epoch, payer=payer)
        made.count(category, UsageData(10 * ops, 100 * ops, ops, ops - 1))
        return made

    def add(*entries: UsageLogEntry) -> ClassCall:
        return c.USAGE_LOG_ADD(UsageAddOp(UsageLogInfo(list(entries))))

    def read(user: str = "", bucket: str = "", start: int = 0, end: int = 10**10, marker: str = "", most: int = 0) -> ClassCall:
        return c.USAGE_LOG_READ(UsageReadOp(start, end, user, marker, most, bucket))

    def trim(user: str = "", bucket: str = "", start: int = 0, end: int = 10**10) -> ClassCall:
        return c.USAGE_LOG_TRIM(UsageTrimOp(start, end, user, bucket))

    reads: list[Step] = [
        read(), read("u"), read("v"), read("none"), read(bucket="b"), read("u", "b"), read("u", "none"), read(start=7200), read(end=7200),
        read("u", start=7200), read("u", end=7200), read("u", start=3601, end=7201), read(most=1), read(most=2), read("u", most=1), read("u", most=2),
        read("u", marker="u_00000003600_b", most=1), read(marker="00000003600_u_b", most=3), read("t$u"), read(end=0), read(start=10**9)]
    many = [entry("many", f"b{i}", 3600 * (i % 7)) for i in range(150)]
    return [
        *reads, trim(), c.USAGE_LOG_CLEAR(),
        add(entry("u", "b", 3600)), *reads,
        add(entry("u", "b", 3600, ops=5), entry("u", "b", 3600, "put_obj"), entry("u", "c", 7200), entry("v", "b", 7200, payer="u"),
            entry("t$u", "d", 7200), entry("u_x", "b", 3600), entry("v", "-", 10800)), *reads,
        trim("u", "b", end=3601), trim("none"), trim(start=20000), *reads, trim("u", start=7200), trim(end=7201), *reads,
        add(*many), read("many", most=100), read(), trim("many", "b3"), trim("many", "b3"), trim(), read(), trim(), trim(), trim(), *reads,
        add(*many[:3]), c.USAGE_LOG_CLEAR(), *reads,
    ]


def reshard_queue() -> list[Step]:
    def add(name: str, tenant: str = "", bucket_id: str = "i") -> ClassCall:
        return c.RESHARD_ADD(cls_rgw.ReshardAddOp(entry=ReshardEntry(
            time=5, tenant=tenant, bucket_name=name, bucket_id=bucket_id, new_instance_id="n", old_num_shards=1, new_num_shards=3)))

    def get(name: str, tenant: str = "") -> ClassCall:
        return c.RESHARD_GET(cls_rgw.ReshardGetOp(entry=ReshardEntry(tenant=tenant, bucket_name=name)))

    def page(marker: str = "", limit: int = 100) -> ClassCall:
        return c.RESHARD_LIST(cls_rgw.ReshardListOp(max=limit, marker=marker))

    def remove(name: str, bucket_id: str = "", tenant: str = "") -> ClassCall:
        return c.RESHARD_REMOVE(cls_rgw.ReshardRemoveOp(tenant=tenant, bucket_name=name, bucket_id=bucket_id))

    looks: list[Step] = [page(), page(limit=1), page(":a"), page(limit=0), get("a"), get("a", "t"), get("none")]
    return [*looks, remove("a"), add("a"), add("a", "t"), add("b"), *looks, remove("a", "other"), *looks, remove("a", "i"), remove("b"),
            remove("a", tenant="t"), remove("b"), *looks]


def garbage_queue() -> list[Step]:
    def info(tag: str, objects: int = 1) -> GcObjInfo:
        chain = [GcObj(pool="p", oid=f"{tag}.{n}", loc="", key=key(f"{tag}.{n}")) for n in range(objects)]
        return GcObjInfo(tag=tag, chain=GcObjChain(objs=chain), time=0)

    def enqueue(tag: str, wait: int = 0, objects: int = 1) -> ClassCall:
        return c.GC_QUEUE_ENQUEUE(cls_rgw.GcSetEntryOp(expiration_secs=wait, info=info(tag, objects)))

    def page(marker: str = "", limit: int = 100, expired: bool = False) -> ClassCall:
        return c.GC_QUEUE_LIST_ENTRIES(cls_rgw.GcListOp(marker=marker, max=limit, expired_only=expired))

    def remove(count: int) -> ClassCall:
        return c.GC_QUEUE_REMOVE_ENTRIES(QueueRemoveOp(num_entries=count))

    def defer(tag: str, wait: int, objects: int = 1) -> ClassCall:
        return c.GC_QUEUE_UPDATE_ENTRY(QueueDeferOp(expiration_secs=wait, info=info(tag, objects)))

    init_queue = c.GC_QUEUE_INIT(QueueInitOp(size=1000, num_deferred_entries=3))
    looks: list[Step] = [page(), page(expired=True), page(limit=1), page(limit=2), page(limit=0)]
    return [
        page(), remove(1), enqueue("early"), init_queue, init_queue, *looks, enqueue("a\0"), enqueue("b", 1000), enqueue("c", 0, 3), *looks,
        defer("b", 1900), *looks, defer("a\0", 1500), *looks, remove(1), *looks, defer("c", 1000, 3), *looks, defer("unknown", 1900), *looks,
        remove(1), *looks, remove(10), *looks, *[s for n in range(12) for s in (enqueue(f"r{n}", 0, 2), page(), remove(1))],
        *[enqueue(f"full{n}", 0, 2) for n in range(12)], *looks, remove(3), *looks, enqueue("again"), *looks, remove(100), *looks,
    ]


def old_garbage() -> list[Step]:
    def info(tag: str) -> GcObjInfo:
        return GcObjInfo(tag=tag, chain=GcObjChain(objs=[GcObj(pool="p", oid=tag, loc="", key=key(tag))]), time=0)

    def page(marker: str = "", limit: int = 100, expired: bool = False) -> ClassCall:
        return c.GC_LIST(cls_rgw.GcListOp(marker=marker, max=limit, expired_only=expired))

    def setter(tag: str, wait: int = 0) -> ClassCall:
        return c.GC_SET_ENTRY(cls_rgw.GcSetEntryOp(expiration_secs=wait, info=info(tag)))

    def remove(*tags: str) -> ClassCall:
        return c.GC_REMOVE(cls_rgw.GcRemoveOp(tags=list(tags)))

    return [page(), remove("x"), setter("a\0"), setter("b"), setter("later", 1000), page(), page(expired=True), page(limit=1), setter("a\0", 1200), page(),
            page(expired=True), remove("none"), remove("b", "a\0"), page(), remove("later"), page()]


def references() -> list[Step]:
    def get(tag: str, implicit: bool = True) -> ClassCall:
        return c.REFCOUNT_GET(cls_refcount.RefcountOp(tag=tag, implicit_ref=implicit))

    def drop(tag: str, implicit: bool = True) -> ClassCall:
        return c.REFCOUNT_PUT(cls_refcount.RefcountOp(tag=tag, implicit_ref=implicit))

    def read(implicit: bool) -> ClassCall:
        return c.REFCOUNT_READ(cls_refcount.ReadOp(implicit_ref=implicit))

    looks: list[Step] = [read(False), read(True)]
    return [
        *looks, get("x"), drop("x"), WriteOp().write_full(b"t"), *looks, drop("x", False), get("x\0"), get("y", False), *looks, drop("unknown", False),
        drop("own"), drop("own"), *looks, get("own"), drop("own"), drop("x\0"), *looks, drop("y"), *looks, WriteOp().remove(), WriteOp().write_full(b"u"),
        drop("last"), *looks, c.REFCOUNT_SET(cls_refcount.SetOp(refs=["b", "a"])), *looks, get("c"), *looks, c.REFCOUNT_SET(cls_refcount.SetOp(refs=[])),
        *looks,
    ]


def versions() -> list[Step]:
    version = ObjVersion(ver=5, tag="t")

    def conds(*items: tuple[int, int, str]) -> list[cls_version.ObjVersionCond]:
        return [cls_version.ObjVersionCond(ver=ObjVersion(ver=v, tag=t), cond=n) for n, v, t in items]

    steps: list[Step] = [c.VERSION_READ()]
    for _ in range(2):
        for n in range(9):
            for v, t in ((4, "t"), (5, "t"), (6, "t"), (5, "u"), (0, "")):
                steps.append(c.VERSION_CHECK_CONDS(cls_version.CheckOp(objv=version, conds=conds((n, v, t)))))
                steps.append(marked(c.VERSION_CHECK_CONDS(cls_version.CheckOp(objv=version, conds=conds((n, v, t))))))
        steps.append(c.VERSION_SET(cls_version.SetOp(objv=version)))
    return [*steps, c.VERSION_READ(), c.VERSION_INC(cls_version.IncOp(objv=version, conds=[])), c.VERSION_READ(),
            c.VERSION_INC_CONDS(cls_version.IncOp(objv=version, conds=conds((1, 5, "t")))),
            c.VERSION_INC_CONDS(cls_version.IncOp(objv=version, conds=conds((1, 6, "t")))), WriteOp().remove(),
            c.VERSION_INC(cls_version.IncOp(objv=version, conds=[])), c.VERSION_READ()]


def locks() -> list[Step]:
    def lock(cookie: str = "c", kind: int = 1, flags: int = 0, tag: str = "", duration: int = 600, name: str = "l") -> ClassCall:
        return c.LOCK_LOCK(cls_lock.LockOp(name=name, type=kind, cookie=cookie, tag=tag, description="d", duration=duration * _SECOND, flags=flags))

    def held(cookie: str, kind: int = 1, tag: str = "") -> ClassCall:
        return c.LOCK_ASSERT_LOCKED(cls_lock.AssertLockedOp(name="l", type=kind, cookie=cookie, tag=tag))

    def free(cookie: str = "c") -> ClassCall:
        return c.LOCK_UNLOCK(cls_lock.UnlockOp(name="l", cookie=cookie))

    def rename(old: str, new: str, kind: int = 1) -> ClassCall:
        return c.LOCK_SET_COOKIE(cls_lock.SetCookieOp(name="l", type=kind, cookie=old, tag="", new_cookie=new))

    looks: list[Step] = [c.LOCK_GET_INFO(cls_lock.GetInfoOp(name="l")), c.LOCK_LIST_LOCKS(), held("c"), held("x"), held("c", 2), held("c", 1, "t")]
    return [
        *looks, free(), lock(flags=2), lock(flags=3), lock(kind=0), lock(kind=4), lock(name=""), lock(), lock(), lock("x"), lock(flags=1), lock(flags=2),
        lock("x", flags=1), lock("x", flags=2), lock(tag="t"), lock(kind=2), lock("x", 2), *looks, rename("c", "e"), rename("none", "f"), *looks, free("c"),
        free("e"), free("e"), *looks, lock("s1", 2), lock("s2", 2), lock("s3", 1), lock("s1", 2, 1), rename("s1", "s2", 2), *looks, free("s1"),
        lock("s2", 1, 1),
        *looks, free("s2"), lock("eph", 3), *looks, free("eph"), *looks, lock(name="other", duration=0), c.LOCK_LIST_LOCKS(),
        Break("c"), lock("b1", 2), lock("b2", 2), Break("none"), Break("b1", other=True), Break("b1"), *looks, Break("b1"), Break("b2"), *looks,
        lock("eph", 3), Break("eph"), *looks,
    ]


def random_index(seed: int) -> list[Step]:
    """Changes of few names in any order, most of them in pairs as a gateway sends them."""
    rnd = random.Random(seed)
    steps: list[Step] = [init(), *put("a"), *put("b"), *put("a/b")]
    for n in range(50):
        name, instance = rnd.choice(("a", "b", "a/b")), rnd.choice(("", "", "v1", "v2", "v3"))
        tag, epoch = f"t{n}", rnd.randrange(n + 2)
        kind = rnd.randrange(10)
        if kind < 4:
            op = rnd.choice((0, 0, 0, 1, 2))
            steps += [prepare(name, tag, min(op, 1), instance), complete(name, tag, op, instance, rnd.randrange(9000), epoch)]
            if op == 0 and rnd.random() < 0.5:
                steps.append(link(name, instance))
        elif kind < 6:
            steps.append(prepare(name, tag, rnd.randrange(2), instance))
        elif kind < 7:
            steps.append(link(name, f"dm{n}", True))
        elif kind < 9:
            steps.append(unlink(name, rnd.choice((instance, f"dm{rnd.randrange(n + 1)}", "null"))))
        else:
            steps.append(complete(name, f"t{rnd.randrange(n + 1)}", rnd.randrange(3), instance, 10, epoch))
        steps += [listing(list_versions=bool(n % 2), delimiter=rnd.choice(("", "/")), num_entries=rnd.choice((1, 2, 50))), olh_log(name)]
    return [*steps, bi_list(), c.BUCKET_CHECK_INDEX()]


SCRIPTS: dict[str, Callable[[], list[Step]]] = {f.__name__: f for f in (
    index_basics, index_listing, index_versions, index_null_versions, index_raw, suggestions, resharding, user_buckets, fresh_user, object_checks,
    lifecycle, usage_log, reshard_queue, garbage_queue, old_garbage, references, versions, locks)}


def _mask_times(data: bytes) -> bytes:
    """Stored times near the present, and random version tags, become zeros; the rest stays to the byte."""
    now, out, pos = int(time.time()), bytearray(data), 0
    while pos + 8 <= len(out):
        seconds, nanoseconds = struct.unpack_from("<II", out, pos)
        if now - 3600 < seconds < now + 3600 and nanoseconds < _SECOND:
            out[pos:pos + 8] = bytes(8)
            pos += 8
        else:
            pos += 1
    return _OLD_GC.sub(b"<time>", _TAG.sub(b"<tag>", bytes(out)))


def _mask_lock(lock: Any) -> Any:
    for locker in lock.lockers:
        locker.id.locker.num = 0
        locker.info.addr = cls_lock.LockerInfo().addr
    return lock


def _masked(reply: Any) -> bytes:
    if reply is None or isinstance(reply, bytes):
        return reply or b""
    return _mask_times((_mask_lock(reply) if isinstance(reply, cls_lock.GetInfoRet) else reply).encode())


def _ring(data: bytes) -> bytes:
    """Of a garbage queue what counts: its head, and the entries from front to tail."""
    length = struct.unpack_from("<HQ", data)[1]
    head = QueueHead.decode(data[10:10 + length])
    urgent = GcUrgentData.decode(head.urgent_data)
    urgent.urgent_data_map = dict(sorted(urgent.urgent_data_map.items()))  # unordered on the OSD
    head.urgent_data = urgent.encode()
    data = data.ljust(head.queue_size, b"\0")
    if head.front.gen == head.tail.gen:
        live = data[head.front.offset:head.tail.offset]
    else:
        live = data[head.front.offset:head.queue_size] + data[head.max_head_size:head.tail.offset]
    return head.encode() + live


async def _state(ioctx: IoCtx, oid: str) -> Any:
    try:
        found = await ioctx.read(oid, ReadOp().getxattrs().read().omap_get().omap_get_header())
    except NotFound:
        return None
    assert found.omap is not None
    xattrs = {}
    for name, value in sorted(found.xattrs.items()):
        if name == "user.rgw.pg_ver":
            xattrs[name] = bytes(len(value))
        elif name.startswith("lock."):
            xattrs[name] = _mask_times(_mask_lock(cls_lock.LockInfo.decode(value)).encode())
        else:
            xattrs[name] = _mask_times(value)
    omap = {_OLD_GC.sub(b"<time>", name): _mask_times(value) for name, value in found.omap.values.items()}
    data = _ring(found.data) if found.data[:2] == b"\xad\xde" else found.data
    return {"data": _mask_times(data), "xattrs": xattrs, "omap": omap, "header": _mask_times(found.omap_header)}


async def run(ioctx: IoCtx, oid: str, steps: list[Step]) -> list[tuple[Any, Any]]:
    """Runs a script on an object; for each step its masked reply or error, and the object's masked state after it."""
    trace: list[tuple[Any, Any]] = []
    for step in steps:
        outcome: Any
        try:
            if isinstance(step, Break):
                outcome = await ioctx.write(oid, WriteOp().call(await step.call(ioctx, oid))) and None
            elif isinstance(step, ClassCall):
                if step.method.writes:
                    outcome = await ioctx.write(oid, WriteOp().call(step)) and None
                else:
                    outcome = _masked((await ioctx.read(oid, ReadOp().call(step))).reply)
            elif isinstance(step, WriteOp):
                outcome = await ioctx.write(oid, step) and None
            else:
                outcome = [_masked(reply) for reply in (await ioctx.read(oid, step)).replies]
        except StoreError as error:
            outcome = type(error).__name__, getattr(error, "code", None)
        trace.append((outcome, await _state(ioctx, oid)))
    return trace
