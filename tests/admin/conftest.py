"""A gateway on a free port, on each store, an administrator, and a public client of the Admin Ops API for it."""

from __future__ import annotations

import asyncio
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import pytest
from rgwadmin import RGWAdmin

from rgw.core import caps
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.formats.user import UserInfo
from rgw.frontend.server import Server
from tests.core.helpers import put

CAPS = "users=*; buckets=*; metadata=*; usage=*; zone=read; info=read"


@dataclass
class Administered:
    """``run(call, **arguments)`` calls a method of rgwadmin's client in a thread."""

    gw: Gateway
    address: str
    user: UserInfo
    client: RGWAdmin

    async def run(self, call: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, call), **arguments)

    def client_of(self, user: UserInfo) -> RGWAdmin:
        key = next(iter(user.access_keys.values()))
        return RGWAdmin(access_key=key.id, secret_key=key.key, server=self.address, secure=False)

    async def bucket(self, *keys: str) -> str:
        """A bucket of the administrator's with objects of 1,000 bytes; its name."""
        from rgw.formats.acl import AccessControlPolicy

        name = f"b{secrets.token_hex(4)}"
        made, _ = await self.gw.buckets.create(name, self.user, AccessControlPolicy.private(self.user.user_id.text(), "Admin"))
        for key in keys:
            await put(self.gw, made, key, b"x" * 1000, self.user)
        return name


@pytest.fixture
async def admin(cluster):
    gw = await Gateway.open(cluster, Options({"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 2, "rgw_override_bucket_index_max_shards": 3}))
    made = await gw.users.create(f"a{secrets.token_hex(4)}", "Admin")
    user = await caps.add(gw, made.user_id.text(), CAPS)
    sock = socket.create_server(("127.0.0.1", 0))
    server = Server(gw)
    await server.start([sock])
    service = Administered(gw, f"127.0.0.1:{sock.getsockname()[1]}", user, None)  # type: ignore[arg-type]
    service.client = service.client_of(user)
    yield service
    await server.stop(1)
    await gw.close()
