"""The object class ``rgw`` on lists of buckets with work to do: lifecycle and resharding."""

from __future__ import annotations

from typing import Any

from rgw.formats.cls_rgw import (
    LcEntryOp,
    LcGetEntryRet,
    LcGetHeadRet,
    LcGetNextEntryRet,
    LcListOp,
    LcListRet,
    LcMarkerOp,
    LcPutHeadOp,
    ReshardAddOp,
    ReshardGetOp,
    ReshardGetRet,
    ReshardListOp,
    ReshardListRet,
    ReshardRemoveOp,
)
from rgw.formats.index import ReshardEntry
from rgw.formats.index_keys import raw
from rgw.formats.misc import LcEntry, LcHead
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import NotFound

_PAGE = 1000


@implements(classes.LC_SET_ENTRY)
def lc_set_entry(ctx: ObjectContext, request: LcEntryOp) -> None:
    ctx.create()
    ctx.omap_set(raw(request.entry.bucket), request.entry.encode())


@implements(classes.LC_RM_ENTRY)
def lc_rm_entry(ctx: ObjectContext, request: LcEntryOp) -> None:
    ctx.omap_rm(raw(request.entry.bucket))


@implements(classes.LC_GET_ENTRY)
def lc_get_entry(ctx: ObjectContext, request: LcMarkerOp) -> LcGetEntryRet:
    data = ctx.omap_get(raw(request.marker))
    if data is None:
        raise NotFound("no such lifecycle entry")
    return LcGetEntryRet(entry=LcEntry.decode(data))


@implements(classes.LC_GET_NEXT_ENTRY)
def lc_get_next_entry(ctx: ObjectContext, request: LcMarkerOp) -> LcGetNextEntryRet:
    """The entry after ``marker``; an empty one at the end."""
    for _, value in ctx.omap_iter(raw(request.marker)):
        return LcGetNextEntryRet(entry=LcEntry.decode(value))
    return LcGetNextEntryRet(entry=LcEntry())


@implements(classes.LC_PUT_HEAD)
def lc_put_head(ctx: ObjectContext, request: LcPutHeadOp) -> None:
    ctx.create()
    ctx.set_omap_header(request.head.encode())


@implements(classes.LC_GET_HEAD)
def lc_get_head(ctx: ObjectContext, request: Any) -> LcGetHeadRet:
    data = ctx.omap_header()
    return LcGetHeadRet(head=LcHead.decode(data) if data else LcHead())


@implements(classes.LC_LIST_ENTRIES)
def lc_list_entries(ctx: ObjectContext, request: LcListOp) -> LcListRet:
    entries: list[LcEntry] = []
    for _, value in ctx.omap_iter(raw(request.marker)):
        if len(entries) >= request.max_entries:
            return LcListRet(entries=entries, is_truncated=True)
        entries.append(LcEntry.decode(value))
    return LcListRet(entries=entries, is_truncated=False)


def _reshard_key(tenant: str, bucket: str) -> bytes:
    return raw(f"{tenant}:{bucket}")


@implements(classes.RESHARD_ADD)
def reshard_add(ctx: ObjectContext, request: ReshardAddOp) -> None:
    ctx.create()
    ctx.omap_set(_reshard_key(request.entry.tenant, request.entry.bucket_name), request.entry.encode())


@implements(classes.RESHARD_GET)
def reshard_get(ctx: ObjectContext, request: ReshardGetOp) -> ReshardGetRet:
    data = ctx.omap_get(_reshard_key(request.entry.tenant, request.entry.bucket_name))
    if data is None:
        raise NotFound("no such reshard entry")
    return ReshardGetRet(entry=ReshardEntry.decode(data))


@implements(classes.RESHARD_LIST)
def reshard_list(ctx: ObjectContext, request: ReshardListOp) -> ReshardListRet:
    entries: list[ReshardEntry] = []
    if not request.max:
        return ReshardListRet()
    for _, value in ctx.omap_iter(raw(request.marker)):
        if len(entries) >= min(request.max, _PAGE):
            return ReshardListRet(entries=entries, is_truncated=True)
        entries.append(ReshardEntry.decode(value))
    return ReshardListRet(entries=entries, is_truncated=False)


@implements(classes.RESHARD_REMOVE)
def reshard_remove(ctx: ObjectContext, request: ReshardRemoveOp) -> None:
    """Removes the entry; none at all if ``bucket_id`` is given and another bucket of that name has been entered since."""
    key = _reshard_key(request.tenant, request.bucket_name)
    data = ctx.omap_get(key)
    if data is None:
        raise NotFound("no such reshard entry")
    if request.bucket_id and ReshardEntry.decode(data).bucket_id != request.bucket_id:
        return
    ctx.omap_rm(key)
