"""Requests and replies of the object class ``version`` (formats page 4). Source: cls_version_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.basics import ObjVersion
from rgw.formats.encoding import U32, Struct, f, list_of, struct

COND_NONE, COND_EQ, COND_GT, COND_GE, COND_LT, COND_LE, COND_TAG_EQ, COND_TAG_NE = range(8)


@struct(1, 1)
class ObjVersionCond(Struct):
    ver: ObjVersion = f(ObjVersion)
    cond: int = f(U32)


@struct(1, 1)
class SetOp(Struct):
    objv: ObjVersion = f(ObjVersion)


@struct(1, 1)
class IncOp(Struct):
    objv: ObjVersion = f(ObjVersion)
    conds: list[ObjVersionCond] = f(list_of(ObjVersionCond))


@struct(1, 1)
class CheckOp(Struct):
    objv: ObjVersion = f(ObjVersion)
    conds: list[ObjVersionCond] = f(list_of(ObjVersionCond))


def unchanged(version: ObjVersion) -> CheckOp:
    """The condition that an object still has exactly this version, number and tag."""
    return CheckOp(objv=version, conds=[ObjVersionCond(ver=version, cond=COND_EQ)])


@struct(1, 1)
class ReadRet(Struct):
    objv: ObjVersion = f(ObjVersion)
