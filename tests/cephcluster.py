"""A one-node Ceph cluster for tests: monitor, manager and memstore OSD in a temporary folder, from Debian's packages.

``pytest_plugins = ["tests.cephcluster"]`` (or an import of the fixture) gives ``ceph_conf``. Clusters can run side by side.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rgw.core.parallel import each
from rgw.store.errors import NotFound
from rgw.store.interface import ALL_NAMESPACES, IoCtx, ObjectName, WriteOp

EMPTIED = ("default.rgw.buckets.data", "default.rgw.buckets.index", "default.rgw.buckets.non-ec", "default.rgw.meta")  # after each module
_running: list[CephCluster] = []
BINARIES = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-authtool", "monmaptool")


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def missing_binaries() -> list[str]:
    return [name for name in BINARIES if not shutil.which(name)]


class CephCluster:
    """Starts with ``start()``; ``stop()`` ends every daemon by the process it started and removes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "ceph.conf"
        self.keyring = folder / "keyring"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *command: str | Path, timeout: float = 30) -> str:
        """Runs a tool against this cluster; its output. CalledProcessError if it fails."""
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
                              env=os.environ | {"CEPH_CONF": str(self.conf)})
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Runs a daemon in the foreground of a process of its own session."""
        with open(self.folder / f"{name}.out", "wb") as out:
            self.daemons[name] = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                                                  env=os.environ | {"CEPH_CONF": str(self.conf)})
        return self.daemons[name]

    def wait(self, what: str, *command: str, contains: str = "", seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if contains in self.run(*command, timeout=10):
                    return
                problem = "not yet"
            except (RuntimeError, subprocess.TimeoutExpired) as e:
                problem = str(e)
            dead = [name for name, p in self.daemons.items() if p.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"gave up waiting for {what} (ended: {dead}; logs in {self.folder}): {problem}")
            time.sleep(0.1)

    def start(self) -> None:
        d = self.folder
        for sub in ("mgr.x", "osd.0"):
            (d / sub).mkdir(parents=True, exist_ok=True)
        fsid = str(uuid.uuid4())
        mon = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        settings = {
            "fsid": fsid, "mon host": mon, "keyring": self.keyring, "public network": "127.0.0.0/8", "ms bind ipv6": "false",
            "auth allow insecure global id reclaim": "false", "mon allow pool size one": "true", "mon warn on pool no redundancy": "false",
            "mon allow pool delete": "true", "mon data avail crit": 1, "mon max pg per osd": 1000,
            "paxos propose interval": 0.05,  # one second by default, for each pool that is made
            "osd pool default size": 1, "osd pool default min size": 1, "osd pool default pg num": 4,
            "osd pool default pg autoscale mode": "off",
            "osd crush chooseleaf type": 0, "osd objectstore": "memstore", "osd fast shutdown": "false",  # a memstore saves when it is unmounted
            "memstore device bytes": "8G", "run dir": d,
            "admin socket": f"{d}/$name.$pid.asok", "log file": f"{d}/$name.log", "pid file": f"{d}/$name.pid",
            "mon data": f"{d}/mon.$id", "mgr data": f"{d}/mgr.$id", "osd data": f"{d}/osd.$id",
        }
        self.conf.write_text("[global]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))
        every = {"mon": "allow *", "osd": "allow *", "mgr": "allow *"}
        self._key("mon.", {"mon": "allow *"}, "-C")
        self._key("client.admin", every)
        self._key("mgr.x", {"mon": "allow profile mgr", "osd": "allow *"})
        self._key("osd.0", {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow *"})
        self._key("client.rgw.peer", {"mon": "allow rw", "osd": "allow *", "mgr": "allow *"})
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", mon, d / "monmap")
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", d / "monmap", "--keyring", self.keyring)
        self.spawn("mon", "ceph-mon", "-f", "-i", "a")
        self.wait("the monitor", "ceph", "--connect-timeout", "5", "auth", "import", "-i", str(self.keyring))
        self.spawn("mgr", "ceph-mgr", "-f", "-i", "x")
        self.run("ceph", "osd", "create")
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", str(uuid.uuid4()))
        self.run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=h", "root=default")
        self.start_osd()

    def start_osd(self) -> None:
        """Starts the OSD, with what it held when it was last ended."""
        self.spawn("osd", "ceph-osd", "-f", "-i", "0")
        self.wait("the OSD", "ceph", "osd", "stat", contains="1 up")

    def _key(self, name: str, caps: dict[str, str], *flags: str) -> None:
        granted = [word for kind, cap in caps.items() for word in ("--cap", kind, cap)]
        self.run("ceph-authtool", *flags, self.keyring, "--gen-key", "-n", name, *granted)

    def start_radosgw(self, port: int | None = None, options: Sequence[str] = ()) -> str:
        """A radosgw beside it, with ``options`` like ``rgw_gc_obj_min_wait=1``; its endpoint."""
        self.radosgw_port = port or free_port()
        (self.folder / "rgw.peer").mkdir(exist_ok=True)
        with open(self.conf, "a") as conf:
            conf.write(f"[client.rgw.peer]\nrgw data = {self.folder}/rgw.peer\n"
                       "rgw crypt require ssl = false\nrgw crypt s3 kms backend = testing\n"
                       "rgw crypt s3 kms encryption keys = testkey-1=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=\n"
                       "rgw enable ops log = false\nrgw usage log tick interval = 1\ndebug rgw = 0\ndebug ms = 0\n")
            conf.writelines(f"{option}\n" for option in options)
        return self.restart_radosgw()

    def restart_radosgw(self) -> str:
        """Ends radosgw if it runs and starts it again on its port, for it reads the zone at its start only; its endpoint.

        It may take its watches back: one that is killed makes every change of metadata wait until they time out.
        """
        self.end("radosgw")
        return self.run_radosgw("radosgw", self.radosgw_port)

    def run_radosgw(self, name: str, port: int, *options: str) -> str:
        """Starts a radosgw process with options like ``rgw_gc_processor_period=1``; its endpoint."""
        self.spawn(name, "radosgw", "-f", "-n", "client.rgw.peer", f"--rgw_frontends=beast port={port} tcp_nodelay=1", *(f"--{o}" for o in options))
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return f"http://127.0.0.1:{port}"
            except OSError:
                if self.daemons[name].poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"radosgw did not start; see {self.folder}/{name}.out") from None
                time.sleep(0.1)

    def end(self, name: str, seconds: float = 20) -> None:
        """Ends a daemon, if it runs, and gives it time to clean up."""
        running = self.daemons.pop(name, None)
        if running is not None:
            running.terminate()
            try:
                running.wait(seconds)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()

    def add_storage_class(self, name: str, pool: str, compression: str = "", placement: str = "default-placement") -> None:
        """Gives the default zone a storage class. ``pool`` may name a namespace. Gateways see it when they start."""
        base = ["--placement-id", placement, "--storage-class", name]
        new = [] if placement == "default-placement" else [
            "--index-pool", f"default.rgw.buckets.index:{placement}", "--data-extra-pool", f"default.rgw.buckets.non-ec:{placement}"]
        zipped = ["--compression", compression] if compression else []
        for words in (["zonegroup", "placement", "add", "--rgw-zonegroup", "default"],
                      ["zone", "placement", "add", "--rgw-zone", "default", "--data-pool", pool, *new, *zipped]):
            self.run("radosgw-admin", "-n", "client.admin", *words, *base, timeout=60)

    def signal(self, name: str, number: int) -> None:
        """Sends a signal to a daemon (SIGSTOP and SIGCONT make a silent OSD)."""
        self.daemons[name].send_signal(number)

    def stop(self) -> None:
        for daemon in reversed(list(self.daemons.values())):
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGCONT)
                daemon.kill()  # nothing in a memstore is worth a slow goodbye
        for daemon in self.daemons.values():
            daemon.wait()
        self.daemons.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ceph_cluster() -> Iterator[CephCluster]:
    """A running cluster, stopped at the end of the session, also when it is interrupted."""
    if missing := missing_binaries():
        pytest.skip(f"NO CEPH ON THIS MACHINE, its tests do not run: {', '.join(missing)} (Debian: ceph-mon ceph-mgr ceph-osd ceph-common)")
    cluster = CephCluster(Path(tempfile.mkdtemp(prefix="pyrgw-ceph-")))
    atexit.register(cluster.stop)
    try:
        cluster.start()
        _running.append(cluster)
        yield cluster
    finally:
        _running.clear()
        cluster.stop()
        atexit.unregister(cluster.stop)


async def _empty(conf: Path) -> None:
    from rgw.store.librados import connect

    cluster = await connect(str(conf), "client.admin")
    for pool in set(await cluster.list_pools()) & set(EMPTIED):
        found = [name async for name in (await cluster.open_pool(pool, ALL_NAMESPACES)).list_objects()]
        spaces = {namespace: await cluster.open_pool(pool, namespace) for namespace in {name.namespace for name in found}}

        async def remove(name: ObjectName, spaces: dict[str, IoCtx] = spaces) -> None:
            with contextlib.suppress(NotFound):
                await spaces[name.namespace].write(name.name, WriteOp().remove(), name.locator)

        await each(found, remove, 64)
    await cluster.close()


@pytest.fixture(scope="module", autouse=True)
def emptied() -> Iterator[None]:
    """Takes users, buckets and objects out of the cluster after each module: searches through whole pools find what few tests left.

    Queues, the zone and gateways that run are left alone.
    """
    yield
    if _running:
        asyncio.run(_empty(_running[0].conf))


@pytest.fixture(scope="session")
def ceph_conf(ceph_cluster: CephCluster) -> Path:
    """The ceph.conf of a running one-node cluster; connect as client.admin."""
    return ceph_cluster.conf
