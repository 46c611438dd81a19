"""Names of RADOS objects and index entries, and the hashes that place them (formats page, 6)."""

from __future__ import annotations

from functools import lru_cache

import xxhash

_MASK = 0xFFFFFFFFFFFFFFFF
_GC_SEED = 8675309


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def strhash(text: str | bytes) -> int:
    """ceph_str_hash_linux, 32 bits."""
    h = 0
    for c in _bytes(text) if isinstance(text, str) else text:
        h = (h + (c << 4) + (c >> 4)) * 11 & _MASK
    return h & 0xFFFFFFFF


def shards_mod(value: int, shards: int) -> int:
    """rgw_shards_mod."""
    return value % (7877 if shards <= 7877 else 65521) % shards


@lru_cache(1024)
def bucket_shard(key: str, shards: int) -> int:
    """The index shard of an object's unescaped key (of multipart's derived names: the final object's key)."""
    h = strhash(key)
    return shards_mod(h ^ ((h & 0xFF) << 24), shards)


def gc_shard(tag: str, shards: int = 32) -> int:
    """The GC queue of a tag, which includes its NUL if it has one."""
    return shards_mod(xxhash.xxh64_intdigest(_bytes(tag), seed=_GC_SEED) & 0xFFFFFFFF, shards)


def lc_shard(key: str, shards: int = 32) -> int:
    """The lifecycle object of `tenant:bucket:marker`."""
    return shards_mod(strhash(key), shards)


def notify_oid(pool: str, ns: str, oid: str, shards: int = 8) -> str:
    """The control object that changes of a system object are announced on."""
    return f"notify.{strhash(f'{pool}+{ns}+{oid}') % shards}"


def raw_name(marker: str, name: str, instance: str = "", ns: str = "") -> str:
    """The RADOS name of an object of the bucket with this marker."""
    real = "" if instance == "null" else instance
    if not ns and not real:
        return f"{marker}_{index_name(name)}"
    return f"{marker}__{ns}:{real}_{name}" if real else f"{marker}__{ns}_{name}"


def locator(marker: str, name: str) -> str:
    """The locator key of a head object; "" unless the name begins with an underscore."""
    return f"{marker}_{name}" if name.startswith("_") else ""


def index_name(name: str, ns: str = "") -> str:
    """A name as index entries bear it."""
    if ns:
        return f"_{ns}_{name}"
    return f"_{name}" if name.startswith("_") else name


def parse_index_name(text: str) -> tuple[str, str]:
    """(namespace, name) of an index entry's name."""
    if not text.startswith("_"):
        return "", text
    if text.startswith("__"):
        return "", text[1:]
    ns, _, name = text[1:].partition("_")
    return ns, name
