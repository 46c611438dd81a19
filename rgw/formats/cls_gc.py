"""Requests of the object class `rgw_gc`. Source: cls_rgw_gc_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import U64, Struct, f, struct


@struct(1, 1)
class QueueInitOp(Struct):
    """cls_rgw_gc_queue_init_op; ``size`` in bytes."""

    size: int = f(U64)
    num_deferred_entries: int = f(U64)


@struct(1, 1)
class QueueRemoveOp(Struct):
    """cls_rgw_gc_queue_remove_entries_op: entries from the front."""

    num_entries: int = f(U64)
