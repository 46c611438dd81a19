"""Hashes, shards and the names of objects (formats page 6)."""

from __future__ import annotations

import xxhash

GC_SEED = 8675309
_PRIME0, _PRIME1 = 7877, 65521


def strhash(text: str | bytes) -> int:
    """ceph_str_hash_linux, mod 2^32."""
    h = 0
    for c in text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text:
        h = (h + (c << 4) + (c >> 4)) * 11 & 0xFFFFFFFFFFFFFFFF
    return h & 0xFFFFFFFF


def shards_mod(h: int, n: int) -> int:
    return h % _PRIME0 % n if n <= _PRIME0 else h % _PRIME1 % n


def bucket_shard(key: str, num_shards: int) -> int:
    """The index shard of an object's unescaped name, without namespace or version."""
    h = strhash(key)
    return shards_mod(h ^ (h & 0xFF) << 24, num_shards)


def gc_shard(tag: str, num_queues: int = 32) -> int:
    """The garbage queue of a tag, its NUL included."""
    return shards_mod(xxhash.xxh64_intdigest(tag.encode("utf-8", "surrogateescape"), GC_SEED) & 0xFFFFFFFF, num_queues)


def lc_shard(key: str, num_shards: int = 32) -> int:
    """The lifecycle queue of `tenant:bucket:marker`."""
    return shards_mod(strhash(key), num_shards)


def notify_oid(pool: str, ns: str, oid: str, num_objects: int = 8) -> str:
    """The control object whose watchers hear of a change of a system object."""
    return f"notify.{strhash(f'{pool}+{ns}+{oid}') % num_objects}"


def oid(name: str, instance: str = "", ns: str = "") -> str:
    """An object's name as RADOS and the index write it, before the marker."""
    instance = "" if instance == "null" else instance
    if not ns and not instance:
        return f"_{name}" if name.startswith("_") else name
    return f"_{ns}:{instance}_{name}" if instance else f"_{ns}_{name}"


def raw_name(marker: str, name: str, instance: str = "", ns: str = "") -> str:
    """The RADOS object's name."""
    return f"{marker}_{oid(name, instance, ns)}"


def locator(marker: str, name: str) -> str:
    """The locator key of a plain object (no namespace); "" if it needs none."""
    return f"{marker}_{name}" if name.startswith("_") else ""


def index_name(name: str, ns: str = "") -> str:
    """A name as index keys write it: never with a version."""
    return oid(name, "", ns)


def parse_index_name(text: str) -> tuple[str, str]:
    """(namespace, name) of an index name."""
    if not text.startswith("_"):
        return "", text
    if text.startswith("__"):
        return "", text[1:]
    ns, underscore, name = text[1:].partition("_")
    return (ns, name) if underscore else ("", text)
