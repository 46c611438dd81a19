"""A radosgw and our gateway side by side on one Ceph cluster, and a client of each for the same user."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from click.testing import CliRunner

from rgw.cli.main import rgw_admin
from tests.cephcluster import free_port
from tests.conftest import missing_ceph

_MISSING = [name for name in ("radosgw", "radosgw-admin") if shutil.which(name) is None]
COMPRESSED = {"ZLIB": "zlib", "SNAPPY": "snappy", "ZSTD": "zstd", "LZ4": "lz4"}  # storage classes that radosgw compresses
COLD, SECOND = "COLD", "second"  # a storage class and a placement with places of their own (pools are slow to make: namespaces)
DATA_POOLS = ["default.rgw.buckets.data", "default.rgw.buckets.non-ec"]  # in all their namespaces
WORKERS_OFF = ["rgw_enable_gc_threads=false", "rgw_enable_lc_threads=false", "rgw_dynamic_resharding=false"]
_OPTIONS = ["rgw_gc_obj_min_wait=1", "rgw_crypt_require_ssl=false"]


def client(endpoint: str, access_key: str, secret: str) -> Any:
    """A client that does not retry, so that a failure shows, and sends no checksums, which radosgw 16 does not know."""
    return boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret, region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
                      response_checksum_validation="when_required"))


@dataclass
class Pair:
    """``theirs`` is radosgw's endpoint, ``ours`` pyrgw's."""

    cluster: Any
    theirs: str
    ours: str
    process: Any = None
    data_pools = DATA_POOLS

    def radosgw_admin(self, *arguments: str) -> Any:
        """Runs radosgw-admin; its JSON, or its text where it prints none."""
        return _parsed(self.cluster.run("radosgw-admin", "-n", "client.admin", *arguments, timeout=60))

    def rgw_admin(self, *arguments: str) -> Any:
        """Runs ours, in this process: a Python of its own would spend half a second on imports each time."""
        done = CliRunner().invoke(rgw_admin, ["--conf", str(self.cluster.conf), "--name", "client.admin", *arguments])
        if done.exit_code:
            raise RuntimeError(f"rgw-admin {' '.join(arguments)}: {done.stderr.strip()}") from done.exception
        return _parsed(done.stdout)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.fixture(scope="session")
def pair(request) -> Iterator[Pair]:
    """Both gateways, without workers (but for test_workers.py's own). Radosgw starts first, hence the zone and its pools are its own making."""
    if reason := missing_ceph() or (f"NOT TESTED BESIDE RADOSGW: {', '.join(_MISSING)} not installed (apt-get install radosgw)" if _MISSING else ""):
        pytest.skip(reason)
    cluster = request.getfixturevalue("ceph_cluster")
    theirs = cluster.start_radosgw(options=[*WORKERS_OFF, "rgw_gc_obj_min_wait=1"])
    for name, compression in COMPRESSED.items():
        cluster.add_storage_class(name, f"{DATA_POOLS[0]}:zipped", compression)
    cluster.add_storage_class(COLD, f"{DATA_POOLS[0]}:cold")
    cluster.add_storage_class("STANDARD", f"{DATA_POOLS[0]}:{SECOND}", placement=SECOND)
    cluster.restart_radosgw()
    ours = Ours(cluster, WORKERS_OFF)
    try:
        ours.start()
        yield Pair(cluster, theirs, ours.endpoint, ours)
    finally:
        ours.stop()
    assert " failed\nTraceback" not in (said := ours.log.read_text()), said[said.index(" failed\nTraceback"):][:3000]


class Ours:
    """Our gateway as a process of its own, on a port that it keeps over restarts."""

    def __init__(self, cluster: Any, options: Sequence[str] = ()) -> None:
        self._cluster, self._options = cluster, [*_OPTIONS, *options]
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self.log = cluster.folder / f"pyrgw.{self._port}.out"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *further: str) -> None:
        """``further`` options hold for this life only."""
        command = "import sys; from rgw.cli.main import rgw; sys.exit(rgw())"
        options = [word for option in [*self._options, *further] for word in ("-o", option)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", command, "serve", "--conf", str(self._cluster.conf), "--name", "client.admin", "--listen",
                 f"127.0.0.1:{self._port}", *options], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        _wait(self.endpoint, self.process, self.log)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"pyrgw did not start: {log.read_text()[-3000:]}") from None
            time.sleep(0.1)


@dataclass
class Crossed:
    """One gateway writes, the other is looked through; ``other`` is a second bucket."""

    pair: Pair
    write: Any
    check: Any
    bucket: str
    other: str
    uid: str
    ours: Any
    theirs: Any

    def body(self, key: str, client: Any = None, **arguments: Any) -> tuple[bytes, str]:
        """An object's bytes and ETag through the gateway that did not write it."""
        got = (client or self.check).get_object(Bucket=self.bucket, Key=key, **arguments)
        return got["Body"].read(), got["ETag"].strip('"')


    def settled(self, *, orphans: bool = True) -> None:
        """See tools.settled, for the buckets that are still there."""
        from tests.radosgw import tools

        left = [row["Name"] for row in self.check.list_buckets()["Buckets"]]
        tools.settled(self.pair, self.uid, left, [self.write, self.check], orphans=orphans)


@pytest.fixture(params=["ours-to-radosgw", "radosgw-to-ours"])
def crossed(request, pair) -> Iterator[Crossed]:
    """A user and two buckets, made by the writing side's tools."""
    uid = f"u{secrets.token_hex(4)}"
    first = request.param.startswith("ours")
    admin = pair.rgw_admin if first else pair.radosgw_admin
    key = admin("user", "create", "--uid", uid, "--display-name", "Crossed Ünïcode")["keys"][0]
    ends = [client(e, key["access_key"], key["secret_key"]) for e in (pair.ours, pair.theirs)]
    write, check = ends if first else reversed(ends)
    made = Crossed(pair, write, check, f"b{secrets.token_hex(4)}", f"o{secrets.token_hex(4)}", uid, *ends)
    for name in (made.bucket, made.other):
        write.create_bucket(Bucket=name)
    yield made
    for end in ends:
        end.close()
