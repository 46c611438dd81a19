"""Clusters that this gateway must not serve are refused in clear words, with nothing written."""

from __future__ import annotations

import pytest

from rgw.core import bucket_owners, quotas
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.zone import ROOT_POOL, ZoneError, default_zone, default_zonegroup
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.basics import PlacementRule
from rgw.formats.bucket import BucketEntryPoint, BucketInfo, IndexLayout
from rgw.formats.zone import NameToId, PeriodConfig
from rgw.store.embedded import open_store
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import fetch, put


@pytest.fixture
async def store(tmp_path):
    opened = await open_store(tmp_path / "store")
    yield opened
    await opened.close()


async def objects(store) -> dict[tuple[str, str], bytes]:
    found = {}
    for pool in await store.list_pools():
        ioctx = await store.open_pool(pool)
        async for name in ioctx.list_objects():
            found[pool, name.name] = (await ioctx.read(name.name, ReadOp().read())).data
    return found


async def set_up(store, *, zone: bytes | None = None, group: bytes | None = None, extra: str = "") -> None:
    """A root pool as another release, or a multisite set-up, would leave it."""
    params = default_zone("zone-id")
    await store.create_pool(ROOT_POOL)
    root = await store.open_pool(ROOT_POOL)
    for oid, data in {
        "zone_names.default": NameToId(obj_id="zone-id").encode(), "zone_info.zone-id": zone or params.encode(),
        "zonegroups_names.default": NameToId(obj_id="group-id").encode(),
        "zonegroup_info.group-id": group or default_zonegroup("group-id", params).encode(), **({extra: b"x"} if extra else {}),
    }.items():
        await root.write(oid, WriteOp().create().write_full(data))


def newer(data: bytes) -> bytes:
    """The same structure in a version that nobody knows yet, with a field more."""
    return bytes([data[0] + 9, data[1]]) + (len(data) - 6 + 3).to_bytes(4, "little") + data[6:] + b"new"


@pytest.mark.parametrize(("what", "words"), [
    ("realm", "default.realm"), ("period", "periods.x.1"), ("zone", "zone default was written by a newer Ceph"),
    ("zonegroup", "zonegroup default was written by a newer Ceph"), ("placement", "placement default-placement of zone default was written by a newer"),
    ("name", "there is no zone elsewhere"), ("option", "rgw_realm")])
async def test_refused_before_anything_is_written(store, what, words):
    params = default_zone("zone-id")
    placement = params.placement_pools["default-placement"].encode()
    changed = {"zone": newer(params.encode()), "placement": params.encode().replace(placement, bytes([placement[0] + 1]) + placement[1:])}
    await set_up(store, zone=changed.get(what),
                 group=newer(default_zonegroup("group-id", params).encode()) if what == "zonegroup" else None,
                 extra={"realm": "default.realm", "period": "periods.x.1"}.get(what, ""))
    before, pools = await objects(store), await store.list_pools()
    options = Options({"name": {"rgw_zone": "elsewhere"}, "option": {"rgw_realm": "gold"}}.get(what, {}))
    with pytest.raises(ZoneError) as refusal:
        await Gateway.open(store, options)
    assert words in str(refusal.value)
    assert (await objects(store), await store.list_pools()) == (before, pools)


@pytest.mark.parametrize(("option", "words"), [("rgw_zone", "there is no zone elsewhere"), ("rgw_zonegroup", "there is no zonegroup elsewhere")])
async def test_an_empty_cluster_stays_empty_if_nobody_made_the_zone(store, option, words):
    before = await store.list_pools()
    with pytest.raises(ZoneError) as refusal:
        await Gateway.open(store, Options({option: "elsewhere"}))
    assert words in str(refusal.value) and await store.list_pools() == before


async def test_no_zone_is_made_beside_a_zonegroup_of_others(store):
    """A zonegroup that is there, without its zone: refused, and the zone is not made first."""
    await store.create_pool(ROOT_POOL)
    root = await store.open_pool(ROOT_POOL)
    group = newer(default_zonegroup("group-id", default_zone("zone-id")).encode())
    for oid, data in {"zonegroups_names.default": NameToId(obj_id="group-id").encode(), "zonegroup_info.group-id": group}.items():
        await root.write(oid, WriteOp().create().write_full(data))
    before = await objects(store)
    with pytest.raises(ZoneError):
        await Gateway.open(store, Options())
    assert await objects(store) == before


async def test_a_newer_global_quota_is_not_rewritten(store):
    gateway = await Gateway.open(store, Options())
    try:
        root = await store.open_pool(ROOT_POOL)
        data = newer(PeriodConfig().encode())
        await root.write("period_config.default", WriteOp().write_full(data))
        with pytest.raises(S3Error) as refusal:
            await quotas.set_global(gateway, "user", max_objects=3)
        assert refusal.value.code == "NotImplemented" and (await root.read("period_config.default", ReadOp().read())).data == data
    finally:
        await gateway.close()


async def test_unknown_placement_and_newer_bucket(store):
    """A user whose placement the zone lacks makes no bucket; a bucket of a newer release is served, but its record not rewritten."""
    gateway = await Gateway.open(store, Options())
    try:
        user = await gateway.users.create("u", "U")
        acl = AccessControlPolicy.private("u", "U")
        user.default_placement = PlacementRule("gone", "")
        before = await objects(store)
        with pytest.raises(S3Error) as refusal:
            await gateway.buckets.create("b-one", user, acl)
        assert refusal.value.code == "InvalidLocationConstraint" and await objects(store) == before
        user.default_placement = PlacementRule("", "")
        bucket, _ = await gateway.buckets.create("b-two", user, acl)
        root = await store.open_pool("default.rgw.meta", "root")
        oid = f".bucket.meta.b-two:{bucket.bucket_id}"
        known = bucket.info.encode()
        record = newer(known)
        await root.write(oid, WriteOp().write_full(record))
        await gateway.metadata.announce(gateway.zone.meta_root, oid)
        bucket = await gateway.buckets.get("b-two")
        assert bucket.info.newer and BucketInfo.decode(record).owner == bucket.info.owner
        with pytest.raises(S3Error) as refusal:
            await gateway.buckets.set_acl(bucket, acl)
        assert refusal.value.code == "NotImplemented"
        assert (await root.read(oid, ReadOp().read())).data == record
        with pytest.raises(S3Error) as refusal:
            await bucket_owners.link(gateway, "b-two", "", user, new_name="b-three")
        assert refusal.value.code == "NotImplemented"
        await root.write(oid, WriteOp().write_full(known))
        point = newer(BucketEntryPoint.decode(bucket.entry.data).encode())
        await root.write("b-two", WriteOp().write_full(point))
        await gateway.metadata.announce(gateway.zone.meta_root, oid)
        await gateway.metadata.announce(gateway.zone.meta_root, "b-two")
        bucket = await gateway.buckets.get("b-two")
        for change in (bucket_owners.link(gateway, "b-two", "", user), bucket_owners.link(gateway, "b-two", "", user, new_name="b-three"),
                       bucket_owners.unlink(gateway, "b-two", "", user), gateway.resharder.reshard(bucket, 3)):
            with pytest.raises(S3Error) as refusal:
                await change
            assert refusal.value.code == "NotImplemented"
            assert (await root.read("b-two", ReadOp().read())).data == point
    finally:
        await gateway.close()


async def test_placements_and_buckets_without_an_index(store):
    """Radosgw can have them. No bucket is made there; of those that are there objects are read, and nothing is written, listed or removed."""
    gateway = await Gateway.open(store, Options())
    try:
        user = await gateway.users.create("u", "U")
        acl = AccessControlPolicy.private("u", "U")
        bucket, _ = await gateway.buckets.create("b-one", user, acl)
        await put(gateway, bucket, "k", b"1", user)
        info = BucketInfo.decode(bucket.instance.data)
        info.layout.current_index.layout = IndexLayout(1)
        oid = f".bucket.meta.b-one:{bucket.bucket_id}"
        await (await store.open_pool("default.rgw.meta", "root")).write(oid, WriteOp().write_full(info.encode()))
        await gateway.metadata.announce(gateway.zone.meta_root, oid)
        bucket = await gateway.buckets.get("b-one")
        assert await fetch(gateway, bucket, "k") == b"1" and await gateway.buckets.stats(bucket) == []
        gateway.zone.params.placement_pools["default-placement"].index_type = 1
        before = await objects(store)
        for refused in (put(gateway, bucket, "k", b"2", user), gateway.listing.objects(bucket), gateway.objects.delete(bucket, "k"),
                        gateway.buckets.delete(bucket), gateway.users.remove("u", purge=True), gateway.buckets.create("b-two", user, acl)):
            with pytest.raises(S3Error) as refusal:
                await refused
            assert refusal.value.code == "NotImplemented"
        assert await objects(store) == before
    finally:
        await gateway.close()
