"""A connection to a Ceph cluster: configuration, pools, monitor commands. All of it in threads; librados blocks there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from rgw.store.interface import Capabilities, Cluster, IoCtx, PoolStat
from rgw.store.librados.binding import check, ffi, lib, text
from rgw.store.librados.ioctx import RadosIoCtx
from rgw.store.librados.queue import CompletionQueue

# librados formats these logs for its in-memory ring even where nothing is written, on every operation.
QUIET = (b"debug_ms", b"debug_rados", b"debug_objecter", b"debug_monc", b"debug_auth", b"debug_finisher", b"debug_throttle")


class RadosCluster(Cluster):
    """Belongs to the event loop that connected it."""

    capabilities = Capabilities(shared_with_radosgw=True)

    def __init__(self, handle: Any, queue: CompletionQueue) -> None:
        self._handle, self.queue = handle, queue
        self._pools: dict[tuple[str, str], RadosIoCtx] = {}
        fsid = ffi.new("char[37]")
        check(lib.rados_cluster_fsid(handle, fsid, 37), "fsid")
        self.fsid = ffi.string(fsid).decode()
        self.instance_id = lib.rados_get_instance_id(handle)

    async def open_pool(self, pool: str, namespace: str = "") -> IoCtx:
        known = self._pools.get((pool, namespace))
        if known is None:
            out = ffi.new("struct rb_io **")
            code = await asyncio.to_thread(lib.rb_io_open, self._handle, text(pool), text(namespace), out)
            check(code, f"pool {pool}")
            if (pool, namespace) in self._pools:  # opened meanwhile by another task
                lib.rb_io_close(out[0])
            else:
                self._pools[pool, namespace] = RadosIoCtx(self.queue, self._handle, out[0], pool, namespace)
            known = self._pools[pool, namespace]
        return known

    async def list_pools(self) -> list[str]:
        return await asyncio.to_thread(self._list_pools)

    def _list_pools(self) -> list[str]:
        room = 4096
        while True:
            names = ffi.new("char[]", room)
            need = check(lib.rados_pool_list(self._handle, names, room), "pool list")
            if need <= room:
                return [n.decode() for n in ffi.buffer(names, room)[:].split(b"\0\0", 1)[0].split(b"\0") if n]
            room = need

    async def mon_command(self, **command: Any) -> bytes:
        """Runs a monitor command; its output."""
        return await asyncio.to_thread(self._mon_command, command)

    def _mon_command(self, command: dict[str, Any]) -> bytes:
        line = ffi.new("char[]", json.dumps(command).encode())
        out, out_len, status, status_len = ffi.new("char **"), ffi.new("size_t *"), ffi.new("char **"), ffi.new("size_t *")
        code = lib.rados_mon_command(self._handle, ffi.new("const char *[]", [line]), 1, ffi.NULL, 0, out, out_len, status, status_len)
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
        await asyncio.to_thread(lib.rados_wait_for_latest_osdmap, self._handle)

    async def pool_stat(self, pool: str) -> PoolStat:
        io = await self.open_pool(pool)
        assert isinstance(io, RadosIoCtx)
        out = ffi.new("struct rados_pool_stat_t *")
        check(await asyncio.to_thread(lib.rados_ioctx_pool_stat, lib.rb_io_ctx(io.c), out), f"statistics of {pool}")
        return PoolStat(out.num_objects, out.num_bytes)

    async def close(self) -> None:
        """Waits for operations under way, then disconnects."""
        if self._handle is None:
            return
        await self.queue.close()
        handle, self._handle = self._handle, None
        await asyncio.to_thread(self._shutdown, handle)

    def _shutdown(self, handle: Any) -> None:
        for watch in self.queue.take_watches():  # before their IoCtxs go
            lib.rb_watch_close(handle, watch)
        for io in self._pools.values():
            lib.rb_io_close(io.c)
        self._pools.clear()
        lib.rados_shutdown(handle)
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
