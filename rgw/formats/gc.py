"""Garbage collection, queues and references (formats page 3.8). Sources: cls_rgw_types.h, cls_queue_types.h, cls_refcount of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BLOB, BOOL, STR, TIME, U32, U64, Struct, f, list_of, map_of, struct
from rgw.formats.index import ClsObjKey


@struct(2, 1)
class GcObj(Struct):
    """cls_rgw_obj: pool as text, RADOS name, locator."""

    pool: str = f(STR)
    oid: str = f(STR)
    loc: str = f(STR)
    key: ClsObjKey = f(ClsObjKey, since=2)

    @staticmethod
    def _enc_body(out: bytearray, o: GcObj) -> None:
        STR.enc(out, o.pool)
        STR.enc(out, o.key.name or o.oid)
        STR.enc(out, o.loc)
        ClsObjKey._enc(out, o.key if o.key.name else ClsObjKey(o.oid, ""))

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[GcObj, int]:
        o = GcObj()
        o.pool, pos = STR.dec(buf, pos, end)
        o.oid, pos = STR.dec(buf, pos, end)
        o.loc, pos = STR.dec(buf, pos, end)
        if v >= 2:
            o.key, pos = ClsObjKey._dec(buf, pos, end)
        return o, pos


@struct(1, 1)
class GcObjChain(Struct):
    """cls_rgw_obj_chain."""

    objs: list[GcObj] = f(list_of(GcObj))


@struct(1, 1)
class GcObjInfo(Struct):
    """cls_rgw_gc_obj_info; ``time`` is when it may be collected."""

    tag: str = f(STR)
    chain: GcObjChain = f(GcObjChain)
    time: int = f(TIME)


@struct(1, 1)
class QueueMarker(Struct):
    """cls_queue_marker."""

    gen: int = f(U64)
    offset: int = f(U64)


@struct(1, 1)
class UrgentData(Struct):
    """cls_rgw_gc_urgent_data: entries whose time was moved after they were queued."""

    deferred: dict[str, int] = f(map_of(STR, TIME))
    num_urgent_data_entries: int = f(U32)
    num_head_urgent_entries: int = f(U32)
    num_xattr_urgent_entries: int = f(U32)


@struct(1, 1)
class QueueHead(Struct):
    """cls_queue_head; stands behind u16 0xDEAD and u64 length at the start of a queue object."""

    max_head_size: int = f(U64, 4096)
    front: QueueMarker = f(QueueMarker)
    tail: QueueMarker = f(QueueMarker)
    queue_size: int = f(U64)
    max_urgent_data_size: int = f(U64)
    urgent_data: bytes = f(BLOB)


@struct(2, 1)
class ObjRefcount(Struct):
    """obj_refcount, the xattr `refcount` of a tail."""

    refs: dict[str, bool] = f(map_of(STR, BOOL))
    retired_refs: list[str] = f(list_of(STR), since=2)
