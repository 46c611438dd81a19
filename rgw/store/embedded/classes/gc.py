"""The object class ``rgw_gc``: garbage waits in a ring of entries in the object's bytes.

The ring: a head (magic, length, QueueHead), then from ``max_head_size`` up to ``queue_size`` the entries, each a magic, a length and
a GcObjInfo. Entries run over the end to the beginning; each round has a generation of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from rgw.formats.cls_gc import QueueDeferOp, QueueInitOp, QueueRemoveOp
from rgw.formats.cls_rgw import GcListOp, GcListRet, GcSetEntryOp
from rgw.formats.gc import GcObjInfo, GcUrgentData, QueueHead, QueueMarker
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import Exists, InvalidArgument, NoSpace

_HEAD_MAGIC, _ENTRY_MAGIC = 0xDEAD, 0xBEEF
_PREFIX = struct.Struct("<HQ")
_HEAD_SIZE = 4096
_HEAD_RESERVE = 1024  # of the head, what is not for the deferred entries' times
_DEFAULT_LIST = 128
_SECOND = 1_000_000_000


class _Queue:
    def __init__(self, ctx: ObjectContext) -> None:
        if not ctx.exists:
            raise InvalidArgument("no such queue")
        self._ctx = ctx
        magic_and_length = ctx.read(0, _PREFIX.size)
        if len(magic_and_length) < _PREFIX.size:
            raise InvalidArgument("the queue is not initialised")
        magic, length = _PREFIX.unpack(magic_and_length)
        if magic != _HEAD_MAGIC:
            raise InvalidArgument("the queue has no head")
        self.head = QueueHead.decode(ctx.read(_PREFIX.size, length))
        self.urgent = GcUrgentData.decode(self.head.urgent_data) if self.head.urgent_data else GcUrgentData()

    def save(self) -> None:
        self.head.urgent_data = self.urgent.encode()
        _write_head(self._ctx, self.head)

    def _read(self, offset: int, length: int) -> bytes:
        """Bytes of the ring from ``offset`` on, over its end."""
        first = min(length, self.head.queue_size - offset)
        data = self._ctx.read(offset, first) if first else b""
        return data + (self._ctx.read(self.head.max_head_size, length - first) if length > first else b"")

    def _advance(self, marker: QueueMarker, length: int) -> QueueMarker:
        offset = marker.offset + length
        if offset < self.head.queue_size:
            return QueueMarker(gen=marker.gen, offset=offset)
        return QueueMarker(gen=marker.gen + 1, offset=offset - self.head.queue_size + self.head.max_head_size)

    def entries(self, start: QueueMarker) -> Iterator[tuple[GcObjInfo, QueueMarker]]:
        """Entries from ``start`` on, each with where the next one begins."""
        tail = self.head.tail
        while (start.gen, start.offset) != (tail.gen, tail.offset):
            magic, length = _PREFIX.unpack(self._read(start.offset, _PREFIX.size))
            if magic != _ENTRY_MAGIC:
                raise InvalidArgument("no queue entry at this place")
            body = self._advance(start, _PREFIX.size)
            info = GcObjInfo.decode(self._read(body.offset, length))
            start = self._advance(body, length)
            yield info, start

    def append(self, info: GcObjInfo) -> None:
        body = info.encode()
        data = _PREFIX.pack(_ENTRY_MAGIC, len(body)) + body
        head = self.head
        room = head.queue_size - head.max_head_size
        used = (head.tail.gen - head.front.gen) * room + head.tail.offset - head.front.offset
        if used + len(data) > room:
            raise NoSpace("the queue is full")
        first = min(len(data), head.queue_size - head.tail.offset)
        self._ctx.write(head.tail.offset, data[:first])
        if first < len(data):
            self._ctx.write(head.max_head_size, data[first:])
        head.tail = self._advance(head.tail, len(data))

    def superseded(self, info: GcObjInfo) -> bool:
        """Was the entry deferred, so that a later one stands for it?"""
        until = self.urgent.urgent_data_map.get(info.tag)
        return until is not None and until > info.time


def _write_head(ctx: ObjectContext, head: QueueHead) -> None:
    data = head.encode()
    if _PREFIX.size + len(data) > head.max_head_size:
        raise NoSpace("too many deferred entries")
    ctx.write(0, _PREFIX.pack(_HEAD_MAGIC, len(data)) + data)


@implements(classes.GC_QUEUE_INIT)
def queue_init(ctx: ObjectContext, request: QueueInitOp) -> None:
    if ctx.exists and ctx.size:
        raise Exists("the queue is there already")
    ctx.create()
    start = QueueMarker(gen=0, offset=_HEAD_SIZE)
    _write_head(ctx, QueueHead(
        max_head_size=_HEAD_SIZE, front=start, tail=QueueMarker(gen=0, offset=_HEAD_SIZE), queue_size=request.size + _HEAD_SIZE,
        max_urgent_data_size=_HEAD_SIZE - _HEAD_RESERVE,
        urgent_data=GcUrgentData(num_urgent_data_entries=request.num_deferred_entries).encode(),
    ))


@implements(classes.GC_QUEUE_ENQUEUE)
def enqueue(ctx: ObjectContext, request: GcSetEntryOp) -> None:
    """Adds garbage that may go after ``expiration_secs``. NoSpace if the ring is full."""
    queue = _Queue(ctx)
    info = request.info
    queue.append(GcObjInfo(tag=info.tag, chain=info.chain, time=ctx.now() + request.expiration_secs * _SECOND))
    queue.save()


@implements(classes.GC_QUEUE_LIST_ENTRIES)
def list_entries(ctx: ObjectContext, request: GcListOp) -> GcListRet:
    """Entries from ``marker`` (the last page's ``next_marker``) on; with ``expired_only`` those whose time has come."""
    queue = _Queue(ctx)
    wanted = request.max or _DEFAULT_LIST
    start = _parse_marker(request.marker) if request.marker else queue.head.front
    found: list[GcObjInfo] = []
    after, truncated = start, False
    for info, following in queue.entries(start):
        if len(found) >= wanted:
            truncated = True
            break
        after = following
        if queue.superseded(info) or (request.expired_only and info.time > ctx.now()):
            continue
        found.append(info)
    return GcListRet(entries=found, next_marker=f"{after.gen}/{after.offset}" if truncated else "", truncated=truncated)


def _parse_marker(text: str) -> QueueMarker:
    gen, slash, offset = text.partition("/")
    if not slash or not gen.isdecimal() or not offset.isdecimal():
        raise InvalidArgument("bad queue marker")
    return QueueMarker(gen=int(gen), offset=int(offset))


@implements(classes.GC_QUEUE_REMOVE_ENTRIES)
def remove_entries(ctx: ObjectContext, request: QueueRemoveOp) -> None:
    """Drops entries from the front. Those that were deferred are dropped on the way and not counted."""
    queue = _Queue(ctx)
    left = request.num_entries
    for info, following in queue.entries(queue.head.front):
        if not queue.superseded(info):
            if not left:
                break
            left -= 1
            if queue.urgent.urgent_data_map.pop(info.tag, None) is not None:
                queue.urgent.num_head_urgent_entries -= 1
        queue.head.front = following
    queue.save()


@implements(classes.GC_QUEUE_UPDATE_ENTRY)
def update_entry(ctx: ObjectContext, request: QueueDeferOp) -> None:
    """Notes that an entry is put off: from now on it is skipped. Whoever defers adds it again with its later time.

    NoSpace if as many are noted as the queue was made for.
    """
    queue = _Queue(ctx)
    urgent, tag = queue.urgent, request.info.tag
    if tag not in urgent.urgent_data_map:
        if len(urgent.urgent_data_map) >= urgent.num_urgent_data_entries:
            raise NoSpace("too many deferred entries")
        urgent.num_head_urgent_entries += 1
    urgent.urgent_data_map[tag] = ctx.now() + request.expiration_secs * _SECOND
    queue.save()
