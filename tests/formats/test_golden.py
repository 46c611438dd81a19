"""What a real radosgw 16.2.15 wrote (collected by ``collect.py``): every structure decodes and encodes to the same bytes again."""

from __future__ import annotations

import importlib
import inspect
import json
from functools import cache
from pathlib import Path

import pytest

from rgw.formats import names
from rgw.formats.encoding import Struct
from tests.formats.test_roundtrip import _MODULES

DATA = Path(__file__).parent / "data"
PLACED = json.loads((DATA / "placed.json").read_text())


@cache
def kinds() -> dict[str, type[Struct]]:
    modules = [importlib.import_module(f"rgw.formats.{module}") for module in _MODULES]
    return {name: kind for module in modules for name, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Struct)}


@pytest.mark.parametrize("path", sorted(DATA.glob("*.bin")), ids=lambda path: path.stem)
def test_same_bytes(path: Path) -> None:
    kind = kinds()[path.stem.partition("-")[0]]
    data = path.read_bytes()
    value, end = kind.decode_from(data)
    if path.name == "QueueHead.bin":  # its length counts room that the structure does not use
        assert value.encode() == data[:end] and not data[end:].strip(b"\0")
    else:
        assert end == len(data) and value.encode() == data
    assert not value.newer


def test_the_collection_is_whole() -> None:
    """A type that is written to RADOS and has no golden bytes would go untested without a word."""
    kept = {path.stem.partition("-")[0] for path in DATA.glob("*.bin")}
    assert kept >= {
        "AccessControlPolicy", "BucketEntryPoint", "BucketInfo", "CacheNotifyInfo", "CompressionInfo", "DirEntry", "DirHeader", "GcObjInfo", "LcEntry",
        "MultipartUploadInfo", "NameToId", "ObjManifest", "ObjRefcount", "ObjTags", "ObjVersion", "ObjectLegalHold", "ObjectRetention", "OlhEntry",
        "OlhInfo", "QueueHead", "ReshardEntry", "UploadPartInfo", "UserBucketEntry", "UserHeader", "UserInfo", "ZoneGroup", "ZoneParams"}
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
