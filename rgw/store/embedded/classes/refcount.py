"""The object class ``refcount``: an object that several holders keep alive, each by a tag."""

from __future__ import annotations

from rgw.formats.cls_refcount import ReadOp, ReadRet, RefcountOp, SetOp
from rgw.formats.gc import ObjRefcount
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import InvalidArgument, NotFound

_XATTR = "refcount"
_IMPLICIT = ""  # the tag of whoever wrote an object that has no references yet


def _read(ctx: ObjectContext, implicit: bool) -> ObjRefcount:
    if not ctx.exists:
        raise NotFound("no such object")
    data = ctx.get_xattr(_XATTR)
    if data is not None:
        return ObjRefcount.decode(data)
    return ObjRefcount(refs={_IMPLICIT: True} if implicit else {})


@implements(classes.REFCOUNT_GET)
def get(ctx: ObjectContext, request: RefcountOp) -> None:
    counts = _read(ctx, request.implicit_ref)
    counts.refs[request.tag] = True
    ctx.set_xattr(_XATTR, counts.encode())


@implements(classes.REFCOUNT_PUT)
def put(ctx: ObjectContext, request: RefcountOp) -> None:
    """Gives a reference back; the last one takes the object with it. A retired or unknown tag changes nothing, except that an
    unknown one with ``implicit_ref`` stands for the implicit reference.
    """
    counts = _read(ctx, request.implicit_ref)
    if not counts.refs:
        raise InvalidArgument("the object has no references")
    tag = request.tag
    if tag not in counts.refs and request.implicit_ref:
        tag = _IMPLICIT
    if tag not in counts.refs or request.tag in counts.retired_refs:
        return
    del counts.refs[tag]
    if not counts.refs:
        ctx.remove()
        return
    counts.retired_refs = counts.retired_refs | {request.tag}
    ctx.set_xattr(_XATTR, counts.encode())


@implements(classes.REFCOUNT_SET)
def set_refs(ctx: ObjectContext, request: SetOp) -> None:
    if not request.refs:
        ctx.remove()
        return
    ctx.create()
    ctx.set_xattr(_XATTR, ObjRefcount(refs={tag: True for tag in request.refs}).encode())


@implements(classes.REFCOUNT_READ)
def read(ctx: ObjectContext, request: ReadOp) -> ReadRet:
    return ReadRet(refs=sorted(_read(ctx, request.implicit_ref).refs))
