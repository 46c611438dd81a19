"""The object class ``version``: a version and tag in an xattr, and conditions on it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Sequence
from typing import Any

from rgw.formats.basics import ObjVersion
from rgw.formats.cls_version import CheckOp, IncOp, ObjVersionCond, ReadRet, SetOp
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import Cancelled

_XATTR = "ceph.objclass.version"
_ALPHABET = string.ascii_letters + string.digits + "+/"

_CONDITIONS: dict[int, Callable[[ObjVersion, ObjVersion], bool]] = {
    0: lambda have, want: True,
    1: lambda have, want: (have.ver, have.tag) == (want.ver, want.tag),
    2: lambda have, want: have.ver > want.ver,
    3: lambda have, want: have.ver >= want.ver,
    4: lambda have, want: have.ver < want.ver,
    5: lambda have, want: have.ver <= want.ver,
    6: lambda have, want: have.tag == want.tag,
    7: lambda have, want: have.tag != want.tag,
}


def _read(ctx: ObjectContext) -> ObjVersion | None:
    data = ctx.get_xattr(_XATTR) if ctx.exists else None
    return None if data is None else ObjVersion.decode(data)


def _fresh() -> ObjVersion:
    return ObjVersion(ver=1, tag="".join(secrets.choice(_ALPHABET) for _ in range(24)))


def _check(version: ObjVersion, conditions: Sequence[ObjVersionCond]) -> None:
    for condition in conditions:
        holds = _CONDITIONS.get(condition.cond)  # one that is not known holds
        if holds is not None and not holds(version, condition.ver):
            raise Cancelled(f"version {version} fails condition {condition.cond} on {condition.ver}")


def _write(ctx: ObjectContext, version: ObjVersion) -> None:
    ctx.create()
    ctx.set_xattr(_XATTR, version.encode())


@implements(classes.VERSION_SET)
def set_version(ctx: ObjectContext, request: SetOp) -> None:
    _write(ctx, request.objv)


@implements(classes.VERSION_INC)
def inc(ctx: ObjectContext, request: IncOp) -> None:
    version = _read(ctx) or _fresh()
    _write(ctx, ObjVersion(ver=version.ver + 1, tag=version.tag))


@implements(classes.VERSION_INC_CONDS)
def inc_conds(ctx: ObjectContext, request: IncOp) -> None:
    version = _read(ctx) or _fresh()
    _check(version, request.conds)
    _write(ctx, ObjVersion(ver=version.ver + 1, tag=version.tag))


@implements(classes.VERSION_CHECK_CONDS)
def check_conds(ctx: ObjectContext, request: CheckOp) -> None:
    _check(_read(ctx) or ObjVersion(ver=0, tag=""), request.conds)


@implements(classes.VERSION_READ)
def read(ctx: ObjectContext, request: Any) -> ReadRet:
    return ReadRet(objv=_read(ctx) or ObjVersion(ver=0, tag=""))
