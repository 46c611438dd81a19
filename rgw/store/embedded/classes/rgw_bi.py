"""The object class ``rgw``: raw access to the entries of a bucket index shard, for tools and resharding."""

from __future__ import annotations

from collections.abc import Iterator

from rgw.formats.cls_rgw import BiEntry, BiGetOp, BiGetRet, BiListOp, BiListRet, BiPutOp
from rgw.store import classes
from rgw.store.embedded.classes import keys
from rgw.store.embedded.classes.entries import plain_items
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import InvalidArgument, NotFound

_PLAIN, _INSTANCE, _OLH = 1, 2, 3
_PAGE = 1000


@implements(classes.BI_GET)
def bi_get(ctx: ObjectContext, request: BiGetOp) -> BiGetRet:
    key = request.key
    if request.type == _PLAIN:
        place = keys.raw(key.name)
    elif request.type == _INSTANCE:
        place = keys.object_key(key)
    elif request.type == _OLH:
        place = keys.olh_key(key.name)
    else:
        raise InvalidArgument(f"no entry type {request.type}")
    data = ctx.omap_get(place)
    if data is None:
        raise NotFound("no such entry")
    return BiGetRet(entry=BiEntry(type=request.type, idx=keys.text(place), data=data))


@implements(classes.BI_PUT)
def bi_put(ctx: ObjectContext, request: BiPutOp) -> None:
    ctx.create()
    ctx.omap_set(keys.raw(request.entry.idx), request.entry.data)


def _items(ctx: ObjectContext, name: bytes, marker: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Entries after ``marker``, those of one name where it is given: plain ones, then versions, then OLHs."""
    if keys.is_plain(marker):
        for key, value in plain_items(ctx, marker, name):
            if not name or key == name or key.startswith(name + b"\0"):
                yield _PLAIN, key, value
    for kind, section, exact in ((_INSTANCE, keys.INSTANCE, name + b"\0" if name else b""), (_OLH, keys.OLH, name)):
        for key, value in ctx.omap_iter(marker if marker.startswith(keys.PRIVATE) else b"", section + exact):
            if kind == _OLH and name and key != section + name:
                break
            yield kind, key, value


@implements(classes.BI_LIST)
def bi_list(ctx: ObjectContext, request: BiListOp) -> BiListRet:
    if not ctx.exists:
        raise NotFound("no such index shard")
    wanted = min(request.max, _PAGE)
    entries: list[BiEntry] = []
    for kind, key, value in _items(ctx, keys.raw(request.name_filter), keys.raw(request.marker)):
        if len(entries) >= wanted:
            return BiListRet(entries=entries, truncated=True)
        entries.append(BiEntry(type=kind, idx=keys.text(key), data=value))
    return BiListRet(entries=entries, truncated=False)
