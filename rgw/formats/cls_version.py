"""Requests and replies of the object class `version`. Source: cls_version_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.basics import ObjVersion
from rgw.formats.encoding import U32, Struct, f, list_of, struct

COND_NONE, COND_EQ, COND_GT, COND_GE, COND_LT, COND_LE, COND_TAG_EQ, COND_TAG_NE = range(8)


@struct(1, 1)
class ObjVersionCond(Struct):
    """obj_version_cond."""

    ver: ObjVersion = f(ObjVersion)
    cond: int = f(U32)


@struct(1, 1)
class SetOp(Struct):
    """cls_version_set_op."""

    objv: ObjVersion = f(ObjVersion)


@struct(1, 1)
class IncOp(Struct):
    """cls_version_inc_op."""

    objv: ObjVersion = f(ObjVersion)
    conds: list[ObjVersionCond] = f(list_of(ObjVersionCond))


@struct(1, 1)
class CheckOp(Struct):
    """cls_version_check_op."""

    objv: ObjVersion = f(ObjVersion)
    conds: list[ObjVersionCond] = f(list_of(ObjVersionCond))


@struct(1, 1)
class ReadRet(Struct):
    """cls_version_read_ret."""

    objv: ObjVersion = f(ObjVersion)
