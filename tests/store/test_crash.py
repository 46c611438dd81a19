"""kill -9 at any instant: what was acknowledged is there, what was not is there wholly or not at all, and no file is left over."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from rgw.store.embedded import open_store
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp
from tests.store.crash_writer import content

ROOT = Path(__file__).parents[2]


def data_files(folder: Path) -> list[Path]:
    return [p for p in (folder / "data").rglob("*") if p.is_file()]


async def run_and_kill(folder: Path, seconds: float) -> dict[int, int]:
    """The last acknowledged round of each worker."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.crash_writer", str(folder), stdout=asyncio.subprocess.PIPE,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    lines = [await process.stdout.readline()]
    await asyncio.sleep(seconds)
    process.kill()
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    acknowledged: dict[int, int] = {}
    for line in lines:
        if line.endswith(b"\n"):
            worker, number = map(int, line.split())
            acknowledged[worker] = number
    return acknowledged


async def test_kill_at_random_instants(tmp_path):
    folder = tmp_path / "store"
    rng = random.Random()
    for _ in range(4):
        acknowledged = await run_and_kill(folder, rng.uniform(0.0, 0.4))
        assert acknowledged
        store = await open_store(folder)
        pool = await store.open_pool("p")
        referenced = 0
        for worker in range(6):
            try:
                got = await pool.read(f"w{worker}", ReadOp().stat().getxattrs().read().omap_get(max_entries=100_000))
            except NotFound:
                assert worker not in acknowledged
                continue
            number = int(got.xattrs["n"])
            assert number in (acknowledged.get(worker, number), acknowledged.get(worker, number) + 1)
            assert got.data == content(worker, number) and got.size == len(got.data)
            assert b"%06d" % number == list(got.omap.values)[-1]
            referenced += got.size > 65_536
            try:
                extra = await pool.read(f"extra{worker}", ReadOp().read())
                referenced += 1
                assert extra.data == content(worker, 2)
            except NotFound:
                pass  # the usual state of it
        assert len(data_files(folder)) == referenced
        await store.close()
        assert os.listdir(folder / "instances") == []
