"""The object class ``rgw`` on garbage from before the queue: entries in an omap, by tag (``0_``) and by time (``1_``)."""

from __future__ import annotations

from rgw.formats.cls_rgw import GcListOp, GcListRet, GcRemoveOp, GcSetEntryOp
from rgw.formats.gc import GcObjInfo
from rgw.formats.index_keys import raw, text
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext

_BY_TAG, _BY_TIME = b"0_", b"1_"
_SECOND = 1_000_000_000


def _tag_key(tag: str) -> bytes:
    return _BY_TAG + raw(tag)


def _time_key(when: int) -> bytes:
    return _BY_TIME + b"%011d.%09d" % divmod(when, _SECOND)


@implements(classes.GC_SET_ENTRY)
def gc_set_entry(ctx: ObjectContext, request: GcSetEntryOp) -> None:
    """Adds garbage that may go after ``expiration_secs``, or puts it off."""
    info = request.info
    old = ctx.omap_get(_tag_key(info.tag))
    if old is not None:
        ctx.omap_rm(_time_key(GcObjInfo.decode(old).time))
    entry = GcObjInfo(tag=info.tag, chain=info.chain, time=ctx.now() + request.expiration_secs * _SECOND)
    ctx.create()
    ctx.omap_set(_tag_key(entry.tag), entry.encode())
    ctx.omap_set(_time_key(entry.time), entry.encode())


@implements(classes.GC_LIST)
def gc_list(ctx: ObjectContext, request: GcListOp) -> GcListRet:
    """Entries in the order of their times, after ``marker``; with ``expired_only`` those whose time has come."""
    reply = GcListRet()
    end = _time_key(ctx.now())
    for key, value in ctx.omap_iter(raw(request.marker), _BY_TIME):
        if request.expired_only and key >= end:
            break
        if request.max and len(reply.entries) >= request.max:
            reply.truncated = True
            break
        reply.entries.append(GcObjInfo.decode(value))
        last = key
    if reply.truncated:
        reply.next_marker = text(last)
    return reply


@implements(classes.GC_REMOVE)
def gc_remove(ctx: ObjectContext, request: GcRemoveOp) -> None:
    """Takes entries out by their tags; unknown ones are no error."""
    for tag in request.tags:
        data = ctx.omap_get(_tag_key(tag))
        if data is not None:
            ctx.omap_rm(_time_key(GcObjInfo.decode(data).time))
            ctx.omap_rm(_tag_key(tag))
