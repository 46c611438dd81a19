"""A gateway and what stands on it, for the tests of the core, on each store."""

import secrets

import pytest

from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, IndexKey
from rgw.core.options import Options
from rgw.core.purge import purge_bucket
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.basics import Pool
from rgw.formats.index import DirEntryMeta
from rgw.formats.zone import ZoneStorageClass


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
async def cold(cluster, options, user):
    """A gateway whose zone has a storage class COLD with a place of its own, and another one without."""
    gateway = await Gateway.open(cluster, options)
    await add_classes(gateway)
    yield gateway
    for entry in (await gateway.buckets.list(user))[0]:  # no other gateway knows the class, so that nothing may stay in it
        await purge_bucket(gateway, await gateway.buckets.get(entry.bucket.name))
    await gateway.close()


async def add_classes(gateway) -> None:
    """Teaches one gateway the classes COLD and SAME."""
    placement = gateway.zone.params.placement_pools["default-placement"]
    data = placement.storage_classes["STANDARD"].data_pool
    placement.storage_classes["COLD"] = ZoneStorageClass(data_pool=Pool(data.name, "cold"))
    placement.storage_classes["SAME"] = ZoneStorageClass(data_pool=data)
    await gateway.pool(Pool(data.name, "cold"))


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
