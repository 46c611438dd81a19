"""radosgw's workers and ours at the same queues at the same time: each thing is done once, by either. Resharding's queue: test_reshard.py."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.radosgw import tools
from tests.radosgw.conftest import client

MIB = 1 << 20


@pytest.fixture
def ends(pair):
    """A client of each gateway for one user: ours, theirs."""
    key = pair.radosgw_admin("user", "create", "--uid", f"w{secrets.token_hex(4)}", "--display-name", "x")["keys"][0]
    made = [client(url, key["access_key"], key["secret_key"]) for url in (pair.ours, pair.theirs)]
    yield made
    for end in made:
        end.close()


def together(*work):
    with ThreadPoolExecutor(len(work)) as pool:
        for running in [pool.submit(*one) for one in work]:
            running.result()


def test_garbage(pair, ends):
    """Both delete, both collect: a tail that a copy still holds stays, all others go."""
    tools.collect(pair)
    bucket = f"b{secrets.token_hex(4)}"
    ends[0].create_bucket(Bucket=bucket)
    marker = pair.radosgw_admin("bucket", "stats", "--bucket", bucket)["marker"]
    for number, end in enumerate(ends * 6):
        end.put_object(Bucket=bucket, Key=f"k{number}", Body=bytes([number]) * (4 * MIB + 1))
    ends[1].copy_object(Bucket=bucket, Key="kept", CopySource={"Bucket": bucket, "Key": "k0"})
    for number, end in enumerate(reversed(ends * 6)):
        end.delete_object(Bucket=bucket, Key=f"k{number}")
    for _ in range(2):
        together((pair.rgw_admin, "gc", "process", "--include-all"), (pair.radosgw_admin, "gc", "process", "--include-all"),
                 (pair.rgw_admin, "gc", "process", "--include-all"))
    assert pair.radosgw_admin("gc", "list", "--include-all") == pair.rgw_admin("gc", "list", "--include-all") == []
    assert tools.rados_objects(pair, marker) == tools.reachable(pair, bucket) and len(tools.reachable(pair, bucket)) == 2
    assert ends[0].get_object(Bucket=bucket, Key="kept")["Body"].read() == bytes(4 * MIB + 1)


def test_lifecycle(pair, ends):
    """Several buckets, rules set by either, run by both at once."""
    buckets = [f"b{secrets.token_hex(4)}" for _ in range(4)]
    for number, bucket in enumerate(buckets):
        end = ends[number % 2]
        end.create_bucket(Bucket=bucket)
        for key in ("old/1", "old/2", "kept"):
            end.put_object(Bucket=bucket, Key=key, Body=b"x")
        end.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [
            {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}]})

    def keys():
        return [[row["Key"] for row in ends[0].list_objects_v2(Bucket=bucket)["Contents"]] for bucket in buckets]

    deadline = time.monotonic() + 30
    while keys() != [["kept"]] * 4:
        assert time.monotonic() < deadline, keys()
        time.sleep(1)
        together((pair.rgw_admin, "-o", "rgw_lc_debug_interval=1", "lc", "process"), (pair.radosgw_admin, "lc", "process", "--rgw-lc-debug-interval=1"))
    for admin in (pair.rgw_admin, pair.radosgw_admin):
        rows = {row["bucket"].split(":")[1]: row["status"] for row in admin("lc", "list")}
        assert set(buckets) <= set(rows) and {rows[bucket] for bucket in buckets} <= {"COMPLETE", "UNINITIAL"}
    for bucket in buckets:
        ends[0].delete_bucket_lifecycle(Bucket=bucket)
