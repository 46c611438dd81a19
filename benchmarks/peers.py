"""The servers that are measured: ours on each store, radosgw on the same cluster, rclone on local files."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from tests.cephcluster import CephCluster

BIN = Path(sys.executable).parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Peer:
    """A running server. ``pids`` are its processes, for CPU time and memory."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    pids: list[int]

    def client(self):  # type: ignore[no-untyped-def]
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
                            region_name="us-east-1", config=Config(signature_version="s3v4", s3={"addressing_style": "path"},
                                                                   request_checksum_calculation="when_required"))

    def cpu_seconds(self) -> float:
        total = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def peak_mib(self) -> float:
        return max(int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) for pid in self.pids) / 1024  # type: ignore[index]

    def reset_peak(self) -> None:
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    for _ in range(600):
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def start(stack: ExitStack, command: list[str], port: int, log: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=log.open("ab"), stderr=subprocess.STDOUT)

    def end() -> None:
        process.terminate()
        process.wait(30)

    stack.callback(end)
    wait(port, process)
    return process


def worker_pids(supervisor: int, workers: int) -> list[int]:
    """The processes of `rgw serve --workers N` that serve: one is the command itself, several are its children."""
    if workers == 1:
        return [supervisor]
    for _ in range(600):
        pids = [int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]
        if len(pids) == workers:
            return pids
        time.sleep(0.05)
    raise RuntimeError(f"{workers} workers were asked for, {len(pids)} run")


@contextmanager
def embedded_peers(folder: Path, workers: int = 1) -> Iterator[tuple[Peer, Peer | None]]:
    """Ours on the embedded store, and rclone's S3 server on local files."""
    with ExitStack() as stack:
        port = free_port()
        store = ["--data", str(folder / "data")]
        process = start(stack, [str(BIN / "rgw"), "serve", *store, "--listen", f"127.0.0.1:{port}", "--workers", str(workers)], port, folder / "serve.log")
        made = subprocess.run([str(BIN / "rgw-admin"), *store, "user", "create", "--uid", "bench", "--display-name", "Bench"], check=True, capture_output=True)
        key = json.loads(made.stdout)["keys"][0]
        ours = Peer("pyrgw embedded", f"http://127.0.0.1:{port}", key["access_key"], key["secret_key"], worker_pids(process.pid, workers))
        rclone = shutil.which("rclone", path=f"{BIN}:{os.environ['PATH']}")
        if rclone is None:
            yield ours, None
            return
        port, access, secret = free_port(), "bench", secrets.token_hex(16)
        (folder / "rclone").mkdir()
        process = start(stack, [rclone, "serve", "s3", str(folder / "rclone"), "--addr", f"127.0.0.1:{port}", "--auth-key",
                                f"{access},{secret}", "--config", os.devnull], port, folder / "rclone.log")
        yield ours, Peer("rclone", f"http://127.0.0.1:{port}", access, secret, [process.pid])


@dataclass
class CephPeers:
    """Ours and radosgw on one cluster, with the same user."""

    cluster: CephCluster
    ours: Peer
    radosgw: Peer


@contextmanager
def ceph_gateways(folder: Path, conf: str = "", options: Sequence[str] = (), workers: int = 1) -> Iterator[CephPeers]:
    """Both gateways at work. ``conf``: further lines of ceph.conf; ``options``: further arguments of `rgw serve`."""
    with ExitStack() as stack:
        cluster = CephCluster(folder / "ceph")
        stack.callback(cluster.stop)
        cluster.start()
        with open(cluster.conf, "a") as file:
            file.write(conf)
        radosgw = cluster.start_radosgw()
        pid = cluster.daemons["radosgw"].pid
        user = json.loads(cluster.run("radosgw-admin", "-n", "client.admin", "user", "create", "--uid", "bench", "--display-name", "Bench"))
        key = user["keys"][0]
        port = free_port()
        process = start(stack, [str(BIN / "rgw"), "serve", "--conf", str(cluster.conf), "--name", "client.admin", "--listen", f"127.0.0.1:{port}",
                                "--workers", str(workers), *options], port, folder / "serve.log")
        pids = worker_pids(process.pid, workers)
        yield CephPeers(cluster, Peer("pyrgw on Ceph", f"http://127.0.0.1:{port}", key["access_key"], key["secret_key"], pids),
                        Peer("radosgw", radosgw, key["access_key"], key["secret_key"], [pid]))


@contextmanager
def ceph_peers(folder: Path, workers: int = 1) -> Iterator[tuple[Peer, Peer]]:
    """Ours and radosgw on one cluster."""
    with ceph_gateways(folder, workers=workers) as peers:
        yield peers.ours, peers.radosgw
