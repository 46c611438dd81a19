"""The object class ``rgw`` on bucket index shards: entries that change in two steps, listing, statistics, resharding state."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import Any

from rgw.formats import index_keys as keys
from rgw.formats.cls_rgw import (
    CheckIndexRet,
    ClearBucketReshardingOp,
    CompleteOp,
    GetBucketReshardingOp,
    GetBucketReshardingRet,
    GuardBucketReshardingOp,
    ListOp,
    ListRet,
    PrepareOp,
    SetBucketReshardingOp,
    SuggestChangesOp,
    TagTimeoutOp,
    UpdateStatsOp,
)
from rgw.formats.index import (
    FLAG_CURRENT,
    FLAG_DELETE_MARKER,
    FLAG_VER,
    FLAG_VER_MARKER,
    BucketInstanceEntry,
    CategoryStats,
    ClsObjKey,
    DirEntry,
    DirHeader,
    EntryVer,
    PendingInfo,
)
from rgw.formats.listed import ListedEntry, common_prefix, listed, unversioned
from rgw.store import classes
from rgw.store.embedded.classes.entries import (
    add_stats,
    find_entry,
    look_at_header,
    plain_items,
    plain_window,
    read_entry,
    read_header,
    subtract_stats,
    write_entry,
    write_header,
)
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import ClassError, InvalidArgument, NotFound, NotSupported, from_code

OP_ADD, OP_DEL, OP_CANCEL = 0, 1, 2

_IS_PLAIN = attrgetter("plain")
_ATTEMPTS = 8  # windows that a listing looks through for one page
_GO_ON = -27  # EFBIG: ask again for a larger page
_TAG_TIMEOUT = 120  # seconds an unfinished change holds suggestions off, unless the header says otherwise
_SECOND = 1_000_000_000
_U64 = (1 << 64) - 1


def refuse_log(log_op: bool) -> None:
    """Multisite's index log is not kept: better no operation than one that a peer zone never hears of."""
    if log_op:
        raise NotSupported("this store keeps no bucket index log")


@implements(classes.BUCKET_INIT_INDEX)
def init_index(ctx: ObjectContext, request: Any) -> None:
    if ctx.exists and ctx.omap_header():
        raise InvalidArgument("the index is initialised already")
    ctx.create()
    write_header(ctx, DirHeader())


@implements(classes.BUCKET_SET_TAG_TIMEOUT)
def set_tag_timeout(ctx: ObjectContext, request: TagTimeoutOp) -> None:
    header = read_header(ctx)
    header.tag_timeout = request.tag_timeout
    write_header(ctx, header)


@implements(classes.BUCKET_PREPARE_OP)
def prepare_op(ctx: ObjectContext, request: PrepareOp) -> None:
    """Announces a change of an object under a tag."""
    if not request.tag:
        raise InvalidArgument("empty tag")
    refuse_log(request.log_op)
    place, entry = find_entry(ctx, request.key)
    if entry is None:
        entry = DirEntry(name=request.key.name, instance=request.key.instance, locator=request.locator)
    entry.pending_map.setdefault(request.tag, PendingInfo(state=0, timestamp=ctx.now(), op=request.op))
    ctx.create()
    write_entry(ctx, place, entry)


@implements(classes.BUCKET_COMPLETE_OP)
def complete_op(ctx: ObjectContext, request: CompleteOp) -> None:
    """Ends a change. One of an older version of the object than the entry's counts as cancelled."""
    refuse_log(request.log_op)
    header = read_header(ctx)
    place, entry = find_entry(ctx, request.key)
    stored = entry is not None
    if entry is None:
        entry = DirEntry(name=request.key.name, instance=request.key.instance, ver=request.ver, meta=request.meta, locator=request.locator)
    entry.index_ver = header.ver
    entry.flags &= FLAG_VER  # it may have been a delete marker
    if request.tag:
        if entry.pending_map.pop(request.tag, None) is None:
            raise InvalidArgument("the change was not prepared")

    outdated = _outdated(request.ver, entry.ver)
    if (request.op == OP_CANCEL and request.tag) or outdated:
        entry.ver = request.ver
        if request.tag and not entry.exists and not entry.pending_map:
            ctx.omap_rm(place)  # nothing but the change that is off was known of it
        elif request.tag:
            write_entry(ctx, place, entry)
    else:
        if request.op == OP_DEL and not stored:
            raise NotFound("no such entry")
        if entry.exists:
            subtract_stats(header, entry.meta)
        entry.ver = request.ver
        if request.op == OP_DEL:
            entry.meta = request.meta
            entry.exists = False
            if entry.pending_map:
                write_entry(ctx, place, entry)
            else:
                ctx.omap_rm(place)
        elif request.op == OP_ADD:
            entry.meta, entry.exists, entry.tag = request.meta, True, request.tag
            entry.name, entry.instance = request.key.name, request.key.instance
            add_stats(header, entry.meta)
            write_entry(ctx, place, entry)

    for key in request.remove_objs:
        place, gone = find_entry(ctx, key)
        if gone is not None:
            subtract_stats(header, gone.meta)
            ctx.omap_rm(place)
    write_header(ctx, header)


def _outdated(new: EntryVer, old: EntryVer) -> bool:
    return new.pool == old.pool and 0 < new.epoch <= old.epoch


def _visible(entry: ListedEntry) -> bool:
    """What an unversioned listing shows: plain entries and current versions that are no delete markers."""
    current = not entry.flags & FLAG_VER or entry.flags & FLAG_CURRENT
    return bool(current) and not entry.flags & FLAG_DELETE_MARKER


def _start(ctx: ObjectContext, key: ClsObjKey) -> bytes:
    if not key.instance:
        return keys.raw(key.name)
    entry = read_entry(ctx, keys.instance_key(key))
    if entry is None:  # removed meanwhile: go on behind the object
        return keys.raw(key.name) + b"\x01"
    return keys.list_key(entry.name, entry.versioned_epoch, entry.instance)


def _past(common_prefix: bytes) -> bytes:
    return common_prefix + b"\xff"  # no name in UTF-8 has this byte


@implements(classes.BUCKET_LIST)
def bucket_list(ctx: ObjectContext, request: ListOp) -> ListRet:
    """Entries after a key, names rolled up at the delimiter. ``num_entries`` 0 asks for the header only.

    A page may hold fewer entries than asked for and still be truncated; then ``marker`` is where to go on. ClassError -27: no entry
    that shows in as many as were looked at, ask for more.
    """
    reply = ListRet()
    if not request.num_entries:
        reply.dir.header = read_header(ctx)
        return reply
    reply.dir.header = look_at_header(ctx)
    found = reply.dir.entries
    prefix, delimiter = keys.raw(request.filter_prefix), keys.raw(request.delimiter)
    after = _start(ctx, request.start_obj)
    if delimiter and after > prefix and after.endswith(delimiter):
        after = _past(after)
    attempts, more = 0, True
    entry: ListedEntry | None = None
    rolled_up = False
    while more and len(found) < request.num_entries and attempts < _ATTEMPTS:
        attempts += 1
        window, more = plain_window(ctx, after, prefix, request.num_entries - len(found))
        more = more and bool(window)
        rows = {} if delimiter else listed(window)
        if rows and all(map(_IS_PLAIN, rows.values())):  # to be shown as they are
            found.update(rows)
            after, rolled_up, entry = window[-1][0], False, next(reversed(rows.values()))
            continue
        for key, value in window:
            if key <= after:
                continue  # it went under in a common prefix
            after, rolled_up = key, False
            text = name = keys.text(key)
            entry = rows.get(text)
            if entry is None and not unversioned(value):
                entry = listed([(key, value)])[text]
            if entry is not None and not entry.plain:
                name = keys.split_list_key(key)[0]
                if entry.flags & FLAG_VER_MARKER or (not request.list_versions and (not _visible(entry) or name == request.start_obj.name)):
                    continue
            end = keys.raw(name).find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                found[text] = entry = entry or listed([(key, value)])[text]
                continue
            common = keys.text(keys.raw(name)[:end + len(delimiter)])
            found[common] = common_prefix(common)
            after, rolled_up = _past(keys.raw(common)), True
    if more and not found:
        raise ClassError(_GO_ON, "nothing to show so far")
    if more and rolled_up:
        reply.truncated, reply.marker = True, ClsObjKey(name=keys.text(after))
    elif more and entry is not None:
        reply.truncated, reply.marker = True, ClsObjKey(name=entry.name, instance=entry.instance)
    return reply


def _recount(ctx: ObjectContext) -> tuple[DirHeader, DirHeader]:
    """The header as it stands, and as the entries say it should be."""
    existing = read_header(ctx)
    counted = DirHeader(tag_timeout=existing.tag_timeout, ver=existing.ver, syncstopped=existing.syncstopped)
    for key, value in chain(plain_items(ctx), ctx.omap_iter(prefix=keys.INSTANCE)):
        entry = DirEntry.decode(value)
        if entry.exists and not (keys.is_plain(key) and entry.flags):  # of a version, the entry in listing order does not count
            add_stats(counted, entry.meta)
    return existing, counted


@implements(classes.BUCKET_CHECK_INDEX)
def check_index(ctx: ObjectContext, request: Any) -> CheckIndexRet:
    existing, counted = _recount(ctx)
    return CheckIndexRet(existing_header=existing, calculated_header=counted)


@implements(classes.BUCKET_REBUILD_INDEX)
def rebuild_index(ctx: ObjectContext, request: Any) -> None:
    write_header(ctx, _recount(ctx)[1])


@implements(classes.BUCKET_UPDATE_STATS)
def update_stats(ctx: ObjectContext, request: UpdateStatsOp) -> None:
    """Sets or adds to statistics; additions wrap, so that differences may be negative."""
    header = read_header(ctx)
    for category, change in request.stats.items():
        if request.absolute:
            header.stats[category] = change
            continue
        stats = header.stats.setdefault(category, CategoryStats())
        for name in ("total_size", "total_size_rounded", "num_entries", "actual_size"):
            setattr(stats, name, (getattr(stats, name) + getattr(change, name)) & _U64)
    write_header(ctx, header)


@implements(classes.DIR_SUGGEST_CHANGES)
def suggest_changes(ctx: ObjectContext, request: SuggestChangesOp) -> None:
    """Corrects entries that a listing found to differ from their objects, where no change is under way."""
    header = read_header(ctx) if ctx.exists else DirHeader()
    timeout = (header.tag_timeout or _TAG_TIMEOUT) * _SECOND
    changed = False
    for change in request.changes:
        refuse_log(bool(change.op & 0x80))
        place = keys.object_key(ClsObjKey(name=change.entry.name, instance=change.entry.instance))
        stored = read_entry(ctx, place)
        if stored is None or any(info.timestamp + timeout >= ctx.now() for info in stored.pending_map.values()):
            continue
        if change.op == ord("r") and stored.index_ver > change.entry.index_ver:
            continue  # changed since the suggestion was made
        if stored.exists:
            subtract_stats(header, stored.meta)
            changed = True
        if change.op == ord("r"):
            ctx.omap_rm(place)
        elif change.op == ord("u"):
            add_stats(header, change.entry.meta)
            changed = True
            change.entry.index_ver = header.ver
            ctx.omap_set(place, change.entry.encode())
    if changed:
        write_header(ctx, header)


@implements(classes.SET_BUCKET_RESHARDING)
def set_resharding(ctx: ObjectContext, request: SetBucketReshardingOp) -> None:
    header = read_header(ctx)
    header.new_instance = request.entry
    write_header(ctx, header)


@implements(classes.CLEAR_BUCKET_RESHARDING)
def clear_resharding(ctx: ObjectContext, request: ClearBucketReshardingOp) -> None:
    header = read_header(ctx)
    header.new_instance = BucketInstanceEntry(num_shards=header.new_instance.num_shards)
    write_header(ctx, header)


@implements(classes.GET_BUCKET_RESHARDING)
def get_resharding(ctx: ObjectContext, request: GetBucketReshardingOp) -> GetBucketReshardingRet:
    return GetBucketReshardingRet(new_instance=read_header(ctx).new_instance)


@implements(classes.GUARD_BUCKET_RESHARDING)
def guard_resharding(ctx: ObjectContext, request: GuardBucketReshardingOp) -> None:
    """Fails with the code that the caller chose while the shard is being resharded, and ever after."""
    if look_at_header(ctx).new_instance.status != 0:
        raise from_code(request.ret_err, "the bucket index is being resharded")
