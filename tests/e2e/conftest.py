"""A gateway as a user starts it: the installed commands in processes of their own, on each store."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import click
import pytest
from botocore.config import Config
from click.testing import CliRunner

from rgw.cli.main import rgw, rgw_admin
from tests.conftest import missing_ceph

BIN = Path(sys.executable).parent
DEADLINE = 30.0


@dataclass
class RunningGateway:
    """A gateway process, how to reach it, and the store arguments of its commands."""

    store_args: list[str]
    endpoint: str
    access_key: str
    secret_key: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def rgw(self, *arguments: str) -> str:
        """What `rgw ...` prints on the same store. In this process, to look at things: a Python of its own would spend most of a second on imports."""
        return self._run(rgw, arguments).decode("utf-8", "surrogateescape")

    def admin(self, *arguments: str) -> object:
        """The JSON that `rgw-admin ...` prints on the same store, or None; in this process, too."""
        printed = self._run(rgw_admin, arguments)
        return json.loads(printed) if printed.strip() else None

    def _run(self, command: click.Command, arguments: tuple[str, ...]) -> bytes:
        done = CliRunner().invoke(command, [*self.store_args, *arguments])
        assert done.exit_code == 0, (done.stderr, done.exception)
        return done.stdout_bytes

    def client(self, **config: object):  # type: ignore[no-untyped-def]
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
                            region_name="us-east-1", config=Config(retries={"max_attempts": 1}, max_pool_connections=32, **config))

    def environment(self) -> dict[str, str]:
        return dict(os.environ, AWS_ACCESS_KEY_ID=self.access_key, AWS_SECRET_ACCESS_KEY=self.secret_key, AWS_DEFAULT_REGION="us-east-1",
                    AWS_ENDPOINT_URL=self.endpoint, AWS_EC2_METADATA_DISABLED="true")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for_port(self)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for_port(gateway: RunningGateway) -> None:
    host, _, port = gateway.endpoint.partition("://")[2].rpartition(":")
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        assert gateway.process.poll() is None, gateway.log.read_text()
        try:
            socket.create_connection((host.strip("[]"), int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the gateway did not listen within {DEADLINE} s:\n{gateway.log.read_text()}")


def start_nano(folder: Path, *arguments: str) -> RunningGateway:
    """Starts `rgw nano` and reads endpoint and keys from what it prints, as a person would."""
    log = folder.parent / "nano.log"
    log.touch()
    before = log.stat().st_size  # of one that ran there earlier
    port = free_port()
    command = [str(BIN / "rgw"), "nano", "--data", str(folder), "--listen", f"127.0.0.1:{port}", *arguments]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    gateway = RunningGateway(["--data", str(folder)], f"http://127.0.0.1:{port}", "", "", command, log, process)
    wait_for_port(gateway)
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        printed = dict(re.findall(r"^(access key|secret key|endpoint):\s+(\S+)$", log.read_text()[before:], re.M))
        if len(printed) == 3:
            gateway.access_key, gateway.secret_key = printed["access key"], printed["secret key"]
            assert printed["endpoint"] == gateway.endpoint
            return gateway
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def start_on_ceph(conf: str, folder: Path, *arguments: str) -> RunningGateway:
    """Starts `rgw serve` on a Ceph cluster, with a user made by `rgw-admin`."""
    return start_serve(["--conf", conf, "--name", "client.admin"], folder, *arguments)


def start_serve(store: list[str], folder: Path, *arguments: str, host: str = "127.0.0.1", scheme: str = "http") -> RunningGateway:
    """Starts `rgw serve` on a free port, with a user made by `rgw-admin`."""
    port = free_port()
    log = folder / "serve.log"
    command = [str(BIN / "rgw"), *store, "serve", "--listen", f"{host}:{port}", *arguments]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    gateway = RunningGateway(store, f"{scheme}://{host}:{port}", "", "", command, log, process)
    wait_for_port(gateway)
    listed = gateway.admin("user", "list")
    info = gateway.admin("user", "info", "--uid", "walker") if "walker" in listed else \
        gateway.admin("user", "create", "--uid", "walker", "--display-name", "Walker")  # type: ignore[operator]
    gateway.access_key, gateway.secret_key = info["keys"][0]["access_key"], info["keys"][0]["secret_key"]  # type: ignore[index]
    return gateway


@pytest.fixture(scope="module", params=["embedded", "ceph"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    if request.param == "embedded":
        running = start_nano(folder / "data")
    else:
        if reason := missing_ceph():
            pytest.skip(reason)
        running = start_on_ceph(str(request.getfixturevalue("ceph_conf")), folder)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def bucket(gateway: RunningGateway) -> str:
    name = f"walk-{time.monotonic_ns()}"
    gateway.client().create_bucket(Bucket=name)
    return name


def need(tool: str) -> str:
    """The path of a client program; a loud skip where it is not installed."""
    path = shutil.which(tool, path=os.pathsep.join((str(BIN), os.environ.get('PATH', os.defpath))))
    if path is None:
        pytest.skip(f"{tool} IS NOT INSTALLED: its walk was not tested")
    return path
