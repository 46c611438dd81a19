import pytest

from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, OP_DEL, IndexKey
from rgw.core.options import Options
from rgw.errors import S3Error
from rgw.formats.index import DirEntry, DirEntryMeta
from rgw.store import classes
from rgw.store.interface import WriteOp
from tests.core.helpers import put

AWKWARD = ["_x", "__y", "_multipart_z", "a", "a/1", "a/2", "a/b/3", "a0", "A", "b+c", "ä", "\U0001f600", "zz/zz", "~"]


def model(keys, prefix="", delimiter="", marker="", max_keys=1000):
    """What S3 says: keys and rolled-up prefixes in one order, after the marker."""
    items = []
    for key in sorted(keys):
        if not key.startswith(prefix) or key <= marker:
            continue
        found = key.find(delimiter, len(prefix)) if delimiter else -1
        item = key if found < 0 else key[:found + len(delimiter)]
        if found >= 0 and (item == marker or item in items):
            continue
        items.append(item)
    return items[:max_keys], len(items) > max_keys


def shown(page):
    return sorted([entry.name for entry in page.entries] + page.common_prefixes)


@pytest.fixture
async def filled(bucket, add_entries):
    await add_entries(bucket, *AWKWARD)
    await add_entries(bucket, "a.2~x.meta", "zz.2~y.meta", "zz.2~y.1", namespace=True)
    return bucket


@pytest.mark.parametrize("prefix", ["", "a", "a/", "_", "__", "zz/", "none"])
@pytest.mark.parametrize("delimiter", ["", "/", "_", "/b/", "a", "~"])
async def test_against_the_model(gateway, filled, prefix, delimiter):
    for max_keys in (1, 2, 3, 1000):
        marker, seen = "", []
        for _ in range(50):
            page = await gateway.listing.objects(filled, prefix, delimiter, marker, max_keys)
            expected, more = model(AWKWARD, prefix, delimiter, marker, max_keys)
            assert (shown(page), page.truncated) == (sorted(expected), more), (marker, max_keys)
            seen += expected
            if not page.truncated:
                break
            marker = page.next_marker
        assert seen == model(AWKWARD, prefix, delimiter)[0]


async def test_nothing_asked(gateway, filled):
    page = await gateway.listing.objects(filled, max_keys=0)
    assert not page.entries and not page.truncated


async def test_pending_and_removed(gateway, bucket, user):
    """An entry that is only announced is hidden; one whose object exists stays while a change of it is under way."""
    await put(gateway, bucket, "there", b"data", user)
    new, old = IndexKey.of("coming"), IndexKey.of("there")
    tag, other = gateway.new_tag(), gateway.new_tag()
    await bucket.index.prepare(OP_ADD, tag, new)
    await bucket.index.prepare(OP_DEL, other, old)
    assert shown(await gateway.listing.objects(bucket)) == ["there"]
    await bucket.index.cancel(tag, new)
    await bucket.index.complete(OP_DEL, other, old)
    assert shown(await gateway.listing.objects(bucket)) == []


async def test_many_keys_in_pages(gateway, bucket, add_entries):
    keys = [f"k{number:03}" for number in range(130)]
    await add_entries(bucket, *keys)
    marker, seen = "", []
    while True:
        page = await gateway.listing.objects(bucket, marker=marker, max_keys=17)
        seen += [entry.name for entry in page.entries]
        if not page.truncated:
            break
        marker = page.next_marker
    assert seen == keys


async def test_skips_over_common_prefixes(gateway, bucket, add_entries):
    await add_entries(bucket, *(f"d{number % 3}/{number}" for number in range(90)), "e")
    page = await gateway.listing.objects(bucket, delimiter="/", max_keys=4)
    assert page.common_prefixes == ["d0/", "d1/", "d2/"] and [entry.name for entry in page.entries] == ["e"] and not page.truncated


async def test_unordered(gateway, filled):
    marker, seen = "", []
    while True:
        page = await gateway.listing.objects(filled, marker=marker, max_keys=3, unordered=True)
        seen += [entry.name for entry in page.entries]
        if not page.truncated:
            break
        marker = page.next_marker
    assert sorted(seen) == sorted(AWKWARD)
    with pytest.raises(S3Error, match="InvalidArgument"):
        await gateway.listing.objects(filled, delimiter="/", unordered=True)


async def test_namespace(gateway, filled):
    names = [entry.name async for entry in gateway.listing.namespace(filled, "multipart")]
    assert names == ["a.2~x.meta", "zz.2~y.1", "zz.2~y.meta"]


async def test_versions_of_a_plain_bucket(gateway, filled):
    page = await gateway.listing.versions(filled)
    assert [entry.name for entry in page.entries] == sorted(AWKWARD) and not any(entry.instance for entry in page.entries)


@pytest.fixture(params=[11, 101])
async def sharded(cluster, user, private, request):
    """A gateway and a bucket of so many shards."""
    gateway = await Gateway.open(cluster, Options({"rgw_override_bucket_index_max_shards": request.param}))
    bucket, _ = await gateway.buckets.create(f"sharded-{request.param}-{user.user_id.id}", user, private)
    assert bucket.num_shards == request.param
    yield gateway, bucket
    await gateway.close()


async def fill(bucket, keys):
    """Puts entries straight into the shards."""
    shards = {}
    for key in keys:
        entry = DirEntry(name=key, exists=True, meta=DirEntryMeta(category=1, size=1, accounted_size=1))
        shards.setdefault(bucket.index.shard(key), {})[key.encode()] = entry.encode()
    for oid, values in shards.items():
        await bucket.index.ioctx.write(oid, WriteOp().assert_exists().omap_set(values))


@pytest.fixture
def asked(sharded, monkeypatch):
    """How many entries each list call of a shard asked for."""
    kind = type(sharded[1].index.ioctx)
    call_each, found = kind.call_each, []

    async def counting(self, calls):
        found.extend(call.request.num_entries for _, call in calls if call.method is classes.BUCKET_LIST)
        return await call_each(self, calls)

    monkeypatch.setattr(kind, "call_each", counting)
    return found


async def test_the_first_page_does_not_grow_with_the_bucket(sharded, asked):
    gateway, bucket = sharded
    costs = []
    for number in range(4):  # a bucket of 1,500 keys, of 3,000, ...
        await fill(bucket, (f"k{i:05}" for i in range(number, 6000, 4)))
        asked.clear()
        page = await gateway.listing.objects(bucket, max_keys=500)
        assert len(page.entries) == 500 and page.truncated
        costs.append((len(asked), sum(asked)))
    for calls, entries in costs:  # one call of each shard, a second one of the few that hold more than their share, which asks for what is missing
        assert bucket.num_shards <= calls <= bucket.num_shards * 1.5
        assert entries <= 2 * max(500 * 1.5, bucket.num_shards * 16)


@pytest.mark.parametrize(("versions", "delimiter"), [(False, "/"), (False, "_"), (True, "/")])
async def test_common_prefixes_are_skipped_over(sharded, asked, versions, delimiter):
    """What lies under a common prefix is not read through, be it the shards or we who roll it up."""
    gateway, bucket = sharded
    for below in (10, 3000):
        await fill(bucket, (f"{folder}{delimiter}{i:04}" for folder in "abcd" for i in range(below)))
        await fill(bucket, ["last"])
        asked.clear()
        page = await (gateway.listing.versions if versions else gateway.listing.objects)(bucket, delimiter=delimiter, max_keys=5)
        assert page.common_prefixes == [f"{folder}{delimiter}" for folder in "abcd"] and [entry.name for entry in page.entries] == ["last"]
        # 8 of each shard; where we roll up, as often as there are prefixes, and each time twice as many
        assert sum(asked) <= (1 if delimiter == "/" and not versions else 1 + 2 + 4 + 8 + 16) * bucket.num_shards * 8


async def test_common_prefixes_are_asked_for_by_the_number_that_shards_share(sharded, asked):
    """Small ones, of which each comes from many shards, in few rounds; and of large ones no more is looked through than a few entries."""
    gateway, bucket = sharded
    await fill(bucket, (f"small/{folder:03}/{i:02}" for folder in range(300) for i in range(40)))
    asked.clear()
    page = await gateway.listing.objects(bucket, "small/", delimiter="/", max_keys=200)
    assert page.common_prefixes == [f"small/{folder:03}/" for folder in range(200)] and page.truncated
    assert len(asked) <= 3 * bucket.num_shards and sum(asked) <= 300 * bucket.num_shards
    await fill(bucket, (f"large/{folder:02}/{i:05}" for folder in range(10) for i in range(40 * bucket.num_shards)))
    asked.clear()
    page = await gateway.listing.objects(bucket, "large/", delimiter="/", max_keys=50 * bucket.num_shards)
    assert page.common_prefixes == [f"large/{folder:02}/" for folder in range(10)] and not page.truncated
    assert sum(asked[bucket.num_shards:]) <= 8 * bucket.num_shards  # behind the first page, which holds 8 of the 10
