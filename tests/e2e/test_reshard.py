"""The walk of an operator whose bucket outgrows its index, and a reshard killed in the middle of it, on both stores."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import missing_ceph
from tests.e2e.conftest import BIN, RunningGateway, start_nano, start_on_ceph

_SMALL = ["-o", "rgw_max_objs_per_shard=400"]
_INDEX = "default.rgw.buckets.index"


@pytest.fixture(params=["embedded", "ceph"])
def walk(request, tmp_path) -> Iterator[RunningGateway]:
    """A gateway whose new buckets have one index shard, without dynamic resharding."""
    options = ["-o", "rgw_override_bucket_index_max_shards=1", "-o", "rgw_dynamic_resharding=false"]
    if request.param == "embedded":
        running = start_nano(tmp_path / "data", *options)
    else:
        if reason := missing_ceph():
            pytest.skip(reason)
        running = start_on_ceph(str(request.getfixturevalue("ceph_conf")), tmp_path, *options)
    yield running
    if running.process.poll() is None:
        running.stop()


def put_many(gateway: RunningGateway, bucket: str, names: list[str]) -> None:
    s3 = gateway.client()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: s3.put_object(Bucket=bucket, Key=name, Body=b""), names))


def listed(gateway: RunningGateway, bucket: str) -> list[str]:
    pages = gateway.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [row["Key"] for page in pages for row in page.get("Contents", [])]


def shards_of(gateway: RunningGateway, bucket_id: str) -> dict[str, list[str]]:
    """The index objects of a bucket instance, each with its keys."""
    oids = [oid for oid in gateway.rgw("rados", "ls", "-p", _INDEX).splitlines() if oid.startswith(f".dir.{bucket_id}.")]
    return {oid: gateway.rgw("rados", "listomapkeys", "-p", _INDEX, oid).splitlines() for oid in oids}


def limit(gateway: RunningGateway, bucket: str) -> dict:
    rows = gateway.admin("bucket", "limit", "check", *_SMALL)
    return next(row for user in rows for row in user["buckets"] if row["bucket"] == bucket)


def stats(gateway: RunningGateway, bucket: str) -> dict:
    return gateway.admin("bucket", "stats", "--bucket", bucket)


def text(gateway: RunningGateway, *arguments: str) -> str:
    done = subprocess.run([BIN / "rgw-admin", *gateway.store_args, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bucket_outgrows_its_shard(walk: RunningGateway) -> None:
    s3, bucket = walk.client(), f"grows-{time.monotonic_ns()}"
    s3.create_bucket(Bucket=bucket)
    names = [f"key-{i:04d}" for i in range(1200)]
    put_many(walk, bucket, names)
    full = limit(walk, bucket)
    assert (full["num_objects"], full["num_shards"], full["objects_per_shard"]) == (1200, 1, 1200)
    assert full["fill_status"] == "OVER 66.666667%"
    old = stats(walk, bucket)["id"]
    refused = subprocess.run([BIN / "rgw-admin", *walk.store_args, "bucket", "reshard", "--bucket", bucket, "--num-shards", "1"], capture_output=True)
    assert refused.returncode and b"--yes-i-really-mean-it" in refused.stderr
    printed = text(walk, "bucket", "reshard", "--bucket", bucket, "--num-shards", "2")
    new = stats(walk, bucket)["id"]
    assert f"old bucket instance id: {old}\nnew bucket instance id: {new}\ntotal entries: 1200\n" in printed
    shards = shards_of(walk, new)
    assert sorted(shards) == [f".dir.{new}.0", f".dir.{new}.1"]
    assert sorted(key for keys in shards.values() for key in keys) == names and all(len(keys) > 400 for keys in shards.values())
    assert not shards_of(walk, old)
    assert listed(walk, bucket) == names
    assert limit(walk, bucket)["fill_status"] == "OVER 33.333333%"
    assert walk.admin("reshard", "status", "--bucket", bucket) == [
        {"reshard_status": "not-resharding", "new_bucket_instance_id": "", "num_shards": -1}] * 2
    assert stats(walk, bucket)["usage"]["rgw.main"]["num_objects"] == 1200

    # the queue by hand
    walk.admin("reshard", "add", "--bucket", bucket, "--num-shards", "3")
    queued = [row for row in walk.admin("reshard", "list") if row["bucket_name"] == bucket]
    assert [(row["bucket_id"], row["old_num_shards"], row["tentative_new_num_shards"], row["new_instance_id"]) for row in queued] == [(new, 2, 3, "")]
    walk.admin("reshard", "cancel", "--bucket", bucket)
    assert not [row for row in walk.admin("reshard", "list") if row["bucket_name"] == bucket]

    # and by itself
    walk.stop()
    walk.command = [*walk.command, *_SMALL, "-o", "rgw_dynamic_resharding=true", "-o", "rgw_reshard_thread_interval=1"]
    walk.start()
    put_many(walk, bucket, ["one-more"])
    deadline = time.monotonic() + 30
    while stats(walk, bucket)["num_shards"] == 2:
        assert time.monotonic() < deadline, walk.log.read_text()
        time.sleep(0.2)
    assert stats(walk, bucket)["num_shards"] == 7  # a prime for twice as many
    assert listed(walk, bucket) == [*names, "one-more"]
    assert limit(walk, bucket)["fill_status"] == "OK"
    shards = shards_of(walk, stats(walk, bucket)["id"])
    assert len(shards) == 7 and sorted(key for keys in shards.values() for key in keys) == [*names, "one-more"]
    while [row for row in walk.admin("reshard", "list") if row["bucket_name"] == bucket]:
        assert time.monotonic() < deadline
    put_many(walk, bucket, ["and-another"])
    assert "and-another" in listed(walk, bucket)


def test_a_reshard_killed_while_others_write(walk: RunningGateway) -> None:
    """kill -9 at any instant: writers of the gateway go on, whatever was acknowledged is there, and the next reshard succeeds."""
    s3, bucket = walk.client(), f"killed-{time.monotonic_ns()}"
    s3.create_bucket(Bucket=bucket)
    names = [f"key-{i:04d}" for i in range(500)]
    put_many(walk, bucket, names)
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        client = walk.client()
        while not stop.is_set():
            name = f"w-{len(written):05d}"
            client.put_object(Bucket=bucket, Key=name, Body=b"x")
            written.append(name)

    writer = threading.Thread(target=write)
    writer.start()
    # Slow enough to be met in the copy; the lock of one who died is over soon.
    command = [str(BIN / "rgw-admin"), *walk.store_args, "bucket", "reshard", "--bucket", bucket, "-o", "rgw_reshard_bucket_lock_duration=1.5",
               "-o", "rgw_reshard_batch_size=10", "-o", "rgw_reshard_rest=30", "--num-shards"]
    try:
        for delay in (0.2, 0.0) if "--data" in walk.store_args else (0.2,):  # on Ceph the watch of one who died holds up each change for 10 s
            process = subprocess.Popen([*command, str(5 if delay else 7)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 20
            while process.poll() is None and walk.admin("reshard", "status", "--bucket", bucket)[0]["reshard_status"] == "not-resharding":
                assert time.monotonic() < deadline
            time.sleep(delay)
            process.kill()
            process.wait()
            before = len(written)
            time.sleep(1.6)
            assert len(written) > before, "the writer was stopped"
            text(walk, "reshard", "process")
            assert all(row["reshard_status"] == "not-resharding" for row in walk.admin("reshard", "status", "--bucket", bucket))
    finally:
        stop.set()
        writer.join(60)
    text(walk, "bucket", "reshard", "--bucket", bucket, "--num-shards", "13")
    current = stats(walk, bucket)
    assert current["num_shards"] == 13
    assert set(listed(walk, bucket)) >= {*names, *written}
    assert current["usage"]["rgw.main"]["num_objects"] == len(listed(walk, bucket))
    for keys in shards_of(walk, current["id"]).values():
        assert not [key for key in keys if key.startswith("\x80")]
