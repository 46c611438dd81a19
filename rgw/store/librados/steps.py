"""Steps of compound operations, from the interface's values to librados and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any

from rgw.store.classcall import ClassCall
from rgw.store.errors import InvalidArgument, NotSupported, from_code
from rgw.store.interface import OmapPage, ReadResult, Stat, Step, StepKind
from rgw.store.librados.binding import ffi, lib, text

FIRST_ROOM = 64 * 1024  # for a read to the end, whose length is not known: a second read follows when it is not enough
NUL_SPARE = 1000  # omap entries asked for beyond a page whose bounds hold a NUL
_lengths = Struct("=II")
_c_text = lru_cache(1024)(text)  # of names that come again and again: xattrs, classes, methods


class ReadAgain(Exception):
    """The object was longer than the room for it: read again with ``room`` bytes."""

    def __init__(self, room: int) -> None:
        self.room = room


def _arrays(items: list[bytes]) -> tuple[Any, Any, Any]:
    buffers = [ffi.from_buffer(item) for item in items]
    return ffi.new("char *[]", buffers), ffi.new("size_t[]", [len(item) for item in items]), buffers


def _write(op: Any, i: int, args: Any) -> None:
    data = ffi.from_buffer(args[1])
    lib.rb_write(op, data, len(data), args[0])


def _write_full(op: Any, i: int, args: Any) -> None:
    data = ffi.from_buffer(args[0])
    lib.rb_write_full(op, data, len(data))


def _append(op: Any, i: int, args: Any) -> None:
    data = ffi.from_buffer(args[0])
    lib.rb_append(op, data, len(data))


def _omap_set(op: Any, i: int, args: Any) -> None:
    keys, key_lens, kept = _arrays(list(args[0].keys()))
    values, value_lens, kept_too = _arrays(list(args[0].values()))
    lib.rb_omap_set(op, keys, values, key_lens, value_lens, len(kept))
    del kept, kept_too


def _omap_rm(op: Any, i: int, args: Any) -> None:
    keys, lens, kept = _arrays(args[0])
    lib.rb_omap_rm(op, keys, lens, len(kept))


def _omap_get_keys(op: Any, i: int, args: Any) -> None:
    keys, lens, kept = _arrays(args[0])
    lib.rb_omap_get_keys(op, i, keys, lens, len(kept))


def _until_nul(value: bytes) -> bytes:
    return value.partition(b"\0")[0]


def _omap_get(op: Any, i: int, args: Any) -> None:
    after, prefix, count = args
    if b"\0" in after or b"\0" in prefix:  # the C API takes C strings: ask from a little before, `_page` drops what is too much
        count += NUL_SPARE
    lib.rb_omap_get(op, i, _until_nul(after), _until_nul(prefix), count)


def _page(step: Any, args: Any) -> OmapPage:
    after, prefix, count = args
    found, more = pairs(step), bool(step.more)
    if b"\0" not in after and b"\0" not in prefix:
        return OmapPage(dict(found), more)
    if found and found[-1][0] > prefix and not found[-1][0].startswith(prefix):
        more = False
    kept = [(key, value) for key, value in found if key > after and key.startswith(prefix)]
    if more and not kept:
        raise InvalidArgument(f"over {NUL_SPARE} omap keys differ only after a NUL, which librados' C API cannot page through")
    return OmapPage(dict(kept[:count]), more or len(kept) > count)


def _exec(op: Any, i: int, args: Any) -> None:
    call: ClassCall = args[0]
    request = call.encode()
    lib.rb_exec(op, i, _c_text(call.method.cls), _c_text(call.method.name), request, len(request))


def _headers() -> None:
    if not lib.rb_has_headers():
        raise NotSupported("this librados has no call for omap headers that the binding knows")


def _omap_set_header(op: Any, i: int, args: Any) -> None:
    _headers()
    lib.rb_omap_set_header(op, ffi.from_buffer(args[0]), len(args[0]))


def _omap_get_header(op: Any, i: int, args: Any) -> None:
    _headers()
    lib.rb_omap_get_header(op, i)


_BUILDERS: dict[StepKind, Callable[[Any, int, Any], Any]] = {
    StepKind.CREATE: lambda op, i, a: lib.rb_create(op, a[0]),
    StepKind.ASSERT_EXISTS: lambda op, i, a: lib.rb_assert_exists(op),
    StepKind.ASSERT_VERSION: lambda op, i, a: lib.rb_assert_version(op, a[0]),
    StepKind.CMPXATTR: lambda op, i, a: lib.rb_cmpxattr(op, _c_text(a[0]), a[1], len(a[1])),
    StepKind.WRITE: _write,
    StepKind.WRITE_FULL: _write_full,
    StepKind.APPEND: _append,
    StepKind.TRUNCATE: lambda op, i, a: lib.rb_truncate(op, a[0]),
    StepKind.REMOVE: lambda op, i, a: lib.rb_remove(op),
    StepKind.SETXATTR: lambda op, i, a: lib.rb_setxattr(op, _c_text(a[0]), bytes(a[1]), len(a[1])),
    StepKind.RMXATTR: lambda op, i, a: lib.rb_rmxattr(op, _c_text(a[0])),
    StepKind.OMAP_SET: _omap_set,
    StepKind.OMAP_RM: _omap_rm,
    StepKind.OMAP_CMP: lambda op, i, a: lib.rb_omap_cmp(op, i, a[0], len(a[0]), a[1], len(a[1])),
    StepKind.OMAP_SET_HEADER: _omap_set_header,
    StepKind.OMAP_CLEAR: lambda op, i, a: lib.rb_omap_clear(op),
    StepKind.CALL: _exec,
    StepKind.STAT: lambda op, i, a: lib.rb_stat(op, i),
    StepKind.GETXATTRS: lambda op, i, a: lib.rb_getxattrs(op, i),
    StepKind.OMAP_GET: _omap_get,
    StepKind.OMAP_GET_KEYS: _omap_get_keys,
    StepKind.OMAP_GET_HEADER: _omap_get_header,
}


BUILD: list[Any] = [_BUILDERS.get(StepKind(i)) if i else None for i in range(max(StepKind) + 1)]  # an index costs less than an enum's hash
READ, STAT, GETXATTRS, CALL = StepKind.READ, StepKind.STAT, StepKind.GETXATTRS, StepKind.CALL


def build(op: Any, steps: list[Step], room: int = FIRST_ROOM) -> None:
    """Adds ``steps`` to a new C operation; reads to the end get ``room`` bytes and a stat after the last step."""
    to_end = False
    for i, (kind, args) in enumerate(steps):
        if kind is READ:
            length = args[1]
            to_end = to_end or not length
            if lib.rb_read(op, i, args[0], length or room) < 0:
                raise from_code(-12, "no memory for the read")
        else:
            BUILD[kind](op, i, args)
    if to_end:
        lib.rb_stat(op, len(steps))


def pairs(step: Any) -> list[tuple[bytes, bytes]]:
    """The keys and values that C packed."""
    if not step.out_len:
        return []
    data = ffi.buffer(step.out, step.out_len)[:]
    found, at, end = [], 0, len(data)
    while at < end:
        key_len, value_len = _lengths.unpack_from(data, at)
        key_end = at + 8 + key_len
        found.append((data[at + 8 : key_end], data[key_end : key_end + value_len]))
        at = key_end + value_len
    return found


def output(step: Any) -> bytes:
    """What a step put out, copied."""
    return ffi.buffer(step.out, step.out_len)[:] if step.out_len else b""


def result(op: Any, steps: list[Step], room: int = FIRST_ROOM) -> ReadResult:
    """What a finished read found. ReadAgain if a read to the end did not fit."""
    out = ReadResult(version=op.version)
    for i, (kind, args) in enumerate(steps):
        step = op.steps[i]
        if kind is STAT:
            out.stat = Stat(step.size, step.sec * 1_000_000_000 + step.nsec)
        elif kind is GETXATTRS:
            out.xattrs = {name.decode("utf-8", "surrogateescape"): value for name, value in pairs(step)}
        elif kind is READ:
            if not args[1] and step.out_len == room and op.steps[len(steps)].size - args[0] > room:
                raise ReadAgain(op.steps[len(steps)].size - args[0])
            out.data = ffi.buffer(step.out, step.out_len)[:]
        elif kind is CALL:
            call: ClassCall = args[0]
            out.replies.append(call.decode_reply(output(step)))
        elif kind is StepKind.OMAP_GET:
            out.omap = _page(step, args)
        elif kind is StepKind.OMAP_GET_HEADER:
            out.omap_header = output(step)
        elif kind is StepKind.OMAP_GET_KEYS:
            out.omap = OmapPage(dict(pairs(step)), False)
    return out
