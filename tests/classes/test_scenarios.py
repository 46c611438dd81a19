"""What the object classes do, call after call."""

from __future__ import annotations

import pytest

from rgw.formats.basics import ObjVersion
from rgw.formats.cls_gc import QueueInitOp, QueueRemoveOp
from rgw.formats.cls_lock import LockOp, UnlockOp
from rgw.formats.cls_refcount import RefcountOp
from rgw.formats.cls_rgw import CompleteOp, GcListOp, GcSetEntryOp, LinkOlhOp, ListOp, ObjRemoveOp, PrepareOp, UnlinkInstanceOp
from rgw.formats.cls_version import CheckOp, ObjVersionCond, SetOp
from rgw.formats.gc import GcObjChain, GcObjInfo
from rgw.formats.index import ClsObjKey, DirEntryMeta, DirHeader, EntryVer
from rgw.store import classes
from rgw.store.errors import Busy, Cancelled, Exists, InvalidArgument, NoSpace, NotFound
from tests.classes.memory import MemoryObject


def shard() -> MemoryObject:
    o = MemoryObject()
    o.call(classes.BUCKET_INIT_INDEX())
    return o


def put(o: MemoryObject, name: str, size: int = 100, epoch: int = 1, op: int = 0, instance: str = "", remove: tuple[str, ...] = ()) -> None:
    key = ClsObjKey(name=name, instance=instance)
    o.call(classes.BUCKET_PREPARE_OP(PrepareOp(op=op, tag="t", key=key)))
    o.call(classes.BUCKET_COMPLETE_OP(CompleteOp(
        op=op, tag="t", key=key, ver=EntryVer(pool=3, epoch=epoch), meta=DirEntryMeta(category=1, size=size, accounted_size=size),
        remove_objs=[ClsObjKey(name=n) for n in remove])))


def listing(o: MemoryObject, **how: object) -> tuple[list[str], bool]:
    fields = {"num_entries": 100, "start_obj": ClsObjKey(), "filter_prefix": "", "delimiter": "", "list_versions": False} | how
    reply = o.call(classes.BUCKET_LIST(ListOp(**fields)))
    return list(reply.dir.entries), reply.truncated


def stats(o: MemoryObject) -> tuple[int, int, int]:
    s = DirHeader.decode(o.omap_header()).stats[1]
    return s.num_entries, s.total_size, s.total_size_rounded


def test_an_index_is_initialised_once() -> None:
    with pytest.raises(InvalidArgument):
        shard().call(classes.BUCKET_INIT_INDEX())


def test_statistics_follow_put_overwrite_and_delete() -> None:
    o = shard()
    put(o, "a", 100)
    put(o, "b", 5000)
    assert stats(o) == (2, 5100, 12288)
    put(o, "a", 50, epoch=2)
    assert stats(o) == (2, 5050, 12288)
    put(o, "b", op=1, epoch=0, remove=("a",))
    assert stats(o) == (0, 0, 0) and not o.omap


def test_an_older_version_of_the_object_loses() -> None:
    o = shard()
    put(o, "a", 100, epoch=9)
    put(o, "a", 7, epoch=8)
    assert stats(o) == (1, 100, 4096)


def test_a_change_that_was_not_prepared_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        shard().call(classes.BUCKET_COMPLETE_OP(CompleteOp(op=0, tag="nobody", key=ClsObjKey(name="a"))))


def test_listing_rolls_up_and_goes_on() -> None:
    o = shard()
    for name in ("a", "d/1", "d/2", "d0", "é", "z/1"):
        put(o, name)
    o.omap_set(b"\x801001_a", b"private")
    assert listing(o) == (["a", "d/1", "d/2", "d0", "z/1", "é"], False)
    assert listing(o, delimiter="/") == (["a", "d/", "d0", "z/", "é"], False)
    assert listing(o, delimiter="/", num_entries=2) == (["a", "d/"], True)
    assert listing(o, delimiter="/", start_obj=ClsObjKey(name="d/")) == (["d0", "z/", "é"], False)
    assert listing(o, filter_prefix="d/", delimiter="/") == (["d/1", "d/2"], False)


def link(o: MemoryObject, instance: str, delete_marker: bool = False) -> None:
    key = ClsObjKey(name="a", instance=instance)
    o.call(classes.BUCKET_LINK_OLH(LinkOlhOp(key=key, olh_tag="olh", op_tag="op", delete_marker=delete_marker)))


def test_versions_list_newest_first_and_the_older_one_returns() -> None:
    o = shard()
    for instance in ("v1", "v2"):
        put(o, "a", instance=instance)
        link(o, instance)
    assert listing(o) == (["a\0v912\0iv2"], False)
    assert listing(o, list_versions=True) == (["a\0v912\0iv2", "a\0v913\0iv1"], False)
    link(o, "dm", delete_marker=True)
    assert listing(o) == ([], False)
    for instance in ("dm", "v2"):
        o.call(classes.BUCKET_UNLINK_INSTANCE(UnlinkInstanceOp(key=ClsObjKey(name="a", instance=instance), olh_tag="olh", op_tag="op")))
    assert [key.split("\0i")[1] for key in listing(o)[0]] == ["v1"]


def test_references_keep_an_object_alive() -> None:
    o = MemoryObject()
    o.create()
    o.call(classes.REFCOUNT_GET(RefcountOp(tag="x", implicit_ref=True)))
    o.call(classes.REFCOUNT_PUT(RefcountOp(tag="unknown", implicit_ref=False)))
    o.call(classes.REFCOUNT_PUT(RefcountOp(tag="own", implicit_ref=True)))
    o.call(classes.REFCOUNT_PUT(RefcountOp(tag="own", implicit_ref=True)))
    assert o.exists
    o.call(classes.REFCOUNT_PUT(RefcountOp(tag="x", implicit_ref=True)))
    assert not o.exists


def test_a_version_is_checked() -> None:
    o = MemoryObject()
    version = ObjVersion(ver=1, tag="t")
    o.call(classes.VERSION_SET(SetOp(objv=version)))
    o.call(classes.VERSION_CHECK_CONDS(CheckOp(objv=version, conds=[ObjVersionCond(ver=version, cond=1)])))
    with pytest.raises(Cancelled):
        o.call(classes.VERSION_CHECK_CONDS(CheckOp(objv=version, conds=[ObjVersionCond(ver=ObjVersion(ver=2, tag="t"), cond=1)])))


def test_removal_keeps_named_xattrs() -> None:
    o = MemoryObject()
    o.write_full(b"data")
    o.set_xattr("user.rgw.olh.info", b"1")
    o.set_xattr("user.rgw.acl", b"2")
    o.call(classes.OBJ_REMOVE(ObjRemoveOp(keep_attr_prefixes=["user.rgw.olh."])))
    assert o.exists and o.xattrs() == {"user.rgw.olh.info": b"1"} and not o.data


def test_garbage_runs_round_its_ring() -> None:
    o = MemoryObject()
    o.call(classes.GC_QUEUE_INIT(QueueInitOp(size=300, num_deferred_entries=5)))
    for n in range(50):
        o.call(classes.GC_QUEUE_ENQUEUE(GcSetEntryOp(expiration_secs=0, info=GcObjInfo(tag=f"tag{n:02}", chain=GcObjChain(objs=[])))))
        found = o.call(classes.GC_QUEUE_LIST_ENTRIES(GcListOp(max=10, expired_only=True)))
        assert [e.tag for e in found.entries] == [f"tag{n:02}"] and not found.truncated
        o.call(classes.GC_QUEUE_REMOVE_ENTRIES(QueueRemoveOp(num_entries=1)))
    with pytest.raises(NoSpace):
        for _ in range(50):
            o.call(classes.GC_QUEUE_ENQUEUE(GcSetEntryOp(expiration_secs=0, info=GcObjInfo(tag="t", chain=GcObjChain(objs=[])))))


def test_a_lock_has_one_holder_until_it_expires() -> None:
    o = MemoryObject()
    mine, other = (LockOp(name="l", type=1, cookie=c, duration=10 * 10**9) for c in ("mine", "other"))
    o.call(classes.LOCK_LOCK(mine))
    with pytest.raises(Exists):
        o.call(classes.LOCK_LOCK(mine))
    with pytest.raises(Busy):
        o.call(classes.LOCK_LOCK(other))
    o.clock += 11 * 10**9
    o.call(classes.LOCK_LOCK(other))
    with pytest.raises(NotFound):
        o.call(classes.LOCK_UNLOCK(UnlockOp(name="l", cookie="mine")))
