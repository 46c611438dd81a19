"""What requests feel of garbage collection: latency of GETs before and while a gateway collects: `python -m benchmarks.gc`."""

from __future__ import annotations

import argparse
import http.client
import secrets
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from benchmarks.peers import Peer, ceph_gateways
from benchmarks.reshard import OpenCluster, on_cluster
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.parallel import each
from rgw.formats.gc import GcObj
from rgw.store.interface import Cluster, WriteOp
from tests.e2e.conftest import start_nano

OPTIONS = ["rgw_gc_processor_period=2"]
HEAD = "| store | garbage | when | GETs/s | p50 | p99 | longest | collected in |\n|---|---|---|---|---|---|---|---|"


async def garbage(cluster: Cluster, entries: int, objects: int, size: int, wait: int) -> None:
    """Entries of so many objects, all of them due ``wait`` seconds after they are queued."""
    gw = await Gateway.open(cluster, Options({}))
    pool = gw.data_pool(gw.zone.default_placement)
    data = b"x" * size

    async def one(number: int) -> None:
        tag = secrets.token_hex(8)
        for part in range(objects):
            await pool.write(f"garbage_{tag}_{part}", WriteOp().write_full(data))
        await gw.gc.enqueue(tag, [GcObj(pool=pool.pool, oid=f"garbage_{tag}_{part}", loc="") for part in range(objects)], wait=wait)

    await each(range(entries), one, 32)
    await gw.close()


async def _left(cluster: Cluster, found: list[int]) -> None:
    gw = await Gateway.open(cluster, Options({}))
    found.append(len(await gw.gc.list(include_all=True)))
    await gw.close()


def left(open_cluster: OpenCluster) -> int:
    found: list[int] = []
    on_cluster(open_cluster, _left, found)
    return found[0]


class Gets(threading.Thread):
    """GETs of one object of 4 KiB over one connection, one after the other, until ``stop``; ``seconds`` that each took."""

    def __init__(self, peer: Peer, url: str) -> None:
        super().__init__(daemon=True)
        self._peer, self._url = peer, url
        self._over = threading.Event()
        self.seconds: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._peer.endpoint.partition("://")[2])
        path = self._url.removeprefix(self._peer.endpoint)
        while not self._over.is_set():
            before = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            self.seconds.append(time.perf_counter() - before)

    def stop(self) -> list[float]:
        self._over.set()
        self.join()
        return sorted(self.seconds)


def row(store: str, what: str, when: str, seconds: list[float], took: float, collected: str) -> None:
    p50, p99, longest = (seconds[place] * 1000 for place in (len(seconds) // 2, len(seconds) * 99 // 100, -1))
    print(f"| {store} | {what} | {when} | {len(seconds) / took:,.0f} | {p50:.2f} ms | {p99:.2f} ms | {longest:.1f} ms | {collected} |", flush=True)


def measure(peer: Peer, open_cluster: OpenCluster, shapes: list[tuple[int, int, int]]) -> None:
    s3 = peer.client()
    s3.create_bucket(Bucket="gcbench")
    s3.put_object(Bucket="gcbench", Key="k", Body=b"x" * 4096)
    url = s3.generate_presigned_url("get_object", {"Bucket": "gcbench", "Key": "k"}, ExpiresIn=3600)
    for entries, objects, size in shapes:
        what = f"{entries:,} x {objects} of {size >> 10:,} KiB"
        gets, before = Gets(peer, url), time.monotonic()
        gets.start()
        time.sleep(5)
        row(peer.name, what, "before", gets.stop(), time.monotonic() - before, "")
        on_cluster(open_cluster, garbage, entries, objects, size, 1)
        gets, before = Gets(peer, url), time.monotonic()
        gets.start()
        while left(open_cluster):
            time.sleep(0.5)
        took = time.monotonic() - before
        row(peer.name, what, "meanwhile", gets.stop(), took, f"{took:.1f} s")


def embedded(folder: Path, shapes: list[tuple[int, int, int]]) -> None:
    from rgw.store.embedded import open_store

    running = start_nano(folder / "data", *(word for option in OPTIONS for word in ("-o", option)))
    try:
        peer = Peer("pyrgw embedded", running.endpoint, running.access_key, running.secret_key, [running.process.pid])
        measure(peer, partial(open_store, folder / "data"), shapes)
    finally:
        running.stop()


def ceph(folder: Path, shapes: list[tuple[int, int, int]]) -> None:
    from rgw.store.librados import connect

    conf = "[client.rgw.peer]\nrgw enable gc threads = false\n"  # what is measured is ours
    with ceph_gateways(folder, conf, [word for option in OPTIONS for word in ("-o", option)]) as peers:
        measure(peers.ours, partial(connect, str(peers.cluster.conf), "client.admin"), shapes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", choices=["embedded", "ceph", []], default=[])
    parser.add_argument("--entries", type=int, default=5000, help="queued objects with one tail each; a tenth of it with 50 tails")
    arguments = parser.parse_args()
    shapes = [(arguments.entries, 1, 64 << 10), (arguments.entries // 10, 50, 4 << 10)]
    print(HEAD, flush=True)
    for name in arguments.stores or ["embedded", "ceph"]:
        with tempfile.TemporaryDirectory() as folder:
            {"embedded": embedded, "ceph": ceph}[name](Path(folder), shapes)


if __name__ == "__main__":
    main()
