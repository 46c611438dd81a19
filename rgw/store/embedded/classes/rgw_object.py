"""The object class ``rgw`` on data objects: removal that keeps xattrs, and checks."""

from __future__ import annotations

import struct

from rgw.formats.cls_rgw import CheckAttrsPrefixOp, CheckMtimeOp, ObjRemoveOp, StorePgVerOp
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import Cancelled, InvalidArgument

_SECOND = 1_000_000_000


@implements(classes.OBJ_REMOVE)
def obj_remove(ctx: ObjectContext, request: ObjRemoveOp) -> None:
    """Removes the object; xattrs with the given prefixes stay behind on an empty one."""
    prefixes = tuple(request.keep_attr_prefixes)
    kept = {name: value for name, value in ctx.xattrs().items() if name.startswith(prefixes)} if ctx.exists and prefixes else {}
    ctx.remove()
    if kept:
        ctx.create()
        for name, value in kept.items():
            ctx.set_xattr(name, value)


@implements(classes.OBJ_STORE_PG_VER)
def obj_store_pg_ver(ctx: ObjectContext, request: StorePgVerOp) -> None:
    ctx.create()
    ctx.set_xattr(request.attr, struct.pack("<Q", ctx.version))


@implements(classes.OBJ_CHECK_ATTRS_PREFIX)
def obj_check_attrs_prefix(ctx: ObjectContext, request: CheckAttrsPrefixOp) -> None:
    if not request.check_prefix:
        raise InvalidArgument("empty prefix")
    found = ctx.exists and any(name.startswith(request.check_prefix) for name in ctx.xattrs())
    if found == request.fail_if_exist:
        raise Cancelled(f"xattr {request.check_prefix}*: {'found' if found else 'not found'}")


@implements(classes.OBJ_CHECK_MTIME)
def obj_check_mtime(ctx: ObjectContext, request: CheckMtimeOp) -> None:
    """Without ``high_precision_time`` whole seconds are compared. An object that is not there was written at time zero."""
    have, want = (ctx.mtime if ctx.exists else 0), request.mtime
    if not request.high_precision_time:
        have, want = have // _SECOND, want // _SECOND
    checks = {0: have == want, 1: have < want, 2: have <= want, 3: have > want, 4: have >= want}
    if request.type not in checks:
        raise InvalidArgument(f"no check {request.type}")
    if not checks[request.type]:
        raise Cancelled("the object's mtime does not fit")
