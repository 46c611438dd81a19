"""A connection to a Ceph cluster: configuration, pools, monitor commands. All of it in threads; librados blocks there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from rgw.store.errors import NotFound, StoreError
from rgw.store.interface import Capabilities, Cluster, IoCtx, PoolStat
from rgw.store.librados.binding import check, ffi, lib, text
from rgw.store.librados.client import RadosClient
from rgw.store.librados.ioctx import RadosIoCtx
from rgw.store.librados.queue import CompletionQueue

log = logging.getLogger(__name__)

# librados formats these logs for its in-memory ring even where nothing is written, on every operation.
QUIET = (b"debug_ms", b"debug_rados", b"debug_objecter", b"debug_monc", b"debug_auth", b"debug_finisher", b"debug_throttle")


BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before a client is replaced; the last one repeats
SETTLED = 60.0  # seconds after which a client counts as good, and the next back-off starts anew


class RadosCluster(Cluster):
    """Belongs to the event loop that connected it. A client that Ceph has blocklisted is replaced by a new one, under the same IoCtxs.

    ``connect`` gives another connected rados_t; it blocks. ``instance_id`` is the first client's, for the life of the process.
    """

    capabilities = Capabilities(shared_with_radosgw=True, locators_tell_apart=True)

    def __init__(self, handle: Any, queue: CompletionQueue, connect: Callable[[], Any]) -> None:
        self.queue, self._connect = queue, connect
        self._client = RadosClient(handle, self._refused)
        self._since = monotonic()
        self._attempt = 0
        self._pools: dict[tuple[str, str], RadosIoCtx] = {}
        self._healing: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        fsid = ffi.new("char[37]")
        check(lib.rados_cluster_fsid(handle, fsid, 37), "fsid")
        self.fsid = ffi.string(fsid).decode()
        self.instance_id = lib.rados_get_instance_id(handle)

    def _refused(self, client: RadosClient) -> None:
        if client is self._client and self._healing is None and not self._closing.is_set():
            log.warning("this client is on Ceph's blocklist; connecting anew")
            self._healing = asyncio.get_running_loop().create_task(self._heal())

    async def _heal(self) -> None:
        try:
            if monotonic() - self._since > SETTLED:
                self._attempt = 0
            while not self._closing.is_set():
                delay = BACK_OFF[min(self._attempt, len(BACK_OFF) - 1)]
                self._attempt += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), delay)
                    return
                try:
                    await self._replace()
                except StoreError as error:
                    log.warning("cannot connect to Ceph anew: %s", error)
                else:
                    return
        finally:
            self._healing = None

    async def _replace(self) -> None:
        client = RadosClient(await asyncio.to_thread(self._connect), self._refused)
        opened: dict[tuple[str, str], Any] = {}
        try:
            while missing := self._pools.keys() - opened.keys():  # others may be opened meanwhile
                for key in missing:
                    opened[key] = await self._open(client, *key)
        except BaseException:
            await client.close()
            raise
        old, self._client, self._since = self._client, client, monotonic()
        for key, io in self._pools.items():
            io.use(client, opened[key])
        self._pools = {key: io for key, io in self._pools.items() if opened[key] is not None}
        self.queue.lose_all(old)
        log.info("connected to Ceph anew")
        task = asyncio.get_running_loop().create_task(old.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _open(self, client: RadosClient, pool: str, namespace: str) -> Any:
        """A struct rb_io of the client; None if there is no such pool."""
        out = ffi.new("struct rb_io **")
        code = await client.call(lib.rb_io_open, client.handle, text(pool), text(namespace), out)
        if code == -errno.ENOENT:
            return None
        check(code, f"pool {pool}")
        client.ios.append(out[0])
        return out[0]

    async def open_pool(self, pool: str, namespace: str = "") -> IoCtx:
        while (known := self._pools.get((pool, namespace))) is None:
            client = self._client
            c = await self._open(client, pool, namespace)
            if c is None:
                raise NotFound(f"pool {pool}")
            if client is self._client and (pool, namespace) not in self._pools:  # else replaced, or opened by another task
                self._pools[pool, namespace] = RadosIoCtx(self.queue, client, c, pool, namespace)
        return known

    async def list_pools(self) -> list[str]:
        found: list[str] = await self._client.call(self._list_pools, self._client.handle)
        return found

    @staticmethod
    def _list_pools(handle: Any) -> list[str]:
        room = 4096
        while True:
            names = ffi.new("char[]", room)
            need = check(lib.rados_pool_list(handle, names, room), "pool list")
            if need <= room:
                return [n.decode() for n in ffi.buffer(names, room)[:].split(b"\0\0", 1)[0].split(b"\0") if n]
            room = need

    async def mon_command(self, **command: Any) -> bytes:
        """Runs a monitor command; its output."""
        answer: bytes = await self._client.call(self._mon_command, self._client.handle, command)
        return answer

    @staticmethod
    def _mon_command(handle: Any, command: dict[str, Any]) -> bytes:
        line = ffi.new("char[]", json.dumps(command).encode())
        out, out_len, status, status_len = ffi.new("char **"), ffi.new("size_t *"), ffi.new("char **"), ffi.new("size_t *")
        code = lib.rados_mon_command(handle, ffi.new("const char *[]", [line]), 1, ffi.NULL, 0, out, out_len, status, status_len)
        answer = ffi.buffer(out[0], out_len[0])[:] if out[0] else b""
        message = ffi.buffer(status[0], status_len[0])[:].decode(errors="replace") if status[0] else ""
        for buffer in (out[0], status[0]):
            if buffer:
                lib.rados_buffer_free(buffer)
        check(code, f"{command['prefix']}: {message}")
        return answer

    async def create_pool(self, pool: str) -> None:
        if pool not in await self.list_pools():
            await self.mon_command(prefix="osd pool create", pool=pool)
        elif json.loads(await self.mon_command(prefix="osd pool application get", pool=pool, format="json")):
            return  # asking is quick, a change waits for the monitors
        await self.mon_command(prefix="osd pool application enable", pool=pool, app="rgw", **{"yes_i_really_mean_it": True})
        await self._client.call(lib.rados_wait_for_latest_osdmap, self._client.handle)

    async def pool_stat(self, pool: str) -> PoolStat:
        io = await self.open_pool(pool)
        assert isinstance(io, RadosIoCtx)
        out = ffi.new("struct rados_pool_stat_t *")
        check(await io.client.call(lib.rados_ioctx_pool_stat, lib.rb_io_ctx(io.c), out), f"statistics of {pool}")
        return PoolStat(out.num_objects, out.num_bytes)

    async def close(self) -> None:
        """Waits for operations under way, then disconnects."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._healing is not None:
            await self._healing
        await asyncio.gather(*self._retiring)
        await self._client.close()
        await self.queue.close()
        self.queue.free()


def open_handle(conf: Path, name: str, settings: dict[str, str]) -> Any:
    """A connected rados_t. Blocks; Unavailable, TimedOut, NotFound (no such key) and the like if it cannot be had."""
    out = ffi.new("rados_t *")
    check(lib.rados_create2(out, b"ceph", text(name), 0), f"librados as {name}")
    try:
        for quiet in QUIET:  # before the file, which may ask for more
            check(lib.rados_conf_set(out[0], quiet, b"0/0"), f"option {quiet.decode()}")
        check(lib.rados_conf_read_file(out[0], str(conf).encode()), f"reading {conf}")
        for option, value in settings.items():
            check(lib.rados_conf_set(out[0], option.encode(), value.encode()), f"option {option}")
        check(lib.rados_connect(out[0]), f"connecting to Ceph by {conf} as {name}")
    except BaseException:
        lib.rados_shutdown(out[0])
        raise
    return out[0]
