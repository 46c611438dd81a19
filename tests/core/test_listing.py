import pytest

from rgw.core.index import OP_ADD, OP_DEL, IndexKey
from rgw.errors import S3Error
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
