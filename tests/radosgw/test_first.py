"""Ours first on an empty cluster, radosgw later; then one of ours hangs and one is killed, and radosgw neither stalls for long nor is served the past."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.cephcluster import CephCluster, missing_binaries
from tests.conftest import missing_ceph
from tests.radosgw import tools
from tests.radosgw.conftest import _MISSING, Ours, Pair, client

WATCH_TIMEOUT = 30.0  # radosgw's own, in seconds


@pytest.mark.timeout(150)
def test_ours_first_then_radosgw_then_ours_hangs():
    if reason := missing_ceph() or missing_binaries() or _MISSING:
        pytest.skip(str(reason))
    cluster = CephCluster(Path(tempfile.mkdtemp(prefix="pyrgw-ceph-")))
    try:
        cluster.start()
        ours = Ours(cluster)
        ours.start()
        try:
            pair = Pair(cluster, "", ours.endpoint, ours)
            key = pair.rgw_admin("user", "create", "--uid", "first", "--display-name", "First")["keys"][0]
            mine = client(ours.endpoint, key["access_key"], key["secret_key"])
            mine.create_bucket(Bucket="bucket")
            mine.put_object(Bucket="bucket", Key="k", Body=bytes(5 << 20))
            pools = _pools(cluster)
            for pool in pools:
                tags = json.loads(cluster.run("ceph", "osd", "pool", "application", "get", pool, "--format", "json"))
                assert "rgw" in tags, f"{pool} has no application tag"
            made = {pool: _objects(cluster, pool) for pool in (".rgw.root", "default.rgw.control")}
            assert len(made["default.rgw.control"]) == 8 and len(made[".rgw.root"]) == 4
            theirs = client(cluster.start_radosgw(), key["access_key"], key["secret_key"])
            assert theirs.get_object(Bucket="bucket", Key="k")["Body"].read() == bytes(5 << 20)
            theirs.put_object(Bucket="bucket", Key="k2", Body=b"2")
            assert _pools(cluster) == pools, "radosgw missed pools"
            assert made == {pool: _objects(cluster, pool) for pool in made}, "radosgw missed something of the zone"
            tools.settled(pair, "first", ["bucket"], [mine, theirs])
            killed = Ours(cluster)
            killed.start()
            try:
                _hangs(ours, killed, mine, theirs)
            finally:
                killed.stop()
        finally:
            ours.stop()
    finally:
        cluster.stop()


def _pools(cluster: CephCluster) -> set[str]:
    """All but the manager's own, which comes when it likes."""
    return set(cluster.run("rados", "-n", "client.admin", "lspools").split()) - {"device_health_metrics"}


def _objects(cluster: CephCluster, pool: str) -> set[str]:
    return set(cluster.run("rados", "-n", "client.admin", "-p", pool, "ls", "--all").splitlines())


def _hangs(ours: Ours, killed: Ours, mine, theirs) -> None:
    """Radosgw goes on once our watches have run out; back again, we serve nothing that we remember from before, and watch anew."""
    mine.list_objects_v2(Bucket="bucket")  # the bucket is in our memory
    assert ours.process is not None
    ours.process.send_signal(signal.SIGSTOP)
    killed.kill()
    started = time.monotonic()
    try:
        try:
            theirs.put_bucket_acl(Bucket="bucket", ACL="public-read")
            theirs.delete_object(Bucket="bucket", Key="k2")
            theirs.delete_object(Bucket="bucket", Key="k")
            theirs.delete_bucket(Bucket="bucket")
        finally:
            took = time.monotonic() - started
    finally:
        ours.process.send_signal(signal.SIGCONT)
    print(f"radosgw was held up for {took:.1f} s")
    assert took < WATCH_TIMEOUT + 10
    deadline = time.monotonic() + 3
    while True:
        try:
            mine.list_objects_v2(Bucket="bucket")
            found = ""
        except ClientError as error:
            found = error.response["Error"]["Code"]
        if found == "NoSuchBucket":
            break
        assert time.monotonic() < deadline, f"still {found or 'served'}"
        time.sleep(0.1)
    while any(f"watching notify.{number} again" not in ours.log.read_text() for number in range(8)):
        assert time.monotonic() < deadline, "not all is watched again"
        time.sleep(0.1)
    mine.create_bucket(Bucket="again")
    theirs.put_object(Bucket="again", Key="k", Body=b"1")
    theirs.put_bucket_acl(Bucket="again", ACL="public-read")
    assert len(mine.get_bucket_acl(Bucket="again")["Grants"]) == 2
