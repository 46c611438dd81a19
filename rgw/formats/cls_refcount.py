"""Requests and replies of the object class ``refcount`` (formats page 4). Source: cls_refcount_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BOOL, STR, Struct, f, list_of, struct


@struct(1, 1)
class RefcountOp(Struct):
    """Of get and put. ``implicit_ref``: an object without references counts as holding one of any tag."""

    tag: str = f(STR)
    implicit_ref: bool = f(BOOL)


@struct(1, 1)
class SetOp(Struct):
    refs: list[str] = f(list_of(STR))


@struct(1, 1)
class ReadOp(Struct):
    implicit_ref: bool = f(BOOL)


@struct(1, 1)
class ReadRet(Struct):
    refs: list[str] = f(list_of(STR))
