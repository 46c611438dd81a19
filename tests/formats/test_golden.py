"""What a real radosgw 16.2.15 wrote (collected by ``collect.py``): every structure decodes and encodes to the same bytes again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rgw.formats import names
from rgw.formats.encoding import Struct
from rgw.store import classes
from rgw.store.classcall import ClassMethod
from tests.formats.types import held, name_of, types, wires

DATA = Path(__file__).parent / "data"
PLACED = json.loads((DATA / "placed.json").read_text())


def kind_of(path: Path) -> type[Struct]:
    """By the file's name: ``<type>[-what].bin``, or ``<module>.<type>-<what>.bin``."""
    named = path.stem.partition("-")[0]
    return next(kind for name, kind in types().items() if named in (name, kind.__name__))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.bin")), ids=lambda path: path.stem)
def test_same_bytes(path: Path) -> None:
    kind = kind_of(path)
    data = path.read_bytes()
    value, end = kind.decode_from(data)
    if path.name == "QueueHead.bin":  # its length counts room that the structure does not use
        assert value.encode() == data[:end] and not data[end:].strip(b"\0")
    else:
        assert end == len(data) and value.encode() == data
    assert not value.newer


# Why there are no golden bytes of a type, in no golden value either.
OWN = "this gateway's own: radosgw 16.2 does not know it"
SWIFT = "radosgw writes it for Swift alone"
UNSEEN = "what the collection has radosgw do does not need the call; of ours an OSD makes the same as the embedded store (tests/classes)"
WITHOUT = {
    "acl.AclReferer": SWIFT,
    "cls_gc.QueueDeferOp": UNSEEN,
    "cls_lock.AssertLockedOp": UNSEEN,
    "cls_lock.BreakLockOp": UNSEEN,
    "cls_lock.GetInfoOp": UNSEEN,
    "cls_lock.SetCookieOp": UNSEEN,
    "cls_refcount.ReadOp": UNSEEN,
    "cls_refcount.SetOp": UNSEEN,
    "cls_rgw.ClearBucketReshardingOp": UNSEEN,
    "cls_rgw.GcRemoveOp": UNSEEN,
    "cls_rgw.GetBucketReshardingOp": UNSEEN,
    "cls_rgw.ReshardGetOp": UNSEEN,
    "cls_rgw.TagTimeoutOp": UNSEEN,
    "cls_user.ResetStatsOp": UNSEEN,
    "index.BiLogEntry": "radosgw writes none without multisite; of this gateway's reshards it is the mark",
    "index.PendingInfo": "of entries of unfinished changes: an OSD's are compared to the byte in tests/classes",
    "intent.Intent": OWN,
    "obj.ManifestPart": "radosgw 16.2 reads explicit manifests, and writes none (tests/radosgw, part copies)",
    "ratelimit.RateLimitInfo": OWN,
    "zone.ZoneStorageClasses": "a part of ZonePlacement that is decoded on its own",
}


def _holds(value: object) -> Iterator[str]:
    """The types of a value and of all in it."""
    if isinstance(value, Struct):
        yield name_of(type(value))
        for name in wires(type(value)):
            yield from _holds(getattr(value, name))
    elif isinstance(value, dict):
        yield from _holds([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _holds(item)


def test_the_collection_is_whole() -> None:
    """Every type has golden bytes, alone or in another value; or it is what an OSD replies, or there is a reason why it has none."""
    golden = {name for path in DATA.glob("*.bin") for name in _holds(kind_of(path).decode_from(path.read_bytes())[0])}
    methods = [value for value in vars(classes).values() if isinstance(value, ClassMethod)]
    replies = {name_of(kind) for method in methods if method.reply is not None for kind in held(method.reply)}  # golden in tests/classes
    assert types().keys() - golden - replies == WITHOUT.keys()
    assert all(len(PLACED[kind]) > (0 if kind == "lc_shard" else 5) for kind in PLACED)


@pytest.mark.parametrize(("key", "shards", "shard"), PLACED["bucket_shard"])
def test_bucket_shards(key: str, shards: int, shard: int) -> None:
    assert names.bucket_shard(key, shards) == shard


@pytest.mark.parametrize(("tag", "queues", "queue"), PLACED["gc_shard"])
def test_gc_queues(tag: str, queues: int, queue: int) -> None:
    assert names.gc_shard(tag, queues) == queue


@pytest.mark.parametrize(("key", "objects", "number"), PLACED["lc_shard"])
def test_lifecycle_objects(key: str, objects: int, number: int) -> None:
    assert names.lc_shard(key, objects) == number


@pytest.mark.parametrize(("pool", "namespace", "oid", "control"), PLACED["notify_oid"])
def test_control_objects(pool: str, namespace: str, oid: str, control: str) -> None:
    assert names.notify_oid(pool, namespace, oid) == control
