"""`bucket check` on buckets with versions: what was broken on purpose is found, told and mended, and what cannot be told from what stands stays."""

import asyncio
from dataclasses import replace
from unittest import mock

import pytest

from rgw.core import bucket_check, key_index, olh, version_check
from rgw.core.head import existing_head
from rgw.core.state import IDTAG, OLH_IDTAG, OLH_INFO
from rgw.formats import index_keys
from rgw.formats.basics import Obj
from rgw.formats.index import FLAG_CURRENT, ClsObjKey, DirEntry
from rgw.formats.obj import OlhInfo
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import body, census, collect, put

NULL, KEYS = "", ("_k", "kü")


@pytest.fixture
async def versions(gateway, bucket, user):
    """Each key has a null version from before, two versions, a delete marker, and a current version; (bucket, bytes by key and version)."""
    held = {}
    for key in KEYS:
        held[key, NULL] = body(10)
        await put(gateway, bucket, key, held[key, NULL], user)
    await gateway.buckets.set_versioning(bucket, True)
    for key in KEYS:
        for size in (100, 200):
            data = body(size)
            held[key, (await put(gateway, bucket, key, data, user)).version_id] = data
        await gateway.objects.delete(bucket, key)
        data = body(5_000)
        held[key, (await put(gateway, bucket, key, data, user)).version_id] = data
    return bucket, held


async def index_of(bucket, key):
    return await key_index.read_key(bucket, key)


async def change_index(bucket, key, new=None, gone=()):
    op = WriteOp()
    if new:
        op.omap_set(new)
    if gone:
        op.omap_rm(gone)
    await bucket.index_ioctx.write(bucket.index.shard(key), op)


async def head_of(gateway, bucket, key, instance=NULL):
    return await existing_head(gateway, bucket, key, instance)


async def seen(gateway, bucket):
    """What listings show: (key, version, current, marker, size)."""
    page = await gateway.listing.versions(bucket)
    return [(entry.name, entry.instance, bool(entry.flags & 2), bool(entry.flags & 4), entry.accounted_size) for entry in page.entries]


async def mended(gateway, bucket, problems):
    """These problems (by key) are found, found again and mended, and nothing is wrong afterwards."""
    found = await bucket_check.check(gateway, bucket, check_objects=True)
    assert {item.key: item.problem for item in found.differences} == problems and len(found.differences) == len(problems)
    assert not found.clean and not any(item.mended for item in found.differences)
    fixed = await bucket_check.check(gateway, bucket, check_objects=True, fix=True)
    assert set(problems.items()) <= {(item.key, item.problem) for item in fixed.differences} and all(item.mended for item in fixed.differences)
    await sound(gateway, bucket)


async def sound(gateway, bucket):
    again = await bucket_check.check(gateway, bucket, check_objects=True)
    assert again.clean and not again.differences and not again.statistics_differ


async def lose_listing(gateway, bucket, key):
    index = await index_of(bucket, key)
    await change_index(bucket, key, gone=[index.listed[2].place])
    return "a version is missing from listings"


async def lose_entry(gateway, bucket, key):
    index = await index_of(bucket, key)
    await change_index(bucket, key, gone=[index.versions[-1].place])
    return "listings show a version that has no entry"


async def list_elsewhere(gateway, bucket, key):
    stored = (await index_of(bucket, key)).listed[0]
    entry = replace(stored.entry, versioned_epoch=1, flags=stored.entry.flags & ~FLAG_CURRENT)
    await change_index(bucket, key, {index_keys.list_key(entry.name, 1, entry.instance): entry.encode()})
    return "listings show a version at a place that is not its own"


async def list_wrongly(gateway, bucket, key):
    stored = (await index_of(bucket, key)).listed[0]
    wrong = DirEntry.decode(stored.raw)
    wrong.meta.size = 3
    await change_index(bucket, key, {stored.place: wrong.encode()})
    return "listings tell something else of a version than its entry"


async def lose_placeholder(gateway, bucket, key):
    await change_index(bucket, key, gone=[(await index_of(bucket, key)).plain.place])
    return "the placeholder at the plain key is missing"


async def lose_head(gateway, bucket, key):
    """The null version's object is put back by itself, hence without what it told of the other versions."""
    head = await head_of(gateway, bucket, key)
    data = (await head.head_pool.read(head.head_oid, ReadOp().read(), locator=head.head_locator)).data
    await head.head_pool.write(head.head_oid, WriteOp().remove(), head.head_locator)
    own = {name: value for name, value in head.attrs.items() if not name.startswith("user.rgw.olh.")}
    await olh.write_head(gateway, bucket, key, WriteOp(mtime=head.mtime).create().write_full(data).setxattrs(own))
    return "the key's head is not the one that the index knows"


async def point_elsewhere(gateway, bucket, key):
    info = OlhInfo(target=Obj(bucket.info.bucket, "", key, (await index_of(bucket, key)).listed[2].entry.instance), removed=False)
    await olh.write_head(gateway, bucket, key, WriteOp().setxattr(OLH_INFO, info.encode()))
    return "the key's head points to another version than the index"


async def lose_olh(gateway, bucket, key):
    await change_index(bucket, key, gone=[index_keys.olh_key((await index_of(bucket, key)).listed[0].entry.name)])
    return "the index does not know which version is current"


async def another_current(gateway, bucket, key):
    index = await index_of(bucket, key)
    wrong = replace(index.olh, key=ClsObjKey(index.olh.key.name, index.listed[2].entry.instance))
    await change_index(bucket, key, {index_keys.olh_key(index.olh.key.name): wrong.encode()})
    return "the index takes another version for the current one than the newest"


async def two_current(gateway, bucket, key):
    stored = (await index_of(bucket, key)).listed[3]
    await change_index(bucket, key, {stored.place: replace(stored.entry, flags=stored.entry.flags | FLAG_CURRENT).encode()})
    return "listings show another version as the current one"


async def wrong_size(gateway, bucket, key):
    for stored in await same_version(bucket, key, 2):
        stored.entry.meta.size = stored.entry.meta.accounted_size = 7
        await change_index(bucket, key, {stored.place: stored.entry.encode()})
    return "the entry tells size 7 instead of 200"


async def same_version(bucket, key, place):
    """Both entries of the version at a place in listings."""
    index = await index_of(bucket, key)
    instance = index.listed[place].entry.instance
    return [stored for stored in (*index.listed, *index.versions) if stored.entry.instance == instance and not stored.is_marker]


async def plain_entry_again(gateway, bucket, key):
    """What radosgw-admin 16.2's own `bucket check --check-objects --fix` makes of a null version."""
    index = await index_of(bucket, key)
    null = next(stored for stored in index.versions if not stored.entry.instance)
    await change_index(bucket, key, {index.plain.place: null.raw})
    return "an entry of a plain object stands where the placeholder should"


async def marker_as_object(gateway, bucket, key):
    """Of delete markers, too, radosgw-admin makes objects."""
    index = await index_of(bucket, key)
    marker = next(stored for stored in index.versions if stored.is_marker)
    wrong = replace(marker.entry, exists=True, meta=replace(marker.entry.meta, category=1, size=1, accounted_size=1))
    await change_index(bucket, key, {marker.place: wrong.encode()})
    return "a delete marker is taken for an object"


async def unlist(gateway, bucket, key):
    await change_index(bucket, key, gone=[stored.place for stored in await same_version(bucket, key, 2)])
    return "the object exists, but the index does not list it"


async def unlist_null(gateway, bucket, key):
    await change_index(bucket, key, gone=[stored.place for stored in await same_version(bucket, key, 4)])
    return "the object exists, but the index does not list it"


HARMS = [lose_listing, lose_entry, list_elsewhere, list_wrongly, lose_placeholder, lose_head, point_elsewhere, lose_olh, another_current,
         two_current, wrong_size, plain_entry_again, marker_as_object,
         unlist, unlist_null]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
async def test_what_other_entries_tell_is_restored(gateway, versions, harm):
    """Nothing is lost: afterwards the listing and all bytes are as before."""
    bucket, held = versions
    before = await seen(gateway, bucket)
    problems = {key: await harm(gateway, bucket, key) for key in KEYS}
    await mended(gateway, bucket, problems)
    assert await seen(gateway, bucket) == before
    for (key, version), data in held.items():
        state = await gateway.objects.get(bucket, key, version or "null")
        assert b"".join([part async for part in gateway.objects.read(state)]) == data
    for key in KEYS:
        await gateway.objects.delete(bucket, key)
        assert (await seen(gateway, bucket)) != before


async def test_a_whole_key_is_listed_anew_in_the_order_of_time(gateway, versions):
    bucket, _ = versions
    before = [row for row in await seen(gateway, bucket) if not row[3]]
    for key in KEYS:
        index = await index_of(bucket, key)
        stored = [*index.listed, *index.versions, index.plain]
        await change_index(bucket, key, gone=[*(one.place for one in stored), index_keys.olh_key(index.plain.entry.name)])
        head = await head_of(gateway, bucket, key)
        await head.head_pool.write(head.head_oid, WriteOp(mtime=head.mtime).rmxattr(OLH_IDTAG).rmxattr(OLH_INFO), head.head_locator)
    fixed = await bucket_check.check(gateway, bucket, check_objects=True, fix=True)
    assert len(fixed.differences) == 8 and all(item.mended for item in fixed.differences)
    assert await seen(gateway, bucket) == before  # a delete marker is an entry only: it is gone with the index
    await sound(gateway, bucket)


@pytest.mark.parametrize("which", [0, 2, 4], ids=["current", "older", "null"])
async def test_a_version_whose_object_is_gone(gateway, versions, which):
    """It goes from the index; if it was current, what was before it is."""
    bucket, _ = versions
    before = await seen(gateway, bucket)
    for key in KEYS:
        instance = (await index_of(bucket, key)).listed[which].entry.instance
        head = await head_of(gateway, bucket, key, instance)
        if instance:
            await head.head_pool.write(head.head_oid, WriteOp().remove(), head.head_locator)
        else:
            kept = {name: value for name, value in head.attrs.items() if name.startswith("user.rgw.olh.") or name == IDTAG}
            await head.head_pool.write(head.head_oid, WriteOp().remove(), head.head_locator)
            await olh.write_head(gateway, bucket, key, WriteOp().create().setxattrs(kept))
    await mended(gateway, bucket, {key: "the index lists it, but there is no such object" for key in KEYS})
    expected = [row for number, row in enumerate(before) if number % 5 != which]
    if which == 0:
        expected = [(*row[:2], row[3], *row[3:]) for row in expected]  # the delete markers are current now
    assert await seen(gateway, bucket) == expected


async def test_what_never_became_a_version(gateway, versions, user):
    """Its writer died before it was linked. Young ones are left alone: the writer may still come."""
    bucket, _ = versions
    before, objects = await seen(gateway, bucket), await census(gateway, bucket)
    write = mock.patch.object(olh, "link", side_effect=asyncio.CancelledError)
    with write, pytest.raises(asyncio.CancelledError):
        await put(gateway, bucket, KEYS[0], body(50), user)
    assert (await bucket_check.check(gateway, bucket, check_objects=True)).clean
    assert await bucket_check.check_unlinked(gateway, bucket) == []
    with mock.patch.object(version_check, "_age", return_value=3601):
        assert [(name, bool(instance)) for name, instance in await bucket_check.check_unlinked(gateway, bucket)] == [(KEYS[0], True)]
        await bucket_check.check_unlinked(gateway, bucket, fix=True)
    assert await bucket_check.check_unlinked(gateway, bucket, min_age=0) == []
    await collect(gateway)
    assert (await seen(gateway, bucket), await census(gateway, bucket)) == (before, objects)
    await sound(gateway, bucket)


async def test_removals_that_were_not_finished(gateway, versions):
    """The index knows, the heads do not yet; or only the key's last entry is left."""
    bucket, held = versions
    for version in [version for key, version in held if key == KEYS[0] and version]:
        await gateway.objects.delete(bucket, KEYS[0], version)
    markers = [row[1] for row in await seen(gateway, bucket) if row[0] == KEYS[0] and row[3]]
    await gateway.objects.delete(bucket, KEYS[0], markers[0])
    with mock.patch.object(olh, "apply_log", side_effect=asyncio.CancelledError), pytest.raises(asyncio.CancelledError):
        await gateway.objects.delete(bucket, KEYS[0], "null")
    with mock.patch.object(version_check, "_announced", return_value=False):
        assert await bucket_check.check_olh(gateway, bucket) == [KEYS[0]]
        assert await bucket_check.check_olh(gateway, bucket, fix=True) == [KEYS[0]]
    assert await bucket_check.check_olh(gateway, bucket) == []
    assert not (await index_of(bucket, KEYS[0])).versioned and await head_of(gateway, bucket, KEYS[0]) is None
    await sound(gateway, bucket)


@pytest.mark.parametrize("which", [0, 1, 2, 4], ids=["current", "marker", "older", "null"])
async def test_a_version_is_unlinked(gateway, versions, which):
    """Its data stay and are listed again by a check; a delete marker has none."""
    bucket, _ = versions
    before, objects = await seen(gateway, bucket), await census(gateway, bucket)
    for key in KEYS:
        index = await index_of(bucket, key)
        assert await version_check.unlink(gateway, bucket, key, index.listed[which].entry.instance)
        assert not await version_check.unlink(gateway, bucket, key, "nosuch")
    rest = [row for number, row in enumerate(before) if number % 5 != which]
    assert [row[:2] + row[3:] for row in await seen(gateway, bucket)] == [row[:2] + row[3:] for row in rest]
    assert [row[2] for row in await seen(gateway, bucket)] == [True, False, False, False] * 2
    assert await census(gateway, bucket) == objects
    report = await bucket_check.check(gateway, bucket)
    assert report.clean and not report.statistics_differ
    await bucket_check.check(gateway, bucket, check_objects=True, fix=True)
    assert await seen(gateway, bucket) == (rest if which == 1 else before)
    await sound(gateway, bucket)


async def test_beside_writers_of_versions_nothing_is_found_and_nothing_lost(gateway, bucket, user):
    await gateway.buckets.set_versioning(bucket, True)
    stop = asyncio.Event()
    keys = [f"k{number}" for number in range(6)]
    kept = {}

    async def write(key):
        size = 0
        while not stop.is_set():
            size += 1
            made = (await put(gateway, bucket, key, body(size), user)).version_id
            if size % 3 == 0:
                await gateway.objects.delete(bucket, key, made)
            elif size % 3 == 1:
                kept[key, made] = size
            else:
                kept[key, made] = size
                await gateway.objects.delete(bucket, key)

    writers = [asyncio.ensure_future(write(key)) for key in keys]
    reports = [await bucket_check.check(gateway, bucket, fix=True, check_objects=True) for _ in range(5)]
    stop.set()
    await asyncio.gather(*writers)
    assert not [item.problem for report in reports for item in report.differences if item.problem != version_check.UNFINISHED]
    assert {row[:2]: row[4] for row in await seen(gateway, bucket) if not row[3]} == kept
    await sound(gateway, bucket)




class Change:
    """Changes of one key by name, and what must be there before them."""

    def __init__(self, gateway, bucket, user):
        self._gateway, self._bucket, self._user = gateway, bucket, user

    async def put(self, key):
        return (await put(self._gateway, self._bucket, key, body(20), self._user)).version_id

    async def marker(self, key):
        await self._gateway.objects.delete(self._bucket, key)

    async def remove(self, key, version):
        await self._gateway.objects.delete(self._bucket, key, version)

    async def prepare(self, what, key):
        """Makes what the change needs; returns the change."""
        if what in ("put", "first", "plain first"):
            return lambda: self.put(key)
        if what == "older":
            version = await self.put(key)
            await self.put(key)
            return lambda: self.remove(key, version)
        version = await self.put(key)
        if what in ("marker", "null marker", "plain delete"):
            return lambda: self.marker(key)
        if what in ("null put", "plain put"):
            return lambda: self.put(key)
        assert what in ("current", "last", "null")
        return lambda: self.remove(key, version)


CHANGES = ["put", "first", "marker", "current", "older", "last", "null put", "null marker", "null", "plain first", "plain put", "plain delete"]


@pytest.fixture
async def change(request, gateway, user, private, monkeypatch):
    """What to change in which bucket and key: of one shard, so that little is to be read."""
    monkeypatch.setitem(gateway.options._values, "rgw_override_bucket_index_max_shards", 1)
    bucket, _ = await gateway.buckets.create(f"c{user.user_id.id}", user, private)
    key = "_changing"
    if not request.param.startswith("plain"):
        await gateway.buckets.set_versioning(bucket, True)
    if request.param not in ("first", "last", "plain first", "plain delete"):
        await put(gateway, bucket, key, body(10), user)
    if request.param.startswith("null"):
        await gateway.buckets.set_versioning(bucket, False)
    before = await seen(gateway, bucket)

    async def undo():
        for row in await seen(gateway, bucket):
            if row[1] not in {kept[1] for kept in before}:
                await gateway.objects.delete(bucket, key, row[1] or "null")
        await collect(gateway)

    yield request.param, bucket, key, Change(gateway, bucket, user), undo


@pytest.mark.parametrize("change", CHANGES, indirect=True)
async def test_a_change_between_any_two_looks_of_a_check(gateway, change):
    """The check finds nothing, for it decides by what stood while it looked, and alters nothing."""
    what, bucket, key, changes, undo = change
    kind = type(bucket.index_ioctx)
    read, call_each = kind.read, kind.call_each
    left, after, number = 0, None, 0
    while left <= 0:
        number += 1
        alter = await changes.prepare(what, key)
        left = number

        async def looked(oid, alter=alter):
            nonlocal left, after
            if oid == bucket.index.shard(key) or key in oid:
                left -= 1
                if left == 0:
                    with mock.patch.multiple(kind, read=read, call_each=call_each):
                        await alter()
                        after = await seen(gateway, bucket)

        async def watched_read(self, oid, op, locator="", looked=looked):
            await looked(oid)
            return await read(self, oid, op, locator)

        async def watched_call_each(self, calls, looked=looked):
            for oid, _ in calls:
                await looked(oid)
            return await call_each(self, calls)

        with mock.patch.multiple(kind, read=watched_read, call_each=watched_call_each):
            report = await bucket_check.check(gateway, bucket, fix=True, check_objects=True)
        assert not report.differences, (number, report.differences)
        if left <= 0:
            assert await seen(gateway, bucket) == after, number
        await undo()
    assert number > 4
    await sound(gateway, bucket)


@pytest.mark.parametrize("change", CHANGES, indirect=True)
async def test_a_check_between_any_two_steps_of_a_change(gateway, change):
    """What the index has is ended, at most; and the change has its effect."""
    what, bucket, key, changes, undo = change
    kind = type(bucket.index_ioctx)
    real, left, number, effect = kind.write, 1, 0, None
    while left <= 0 or number < 2:
        alter = await changes.prepare(what, key)
        left = number  # the first time it is not disturbed
        reports = []

        async def write(self, oid, op, locator="", reports=reports):
            nonlocal left
            if oid == bucket.index.shard(key) or key in oid:
                left -= 1
                if left == 0:
                    with mock.patch.object(kind, "write", real):
                        reports.append(await bucket_check.check(gateway, bucket, fix=True, check_objects=True))
            return await real(self, oid, op, locator)

        with mock.patch.object(kind, "write", write):
            await alter()
        found = {item.problem for report in reports for item in report.differences}
        assert found <= {version_check.UNFINISHED, version_check.LEFT_OVER}, (number, found)
        rows = [(row[0], bool(row[1]), *row[2:]) for row in await seen(gateway, bucket)]
        effect = effect or [rows]
        assert [rows] == effect, number
        number += 1
        await undo()
    await sound(gateway, bucket)
