"""Starting, stopping and being killed: what `rgw nano` and `rgw serve` promise."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, RunningGateway, start_nano


@pytest.fixture
def nano(tmp_path: Path) -> Iterator[RunningGateway]:
    running = start_nano(tmp_path / "data")
    yield running
    if running.process.poll() is None:
        running.stop()


def test_a_restart_keeps_everything(nano: RunningGateway) -> None:
    nano.client().create_bucket(Bucket="kept")
    nano.client().put_object(Bucket="kept", Key="k", Body=b"v" * 100_000)
    assert nano.stop() == 0
    nano.start()
    assert nano.client().get_object(Bucket="kept", Key="k")["Body"].read() == b"v" * 100_000


def test_kill_9_loses_no_acknowledged_object(nano: RunningGateway) -> None:
    s3 = nano.client()
    s3.create_bucket(Bucket="kept")
    for attempt in range(5):
        for i in range(20):
            nano.client().put_object(Bucket="kept", Key=f"{attempt}-{i}", Body=f"{attempt}/{i}".encode() * (i * 2000 + 1))
        nano.stop(signal.SIGKILL)
        nano.start()
    s3 = nano.client()
    for attempt in range(5):
        for i in range(20):
            assert s3.get_object(Bucket="kept", Key=f"{attempt}-{i}")["Body"].read() == f"{attempt}/{i}".encode() * (i * 2000 + 1)


def test_commands_work_beside_a_running_gateway(nano: RunningGateway) -> None:
    made = nano.admin("user", "create", "--uid", "beside", "--display-name", "Beside")
    assert made["user_id"] == "beside"  # type: ignore[index]
    assert nano.admin("user", "list") == ["beside", "nano"]
    assert "default.rgw.buckets.data" in nano.rgw("rados", "lspools").split()


def test_store_options_stand_before_or_after_the_subcommand(nano: RunningGateway) -> None:
    data = nano.store_args[1]
    for arguments in (["--data", data, "rados", "lspools"], ["rados", "--data", data, "lspools"], ["rados", "lspools", "--data", data]):
        done = subprocess.run([BIN / "rgw", *arguments], capture_output=True, text=True, timeout=60)
        assert "default.rgw.meta" in done.stdout.split(), done.stderr
    for arguments in (["-p", "default.rgw.meta", "-N", "users.uid", "ls"], ["ls", "-p", "default.rgw.meta", "-N", "users.uid"]):
        assert nano.rgw("rados", *arguments).split() == ["nano"]


def test_a_missing_store_is_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    done = subprocess.run([BIN / "rgw-admin", "--data", str(tmp_path / "none"), "user", "list"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "no store at" in done.stderr
    assert not (tmp_path / "none").exists()


def test_options_that_are_none_are_told_before_a_store_is_made(tmp_path: Path) -> None:
    for option in ("rgw_nonsense=1", "rgw_max_chunk_size=big"):
        done = subprocess.run([BIN / "rgw", "nano", "--data", str(tmp_path / "none"), "--listen", ":0", "-o", option],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "Error: " in done.stderr and option[:11] in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_second_start_is_quick(nano: RunningGateway) -> None:
    assert nano.stop() == 0
    before = time.monotonic()
    nano.start()
    assert nano.process.poll() is None
    print(f"second start: {time.monotonic() - before:.2f} s")


def test_store_copy_moves_everything(nano: RunningGateway, tmp_path: Path) -> None:
    s3 = nano.client()
    s3.create_bucket(Bucket="moved")
    s3.put_object(Bucket="moved", Key="small", Body=b"small")
    s3.put_object(Bucket="moved", Key="large", Body=b"x" * (9 << 20))
    assert nano.stop() == 0
    done = subprocess.run([BIN / "rgw", "store", "copy", "--from", nano.store_args[1], "--to", str(tmp_path / "other")],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"default.rgw.buckets.data: 4 objects, {(9 << 20) + 5} bytes" in done.stderr
    again = subprocess.run(done.args, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1 and "is in the target already" in again.stderr and "Traceback" not in again.stderr
    (tmp_path / "second").mkdir()
    other = start_nano(tmp_path / "other")
    try:
        assert (other.access_key, other.secret_key) == (nano.access_key, nano.secret_key)
        s3 = other.client()
        assert s3.get_object(Bucket="moved", Key="small")["Body"].read() == b"small"
        assert s3.get_object(Bucket="moved", Key="large")["Body"].read() == b"x" * (9 << 20)
        s3.put_object(Bucket="moved", Key="small", Body=b"changed")
        assert [(o["Key"], o["Size"]) for o in s3.list_objects_v2(Bucket="moved")["Contents"]] == [("large", 9 << 20), ("small", 7)]
    finally:
        other.stop()


def test_a_bucket_option_is_not_taken_for_the_store_name(nano: RunningGateway) -> None:
    """`--name` of the store and `--bucket` of the command once shared a parameter name, so that the bucket became the Ceph user."""
    from click.testing import CliRunner

    from rgw.cli import stores
    from rgw.cli.admin.bucket import bucket

    seen: list[stores.StoreChoice] = []

    def remember(choice: stores.StoreChoice) -> None:
        seen.append(choice)
        raise KeyboardInterrupt

    runner = CliRunner()
    original = stores.StoreChoice.settle
    stores.StoreChoice.settle = remember  # type: ignore[method-assign,assignment]
    try:
        runner.invoke(bucket, ["stats", "--name", "client.x", "--conf", "some.conf", "--bucket", "b"])
    finally:
        stores.StoreChoice.settle = original  # type: ignore[method-assign]
    assert [(choice.name, choice.conf) for choice in seen] == [("client.x", "some.conf")]
