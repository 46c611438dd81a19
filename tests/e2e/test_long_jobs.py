"""Long jobs: progress for whoever watches a terminal, JSON alone for a pipe, Ctrl-C at any time, and the next run goes on."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import secrets
import signal
import subprocess
from pathlib import Path

import pytest

from rgw.core.encryption import CustomerKey
from rgw.core.gateway import Gateway
from rgw.core.multipart import CompletedPart
from rgw.core.options import Options
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.gc import GcObj
from rgw.store.embedded import open_store
from rgw.store.interface import WriteOp
from tests.core.helpers import md5, put
from tests.e2e.conftest import BIN

COUNT = 800  # objects of each bucket, entries of garbage
KEY = CustomerKey(bytes(range(32)))
SECRET = secrets.token_bytes((5 << 20) + 17)


async def fill(data: Path) -> None:
    cluster = await open_store(data)
    gw = await Gateway.open(cluster, Options({"rgw_override_bucket_index_max_shards": 2}))
    user = await gw.users.create("ada", "Ada")
    for name in ("purged", "resharded", "checked"):
        bucket, _ = await gw.buckets.create(name, user, AccessControlPolicy.private("ada", "Ada"))
        await asyncio.gather(*(put(gw, bucket, f"k{number}", b"x", user) for number in range(COUNT)))
    upload_id = await gw.multipart.create(bucket, "secret parts", owner=user, attrs={}, customer_key=KEY)
    upload = await gw.multipart.get(bucket, "secret parts", upload_id)
    parts = []
    for writer in (gw.objects.writer(bucket, "secret", owner=user, customer_key=KEY),
                   *(gw.multipart.part_writer(upload, number, customer_key=KEY) for number in (1, 2))):
        await writer.write(SECRET)
        parts.append(await writer.complete(md5(SECRET)))
    await gw.multipart.complete(bucket, "secret parts", upload_id, [CompletedPart(part.number, part.etag) for part in parts[1:]])
    pool = gw.data_pool(gw.zone.default_placement)

    async def garbage(number: int) -> None:
        await pool.write(f"garbage{number}", WriteOp().write_full(b"x"))
        await gw.gc.enqueue(secrets.token_hex(8), [GcObj(pool=pool.pool, oid=f"garbage{number}", loc="")])

    await asyncio.gather(*(garbage(number) for number in range(COUNT)))
    await gw.close()
    await cluster.close()


async def secrets_of(data: Path) -> list[bytes]:
    """What the encrypted objects hold to whom has the key."""
    cluster = await open_store(data)
    gw = await Gateway.open(cluster, Options({}))
    bucket, found = await gw.buckets.get("checked"), []
    for key in ("secret", "secret parts"):
        state = await gw.objects.head(bucket, key)
        state.unlock(KEY)
        found.append(b"".join([part async for part in gw.objects.read(state)]))
    await gw.close()
    await cluster.close()
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "data"
    asyncio.run(fill(folder))
    return folder


def _heed_interrupts() -> None:
    """Whoever started the tests may ignore interrupts (as shells do in the background); a command in a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command whose standard error is a terminal and whose standard output is a pipe."""

    def __init__(self, *command: str | Path, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=slave, stdin=subprocess.DEVNULL, cwd=cwd,
                                        preexec_fn=_heed_interrupts)
        os.close(slave)
        self.seen = b""

    def wait_for(self, text: bytes) -> None:
        while text not in self.seen:
            assert self._read(), self.seen

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 4096)
        except OSError:  # the other side is closed
            data = b""
        self.seen += data
        return bool(data)

    def end(self) -> tuple[int, str]:
        """The exit code and standard output."""
        while self._read():
            pass
        out, _ = self.process.communicate(timeout=60)
        os.close(self._master)
        return self.process.returncode, out.decode()


def admin(data: Path, *words: str) -> Terminal:
    return Terminal(BIN / "rgw-admin", "--data", data, *words, cwd=data.parent)


def broken_off(job: Terminal, progress: bytes, resume: bytes) -> bool:
    """Ctrl-C at the first sign of progress; False if the job was faster."""
    job.wait_for(progress)
    job.process.send_signal(signal.SIGINT)
    code, out = job.end()
    assert b"Traceback" not in job.seen, job.seen
    if code == 0:
        return False
    assert code == 130 and b"interrupted: " + resume in job.seen and out == "", job.seen
    return True


def finished(job: Terminal) -> str:
    code, out = job.end()
    assert code == 0 and b"Traceback" not in job.seen, job.seen
    return out


def shown(data: Path, *words: str) -> object:
    return json.loads(subprocess.run([BIN / "rgw-admin", "--data", data, *words], capture_output=True, check=True, timeout=60).stdout)


def test_purge(data: Path) -> None:
    words = ("bucket", "rm", "--bucket", "purged", "--purge-objects")
    assert broken_off(admin(data, *words), b"\rpurged: ", b"run it again to go on")
    left = shown(data, "bucket", "stats", "--bucket", "purged")["usage"]["rgw.main"]["num_objects"]  # type: ignore[index]
    assert 0 < left < COUNT
    finished(admin(data, *words))
    assert "purged" not in shown(data, "bucket", "list")  # type: ignore[operator]


def test_garbage(data: Path) -> None:
    words = ("gc", "process", "--include-all")
    assert broken_off(admin(data, *words), b"entries collected", b"run it again to go on")
    assert 0 < len(shown(data, "gc", "list", "--include-all")) < COUNT  # type: ignore[arg-type]
    finished(admin(data, *words))  # the locks were given back
    assert shown(data, "gc", "list", "--include-all") == []


def test_reshard(data: Path) -> None:
    words = ("bucket", "reshard", "--bucket", "resharded", "--num-shards")
    count, before = 2, 2
    while not broken_off(admin(data, *words, str(count := count + 5)), b"\rlocked", b"the bucket has its old index"):
        before = count
    status = shown(data, "reshard", "status", "--bucket", "resharded")
    assert [row["reshard_status"] for row in status] == ["not-resharding"] * before  # type: ignore[attr-defined]
    assert "total entries: 800" in finished(admin(data, *words, str(count)))
    assert shown(data, "bucket", "stats", "--bucket", "resharded")["num_shards"] == count  # type: ignore[index]


def test_check_prints_clean_json(data: Path) -> None:
    job = admin(data, "bucket", "check", "--bucket", "checked", "--check-objects")
    assert json.loads(finished(job))["differences"] == [] and b"entries compared" in job.seen


def test_orphans(data: Path) -> None:
    words = ("orphans", "find", "--orphan-stale-secs", "0")
    while not broken_off(job := admin(data, *words), b"\rdefault.rgw.buckets.data", b"go on with --job-id "):
        pass
    name = job.seen.decode().split("--job-id ")[1].split()[0]
    again = admin(data, *words, "--job-id", name)
    assert json.loads(finished(again))["step"] == "done"


def test_store_copy(data: Path, tmp_path: Path) -> None:
    words = (BIN / "rgw", "store", "copy", "--from", data, "--to", tmp_path / "copy")
    assert broken_off(Terminal(*words, cwd=tmp_path), b"buckets.data: ", b"go on with --resume")
    job = Terminal(*words, cwd=tmp_path)
    assert job.end()[0] != 0 and b"--overwrite" in job.seen
    finished(Terminal(*words, "--resume", cwd=tmp_path))
    assert shown(tmp_path / "copy", "bucket", "check", "--bucket", "checked", "--check-objects") == shown(
        data, "bucket", "check", "--bucket", "checked", "--check-objects")
    assert asyncio.run(secrets_of(tmp_path / "copy")) == [SECRET, SECRET * 2]
