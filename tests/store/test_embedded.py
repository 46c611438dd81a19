"""What only the embedded store has: a folder, its limits, several processes, object classes in Python."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rgw.store.classcall import ClassMethod
from rgw.store.embedded import open_store
from rgw.store.embedded.database import WriteSession
from rgw.store.errors import Cancelled, InvalidArgument, NoSpace, NotFound, NotSupported, TimedOut, Unavailable
from rgw.store.interface import ReadOp, WriteOp

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(tmp_path):
    opened = await open_store(tmp_path / "store")
    await opened.create_pool("p")
    yield opened
    await opened.close()


@pytest.fixture
async def pool(store):
    return await store.open_pool("p")


def data_files(folder: Path) -> list[Path]:
    return [p for p in (folder / "data").rglob("*") if p.is_file()]


async def test_a_restart_keeps_everything(tmp_path):
    folder = tmp_path / "new" / "store"
    store = await open_store(folder)
    first, fsid = store.instance_id, store.fsid
    await store.create_pool("p")
    await (await store.open_pool("p")).write("o", WriteOp().write_full(b"x" * 100_000).setxattr("a", b"1"))
    await store.close()
    store = await open_store(folder, create=False)
    got = await (await store.open_pool("p")).read("o", ReadOp().read().getxattrs())
    assert (got.data, got.xattrs) == (b"x" * 100_000, {"a": b"1"})
    assert store.fsid == fsid and store.instance_id > first
    assert (await store.pool_stat("p")).objects == 1 and (await store.pool_stat("p")).bytes == 100_000
    await store.close()


async def test_foreign_folders_are_refused(tmp_path):
    with pytest.raises(NotFound):
        await open_store(tmp_path / "none", create=False)
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InvalidArgument, match="not an rgw store"):
        await open_store(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rgw-store.json").write_text('{"format": "pyrgw embedded store", "version": 99, "fsid": "x"}')
    with pytest.raises(InvalidArgument, match="99"):
        await open_store(tmp_path / "other")


async def test_a_folder_with_only_a_configuration_is_welcome(tmp_path):
    (tmp_path / "rgw.conf").write_text("[global]\n")
    await (await open_store(tmp_path)).close()


async def test_a_store_is_its_owners_alone(tmp_path):
    """It holds users' secret keys: nobody else may read it, whatever the umask allows, and in a folder that was there neither."""
    (tmp_path / "old").mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        for folder in (tmp_path / "new", tmp_path / "old"):
            store = await open_store(folder)
            await store.create_pool("p")
            pool = await store.open_pool("p")
            await pool.write("o", WriteOp().write_full(b"x" * 100_000))
            await store.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    shown = [path.name for path in (tmp_path / "old").rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert shown in ([], ["rgw-store.json"])  # which tells what the folder is


async def test_closed_stores_say_so(tmp_path):
    store = await open_store(tmp_path / "s")
    await store.create_pool("p")
    pool = await store.open_pool("p")
    await store.close()
    with pytest.raises(Unavailable):
        await pool.read("o", ReadOp().stat())
    with pytest.raises(Unavailable):
        await pool.write("o", WriteOp().create())


async def test_files_go_with_their_objects(tmp_path, store, pool):
    folder = tmp_path / "store"
    await pool.write("o", WriteOp().write_full(b"x" * 1_000_000))
    assert len(data_files(folder)) == 1
    await pool.write("o", WriteOp().write(500_000, b"y" * 100_000))
    assert len(data_files(folder)) == 2
    await pool.write("o", WriteOp().write_full(b"z" * 1_000_000))
    assert len(data_files(folder)) == 1
    with pytest.raises(Cancelled):
        await pool.write("o", WriteOp().cmpxattr("a", b"b").write_full(b"z" * 1_000_000))
    await asyncio.sleep(0)
    assert len(data_files(folder)) == 1
    await pool.write("o", WriteOp().remove())
    assert data_files(folder) == []
    assert await store.pool_stat("p") == type(await store.pool_stat("p"))(0, 0)


async def test_readers_see_whole_objects_while_writers_replace_them(pool):
    contents = [bytes([n]) * 300_000 for n in range(4)]
    await pool.write("o", WriteOp().write_full(contents[0]))
    stop = False

    async def write():
        for n in range(40):
            await pool.write("o", WriteOp().write_full(contents[n % 4]))

    async def read():
        count = 0
        while not stop:
            assert (await pool.read("o", ReadOp().read())).data in contents
            count += 1
        return count

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await write()
    stop = True
    assert min(await asyncio.gather(*readers)) > 0


async def test_full_store_refuses_growth_and_goes_on(tmp_path):
    store = await open_store(tmp_path / "s", max_bytes=6_000_000)
    await store.create_pool("p")
    pool = await store.open_pool("p")
    kept: list[str] = []
    with pytest.raises(NoSpace):
        for n in range(1000):
            await pool.write(f"o{n}", WriteOp().write_full(bytes([n]) * 200_000).omap_set({b"k": b"v"}))
            kept.append(f"o{n}")
    assert 5 < len(kept) < 40
    for n, name in enumerate(kept):
        assert (await pool.read(name, ReadOp().read())).data == bytes([n]) * 200_000
    with pytest.raises(NotFound):
        await pool.read(f"o{len(kept)}", ReadOp().stat())
    assert len(data_files(tmp_path / "s")) == len(kept)
    for name in kept[:5]:
        await pool.write(name, WriteOp().remove())
    await pool.write("again", WriteOp().write_full(b"x"))
    await store.close()


async def test_full_map_fails_only_what_does_not_fit(tmp_path):
    store = await open_store(tmp_path / "s", map_size=1 << 20)
    await store.create_pool("p")
    pool = await store.open_pool("p")
    results = await asyncio.gather(*(pool.write(f"o{n}", WriteOp().write_full(bytes(30_000)).setxattr("n", b"%d" % n)) for n in range(60)),
                                   return_exceptions=True)
    failed = [r for r in results if isinstance(r, Exception)]
    assert failed and all(isinstance(r, NoSpace) for r in failed) and len(failed) < 60
    for n, result in enumerate(results):
        if isinstance(result, Exception):
            with pytest.raises(NotFound):
                await pool.read(f"o{n}", ReadOp().stat())
        else:
            assert (await pool.read(f"o{n}", ReadOp().getxattrs())).xattrs == {"n": b"%d" % n}
    await store.close()


async def test_what_is_submitted_before_closing_is_stored(tmp_path, monkeypatch):
    store = await open_store(tmp_path / "s")
    await store.create_pool("p")
    writing = asyncio.ensure_future((await store.open_pool("p")).write("o", WriteOp().write_full(b"x")))
    await asyncio.sleep(0)

    async def at_once(function, *args):  # as a thread that is quicker than the loop
        return function(*args)

    with monkeypatch.context() as quick:
        quick.setattr(asyncio, "to_thread", at_once)
        await store.close()
    await asyncio.wait_for(writing, 10)
    store = await open_store(tmp_path / "s")
    assert (await (await store.open_pool("p")).read("o", ReadOp().read())).data == b"x"
    await store.close()


async def test_changes_of_one_turn_go_together(tmp_path, monkeypatch):
    store = await open_store(tmp_path / "s")
    await store.create_pool("p")
    pool = await store.open_pool("p")
    commits = []
    monkeypatch.setattr(WriteSession, "commit", lambda self, commit=WriteSession.commit: (commits.append(1), commit(self)))
    await asyncio.gather(*(pool.write(f"o{n}", WriteOp().write_full(b"x")) for n in range(20)))
    assert len(commits) == 1
    await store.close()


async def test_nearly_full_disk_still_removes(tmp_path):
    store = await open_store(tmp_path / "s")
    await store.create_pool("p")
    await (await store.open_pool("p")).write("o", WriteOp().write_full(b"x"))
    await store.close()
    store = await open_store(tmp_path / "s", disk_reserve=1 << 60)  # more than any disk has
    pool = await store.open_pool("p")
    with pytest.raises(NoSpace):
        await pool.write("o", WriteOp().write_full(b"y"))
    assert (await pool.read("o", ReadOp().read())).data == b"x"
    await pool.write("o", WriteOp().remove())
    await store.close()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED ON A REALLY FULL DISK, which takes root: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [3_000, 20_000, 300_000])
async def test_really_full_disk(small_disk, size):
    for reserve in (0, 1 << 20):
        store = await open_store(small_disk / "s", disk_reserve=reserve)
        await store.create_pool("p")
        pool = await store.open_pool("p")
        stored = 0
        failures: list[BaseException] = []
        while not failures:
            results = await asyncio.gather(*(pool.write(f"{reserve}-{stored + n}", WriteOp().write_full(bytes(size))) for n in range(8)),
                                           return_exceptions=True)
            failures = [r for r in results if isinstance(r, BaseException)]
            stored += 8 - len(failures)
        assert all(isinstance(f, NoSpace) for f in failures), failures
        names = [o.name async for o in pool.list_objects()]
        assert len(names) == stored
        for name in names:
            assert (await pool.read(name, ReadOp().read())).data == bytes(size)
        for name in names:
            await pool.write(name, WriteOp().remove())
        await store.close()


_CHILD = """
import asyncio, sys
from rgw.store.embedded import open_store
from rgw.store.errors import Cancelled
from rgw.store.interface import ReadOp, WriteOp

async def main():
    store = await open_store(sys.argv[1])
    pool = await store.open_pool("p")
    heard = asyncio.Event()
    watch = await pool.watch("bell", lambda payload: heard.set(), lambda: None)
    print("ready", store.instance_id, flush=True)
    if sys.argv[2] == "hang":
        import time
        time.sleep(100)
    done = 0
    while done < 100:
        got = await pool.read("counter", ReadOp().getxattrs())
        value = int(got.xattrs["n"]) + 1
        try:
            await pool.write("counter", WriteOp().assert_version(got.version).setxattr("n", b"%d" % value).omap_set({b"%06d" % value: b""}))
            done += 1
        except Cancelled:
            pass
    await asyncio.wait_for(heard.wait(), 20)
    print("heard", flush=True)
    await store.close()

asyncio.run(main())
"""


async def child(folder: Path, mode: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _CHILD, str(folder), mode, stdout=asyncio.subprocess.PIPE,
                                                   env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    word, instance = (await process.stdout.readline()).split()
    assert word == b"ready"
    return process, int(instance)


async def test_processes_share_a_store(tmp_path, store, pool):
    await pool.write("counter", WriteOp().setxattr("n", b"0"))
    await pool.write("bell", WriteOp().create())
    children = await asyncio.gather(*(child(tmp_path / "store", "count") for _ in range(3)))
    assert len({store.instance_id, *(instance for _, instance in children)}) == 4
    await pool.notify("bell", b"ring")
    for process, _ in children:
        assert (await process.communicate())[0] == b"heard\n"
        assert process.returncode == 0
    got = await pool.read("counter", ReadOp().getxattrs().omap_get())
    assert got.xattrs["n"] == b"300" and len(got.omap.values) == 300


async def test_hung_watchers_time_out_and_dead_ones_are_forgotten(tmp_path, store, pool):
    await pool.write("bell", WriteOp().create())
    process, instance = await child(tmp_path / "store", "hang")
    with pytest.raises(TimedOut):
        await pool.notify("bell", b"", timeout_ms=200)
    process.kill()
    await process.wait()
    await pool.notify("bell", b"", timeout_ms=200)
    assert os.listdir(tmp_path / "store" / "watch") == []


async def test_a_watch_ends_with_its_object(store, pool):
    await pool.write("o", WriteOp().create())
    lost = asyncio.Event()
    await pool.watch("o", lambda payload: None, lost.set)
    await pool.write("o", WriteOp().remove())
    await asyncio.wait_for(lost.wait(), 10)


async def test_two_openings_in_one_process(tmp_path, store, pool):
    second = await open_store(tmp_path / "store")
    await (await second.open_pool("p")).write("o", WriteOp().write_full(b"x"))
    await second.close()
    assert (await pool.read("o", ReadOp().read())).data == b"x"


COUNT = ClassMethod("test", "count")
FAIL = ClassMethod("test", "fail")


@pytest.fixture
def classes(monkeypatch):
    from rgw.store.embedded.classes import REGISTRY as registry

    def count(ctx, request):
        value = int(ctx.omap_get(b"count") or b"0") + 1
        ctx.omap_set(b"count", b"%d" % value)
        ctx.write(0, b"%d" % ctx.version)
        return value

    def fail(ctx, request):
        ctx.omap_set(b"count", b"spoilt")
        ctx.write_full(b"spoilt")
        raise Cancelled("on purpose")

    monkeypatch.setitem(registry, ("test", "count"), count)
    monkeypatch.setitem(registry, ("test", "fail"), fail)


async def test_class_calls_are_part_of_the_operation(pool, classes):
    written = await pool.write("o", WriteOp().call(COUNT()).call(COUNT()).setxattr("a", b"1"))
    with pytest.raises(Cancelled) as failed:
        await pool.write("o", WriteOp().call(COUNT()).call(FAIL()))
    assert failed.value.step == 1
    got = await pool.read("o", ReadOp().read().omap_get())
    assert got.omap.values == {b"count": b"2"} and got.data == b"%d" % written.version
    await asyncio.gather(*(pool.write("o", WriteOp().call(COUNT())) for _ in range(50)))
    assert (await pool.read("o", ReadOp().omap_get())).omap.values == {b"count": b"52"}
    with pytest.raises(NotSupported):
        await pool.write("o", WriteOp().call(ClassMethod("test", "unknown")()))
    with pytest.raises(InvalidArgument):
        await pool.read("o", ReadOp().call(COUNT()))
