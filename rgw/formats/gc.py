"""Garbage, queues and reference counts (formats page 3.8). Sources: cls_rgw_types.h, cls_queue_types.h, cls_refcount of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BLOB, BOOL, STR, TIME, U32, U64, Struct, f, list_of, map_of, set_of, struct
from rgw.formats.index import ClsObjKey


@struct(2, 1)
class GcObj(Struct):
    """cls_rgw_obj: pool as text, RADOS name, locator; ``key`` repeats the name."""

    pool: str = f(STR)
    oid: str = f(STR)
    loc: str = f(STR)
    key: ClsObjKey = f(ClsObjKey, since=2)


@struct(1, 1)
class GcObjChain(Struct):
    """cls_rgw_obj_chain."""

    objs: list[GcObj] = f(list_of(GcObj))


@struct(1, 1)
class GcObjInfo(Struct):
    """cls_rgw_gc_obj_info. ``tag`` may end with NUL; ``time`` is when it is due (0 in requests)."""

    tag: str = f(STR)
    chain: GcObjChain = f(GcObjChain)
    time: int = f(TIME)


@struct(1, 1)
class GcUrgentData(Struct):
    """cls_rgw_gc_urgent_data: entries put off."""

    urgent_data_map: dict[str, int] = f(map_of(STR, TIME))
    num_urgent_data_entries: int = f(U32)
    num_head_urgent_entries: int = f(U32)
    num_xattr_urgent_entries: int = f(U32)


@struct(1, 1)
class QueueMarker(Struct):
    """cls_queue_marker."""

    gen: int = f(U64)
    offset: int = f(U64)


@struct(1, 1)
class QueueHead(Struct):
    """cls_queue_head; on disk after u16 0xDEAD and the u64 length of this."""

    max_head_size: int = f(U64, 4096)
    front: QueueMarker = f(QueueMarker)
    tail: QueueMarker = f(QueueMarker)
    queue_size: int = f(U64)
    max_urgent_data_size: int = f(U64)
    urgent_data: bytes = f(BLOB)


@struct(2, 1)
class ObjRefcount(Struct):
    """obj_refcount."""

    refs: dict[str, bool] = f(map_of(STR, BOOL))
    retired_refs: set[str] = f(set_of(STR), since=2)
