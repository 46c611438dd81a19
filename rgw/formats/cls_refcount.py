"""Requests and replies of the object class `refcount`. Source: cls_refcount_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BOOL, STR, Struct, f, list_of, struct


@struct(1, 1)
class RefcountOp(Struct):
    """cls_refcount_get_op and cls_refcount_put_op."""

    tag: str = f(STR)
    implicit_ref: bool = f(BOOL)


@struct(1, 1)
class SetOp(Struct):
    """cls_refcount_set_op."""

    refs: list[str] = f(list_of(STR))


@struct(1, 1)
class ReadOp(Struct):
    """cls_refcount_read_op."""

    implicit_ref: bool = f(BOOL)


@struct(1, 1)
class ReadRet(Struct):
    """cls_refcount_read_ret."""

    refs: list[str] = f(list_of(STR))
