"""Reading an object's bytes: several stripes in flight, memory bounded by the window."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.compression import blocks_of, decompress
from rgw.core.encryption import CHUNK, CustomerKey, off_loop, streams
from rgw.core.manifest import Piece, pieces
from rgw.core.state import IDTAG, ObjectState
from rgw.errors import S3Error
from rgw.formats.obj import CompressionInfo
from rgw.store import errors as store_errors
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)


class ObjectChanged(Exception):
    """The object was replaced or removed while it was read."""


async def read_piece(gw: Gateway, pool: str, piece: Piece, guard: tuple[str, bytes] | None = None) -> bytes:
    """One piece's bytes. ObjectChanged if its RADOS object is gone or too short."""
    op = ReadOp()
    if guard is not None:
        op.cmpxattr(*guard)
    op.read(piece.start, piece.length)
    ioctx = await gw.pool(piece.pool or pool)
    try:
        data = (await ioctx.read(piece.oid, op, locator=piece.locator)).data
    except (store_errors.NotFound, store_errors.Cancelled) as error:
        raise ObjectChanged(piece.oid) from error
    if len(data) < piece.length:
        raise ObjectChanged(f"{piece.oid} is shorter than its manifest says")
    return data


async def read_head(state: ObjectState, start: int, length: int) -> bytes:
    """Bytes of the object's head, from the prefetched ones where they suffice; else guarded by its idtag."""
    if state.head_data is not None and start + length <= len(state.head_data):
        return state.head_data[start:start + length]
    op = ReadOp()
    if state.idtag:
        op.cmpxattr(IDTAG, state.idtag)
    try:
        data = (await state.head_pool.read(state.head_oid, op.read(start, length), locator=state.head_locator)).data
    except (store_errors.NotFound, store_errors.Cancelled) as error:
        raise ObjectChanged(state.head_oid) from error
    if len(data) < length:
        raise ObjectChanged(f"{state.head_oid} is shorter than its manifest says")
    return data


def _split(piece: Piece, limit: int) -> Iterator[Piece]:
    for done in range(0, piece.length, limit):
        size = min(limit, piece.length - done)
        yield Piece(piece.offset + done, size, piece.loc, piece.start + done, piece.pool, piece.head)


async def read(gw: Gateway, state: ObjectState, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
    """Yields the object's bytes ``[offset, offset + length)`` in order.

    S3Error for encrypted objects whose state is not unlocked; ObjectChanged in mid-way.
    ``rgw_get_obj_window_size`` bounds the bytes in flight.
    """
    state.require_readable()
    end = state.size if length is None else min(offset + length, state.size)
    compression = state.compression
    if state.customer_key is not None:
        stored = _decrypted(gw, state, state.customer_key, offset, end)
    elif compression is not None:
        stored = _decompressed(gw, state, compression, offset, end)
    else:
        stored = read_stored(gw, state, offset, end)
    async with aclosing(stored):
        async for data in stored:
            yield data


async def _decompressed(gw: Gateway, state: ObjectState, info: CompressionInfo, offset: int, end: int) -> AsyncGenerator[bytes, None]:
    """Opens the blocks that hold the range, in a thread each."""
    blocks = blocks_of(info, offset, end)
    if not blocks or offset >= end:
        return
    held = bytearray()
    last = blocks[-1][0]
    async with aclosing(read_stored(gw, state, blocks[0][0].new_ofs, last.new_ofs + last.len)) as stored:
        for block, size in blocks:
            while len(held) < block.len:
                held += await anext(stored)
            packed = bytes(held[:block.len])
            del held[:block.len]
            data = await asyncio.to_thread(decompress, info, packed, size)
            yield data[max(offset - block.old_ofs, 0):end - block.old_ofs]


async def _decrypted(gw: Gateway, state: ObjectState, key: CustomerKey, offset: int, end: int) -> AsyncGenerator[bytes, None]:
    """Reads from the start of the range's first chunk to the end of its last one, and decrypts what has come in whole chunks."""
    found = [(start, stop) for start, stop in streams(state.manifest, state.size) if start < end and stop > offset]
    if not found or offset >= end:
        return
    start, stop = found[0]
    at = offset - (offset - start) % CHUNK  # where ``held`` begins
    last, until = found[-1]
    until = min(until, end + (last - end) % CHUNK)
    upcoming = iter(found[1:])
    held = b""
    async with aclosing(read_stored(gw, state, at, until)) as stored:
        async for data in stored:
            held = held + data if held else data
            while held:
                size = min(stop, until) - at  # what is left of the stream, as far as it is wanted
                if len(held) < size:
                    size = len(held) - len(held) % CHUNK
                if not size:
                    break
                plain = await off_loop(key.decrypt, held[:size], at - start)
                yield plain[max(offset - at, 0):end - at]
                held, at = held[size:], at + size
                if at == stop:
                    start, stop = next(upcoming, (at, until))


async def _keep_tail(gw: Gateway, state: ObjectState) -> None:
    """Puts off the collection of what is being read, should it have been deleted meanwhile."""
    try:
        if await gw.gc.defer(state.tail_tag):
            log.info("the tail of %s, deleted while it is read, is kept for longer", state.head_oid)
    except store_errors.StoreError as error:
        log.warning("cannot put off the collection of the tail of %s, which is read: %s", state.head_oid, error)


async def read_stored(gw: Gateway, state: ObjectState, offset: int, end: int) -> AsyncGenerator[bytes, None]:
    """Yields the bytes ``[offset, end)`` as RADOS holds them. ObjectChanged in mid-way."""
    if offset >= end:
        return
    chunk = gw.options.rgw_max_chunk_size
    if state.manifest is None:
        wanted: Iterator[Piece] = _split(Piece(offset, end - offset, state.obj, offset, head=True), chunk)
        pool = ""
    else:
        wanted = (part for piece in pieces(state.manifest, offset, end - offset) for part in _split(piece, chunk))
        pool = places.manifest_pool_name(gw, state.bucket, state.manifest)
    window = max(gw.options.rgw_get_obj_window_size, chunk)
    half = gw.options.rgw_gc_obj_min_wait / 2  # so often, whenever it is deleted, its tail is put off in time
    told = monotonic()
    flying: deque[tuple[int, asyncio.Task[bytes]]] = deque()
    in_flight = 0
    upcoming = next(wanted, None)
    try:
        while upcoming is not None or flying:
            while upcoming is not None and (not flying or in_flight + upcoming.length <= window):
                coro = read_head(state, upcoming.start, upcoming.length) if upcoming.head else read_piece(gw, pool, upcoming)
                flying.append((upcoming.length, asyncio.ensure_future(coro)))
                in_flight += upcoming.length
                upcoming = next(wanted, None)
            size, task = flying[0]
            data = await task
            flying.popleft()
            in_flight -= size
            if half and state.manifest is not None and monotonic() - told > half:
                await _keep_tail(gw, state)
                told = monotonic()
            yield data
    finally:
        for _, task in flying:
            task.cancel()
        if flying:
            await asyncio.gather(*(task for _, task in flying), return_exceptions=True)


async def read_all(gw: Gateway, state: ObjectState, offset: int, length: int) -> bytes:
    """A short range in one piece. S3Error OperationAborted if the object changed meanwhile."""
    try:
        return b"".join([data async for data in read(gw, state, offset, length)])
    except ObjectChanged as error:
        raise S3Error("OperationAborted", "the object changed while it was read") from error
