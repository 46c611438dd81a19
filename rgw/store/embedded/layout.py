"""How the embedded store lays objects out in LMDB.

Databases:

- ``meta``     text -> bytes: counters and marks
- ``pools``    pool name -> Pool record
- ``objects``  pool id (4) + hash of the namespace (8) + hash of namespace and name (16) -> Record
- ``omap``     see omap.py
- ``blobs``    blob id (8) -> bytes: pieces of objects that are neither inline nor in files
- ``files``    file id (8) -> b"": data files in use
- ``trash``    file id (8) -> b"": data files to unlink
- ``dropped``  map id (8) -> b"": maps whose object is gone, to be removed bit by bit
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

INLINE_MAX = 64 * 1024  # bytes of an object that are kept in its record; larger writes become files

_POOL = struct.Struct("<IQQq")
_FIXED = struct.Struct("<BQQQQHHHIII")
_XATTR = struct.Struct("<HI")
_EXTENT = struct.Struct("<QQBQQ")
_FORMAT = 1


def text(data: bytes | memoryview) -> str:
    return bytes(data).decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def namespace_prefix(pool_id: int, namespace: str) -> bytes:
    """What the keys of all objects of a namespace begin with."""
    return pool_id.to_bytes(4, "big") + hashlib.blake2b(raw(namespace), digest_size=8).digest()


def object_key(prefix: bytes, oid: bytes) -> bytes:
    """The key of an object: names may be longer than LMDB's keys, so a 128-bit hash stands for them."""
    hashed = _keyed(prefix).copy()
    hashed.update(oid)
    return prefix + hashed.digest()


@lru_cache(256)
def _keyed(prefix: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16, key=prefix)


@dataclass(slots=True)
class PoolRecord:
    """A pool. ``version`` is the newest version that any object of it was given."""

    id: int
    version: int = 0
    objects: int = 0
    size: int = 0  # bytes of all objects

    def encode(self) -> bytes:
        return _POOL.pack(self.id, self.version, self.objects, self.size)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> PoolRecord:
        return cls(*_POOL.unpack(data))


class Extent(NamedTuple):
    """``length`` bytes of an object at ``offset``, found at ``source_offset`` of a file or blob. Between extents: zeros."""

    offset: int
    length: int
    in_file: bool
    source: int
    source_offset: int


@dataclass(slots=True)
class Record:
    """An object but for its omap. Its bytes are ``inline``, or, where there are extents, these."""

    oid: bytes
    namespace: bytes = b""
    locator: bytes = b""
    id: int = 0
    version: int = 0
    size: int = 0
    mtime: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    omap_header: bytes = b""
    extents: list[Extent] | None = None
    inline: bytes = b""

    def encode(self) -> bytes:
        extents = self.extents
        parts: list[Any] = [
            _FIXED.pack(_FORMAT, self.id, self.version, self.size, self.mtime, len(self.namespace), len(self.oid), len(self.locator),
                        len(self.xattrs), len(self.omap_header), 0 if extents is None else len(extents) + 1),
            self.namespace, self.oid, self.locator,
        ]
        for name, value in self.xattrs.items():
            key = raw(name)
            parts += (_XATTR.pack(len(key), len(value)), key, value)
        parts.append(self.omap_header)
        if extents is None:
            parts.append(self.inline)
        else:
            parts.extend(_EXTENT.pack(*e) for e in extents)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: memoryview) -> Record:
        buf = bytes(data)  # one copy of all is cheaper than a view of each piece
        _, id_, version, size, mtime, ns_len, oid_len, loc_len, n_xattrs, header_len, n_extents = _FIXED.unpack_from(buf)
        at = _FIXED.size
        namespace = buf[at:(at := at + ns_len)]
        oid = buf[at:(at := at + oid_len)]
        locator = buf[at:(at := at + loc_len)]
        xattrs: dict[str, bytes] = {}
        for _ in range(n_xattrs):
            key_len, value_len = _XATTR.unpack_from(buf, at)
            key = buf[at + 6:(at := at + 6 + key_len)].decode("utf-8", "surrogateescape")
            xattrs[key] = buf[at:(at := at + value_len)]
        header = buf[at:(at := at + header_len)]
        if n_extents:
            extents = [Extent(o, n, bool(f), s, so) for o, n, f, s, so in _EXTENT.iter_unpack(buf[at:])]
            return cls(oid, namespace, locator, id_, version, size, mtime, xattrs, header, extents)
        return cls(oid, namespace, locator, id_, version, size, mtime, xattrs, header, None, buf[at:])

    @staticmethod
    def names(data: memoryview) -> tuple[bytes, bytes, bytes]:
        """Namespace, name and locator only, for listings."""
        ns_len, oid_len, loc_len = _FIXED.unpack_from(data)[5:8]
        at = _FIXED.size
        return (bytes(data[at:(at := at + ns_len)]), bytes(data[at:(at := at + oid_len)]), bytes(data[at:at + loc_len]))
