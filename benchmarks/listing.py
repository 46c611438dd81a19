"""Lists of large buckets, ours and radosgw's, on the same index: `python -m benchmarks.listing`."""

from __future__ import annotations

import argparse
import html
import re
import tempfile
import time
from functools import partial
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers import Peer, ceph_gateways
from benchmarks.reshard import OpenCluster, fill, on_cluster
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.formats.acl import AccessControlPolicy
from rgw.store.interface import Cluster
from tests.e2e.conftest import start_nano

FOLDERS = 10_000
FIRST_PAGES = 5  # the median of so many
HEAD = ("| server | keys | shards | first 1,000 keys | all keys | first 1,000 of 10,000 prefixes | all prefixes |\n"
        "|---|---|---|---|---|---|---|")


async def make(cluster: Cluster, access_key: str, name: str, shards: int) -> None:
    """An empty bucket of so many index shards."""
    gateway = await Gateway.open(cluster, Options({"rgw_override_bucket_index_max_shards": shards}))
    owner = await gateway.users.get_by_access_key(access_key)
    await gateway.buckets.create(name, owner, AccessControlPolicy.private(owner.user_id.text(), owner.display_name))
    await gateway.close()


def pages(peer: Peer, bucket: str, limit: int | None, **arguments: str) -> tuple[float, int]:
    """Seconds that the server takes for so many pages of 1,000, and the number of keys or prefixes. What boto3 makes of a page takes longer."""
    connection = HTTPConnection(urlsplit(peer.endpoint).netloc, timeout=300)
    s3, found, seconds, token = peer.client(), 0, 0.0, {}
    for _ in count() if limit is None else range(limit):
        url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "MaxKeys": 1000, **arguments, **token}, ExpiresIn=7200)
        before = time.monotonic()
        connection.request("GET", url[len(peer.endpoint):])
        answer = connection.getresponse()
        page = answer.read().decode()
        seconds += time.monotonic() - before
        if answer.status != 200:
            raise RuntimeError(f"{peer.name} answered {answer.status}")
        found += int(re.findall("<KeyCount>(.*?)</KeyCount>", page)[0])
        following = re.findall("<NextContinuationToken>(.*?)</NextContinuationToken>", page)
        if not following:
            break
        token = {"ContinuationToken": html.unescape(following[0])}
    connection.close()
    return seconds, found


def measure(peer: Peer, bucket: str, keys: int, shards: int) -> None:
    cells = []
    for arguments, expected in (({}, keys + 1), ({"Delimiter": "/"}, min(FOLDERS, keys) + 1)):
        cells.append(f"{sorted(pages(peer, bucket, 1, **arguments)[0] for _ in range(FIRST_PAGES))[FIRST_PAGES // 2] * 1000:.0f} ms")
        seconds, found = pages(peer, bucket, None, **arguments)
        cells.append(f"{seconds:.1f} s" if found == expected else f"{seconds:.1f} s, but {found} of {expected}")
    print(f"| {peer.name} | {keys:,} | {shards} | {' | '.join(cells)} |", flush=True)


def run(peers: list[Peer], open_cluster: OpenCluster, counts: list[int]) -> None:
    for keys in counts:
        for shards in (11, 101):
            name = f"list{keys}-{shards}"
            on_cluster(open_cluster, make, peers[0].access_key, name, shards)
            peers[0].client().put_object(Bucket=name, Key="model", Body=b"x" * 100)
            on_cluster(open_cluster, fill, name, keys, FOLDERS)
            for peer in peers:
                measure(peer, name, keys, shards)


def embedded(folder: Path, counts: list[int]) -> None:
    from rgw.store.embedded import open_store

    running = start_nano(folder / "data", "-o", "rgw_dynamic_resharding=false")
    try:
        peer = Peer("pyrgw embedded", running.endpoint, running.access_key, running.secret_key, [running.process.pid])
        run([peer], partial(open_store, folder / "data"), counts)
    finally:
        running.stop()


def ceph(folder: Path, counts: list[int]) -> None:
    from rgw.store.librados import connect

    with ceph_gateways(folder, "rgw_dynamic_resharding = false\n") as peers:
        run([peers.ours, peers.radosgw], partial(connect, str(peers.cluster.conf), "client.admin"), counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", choices=["embedded", "ceph", []], default=[])
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    print(HEAD, flush=True)
    for name in arguments.stores or ["embedded", "ceph"]:
        with tempfile.TemporaryDirectory() as folder:
            {"embedded": embedded, "ceph": ceph}[name](Path(folder), arguments.keys)


if __name__ == "__main__":
    main()
