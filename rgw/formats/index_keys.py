"""Omap keys of a bucket index shard (page 3.7 of the formats)."""

from __future__ import annotations

from rgw.formats.index import ClsObjKey

PRIVATE = b"\x80"
AFTER_PRIVATE = b"\x81"
INSTANCE = b"\x801000_"
OLH = b"\x801001_"


def raw(text: str) -> bytes:
    """A key's bytes; names that are no UTF-8 pass through."""
    return text.encode("utf-8", "surrogateescape")


def text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")


def is_plain(key: bytes) -> bool:
    return not key.startswith(PRIVATE)


def instance_key(key: ClsObjKey, null_delete_marker: bool = False) -> bytes:
    """Where a version stands, found by its instance."""
    return INSTANCE + raw(key.name) + b"\0i" + raw(key.instance) + (b"\0d" if null_delete_marker else b"")


def object_key(key: ClsObjKey) -> bytes:
    return instance_key(key) if key.instance else raw(key.name)


def olh_key(name: str) -> bytes:
    return OLH + raw(name)


def decreasing(number: int) -> bytes:
    """Text that sorts the other way round than its number."""
    for limit, digit, width in ((0x10, 9, 2), (0x100, 8, 3), (0x1000, 7, 4), (0x10000, 6, 5), (0x100000000, 5, 10)):
        if number < limit:
            return b"%d%0*d" % (digit, width, limit - 1 - number)
    return b"4%020d" % -number


def list_key(name: str, versioned_epoch: int, instance: str) -> bytes:
    """Where a version stands in the order of listings: newest first."""
    return raw(name) + b"\0v" + decreasing(versioned_epoch) + b"\0i" + raw(instance)


def split_list_key(key: bytes) -> tuple[str, str]:
    """Name and instance of a key in listing order."""
    if b"\0" not in key:
        return text(key), ""
    name, *parts = key.split(b"\0")
    instance = b""
    for part in parts:
        if part.startswith(b"i"):
            instance = part[1:]
    return text(name), text(instance)
