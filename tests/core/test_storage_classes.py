"""Storage classes with a pool of their own: where the bytes lie, whoever wrote, copied or moved them, and that no dead gateway leaves any."""

import asyncio
import time

import pytest

from rgw.core import bucket_check, radoslist
from rgw.core.buckets import FLAG_VERSIONED
from rgw.core.encryption import CustomerKey
from rgw.core.gateway import Gateway
from rgw.core.head import existing_head
from rgw.core.options import Options
from rgw.core.transition import change_class
from rgw.formats.basics import Pool
from tests.core import test_recovery as recovery
from tests.core.conftest import add_classes
from tests.core.helpers import body, census, collect, completed, fetch, md5, put, spread, upload_part

STRIPE = 64 << 10
SIZES = [0, 1, STRIPE, STRIPE + 1, 3 * STRIPE + 5]
COLD = {"user.rgw.storage_class": b"COLD"}
KEY = CustomerKey(bytes(range(32)))


@pytest.fixture
def options() -> Options:
    return Options(recovery.OPTIONS)


@pytest.fixture
async def bucket(cold, user, private):
    made, _ = await cold.buckets.create(f"class{time.time_ns()}", user, private)
    return made


@pytest.fixture
async def other(cluster, options):
    """Another gateway, which settles what the first one leaves."""
    gateway = await Gateway.open(cluster, options)
    gateway.intents = recovery.OtherIntents(gateway)
    await add_classes(gateway)
    yield gateway
    await gateway.close()


def stripes(size: int) -> int:
    return -(-size // STRIPE)


async def read(gateway, bucket, key, customer_key=None) -> bytes:
    state = await gateway.objects.get(bucket, key)
    state.unlock(customer_key)
    return b"".join([data async for data in gateway.objects.read(state)])


async def uploaded(gateway, bucket, key, parts, user, attrs=None, customer_key=None) -> None:
    upload_id = await gateway.multipart.create(bucket, key, owner=user, attrs=attrs or {}, customer_key=customer_key)
    upload = await gateway.multipart.get(bucket, key, upload_id)
    done = []
    for number, data in parts.items():
        writer = gateway.multipart.part_writer(upload, number, customer_key=customer_key)
        await writer.write(data)
        done.append(await writer.complete(md5(data)))
    await gateway.multipart.complete(bucket, key, upload_id, completed(done))


async def emptied(gateway, bucket, *keys) -> None:
    """The keys are removed, and with them every RADOS object of the bucket, without anything being collected that another key needs."""
    for key in keys:
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await spread(gateway, bucket) == {"cold": 0, "": 0}


async def test_heads_hold_no_data(cold, bucket, user):
    tails = 0
    for size in SIZES:
        data, key = body(size), f"k{size}"
        for _ in range(2):  # the second one replaces the first
            state = await put(cold, bucket, key, data, user, attrs=COLD)
        assert (state.size, state.head_size, state.manifest.head_size, state.manifest.max_head_size) == (size, 0, 0, 0)
        found = await cold.objects.get(bucket, key)
        assert (found.size, found.head_size, found.storage_class) == (size, 0, "COLD")
        assert await fetch(cold, bucket, key) == data and await fetch(cold, bucket, key, STRIPE - 1, 2) == data[STRIPE - 1:STRIPE + 1]
        tails += stripes(size)
    await collect(cold)
    assert await spread(cold, bucket) == {"cold": tails, "": len(SIZES)}
    assert {item.oid async for item in radoslist.of_bucket(cold, bucket)} == await census(cold, bucket)
    assert (await bucket_check.check(cold, bucket, check_objects=True)).differences == []
    assert sorted(e.accounted_size for e in (await cold.listing.objects(bucket)).entries) == SIZES
    await put(cold, bucket, "k1", b"", user)
    await cold.objects.set_attrs(await cold.objects.head(bucket, "k0"), {"user.rgw.x-amz-meta-a": b"b\0"})
    await emptied(cold, bucket, *(f"k{size}" for size in SIZES))


async def test_versions(cold, bucket, user):
    def change(info, _attrs):
        info.flags = FLAG_VERSIONED

    bucket = await cold.buckets.modify(bucket, change)
    whole = [body(10), body(STRIPE + 1)]
    for data in whole:
        await put(cold, bucket, "k", data, user, attrs=COLD)
    entries = (await cold.listing.versions(bucket)).entries
    assert [entry.storage_class for entry in entries] == ["COLD", "COLD"] and (await spread(cold, bucket))["cold"] == 3
    await change_class(cold, await cold.objects.head(bucket, "k", entries[1].instance), "STANDARD")
    for entry, data in zip(entries, reversed(whole), strict=True):
        state = await cold.objects.get(bucket, "k", entry.instance)
        assert b"".join([part async for part in cold.objects.read(state)]) == data
    await collect(cold)
    assert (await spread(cold, bucket))["cold"] == 2
    for entry in entries:
        await cold.objects.delete(bucket, "k", entry.instance)
    await emptied(cold, bucket)


@pytest.mark.parametrize("size", [10, 2 * STRIPE + 5])
async def test_copies(cold, bucket, user, size):
    """Within a class by reference; to another one, and onto itself in another one, all bytes go where that one has them.

    A copy of which no class is asked is in the standard one, whatever its source is in.
    """
    data, pieces = body(size), stripes(size)
    await put(cold, bucket, "standard", data, user)

    async def copied(source, target, attrs=None) -> dict[str, int]:
        await cold.objects.copy(await cold.objects.head(bucket, source), bucket, target, owner=user, attrs=attrs)
        await collect(cold)
        assert await read(cold, bucket, target) == data
        return await spread(cold, bucket)

    plain = pieces  # the head, and the tails behind it
    assert await copied("standard", "cold", COLD) == {"cold": pieces, "": plain + 1}
    assert await copied("cold", "again", COLD) == {"cold": pieces, "": plain + 2}
    assert await copied("cold", "warm") == {"cold": pieces, "": 2 * plain + 2}
    assert [e.storage_class for e in (await cold.listing.objects(bucket)).entries] == ["COLD", "COLD", "", ""]
    assert await copied("warm", "warm", COLD) == {"cold": 2 * pieces, "": plain + 3}
    assert await copied("warm", "warm", {}) == {"cold": pieces, "": 2 * plain + 2}
    for key in ("standard", "cold"):
        await cold.objects.delete(bucket, key)
    await collect(cold)
    assert await read(cold, bucket, "again") == await read(cold, bucket, "warm") == data
    await emptied(cold, bucket, "again", "warm")


async def test_part_copies(cold, bucket, user):
    """By reference within a class only: of what is larger than a copy may be, parts are the one way to another class."""
    data = body(3 * STRIPE)
    await put(cold, bucket, "source", data, user, attrs=COLD)
    before = await spread(cold, bucket)
    for name, attrs, shared in (("cold", COLD, True), ("warm", {}, False)):
        upload = await cold.multipart.get(bucket, name, await cold.multipart.create(bucket, name, owner=user, attrs=attrs))
        parts = [await cold.multipart.copy_part(upload, 1, await cold.objects.head(bucket, "source"), 0, len(data))]
        parts.append(await upload_part(cold, upload, 2, b"end"))
        await cold.multipart.complete(bucket, name, upload.upload_id, completed(parts))
        assert await read(cold, bucket, name) == data + b"end"
        after = await spread(cold, bucket)
        assert (after["cold"] - before["cold"], after[""] - before[""]) == ((1, 1) if shared else (0, 5))
        before = after
    await emptied(cold, bucket, "source", "cold", "warm")


async def test_encrypted(cold, bucket, user):
    """Written to a class, and moved between classes, parts as parts: bytes stay where clients' keys find them."""
    whole = {}
    for size in (7, STRIPE, 2 * STRIPE + 4097):
        whole[f"k{size}"] = body(size)
        writer = cold.objects.writer(bucket, f"k{size}", owner=user, attrs=COLD, customer_key=KEY)
        await writer.write(whole[f"k{size}"])
        await writer.complete("etag")
    parts = {2: body(STRIPE + 5), 3: body(STRIPE + 5), 9: body(2 * STRIPE + 17), 10: b"end"}
    await uploaded(cold, bucket, "m", parts, user, COLD, KEY)
    whole["m"] = b"".join(parts.values())
    tails = sum(stripes(len(data)) for key, data in whole.items() if key != "m") + sum(stripes(len(data)) for data in parts.values())
    heads_with_data = 3
    for name in ("COLD", "STANDARD", "COLD", "SAME", "STANDARD"):
        for key, data in whole.items():
            state = await cold.objects.head(bucket, key)
            if state.storage_class != name:
                await change_class(cold, state, name)
            assert await read(cold, bucket, key, KEY) == data, (name, key)
        assert (await cold.objects.head(bucket, "m")).parts == [
            (2, 0, STRIPE + 5), (3, STRIPE + 5, STRIPE + 5), (9, 2 * STRIPE + 10, 2 * STRIPE + 17), (10, 4 * STRIPE + 27, 3)]
        await collect(cold)
        inside = {"cold": tails, "": 4} if name == "COLD" else {"cold": 0, "": 4 + tails - heads_with_data}
        assert await spread(cold, bucket) == inside
    assert {item.oid async for item in radoslist.of_bucket(cold, bucket)} == await census(cold, bucket)
    await emptied(cold, bucket, *whole)


@pytest.mark.parametrize("point", ["tail", "head", "index"])
async def test_a_small_object_of_a_gateway_that_died(cold, other, bucket, user, monkeypatch, point):
    from rgw.core import head
    from rgw.core.indexed import IndexChange

    writer = cold.objects.writer(bucket, "k", owner=user, attrs=COLD)
    await writer.write(b"data")
    if point == "tail":
        await writer._sink.finish()
    else:
        recovery.killer(monkeypatch, *((head, "_write_once") if point == "head" else (IndexChange, "complete")))
        with pytest.raises(recovery.Killed):
            await writer.complete("etag")
        monkeypatch.undo()
    assert (await spread(cold, bucket))["cold"] == 1
    await recovery.die(cold)
    await recovery.settle(other, bucket)
    if point == "index":
        assert await fetch(other, bucket, "k") == b"data"
        await other.objects.delete(bucket, "k")
        await collect(other)
    assert await spread(other, bucket) == {"cold": 0, "": 0}


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("kind", ["plain", "parts"])
async def test_a_move_of_a_gateway_that_died(cold, other, bucket, user, monkeypatch, kind, switched):
    from rgw.core import transition
    from rgw.core.indexed import IndexChange

    key = None if kind == "plain" else KEY
    data = body(2 * STRIPE + 9)
    if key is None:
        await put(cold, bucket, "k", data, user)
    else:
        await uploaded(cold, bucket, "k", {1: data[:STRIPE + 9], 2: data[STRIPE + 9:]}, user, customer_key=key)
    before = await spread(cold, bucket)
    recovery.killer(monkeypatch, IndexChange, "complete" if switched else "prepare")
    monkeypatch.setattr(transition, "remove_objects", lambda *args: asyncio.sleep(0))  # who is killed removes nothing
    with pytest.raises(recovery.Killed):
        await change_class(cold, await cold.objects.head(bucket, "k"), "COLD")
    monkeypatch.undo()
    assert (await spread(cold, bucket))["cold"] == 3
    await recovery.die(cold)
    await recovery.settle(other, bucket)
    assert await read(other, bucket, "k", key) == data
    assert await spread(other, bucket) == ({"cold": 3, "": 1} if switched else before)


async def test_a_bucket_with_a_pool_of_its_own(cold, bucket, user):
    """As radosgw made them before there were placements: all data lies there, whatever the class."""
    def change(info, _attrs):
        pool = Pool.parse(cold.zone.data_pool(bucket.placement))
        info.bucket.data_pool, info.bucket.index_pool = Pool(pool.name, "cold"), Pool.parse(cold.zone.index_pool(bucket.placement))

    bucket = await cold.buckets.modify(bucket, change)
    data, found = body(2 * STRIPE + 5), 0
    for key, attrs in (("plain", {}), ("same", {"user.rgw.storage_class": b"SAME"})):
        await put(cold, bucket, key, data, user, attrs=attrs)
        await cold.objects.copy(await cold.objects.head(bucket, key), bucket, f"copy of {key}", owner=user)
    await uploaded(cold, bucket, "m", {1: data, 2: b"end"}, user)
    await change_class(cold, await cold.objects.head(bucket, "plain"), "SAME")
    await collect(cold)
    found = await spread(cold, bucket)
    assert found[""] == 0 and found["cold"] == len(await census(cold, bucket)) == 15
    for key in ("plain", "same", "copy of plain", "copy of same"):
        assert await fetch(cold, bucket, key) == data
    assert await fetch(cold, bucket, "m") == data + b"end"
    assert (await existing_head(cold, bucket, "same")).manifest.head_size == STRIPE
    await emptied(cold, bucket, "plain", "same", "copy of plain", "copy of same", "m")


async def test_a_bucket_with_a_class_of_its_own(cold, bucket, user):
    """Of a user with a default class: there go its heads, and what names no other class."""
    def change(info, _attrs):
        info.placement_rule.storage_class = "COLD"

    bucket = await cold.buckets.modify(bucket, change)
    data, standard = body(2 * STRIPE + 5), {"user.rgw.storage_class": b"STANDARD"}
    wanted = {}
    for name, attrs, pieces in (("own", {}, {"cold": 3, "": 0}), ("standard", standard, {"cold": 1, "": 3})):
        for key, count in ((name, pieces), (f"copy of {name}", {"cold": 1 if name == "own" else 3, "": 0})):
            before = await spread(cold, bucket)
            if key == name:
                await put(cold, bucket, key, data, user, attrs=attrs)
            else:
                await cold.objects.copy(await cold.objects.head(bucket, name), bucket, key, owner=user)
            assert {where: number - before[where] for where, number in (await spread(cold, bucket)).items()} == count
            assert await fetch(cold, bucket, key) == data
            wanted[key] = "STANDARD" if key == "standard" else "COLD"
        await uploaded(cold, bucket, f"parts of {name}", {1: data}, user, attrs)
        wanted[f"parts of {name}"] = wanted[name]
        assert await fetch(cold, bucket, f"parts of {name}") == data
    assert {e.name: e.storage_class for e in (await cold.listing.objects(bucket)).entries} == wanted
    assert await spread(cold, bucket) == {"cold": 4 + 4 + 4 + 1, "": 3 + 3}
    await change_class(cold, await cold.objects.head(bucket, "own"), "STANDARD")
    await change_class(cold, await cold.objects.head(bucket, "standard"), "COLD")
    assert await fetch(cold, bucket, "own") == await fetch(cold, bucket, "standard") == data
    assert (await bucket_check.check(cold, bucket, check_objects=True)).differences == []
    assert {item.oid async for item in radoslist.of_bucket(cold, bucket)} <= await census(cold, bucket)
    await emptied(cold, bucket, *wanted)
