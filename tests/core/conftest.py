"""A gateway and what stands on it, for the tests of the core, on each store."""

import secrets

import pytest

from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, IndexKey
from rgw.core.options import Options
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.index import DirEntryMeta


@pytest.fixture
def options() -> Options:
    return Options({"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 4, "rgw_override_bucket_index_max_shards": 5})


@pytest.fixture
async def gateway(cluster, options):
    opened = await Gateway.open(cluster, options)
    yield opened
    await opened.close()


@pytest.fixture
async def user(gateway):
    """A user of this test alone: on a real cluster the tests share the pools."""
    return await gateway.users.create(f"u{secrets.token_hex(4)}", "A user")


@pytest.fixture
def private(user):
    return AccessControlPolicy.private(user.user_id.text(), user.display_name)


@pytest.fixture
async def bucket(gateway, user, private):
    made, created = await gateway.buckets.create(f"b{secrets.token_hex(4)}", user, private)
    assert created
    return made


@pytest.fixture
def add_entries(gateway):
    """Adds index entries, without any data."""
    async def add(bucket, *keys, namespace=False):
        for key in keys:
            place = IndexKey.multipart(key, key.rsplit(".", 2)[0]) if namespace else IndexKey.of(key)
            tag = gateway.new_tag()
            await bucket.index.prepare(OP_ADD, tag, place)
            await bucket.index.complete(OP_ADD, tag, place, pool_id=1, version=7, meta=DirEntryMeta(category=1, size=10, accounted_size=10))
    return add
