"""What is special about the librados store: its queue, its timeouts, its watches, and being told what is missing."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import pytest

from rgw.store.errors import InvalidArgument, NoSpace, NotFound, TimedOut, Unavailable
from rgw.store.interface import ReadOp, WriteOp, WriteResult
from rgw.store.librados import binding, connect, queue
from tests.cephcluster import free_port

_BUILT = pytest.mark.skipif(binding.lib is None, reason="NOT TESTED ON CEPH: its binding is not built (apt-get install librados-dev gcc python3-dev)")


@pytest.fixture
async def rados(ceph_conf):
    cluster = await connect(ceph_conf, timeout=10)
    yield cluster
    await cluster.close()


@pytest.fixture
async def io(rados):
    await rados.create_pool("binding")
    return await rados.open_pool("binding", f"n{time.monotonic_ns()}")


async def test_says_what_to_install_when_not_built(monkeypatch, tmp_path):
    monkeypatch.setattr(binding, "lib", None)
    with pytest.raises(Unavailable, match=r"librados-dev.*python3-dev.*gcc.*python -m rgw\.store\.librados\._build"):
        await connect(tmp_path / "ceph.conf")


@_BUILT
async def test_a_wrong_conf_is_an_error_and_not_a_hang(tmp_path):
    with pytest.raises(NotFound):
        await connect(tmp_path / "missing.conf")


@_BUILT
async def test_no_monitor_is_a_timeout(tmp_path):
    conf = tmp_path / "ceph.conf"
    conf.write_text(f"[global]\nmon host = [v2:127.0.0.1:{free_port()}]\nauth client required = none\nlog file = {tmp_path}/log\n")
    with pytest.raises(TimedOut):
        await connect(conf, timeout=1)


async def test_a_cluster_closes_with_a_watch_open(ceph_conf):
    cluster = await connect(ceph_conf)
    await cluster.create_pool("binding")
    io = await cluster.open_pool("binding", "open-watch")
    await io.write("w", WriteOp().create())
    await io.watch("w", lambda payload: None, lambda: None)
    await asyncio.wait_for(cluster.close(), 10)


async def test_many_completions_come_in_one_wake(rados, io):
    await io.write("o", WriteOp().write_full(b"x" * 100))
    completions = rados.queue
    tasks = [asyncio.ensure_future(io.read("o", ReadOp().stat().read(0, 100))) for _ in range(50)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(completions.pending) == 50 and not completions.unsent  # all are sent
    deadline = time.monotonic() + 10
    before = completions.wakes
    time.sleep(1)  # noqa: ASYNC251 the loop is deaf while they finish
    results = await asyncio.gather(*tasks)
    assert time.monotonic() < deadline
    assert [r.data for r in results] == [b"x" * 100] * 50
    assert completions.wakes - before <= 5
    assert not completions.pending


async def test_what_librados_does_not_take_fails_alone(rados, io, monkeypatch):
    class Refusing:
        def __getattr__(self, name):
            return getattr(binding.lib, name)

        def rb_submit(self, op, ioctx, name, *arguments):
            return -22 if name == b"bad" else binding.lib.rb_submit(op, ioctx, name, *arguments)

    monkeypatch.setattr(queue, "lib", Refusing())
    writes = await asyncio.gather(*(io.write(name, WriteOp().write_full(b"x")) for name in ("good", "bad", "fine")), return_exceptions=True)
    assert [type(done) for done in writes] == [WriteResult, InvalidArgument, WriteResult]
    with pytest.raises(InvalidArgument):
        await io.read("bad", ReadOp().read(0, 10))
    assert not rados.queue.pending and not rados.queue.unsent


async def test_buffers_of_short_reads_serve_again(io):
    data = {"short": b"short", "long": os.urandom(200_000)}
    for name, value in data.items():
        await io.write(name, WriteOp().write_full(value))
    names = ["short", "long", "short", "short"] * 30
    for room in (4 << 20, 4 << 20, 2 << 20, 10):
        reads = await asyncio.gather(*(io.read(name, ReadOp().read(0, room)) for name in names))
        assert all(found.data == data[name][:room] for found, name in zip(reads, names, strict=True))


async def test_a_cancelled_task_leaves_the_operation_to_end_alone(rados, io):
    data = os.urandom(1 << 20)
    task = asyncio.ensure_future(io.write("o", WriteOp().write_full(data)))
    await asyncio.sleep(0)
    assert rados.queue.pending
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await rados.queue.idle()
    assert (await io.read("o", ReadOp().read())).data == data  # librados had its own copy


async def test_a_read_to_the_end_longer_than_its_first_buffer(io):
    data = os.urandom(300_001)
    await io.write("o", WriteOp().write_full(data))
    assert (await io.read("o", ReadOp().read())).data == data
    assert (await io.read("o", ReadOp().read(5))).data == data[5:]


async def test_names_locators_and_omap_ranges_with_nul(io):
    name = "a\0b"
    await io.write(name, WriteOp().write_full(b"1"), locator="l\0m")
    await io.write("a", WriteOp().write_full(b"2"), locator="l")
    assert (await io.read(name, ReadOp().read(), locator="l\0m")).data == b"1"
    assert (await io.read("a", ReadOp().read(), locator="l")).data == b"2"
    keys = [b"k\0%d" % n for n in range(9)] + [b"l"]
    await io.write("o", WriteOp().omap_set(dict.fromkeys(keys, b"v")))
    seen, after, more = [], b"", True
    while more:
        page = (await io.read("o", ReadOp().omap_get(after, max_entries=3))).omap
        seen, more = seen + list(page.values), page.more
        after = seen[-1]
    assert seen == keys
    assert list((await io.read("o", ReadOp().omap_get(b"", b"k\0", 100))).omap.values) == keys[:9]
    with pytest.raises(InvalidArgument):
        await io.write("o", WriteOp().setxattr("x\0y", b""))


async def test_mtime_keeps_nanoseconds(io):
    when = 1_700_000_000_123_456_789
    await io.write("o", WriteOp(mtime=when).write_full(b""))
    assert (await io.read("o", ReadOp().stat())).mtime == when


async def test_a_watch_is_acknowledged_while_the_loop_is_blocked(ceph_conf, io):
    await io.write("w", WriteOp().create())
    heard: list[bytes] = []
    watch = await io.watch("w", heard.append, lambda: None)
    outcome: list[object] = []

    async def notify() -> None:
        other = await connect(ceph_conf)
        pool = await other.open_pool("binding", io.namespace)
        started = time.monotonic()
        await pool.notify("w", b"news\0", timeout_ms=5000)
        outcome.append(time.monotonic() - started)
        await other.close()

    thread = threading.Thread(target=lambda: asyncio.run(notify()))
    thread.start()
    thread.join(15)  # this loop does nothing meanwhile
    assert outcome and outcome[0] < 2 and not heard
    await asyncio.sleep(0.1)
    assert heard == [b"news\0"]
    await watch.close()
    await io.notify("w", b"nobody hears")
    assert heard == [b"news\0"]


async def test_a_silent_osd_times_out_and_comes_back(ceph_cluster):
    cluster = await connect(ceph_cluster.conf, timeout=1)
    try:
        await cluster.create_pool("binding")
        io = await cluster.open_pool("binding", "silent")
        await io.write("o", WriteOp().write_full(b"before"))
        ceph_cluster.signal("osd", signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(TimedOut):
                await io.read("o", ReadOp().read())
            with pytest.raises(TimedOut):
                await io.write("o", WriteOp().append(b"?"))
            assert time.monotonic() - started < 8
        finally:
            ceph_cluster.signal("osd", signal.SIGCONT)
        for _ in range(20):  # heals by itself
            try:
                assert (await io.read("o", ReadOp().read())).data.startswith(b"before")
                break
            except TimedOut:
                continue
        else:
            pytest.fail("the connection did not come back")
    finally:
        await cluster.close()


async def test_a_full_pool_refuses_at_once_and_lets_remove(rados, ceph_cluster):
    await rados.create_pool("full")
    io = await rados.open_pool("full")
    for name in ("a", "b", "c"):
        await io.write(name, WriteOp().write_full(b"before"))
    ceph_cluster.run("ceph", "osd", "pool", "set-quota", "full", "max_objects", "2")
    deadline = time.monotonic() + 30
    while "full_quota" not in ceph_cluster.run("ceph", "osd", "pool", "ls", "detail").split("'full'")[1].split("\n")[0]:
        assert time.monotonic() < deadline, "the monitor never called the pool full"
        await asyncio.sleep(0.2)
    async with asyncio.timeout(5):
        while True:  # until the OSD has heard it too
            try:
                await io.write(f"more{time.monotonic_ns()}", WriteOp().write_full(b"x"))
            except NoSpace:
                break
    assert (await io.read("a", ReadOp().read())).data == b"before"
    await asyncio.wait_for(io.write("note", WriteOp(urgent=True).create().omap_set({b"k": b"v"})), 5)
    await asyncio.wait_for(io.write("a", WriteOp().remove()), 5)
    with pytest.raises(NotFound):
        await io.read("a", ReadOp().read())


async def _refused_then_works(io) -> None:
    """Writes until it has been Unavailable and works again; no other answer may come."""
    refused = False
    async with asyncio.timeout(20):
        while True:
            try:
                await io.write("o", WriteOp().write_full(b"after"))
                if refused:
                    return
            except Unavailable:
                refused = True
                await asyncio.sleep(0.01)


def _addresses(ceph_cluster, pool, namespace, oid) -> list[str]:
    lines = ceph_cluster.run("rados", "-p", pool, "-N", namespace, "listwatchers", oid).split("\n")
    return [line.split("watcher=")[1].split()[0] for line in lines if "watcher=" in line]


async def test_a_blocklisted_client_is_replaced_and_its_watches_are_lost(ceph_cluster, rados, io):
    await io.write("w", WriteOp().create())
    instance, heard, lost = rados.instance_id, [], asyncio.Event()
    await io.watch("w", heard.append, lost.set)
    other = await rados.open_pool("binding")
    [address] = await asyncio.to_thread(_addresses, ceph_cluster, "binding", io.namespace, "w")
    try:
        await asyncio.gather(
            _refused_then_works(io), asyncio.to_thread(ceph_cluster.run, "ceph", "osd", "blocklist", "add", address, "60"))
        assert (await io.read("o", ReadOp().read())).data == b"after"
        await other.write("o", WriteOp().create())
        await asyncio.wait_for(lost.wait(), 5)
        watch = await io.watch("w", heard.append, lambda: None)
        await io.notify("w", b"news")
        assert heard == [b"news"]
        assert rados.instance_id == instance
        await watch.close()
        assert not rados.queue.watches
        await asyncio.wait_for(asyncio.gather(*rados._retiring), 10)  # the old client goes
    finally:
        await asyncio.to_thread(ceph_cluster.run, "ceph", "osd", "blocklist", "rm", address)


async def test_a_watch_outlives_a_restarted_session_of_the_osd(ceph_cluster, io):
    await io.write("w", WriteOp().create())
    heard, lost = [], asyncio.Event()
    await io.watch("w", heard.append, lost.set)
    await asyncio.to_thread(ceph_cluster.run, "ceph", "osd", "down", "0")
    async with asyncio.timeout(25):
        while not heard and not lost.is_set():
            await io.notify("w", b"news")
    await io.write("o", WriteOp().write_full(b"after"))
    assert (await io.read("o", ReadOp().read())).data == b"after"
