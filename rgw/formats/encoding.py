"""Ceph's encoding, declared: a type is a class whose fields name their wire types, and its functions are generated once.

Source: Ceph's ENCODE_START/DECODE_START convention: u8 version, u8 compat, u32 length, then the fields, integers little endian.
A decoder refuses a compat newer than it knows, skips what a newer version appended, and takes defaults for what an older one lacks.
"""

from __future__ import annotations

import dataclasses
import struct as _struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

T = TypeVar("T")
NS = 1_000_000_000

_U32 = _struct.Struct("<I")
_TIME = _struct.Struct("<II")
_HEADER = _struct.Struct("<BBI")


class FormatError(ValueError):
    """Bytes that are not what they should be, or a structure that only a newer release understands."""


class Wire:
    """A wire type: ``enc(out, value)`` appends, ``dec(buf, pos, end)`` gives the value and the position behind it.

    ``of`` are the wire types that it is made of. Of a structure's, ``default`` is the structure.
    """

    def __init__(self, enc: Callable[[bytearray, Any], None], dec: Callable[[bytes, int, int], tuple[Any, int]], default: Callable[[], Any],
                 fmt: str = "", kind: str = "", of: tuple[Wire, ...] = ()) -> None:
        self.enc, self.dec, self.default, self.fmt, self.kind, self.of = enc, dec, default, fmt, kind, of


def _fixed(fmt: str, default: Any = 0) -> Wire:
    packer = _struct.Struct("<" + fmt)
    pack, unpack, size = packer.pack, packer.unpack_from, packer.size

    def enc(out: bytearray, value: Any) -> None:
        out += pack(value)

    def dec(buf: bytes, pos: int, end: int) -> tuple[Any, int]:
        return unpack(buf, pos)[0], pos + size

    return Wire(enc, dec, lambda: default, fmt, "fixed")


U8, U16, U32, U64, S32, S64 = (_fixed(f) for f in "BHIQiq")
BOOL = _fixed("?", False)


def take(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """A length-prefixed run of bytes."""
    (n,) = _U32.unpack_from(buf, pos)
    stop = pos + 4 + n
    if stop > end:
        raise FormatError(f"{n} bytes announced at {pos}, {end - pos - 4} are there")
    return buf[pos + 4:stop], stop


def _enc_str(out: bytearray, value: str) -> None:
    data = value.encode("utf-8", "surrogateescape")
    out += _U32.pack(len(data))
    out += data


def _dec_str(buf: bytes, pos: int, end: int) -> tuple[str, int]:
    data, pos = take(buf, pos, end)
    return data.decode("utf-8", "surrogateescape"), pos


def _enc_blob(out: bytearray, value: bytes) -> None:
    out += _U32.pack(len(value))
    out += value


STR = Wire(_enc_str, _dec_str, str, kind="str")
BLOB = Wire(_enc_blob, take, bytes, kind="blob")


def _enc_time(out: bytearray, ns: int) -> None:
    out += _TIME.pack(ns // NS, ns % NS)


def _dec_time(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    seconds, ns = _TIME.unpack_from(buf, pos)
    return seconds * NS + ns, pos + 8


TIME = Wire(_enc_time, _dec_time, int, kind="time")  # utime_t, real_time: u32 seconds, u32 nanoseconds; here one count of ns


def _enc_seconds(out: bytearray, ns: int) -> None:
    out += _struct.pack("<Q", ns // NS)


SECONDS = Wire(_enc_seconds, lambda buf, pos, end: (_struct.unpack_from("<Q", buf, pos)[0] * NS, pos + 8), int, kind="seconds")


def _enc_packed(out: bytearray, value: int) -> None:
    v = value & 0xFFFFFFFFFFFFFFFF
    if v < 0x80:
        out.append(v)
        return
    # 0x10000 needs four bytes, though Ceph writes it with two and loses its top bit
    size = 1 if v < 0x100 else 2 if v < 0x10000 else 4 if v <= 0x1000000 else 8
    out.append(0x80 + size)
    out += v.to_bytes(size, "little")


def _dec_packed(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    if pos >= end:
        raise FormatError("a packed integer is cut off")
    tag = buf[pos]
    if tag < 0x80:
        return tag, pos + 1
    size = tag - 0x80
    if size not in (1, 2, 4, 8) or pos + 1 + size > end:
        raise FormatError(f"bad packed integer at {pos}")
    value = int.from_bytes(buf[pos + 1:pos + 1 + size], "little")
    return (value - (1 << 64) if value >> 63 else value), pos + 1 + size


PACKED = Wire(_enc_packed, _dec_packed, int, kind="packed")


def _count(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    (n,) = _U32.unpack_from(buf, pos)
    if n > end - pos:
        raise FormatError(f"{n} elements announced at {pos}, {end - pos} bytes are left")
    return n, pos + 4


def list_of(item: Any) -> Wire:
    """list, vector, set, deque."""
    item = wire(item)
    ienc, idec = item.enc, item.dec

    def enc(out: bytearray, values: Any) -> None:
        out += _U32.pack(len(values))
        for value in values:
            ienc(out, value)

    def dec(buf: bytes, pos: int, end: int) -> tuple[list[Any], int]:
        n, pos = _count(buf, pos, end)
        found = []
        for _ in range(n):
            value, pos = idec(buf, pos, end)
            found.append(value)
        return found, pos

    return Wire(enc, dec, list, kind="list", of=(item,))


def _sort_key(key: Any) -> Any:
    return key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key


def set_of(item: Any) -> Wire:
    """set: written in the order of its elements' bytes."""
    items = list_of(item)

    def dec(buf: bytes, pos: int, end: int) -> tuple[set[Any], int]:
        found, pos = items.dec(buf, pos, end)
        return set(found), pos

    return Wire(lambda out, values: items.enc(out, sorted(values, key=_sort_key)), dec, set, kind="set", of=items.of)


def map_of(key: Any, value: Any) -> Wire:
    """map: a dict, written in the order of its keys' bytes."""
    key, value = wire(key), wire(value)
    kenc, kdec, venc, vdec = key.enc, key.dec, value.enc, value.dec

    def enc(out: bytearray, values: dict[Any, Any]) -> None:
        out += _U32.pack(len(values))
        for k in sorted(values, key=_sort_key) if len(values) > 1 else values:
            kenc(out, k)
            venc(out, values[k])

    def dec(buf: bytes, pos: int, end: int) -> tuple[dict[Any, Any], int]:
        n, pos = _count(buf, pos, end)
        found = {}
        for _ in range(n):
            k, pos = kdec(buf, pos, end)
            found[k], pos = vdec(buf, pos, end)
        return found, pos

    return Wire(enc, dec, dict, kind="map", of=(key, value))


def multimap_of(key: Any, value: Any) -> Wire:
    """multimap: a list of pairs, in the order of the keys' bytes."""
    key, value = wire(key), wire(value)
    kenc, kdec, venc, vdec = key.enc, key.dec, value.enc, value.dec

    def enc(out: bytearray, values: list[tuple[Any, Any]]) -> None:
        out += _U32.pack(len(values))
        for k, v in sorted(values, key=lambda pair: _sort_key(pair[0])):
            kenc(out, k)
            venc(out, v)

    def dec(buf: bytes, pos: int, end: int) -> tuple[list[tuple[Any, Any]], int]:
        n, pos = _count(buf, pos, end)
        found = []
        for _ in range(n):
            k, pos = kdec(buf, pos, end)
            v, pos = vdec(buf, pos, end)
            found.append((k, v))
        return found, pos

    return Wire(enc, dec, list, kind="multimap", of=(key, value))


def optional(item: Any) -> Wire:
    """std::optional: u8, then the value if it is 1."""
    item = wire(item)

    def enc(out: bytearray, value: Any) -> None:
        out.append(value is not None)
        if value is not None:
            item.enc(out, value)

    def dec(buf: bytes, pos: int, end: int) -> tuple[Any, int]:
        if pos >= end:
            raise FormatError("an optional is cut off")
        return item.dec(buf, pos + 1, end) if buf[pos] else (None, pos + 1)

    return Wire(enc, dec, lambda: None, kind="optional", of=(item,))


def _dec_opaque(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    _, _, n = _HEADER.unpack_from(buf, pos)
    stop = pos + 6 + n
    if stop > end:
        raise FormatError("a nested structure is cut off")
    return buf[pos:stop], stop


def _enc_raw(out: bytearray, value: bytes) -> None:
    out += value


def opaque(default: bytes = b"\x01\x01\x00\x00\x00\x00") -> Wire:
    """A versioned structure that is kept as its bytes, header included."""
    return Wire(_enc_raw, _dec_opaque, lambda: default)


def wire(kind: Any) -> Wire:
    """A wire type: itself, or that of a declared structure."""
    if isinstance(kind, Wire):
        return kind
    return Wire(kind._enc, kind._dec, kind)


def f(kind: Any, default: Any = dataclasses.MISSING, since: int = 1) -> Any:
    """Declares a field: its wire type, its default, and the structure version that it came with."""
    found = wire(kind)
    metadata = {"wire": found, "since": since}
    if default is dataclasses.MISSING:
        return dataclasses.field(default_factory=found.default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


_newer_seen = False  # whether a value with fields that this release does not know was ever decoded: seldom, so most values need no walk


def _mark_newer(value: Any) -> None:
    global _newer_seen
    value._newer = _newer_seen = True


class NewerRelease(FormatError):
    """A structure of a newer release would be written without the fields that only that release knows."""


class Struct:
    """Base of the declared types. ``newer``: decoded from a version with fields that this release does not know; it is never rewritten."""

    __slots__ = ("_newer",)
    VERSION: ClassVar[int] = 0
    COMPAT: ClassVar[int] = 0
    _enc: ClassVar[Callable[[bytearray, Any], None]]
    _dec: ClassVar[Callable[[bytes, int, int], tuple[Any, int]]]

    if TYPE_CHECKING:
        # Generated by `struct`: every field, in order, each with a default.
        __dataclass_fields__: ClassVar[dict[str, Any]]

        def __init__(self, *args: Any, **fields: Any) -> None: ...

    @property
    def newer(self) -> bool:
        """Of this structure or one inside it."""
        if getattr(self, "_newer", False):
            return True
        return any(_is_newer(getattr(self, field.name)) for field in dataclasses.fields(self))  # type: ignore[arg-type]

    def encode(self) -> bytes:
        """FormatError if a value does not fit its field; NewerRelease if this was decoded from a newer structure, or holds one."""
        if _newer_seen and self.newer:
            raise NewerRelease(f"a {type(self).__name__} of a newer release would lose what only that knows")
        out = bytearray()
        try:
            type(self)._enc(out, self)
        except _struct.error as error:
            raise FormatError(str(error)) from error
        return bytes(out)

    @classmethod
    def decode(cls: type[T], data: bytes | bytearray | memoryview) -> T:
        """FormatError if the bytes are not of this type."""
        return cls.decode_from(data)[0]  # type: ignore[attr-defined, no-any-return]

    @classmethod
    def decode_from(cls: type[T], data: bytes | bytearray | memoryview, pos: int = 0) -> tuple[T, int]:
        """The value at ``pos`` and the position behind it."""
        buf = data if type(data) is bytes else bytes(data)
        try:
            return cls._dec(buf, pos, len(buf))  # type: ignore[attr-defined, no-any-return]
        except (_struct.error, IndexError, OverflowError, UnicodeError) as e:
            raise FormatError(f"{cls.__name__}: {e}") from e


def _is_newer(value: Any) -> bool:
    if isinstance(value, Struct):
        return value.newer
    if isinstance(value, dict):
        return any(map(_is_newer, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_is_newer, value))


class _Lines:
    """Generated code for fields in a row: what has a fixed size is packed and unpacked in one go, with the length of a string behind it."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.enc: list[str] = []
        self.dec: list[str] = []
        self._format, self._values, self._names, self._after = "", [], [], []  # type: ignore[var-annotated]

    def add(self, i: int, name: str, w: Wire, where: str) -> None:
        if w.kind == "fixed":
            self._run(w.fmt, f"o.{name}", f"f{i}")
        elif w.kind == "time":
            self._run("II", f"o.{name} // {NS}, o.{name} % {NS}", f"f{i}, t")
            self._after.append(f"f{i} = f{i} * {NS} + t")
            self.end()  # the next time would take the name
        elif w.kind == "str":
            self.enc.append(f"s = o.{name}.encode('utf-8', 'surrogateescape')")
            self._run("I", "len(s)", "n")
            self.end()
            self.enc.append("out += s")
            self.dec += ["at = pos", "pos += n", f"if pos > stop: raise FormatError('{where} is cut off')",
                         f"f{i} = buf[at:pos].decode('utf-8', 'surrogateescape')"]
        else:
            self.end()
            self.scope[f"e{i}"], self.scope[f"d{i}"] = w.enc, w.dec
            self.enc.append(f"e{i}(out, o.{name})")
            if w.kind == "packed":  # mostly one byte
                self.dec += [f"f{i} = buf[pos]", f"if f{i} < 128: pos += 1", f"else: f{i}, pos = d{i}(buf, pos, stop)"]
            else:
                self.dec.append(f"f{i}, pos = d{i}(buf, pos, stop)")

    def _run(self, fmt: str, value: str, name: str) -> None:
        self._format += fmt
        self._values.append(value)
        self._names.append(name)

    def end(self) -> None:
        """Closes a run of fixed sizes."""
        if self._format:
            packer, name = _struct.Struct("<" + self._format), self._format.replace("?", "b")
            self.scope[f"p_{name}"], self.scope[f"u_{name}"] = packer.pack, packer.unpack_from
            self.enc.append(f"out += p_{name}({', '.join(self._values)})")
            self.dec += [f"{', '.join(self._names)}, = u_{name}(buf, pos)", f"pos += {packer.size}", *self._after]
            self._format, self._values, self._names, self._after = "", [], [], []


def _generate(cls: Any, version: int, compat: int) -> None:
    """Writes and compiles the two functions of a type. Hand-written ``_enc_body(out, o)`` and ``_dec_body(buf, pos, end, v)`` come first."""
    fields = [x for x in dataclasses.fields(cls) if "wire" in x.metadata]
    scope: dict[str, Any] = {"H": _HEADER.unpack_from, "FormatError": FormatError, "new": cls, "HP": _HEADER.pack_into,
                             "newer": _mark_newer}
    enc, dec = ["def _enc(out, o):"], ["def _dec(buf, pos, end):"]
    if version:
        enc += [" at = len(out)", " out += b'\\0\\0\\0\\0\\0\\0'"]
        dec += [" v, c, n = H(buf, pos)", " pos += 6", " stop = pos + n",
                f" if c > {version}: raise FormatError(f'{cls.__name__}: compat version {{c}} is newer than {version}')",
                f" if stop > end: raise FormatError('{cls.__name__} is cut off')"]
    else:
        dec += [" v, stop = 255, end"]
    if hasattr(cls, "_enc_body"):
        scope["EB"], scope["DB"] = cls._enc_body, cls._dec_body
        enc.append(" EB(out, o)")
        dec.append(" r, pos = DB(buf, pos, stop, v)")
    else:
        whole, older = _Lines(scope), []
        for i, x in enumerate(fields):
            w, since, where = x.metadata["wire"], x.metadata["since"], f"{cls.__name__}.{x.name}"
            whole.add(i, x.name, w, where)
            alone = _Lines(scope)
            alone.add(i, x.name, w, where)
            alone.end()
            if since > compat:
                scope[f"D{i}"] = w.default if x.default is dataclasses.MISSING else lambda value=x.default: value
                older += [f"if v >= {since}:", *(" " + line for line in alone.dec), f"else: f{i} = D{i}()"]
            else:
                older += alone.dec
        whole.end()
        enc += [" " + line for line in whole.enc]
        if any(x.metadata["since"] > compat for x in fields) and version:
            dec += [f" if v >= {version}:", *("  " + line for line in whole.dec), " else:", *("  " + line for line in older)]
        else:
            dec += [" " + line for line in whole.dec]
        dec.append(f" r = new({', '.join(f'f{i}' for i in range(len(fields)))})")
    dec.append(f" if pos > stop: raise FormatError('{cls.__name__} is longer than it says')")
    if version:
        enc.append(f" HP(out, at, {version}, {compat}, len(out) - at - 6)")
        dec += [f" if v > {version}: newer(r)", " return r, stop"]
    else:
        dec.append(" return r, pos")
    exec("\n".join(enc) + "\n" + "\n".join(dec), scope)  # noqa: S102 - generated from declarations of this package alone
    cls._enc, cls._dec = staticmethod(scope["_enc"]), staticmethod(scope["_dec"])


def struct(version: int = 0, compat: int = 0) -> Callable[[type[T]], type[T]]:
    """Declares a structure of this version and compat; 0: bare, without header."""

    def declare(cls: type[T]) -> type[T]:
        made: Any = dataclasses.dataclass(slots=True)(cls)
        made.VERSION, made.COMPAT = version, compat
        _generate(made, version, compat)
        return made  # type: ignore[no-any-return]

    return declare


def encode_string(text: str) -> bytes:
    """A bare string: u32 length and the bytes."""
    out = bytearray()
    _enc_str(out, text)
    return bytes(out)


def decode_string(data: bytes) -> tuple[str, int]:
    """A bare string at the start of ``data`` and the position behind it."""
    try:
        return _dec_str(bytes(data), 0, len(data))
    except _struct.error as e:
        raise FormatError(f"string: {e}") from e
