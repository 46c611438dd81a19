"""Requests of the object class ``rgw_gc`` (formats page 4). Source: cls_rgw_gc_ops.h, cls_queue_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.cls_rgw import GcListOp, GcListRet, GcSetEntryOp
from rgw.formats.encoding import U32, U64, Struct, f, struct
from rgw.formats.gc import GcObjInfo

QueueEnqueueOp, QueueListOp, QueueListRet = GcSetEntryOp, GcListOp, GcListRet


@struct(1, 1)
class QueueInitOp(Struct):
    """``size`` in bytes."""

    size: int = f(U64)
    num_deferred_entries: int = f(U64)


@struct(1, 1)
class QueueRemoveOp(Struct):
    """The number of entries to drop from the front."""

    num_entries: int = f(U64)


@struct(1, 1)
class QueueDeferOp(Struct):
    expiration_secs: int = f(U32)
    info: GcObjInfo = f(GcObjInfo)

