"""The object class ``rgw``: raw access to the entries of a bucket index shard, for tools and resharding."""

from __future__ import annotations

from collections.abc import Iterator

from rgw.formats import index_keys as keys
from rgw.formats.cls_rgw import BiEntry, BiGetOp, BiGetRet, BiListOp, BiListRet, BiPutOp
from rgw.store import classes
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


def _sections(ctx: ObjectContext, name: bytes, marker: bytes) -> Iterator[tuple[int, int, Iterator[tuple[bytes, bytes]]]]:
    """Kind of entry, length of its keys' prefix, and the keys after ``marker`` that begin with ``name``: plain ones, versions, OLHs."""
    if keys.is_plain(marker):
        yield _PLAIN, 0, plain_items(ctx, marker, name)
    for kind, section in ((_INSTANCE, keys.INSTANCE), (_OLH, keys.OLH)):
        yield kind, len(section), ctx.omap_iter(marker if marker.startswith(keys.PRIVATE) else b"", section + name)


@implements(classes.BI_LIST)
def bi_list(ctx: ObjectContext, request: BiListOp) -> BiListRet:
    """With a name, ``truncated`` may be true for a longer name alone: the OSD looks for one key more, not at what it is."""
    if not ctx.exists:
        raise NotFound("no such index shard")
    wanted = min(request.max, _PAGE)
    name = keys.raw(request.name_filter)
    entries: list[BiEntry] = []
    for kind, prefix, found in _sections(ctx, name, keys.raw(request.marker)):
        for key, value in found:
            if len(entries) >= wanted:
                return BiListRet(entries=entries, truncated=True)
            rest = key[prefix:]
            if name and rest != name and not rest.startswith(name + b"\0"):
                break
            entries.append(BiEntry(type=kind, idx=keys.text(key), data=value))
    return BiListRet(entries=entries, truncated=False)
