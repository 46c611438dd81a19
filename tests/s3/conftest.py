"""A gateway on a free port, on each store, and clients for it."""

import asyncio
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.frontend.server import Server
from tests.s3.traces import Watched, intents_left


@dataclass
class Service:
    """``run(call, **arguments)`` calls a boto3 client's method in a thread."""

    gw: Gateway
    client: Any
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    async def run(self, call, **arguments):
        return await asyncio.to_thread(getattr(self.client, call), **arguments)

    async def objects(self) -> set[tuple[str, str, str]]:
        """Every object of the data and upload pools, to count before and after."""
        found = set()
        for pool in ("default.rgw.buckets.data", "default.rgw.buckets.non-ec"):
            ioctx = await self.gw.cluster.open_pool(pool)
            async for name in ioctx.list_objects():
                found.add((pool, name.namespace, name.name))
        return found


@pytest.fixture
async def s3(cluster):
    """A service with one bucket. Whatever a test does, no request that is refused may change what the store holds."""
    gw = await Gateway.open(cluster, Options({"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 2, "rgw_override_bucket_index_max_shards": 3,
                                              "rgw_dns_name": "s3.example.test"}))
    await gw.gc.process(include_all=True)  # what earlier tests on the same cluster left, lest it go while a test counts
    user = await gw.users.create(f"u{secrets.token_hex(4)}", "A user")
    key = next(iter(user.access_keys.values()))
    sock = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server = Server(gw)
    service_buckets: list[str] = []
    watched = server._handler = Watched(server._handler, gw, service_buckets)
    await server.start([sock])
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=key.id, aws_secret_access_key=key.key, region_name="us-east-1",
                          config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}))
    service = Service(gw, client, endpoint, f"b{secrets.token_hex(4)}", key.id, key.key)
    await service.run("create_bucket", Bucket=service.bucket)
    service_buckets.append(service.bucket)
    yield service
    client.close()
    await server.stop(1)
    await gw.close()
    assert not watched.traces
    for _ in range(50):  # a removal may still be under way
        left = await intents_left(gw)
        if not left:
            break
        await asyncio.sleep(0.1)
    assert not left
