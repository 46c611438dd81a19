"""Index entries as listings read them: only what a listing tells is taken out of them, for a page has a thousand (formats page 3.7).

listed.c reads them in a fifth of the time. Python stands in where it is not built (rgw.formats._listed_build).
"""

from __future__ import annotations

import struct as bits
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from rgw.formats.encoding import STR, FormatError, Struct, Wire, encode_string, f, struct
from rgw.formats.index import FLAG_COMMON_PREFIX, FLAG_CURRENT, FLAG_VER, DirEntry, DirHeader

try:
    from rgw.formats import _listed as in_c  # type: ignore[attr-defined]
except ImportError:  # not built, or for another Python
    in_c = None

_U32 = bits.Struct("<I").unpack_from
_ENTRY = bits.Struct("<BxII").unpack_from  # version, length, length of the name
_ETAG_SIZE, _ETAG = 32, 36  # where the ETag's length and the ETag stand, from behind the name on
_COMMON = DirEntry(flags=FLAG_COMMON_PREFIX).encode()[10:]  # what stands behind the name of a common prefix
_COMMON_SIZE = len(_COMMON) + 4  # without the name
_NOBODY = encode_string("") * 2  # owner and display name
_ENTRY_VERSION, _META_VERSION = DirEntry.VERSION, 7
_PLAIN_END = bytes(14)  # no instance, no flags, no versioned epoch


class ListedEntry(NamedTuple):
    """What a listing tells of a rgw_bucket_dir_entry; ``full`` has the rest. ``mtime`` in ns, ``storage_class`` "" is STANDARD."""

    name: str
    mtime: int
    etag: str
    accounted_size: int
    storage_class: str
    owner: str
    owner_display_name: str
    plain: bool  # it exists, is no version and no change of it is pending: to be shown as it is
    exists: bool
    pending: bool
    flags: int
    instance: str
    data: bytes  # the encoded entry stands in it,
    at: int      # from here on

    @property
    def current(self) -> bool:
        """Whether it is what a read of its key finds: the current version, or an object that has none since it is older than versioning."""
        return bool(self.flags & FLAG_CURRENT) or not self.flags & FLAG_VER

    def raw(self) -> bytes:
        """The entry as it is stored."""
        return self.data[self.at:self.at + 6 + _U32(self.data, self.at + 2)[0]]

    def full(self) -> DirEntry:
        return DirEntry.decode_from(self.data, self.at)[0]

    @classmethod
    def of(cls, entry: DirEntry) -> ListedEntry:
        return _summary(entry, entry.encode(), 0)


@lru_cache(2048)
def common_prefix(name: str) -> ListedEntry:
    """The entry that stands for all whose names begin with ``name``; many shards tell of the same ones."""
    return ListedEntry.of(DirEntry(name=name, flags=FLAG_COMMON_PREFIX))


def unversioned(data: bytes) -> bool:
    """Whether it is seen at once that an encoded entry is of no version and has no flags; False if it takes decoding to know."""
    return data[0] == _ENTRY_VERSION and data.endswith(_PLAIN_END)


def _summary(entry: DirEntry, data: bytes, at: int) -> ListedEntry:
    meta, pending = entry.meta, bool(entry.pending_map)
    plain = entry.exists and not pending and not entry.flags and not entry.instance
    return ListedEntry(entry.name, meta.mtime, meta.etag, meta.accounted_size, meta.storage_class, meta.owner, meta.owner_display_name,
                       plain, entry.exists, pending, entry.flags, entry.instance, data, at)


def _version(buf: bytes, pos: int) -> tuple[str, int, int]:
    """Instance and flags of an entry, and its end, from ``ver`` on."""
    pos += 6 + _U32(buf, pos + 2)[0]
    pos += 1 if buf[pos] < 0x80 else buf[pos] - 0x7F  # index_ver, packed
    pos += 4 + _U32(buf, pos)[0]
    instance, pos = STR.dec(buf, pos, len(buf))
    return instance, buf[pos] | buf[pos + 1] << 8, pos + 10


@lru_cache(1024)
def _front(etag: int, owners: int) -> Callable[[bytes, int], tuple[Any, ...]]:
    """Reads, from behind the name on: whether it exists, meta's version, mtime's seconds and ns, the length of the ETag, the ETag,
    owner and display name as they are encoded, the length of the content type; for an ETag and owners of so many bytes.
    """
    return bits.Struct(f"<8x?B14xIII{etag}s{owners}sI").unpack_from


@lru_cache(1024)
def _back(rest: int) -> Callable[[bytes, int], tuple[Any, ...]]:
    """Reads, from behind the content type on: accounted size, and ``rest`` bytes."""
    return bits.Struct(f"<Q{rest}s").unpack_from


def _rest(storage_class: str) -> bytes:
    """User data, storage class, appendable, pending changes, locator: mostly empty but the storage class."""
    return bytes(4) + encode_string(storage_class) + bytes(9)


def _unusual(buf: bytes, pos: int, end: int) -> ListedEntry:
    """What listed.c does not read."""
    return _summary(DirEntry._dec(buf, pos, end)[0], buf, pos)


def _decode(buf: bytes, pos: int, end: int) -> tuple[dict[str, ListedEntry], int]:
    """A map of entries by omap key, which is the name unless there are versions."""
    return in_python(buf, pos, end) if in_c is None else in_c.decode(buf, pos, end, ListedEntry, _unusual)


def in_python(buf: bytes, pos: int, end: int) -> tuple[dict[str, ListedEntry], int]:
    """The same without listed.c.

    Neighbours are mostly alike: an entry is read as if it had the lengths, the owner and the storage class of the one before, and it is
    seen whether it has. One with anything unusual in it is left to DirEntry.
    """
    found: dict[str, ListedEntry] = {}
    new, kind = tuple.__new__, ListedEntry
    owners, owner, display_name = _NOBODY, "", ""
    storage_class, rest = "", _rest("")
    etag_size, owners_size, rest_size = 32, len(owners), len(rest)
    front, back = _front(etag_size, owners_size), _back(rest_size)
    count, = _U32(buf, pos)
    pos += 4
    for _ in range(count):
        key = pos + 4
        start = key + _U32(buf, pos)[0]
        version, n, m = _ENTRY(buf, start)
        pos, at = start + 6 + n, start + 10 + m
        if pos > end:
            raise FormatError("an entry of a listing is cut off")
        name = buf[start + 10:at].decode("utf-8", "surrogateescape")
        if n - m == _COMMON_SIZE and buf[at:pos] == _COMMON:
            found[name] = new(kind, (name, 0, "", 0, "", "", "", False, False, False, FLAG_COMMON_PREFIX, "", buf, start))
            continue
        try:
            exists, meta_version, seconds, ns, n, etag, read_owners, m = front(buf, at)
        except bits.error:  # the last one, and shorter
            n, read_owners = -1, b""
        if n != etag_size or read_owners != owners:
            etag_size, = _U32(buf, at + _ETAG_SIZE)
            n = at + _ETAG + etag_size
            if buf[n:n + owners_size] != owners:
                owner, m = STR.dec(buf, n, pos)
                display_name, m = STR.dec(buf, m, pos)
                owners, owners_size = buf[n:m], m - n
            front = _front(etag_size, owners_size)
            exists, meta_version, seconds, ns, n, etag, read_owners, m = front(buf, at)
        if version == _ENTRY_VERSION and meta_version == _META_VERSION:
            at += _ETAG + etag_size + owners_size + 4 + m
            try:
                size, read_rest = back(buf, at)
            except bits.error:  # a shorter one too
                read_rest = b""
            if read_rest == rest:
                at += 8 + rest_size
                if buf[pos - 14:pos] == _PLAIN_END and at < pos - 14:
                    text, plain, flags, instance = name, exists, 0, ""
                else:
                    text = buf[key:start].decode("utf-8", "surrogateescape")
                    instance, flags, stop = _version(buf, at)
                    plain = exists and not flags and not instance
                    if stop > pos:
                        raise FormatError("an entry of a listing is longer than it says")
                found[text] = new(kind, (name, seconds * 1000000000 + ns, etag.decode("utf-8", "surrogateescape"), size, storage_class, owner,
                                         display_name, plain, exists, False, flags, instance, buf, start))
                continue
        entry, pos = DirEntry._dec(buf, start, end)
        found[buf[key:start].decode("utf-8", "surrogateescape")] = _summary(entry, buf, start)
        storage_class = entry.meta.storage_class
        rest = _rest(storage_class)
        rest_size, back = len(rest), _back(len(rest))
    return found, pos


def _encode(out: bytearray, entries: dict[str, ListedEntry]) -> None:
    out += _map(sorted((key.encode("utf-8", "surrogateescape"), entry.raw()) for key, entry in entries.items()))


def _map(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    pack = bits.Struct("<I").pack
    parts = [part for key, value in items for part in (pack(len(key)), key, value)]
    return pack(len(parts) // 3) + b"".join(parts)


def listed(items: list[tuple[bytes, bytes]]) -> dict[str, ListedEntry]:
    """Entries from omap keys and values. FormatError if one is damaged."""
    try:
        if in_c is not None:
            return in_c.listed(items, ListedEntry, _unusual)  # type: ignore[no-any-return]
        data = _map(items)
        found, pos = in_python(data, 0, len(data))
        if pos != len(data):
            raise FormatError("something stands behind an entry")
        return found
    except (bits.error, IndexError) as error:
        raise FormatError(f"index entries: {error}") from error


@struct(2, 2)
class BucketDir(Struct):
    """rgw_bucket_dir: a header and entries by omap key."""

    header: DirHeader = f(DirHeader)
    entries: dict[str, ListedEntry] = f(Wire(_encode, _decode, dict))
