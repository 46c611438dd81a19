import asyncio
import secrets

import pytest

from rgw.core.buckets import entry_oid, instance_oid
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.zone import ROOT_POOL, ZoneError, load_zone
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy
from rgw.store.errors import Cancelled, NotFound
from rgw.store.interface import ReadOp, WriteOp


async def test_create_get_list_delete(gateway, user, private):
    name = f"b{secrets.token_hex(4)}"
    bucket, created = await gateway.buckets.create(name, user, private)
    assert created and bucket.name == bucket.info.bucket.name == name
    assert bucket.marker == bucket.bucket_id and bucket.num_shards == 5
    assert bucket.acl.encode() == private.encode()
    assert await gateway.buckets.get(name) is gateway.buckets.cached(name)
    again, created = await gateway.buckets.create(name, user, private)
    assert not created and again.bucket_id == bucket.bucket_id
    entries, more = await gateway.buckets.list(user)
    assert [entry.bucket.name for entry in entries] == [name] and not more
    assert entries[0].creation_time == bucket.creation_time
    shards = bucket.index.shards()
    await gateway.buckets.delete(bucket)
    with pytest.raises(S3Error, match="NoSuchBucket"):
        await gateway.buckets.get(name)
    assert await gateway.buckets.list(user) == ([], False)
    for shard in shards:
        with pytest.raises(NotFound):
            await bucket.index_ioctx.read(shard, ReadOp().stat())
    for oid in (entry_oid(name), instance_oid(bucket.info.bucket)):
        with pytest.raises(NotFound):
            await gateway.metadata.get(gateway.zone.meta_root, oid, fresh=True)


async def test_other_owner(gateway, bucket):
    other = await gateway.users.create(f"u{secrets.token_hex(4)}", "other")
    with pytest.raises(S3Error, match="BucketAlreadyExists"):
        await gateway.buckets.create(bucket.name, other, AccessControlPolicy.private(other.user_id.text(), "other"))


async def test_race_of_creators(gateway, user, private):
    """Of many creators one makes the bucket, and the others leave no index and no instance behind."""
    name = f"b{secrets.token_hex(4)}"
    before = {found.name async for found in gateway.index_pool(gateway.zone.default_placement).list_objects()}
    results = await asyncio.gather(*(gateway.buckets.create(name, user, private) for _ in range(6)))
    assert sum(created for _, created in results) == 1
    assert len({bucket.bucket_id for bucket, _ in results}) == 1
    after = {found.name async for found in gateway.index_pool(gateway.zone.default_placement).list_objects()}
    assert sorted(after - before) == sorted(results[0][0].index.shards())
    root = await gateway.pool(gateway.zone.meta_root)
    assert len([found async for found in root.list_objects() if found.name.startswith(f".bucket.meta.{name}:")]) == 1


async def test_not_empty(gateway, bucket, add_entries):
    await add_entries(bucket, "x")
    with pytest.raises(S3Error, match="BucketNotEmpty"):
        await gateway.buckets.delete(bucket)
    assert (await gateway.buckets.get(bucket.name)).bucket_id == bucket.bucket_id
    headers = await gateway.buckets.stats(bucket)
    assert sum(header.stats[1].num_entries for header in headers if 1 in header.stats) == 1


async def test_too_many(gateway, user, private):
    user.max_buckets = 1
    await gateway.buckets.create(f"b{secrets.token_hex(4)}", user, private)
    with pytest.raises(S3Error, match="TooManyBuckets"):
        await gateway.buckets.create(f"b{secrets.token_hex(4)}", user, private)


async def test_attrs_under_contention(gateway, bucket):
    """Changes by several at once are all kept; a removed attribute is gone."""
    names = [f"user.rgw.x{number}" for number in range(5)]
    copies = [await gateway.buckets._load(bucket.name, "", fresh=True) for _ in names]
    await asyncio.gather(*(gateway.buckets.set_attrs(copy, {name: b"1"}) for copy, name in zip(copies, names, strict=True)))
    now = await gateway.buckets.get(bucket.name)
    assert set(names) < now.attrs.keys() and now.version.ver == 6 and now.version.tag == bucket.version.tag
    await gateway.buckets.set_attrs(now, {names[0]: None})
    fresh = await gateway.buckets._load(bucket.name, "", fresh=True)
    assert names[0] not in fresh.attrs and names[1] in fresh.attrs


async def test_stale_replace_is_refused(gateway, bucket):
    old = bucket.instance
    await gateway.buckets.set_attrs(bucket, {"user.rgw.a": b"1"})
    with pytest.raises(Cancelled):
        await gateway.metadata.replace(gateway.zone.meta_root, instance_oid(bucket.info.bucket), old.data, {}, old)


async def test_list_pages(gateway, user, private):
    stem = f"b{secrets.token_hex(4)}"
    names = [f"{stem}{number}" for number in range(5)]
    for name in names:
        await gateway.buckets.create(name, user, private)
    page, more = await gateway.buckets.list(user, max_buckets=2)
    assert [entry.bucket.name for entry in page] == names[:2] and more
    page, more = await gateway.buckets.list(user, marker=names[1], max_buckets=3)
    assert [entry.bucket.name for entry in page] == names[2:] and not more
    page, more = await gateway.buckets.list(user, prefix=names[3])
    assert [entry.bucket.name for entry in page] == [names[3]] and not more


async def test_second_gateway_finds_the_zone(gateway, cluster, options, bucket):
    other = await Gateway.open(cluster, options)
    try:
        assert other.zone.id == gateway.zone.id and other.zone.zonegroup_id == gateway.zone.zonegroup_id
        assert (await other.buckets.get(bucket.name)).bucket_id == bucket.bucket_id
    finally:
        await other.close()


async def test_multisite_is_refused(gateway, cluster):
    root = await cluster.open_pool(ROOT_POOL)
    await root.write("periods.x.1", WriteOp().create())
    try:
        with pytest.raises(ZoneError, match="multisite"):
            await load_zone(cluster, Options())
    finally:
        await root.write("periods.x.1", WriteOp().remove())


async def test_newer_zone_is_refused(gateway, cluster):
    root = await cluster.open_pool(ROOT_POOL)
    oid = f"zone_info.{gateway.zone.id}"
    data = (await root.read(oid, ReadOp().read())).data
    await root.write(oid, WriteOp().write_full(b"\x63" + data[1:]))
    try:
        with pytest.raises(ZoneError, match="newer"):
            await load_zone(cluster, Options())
    finally:
        await root.write(oid, WriteOp().write_full(data))
