"""How long a single write is held up while its bucket's index is resharded, ours and radosgw's: `python -m benchmarks.reshard`."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import re
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peers import BIN, Peer, ceph_gateways
from rgw.core.gateway import Gateway
from rgw.core.index import shard_names
from rgw.core.options import Options
from rgw.formats.cls_rgw import UpdateStatsOp
from rgw.formats.index import CategoryStats, DirEntry
from rgw.formats.names import bucket_shard
from rgw.store import classes
from rgw.store.interface import Cluster, ReadOp, WriteOp
from tests.e2e.conftest import start_nano

WRITERS = 4
KEYS_EACH = 200
WARM_SECONDS = 4.0
_BATCH = 1000
_NAME = struct.Struct("<BBII")  # version, compat, length; length of the name


async def fill(cluster: Cluster, bucket_name: str, count: int, folders: int = 100) -> None:
    """Writes index entries like that of the object ``model`` straight into the index, spread over so many common prefixes."""
    gateway = await Gateway.open(cluster, Options())
    bucket = await gateway.buckets.get(bucket_name)
    shards = shard_names(bucket.bucket_id, bucket.num_shards)
    ioctx = bucket.index_ioctx
    model_oid = shards[bucket_shard("model", len(shards))]
    page = (await ioctx.read(model_oid, ReadOp().omap_get_keys([b"model"]))).omap
    assert page is not None
    raw = page.values[b"model"]
    meta = DirEntry.decode(raw).meta
    groups: dict[str, dict[bytes, bytes]] = {oid: {} for oid in shards}
    behind = raw[_NAME.size + len(b"model"):]

    def entry(name: bytes) -> bytes:
        """The model under another name, which is its first field."""
        return _NAME.pack(*raw[:2], _NAME.size - 6 + len(name) + len(behind), len(name)) + name + behind

    async def flush(oid: str) -> None:
        values, n = groups[oid], len(groups[oid])
        groups[oid] = {}
        stats = CategoryStats(n * meta.accounted_size, n * -(-meta.accounted_size // 4096) * 4096, n, n * meta.size)
        await ioctx.write(oid, WriteOp().omap_set(values).call(classes.BUCKET_UPDATE_STATS(UpdateStatsOp(stats={meta.category: stats}))))

    for i in range(count):
        name = f"folder-{i % folders:05d}/object-{i:08d}.dat"
        oid = shards[bucket_shard(name, len(shards))]
        groups[oid][name.encode()] = entry(name.encode())
        if len(groups[oid]) == _BATCH:
            await flush(oid)
    for oid in shards:
        if groups[oid]:
            await flush(oid)
    await gateway.close()


@dataclass(eq=False)
class Writer(threading.Thread):
    """Puts small objects over one connection. ``puts``: (start, seconds) of each."""

    peer: Peer
    urls: list[str]
    stop: threading.Event
    puts: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.peer.endpoint).netloc, timeout=300)
        i = 0
        while not self.stop.is_set():
            before = time.monotonic()
            connection.request("PUT", self.urls[i % len(self.urls)], body=b"x" * 100)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.peer.name} answered {answer.status}")
            self.puts.append((before, time.monotonic() - before))
            i += 1


def measure(peer: Peer, bucket: str, count: int, shards: int, reshard: Callable[[], str], title: str) -> None:
    """Runs a reshard under load and prints a row. ``reshard`` returns what the tool printed."""
    s3 = peer.client()
    stop = threading.Event()
    writers = []
    for n in range(WRITERS):
        signed = [s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": f"w{n}-{i}"}, ExpiresIn=7200) for i in range(KEYS_EACH)]
        writers.append(Writer(peer, [url[len(peer.endpoint):] for url in signed], stop))
    for writer in writers:
        writer.start()
    time.sleep(WARM_SECONDS)
    begin = time.monotonic()
    blocked = re.search(r"blocked for: (.*)", reshard())
    end = time.monotonic()
    time.sleep(1)
    stop.set()
    for writer in writers:
        writer.join(300)
    puts = [put for writer in writers for put in writer.puts]
    before = sorted(seconds for at, seconds in puts if begin - WARM_SECONDS + 1 < at and at + seconds < begin)
    during = sorted(seconds for at, seconds in puts if at + seconds > begin and at < end)
    rates = len(before) / (WARM_SECONDS - 1), len(during) / (end - begin)
    held = blocked[1] if blocked else "-"
    print(f"| {title} | {count:,} | {shards} | {end - begin:.1f} s | {before[-1] * 1000:.0f} ms | {during[-1] * 1000:.0f} ms | {held} "
          f"| {during[int(len(during) * 0.99)] * 1000:.0f} ms | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s |", flush=True)


def run_tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


async def by_itself(cluster: Cluster, bucket_name: str, shards: int) -> None:
    """Queues the bucket for the worker of the gateway that serves, and waits until it is done."""
    gateway = await Gateway.open(cluster, Options())
    bucket = await gateway.buckets.get(bucket_name)
    await gateway.reshard_queue.add(bucket, shards)
    while bucket.num_shards != shards or await gateway.reshard_queue.get(bucket) is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
        await gateway.buckets.reload(bucket)
    await gateway.close()


HEAD = ("| reshard | keys | to shards | took | longest PUT before | longest PUT during | blocked | 99 % of PUTs during | PUTs before | PUTs during |\n"
        "|---|---|---|---|---|---|---|---|---|---|")
_ONE_SHARD = ["-o", "rgw_override_bucket_index_max_shards=1", "-o", "rgw_reshard_thread_interval=1", "-o", "rgw_max_objs_per_shard=1G"]


OpenCluster = Callable[[], Coroutine[Any, Any, Cluster]]


def on_cluster(open_cluster: OpenCluster, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> str:
    """Runs ``work`` on a cluster that is opened for it."""
    async def run() -> None:
        cluster = await open_cluster()
        await work(cluster, *arguments)
        await cluster.close()

    asyncio.run(run())
    return ""


def made(peer: Peer, open_cluster: OpenCluster, name: str, count: int) -> str:
    """A bucket with so many entries."""
    peer.client().create_bucket(Bucket=name)
    peer.client().put_object(Bucket=name, Key="model", Body=b"x" * 100)
    on_cluster(open_cluster, fill, name, count)
    return name


def ours(peer: Peer, store: list[str], open_cluster: OpenCluster, counts: list[int]) -> None:
    for count in counts:
        bucket = made(peer, open_cluster, f"ours{count}", count)
        command = [str(BIN / "rgw-admin"), *store, "bucket", "reshard", "--bucket", bucket, "--num-shards", "11"]
        measure(peer, bucket, count, 11, partial(run_tool, *command), f"{peer.name}, rgw-admin")
        measure(peer, bucket, count, 23, partial(on_cluster, open_cluster, by_itself, bucket, 23), f"{peer.name}, by its worker")


def embedded(folder: Path, counts: list[int]) -> None:
    from rgw.store.embedded import open_store

    running = start_nano(folder / "data", *_ONE_SHARD)
    try:
        peer = Peer("pyrgw embedded", running.endpoint, running.access_key, running.secret_key, [running.process.pid])
        ours(peer, running.store_args, partial(open_store, folder / "data"), counts)
    finally:
        running.stop()


def ceph(folder: Path, counts: list[int]) -> None:
    from rgw.store.librados import connect

    conf = "rgw_override_bucket_index_max_shards = 1\nrgw_dynamic_resharding = false\n"
    with ceph_gateways(folder, conf, [*_ONE_SHARD, "-o", "rgw_dynamic_resharding=true"]) as peers:
        open_cluster = partial(connect, str(peers.cluster.conf), "client.admin")
        ours(peers.ours, ["--conf", str(peers.cluster.conf), "--name", "client.admin"], open_cluster, counts)
        for count in counts:
            bucket = made(peers.radosgw, open_cluster, f"theirs{count}", count)
            command = ["radosgw-admin", "-n", "client.admin", "bucket", "reshard", "--bucket", bucket, "--num-shards", "11"]
            measure(peers.radosgw, bucket, count, 11, partial(peers.cluster.run, *command, timeout=900), "radosgw, radosgw-admin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", choices=["embedded", "ceph", []], default=[])
    parser.add_argument("--keys", type=int, nargs="+", default=[200_000, 1_000_000])
    arguments = parser.parse_args()
    print(HEAD, flush=True)
    for name in arguments.stores or ["embedded", "ceph"]:
        with tempfile.TemporaryDirectory() as folder:
            {"embedded": embedded, "ceph": ceph}[name](Path(folder), arguments.keys)


if __name__ == "__main__":
    main()
