"""Versions: against a simple model, many at once, and changes that a crash left half done."""

import asyncio
import contextlib
import random
import secrets
from dataclasses import replace

import pytest

from rgw.core import bucket_check, olh, versions
from rgw.core.conditions import Conditions
from rgw.core.delete import remove_object
from rgw.core.head import existing_head
from rgw.core.state import OLH_PENDING
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.index import DirEntryMeta
from rgw.formats.index_keys import list_key
from rgw.store import classes
from rgw.store.interface import WriteOp
from tests.core.helpers import body, census, collect, fetch, index_keys, put

MIB = 1 << 20


async def listed(gateway, bucket):
    """(key, version, is current, is a marker), newest first within a key."""
    page = await gateway.listing.versions(bucket)
    return [(e.name, e.instance or "null", bool(e.flags & 2 or not e.flags & 1), bool(e.flags & 4)) for e in page.entries]


async def version(gateway, bucket, key, version_id):
    state = await gateway.objects.get(bucket, key, version_id)
    return b"".join([part async for part in gateway.objects.read(state)])


async def code(awaitable):
    with pytest.raises(S3Error) as error:
        await awaitable
    return error.value.code


class Model:
    """What S3 says that a bucket holds: for each key its versions, newest first, as [id, bytes or None for a marker]."""

    def __init__(self, enabled):
        self.keys, self.enabled = {}, enabled

    def put(self, key, version_id, data):
        held = self.keys.setdefault(key, [])
        if data is None and held and held[0][1] is None and version_id != "null":
            return  # radosgw keeps no marker on a marker
        if version_id == "null":
            held[:] = [row for row in held if row[0] != "null"]
        held.insert(0, [version_id, data])

    def remove(self, key, version_id):
        self.keys[key] = [row for row in self.keys.get(key, []) if row[0] != version_id]

    def rows(self):
        return [(key, row[0], number == 0, row[1] is None) for key in sorted(self.keys) for number, row in enumerate(self.keys[key])]


@pytest.mark.parametrize("seed", range(3))
async def test_random_operations(gateway, bucket, user, seed):
    chance = random.Random(seed)
    model = Model(None)
    keys = ["a", "_b"]
    for key in keys:  # versions begin on objects that are there
        if chance.random() < 0.5:
            data = body(10)
            await put(gateway, bucket, key, data, user)
            model.put(key, "null", data)
    await gateway.buckets.set_versioning(bucket, True)
    for step in range(40):
        key = chance.choice(keys)
        what = chance.random()
        if what < 0.12:
            await gateway.buckets.set_versioning(bucket, chance.random() < 0.5)
        elif what < 0.55:
            data = body(chance.choice([0, 100, 4 * MIB + 1]) if step % 8 == 0 else 20)
            state = await put(gateway, bucket, key, data, user)
            assert (state.version_id == "null") == bucket.versioning_suspended
            model.put(key, state.version_id, data)
        elif what < 0.75:
            done = await gateway.objects.delete(bucket, key, owner=user)
            assert done.delete_marker
            model.put(key, done.version_id, None)
        elif model.keys.get(key):
            chosen = chance.choice(model.keys[key])
            done = await gateway.objects.delete(bucket, key, chosen[0])
            assert done.found and done.delete_marker == (chosen[1] is None)
            model.remove(key, chosen[0])
        assert await listed(gateway, bucket) == sorted(model.rows(), key=lambda row: row[0].encode())
        for key, held in model.keys.items():
            for version_id, data in held:
                if data is None:
                    assert await code(gateway.objects.head(bucket, key, version_id)) == "MethodNotAllowed"
                else:
                    assert await version(gateway, bucket, key, version_id) == data
            if held and held[0][1] is not None:
                assert await fetch(gateway, bucket, key) == held[0][1]
            else:
                assert await code(gateway.objects.head(bucket, key)) == "NoSuchKey"
    headers = await gateway.buckets.stats(bucket)
    wanted = [row[1] for held in model.keys.values() for row in held if row[1] is not None]
    stats = [header.stats[1] for header in headers if 1 in header.stats]
    assert (sum(s.num_entries for s in stats), sum(s.total_size for s in stats)) == (len(wanted), sum(map(len, wanted)))
    for key, held in list(model.keys.items()):
        for version_id, _ in held:
            await gateway.objects.delete(bucket, key, version_id)
    await collect(gateway)
    assert await listed(gateway, bucket) == [] and await census(gateway, bucket) == set() and await index_keys(gateway, bucket) == set()


async def test_many_at_once(gateway, bucket, user):
    await gateway.buckets.set_versioning(bucket, True)
    bodies = [secrets.token_bytes(10) for _ in range(12)]
    states = await asyncio.gather(*(put(gateway, bucket, "k", data, user) for data in bodies))
    held = {state.version_id: data for state, data in zip(states, bodies, strict=True)}
    rows = await listed(gateway, bucket)
    assert {row[1] for row in rows} == set(held) and [row[2] for row in rows] == [True] + [False] * 11
    assert await fetch(gateway, bucket, "k") == held[rows[0][1]]
    await asyncio.gather(*(gateway.objects.delete(bucket, "k", version_id) for version_id in list(held)[:6]))
    rows = await listed(gateway, bucket)
    assert {row[1] for row in rows} == set(list(held)[6:])
    assert await fetch(gateway, bucket, "k") == held[rows[0][1]]
    wins = await asyncio.gather(*(put(gateway, bucket, "new", data, user, conditions=Conditions(if_none_match="*")) for data in bodies),
                                return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in wins) == 1
    assert {one.code for one in wins if isinstance(one, BaseException)} == {"PreconditionFailed"}
    assert len([row for row in await listed(gateway, bucket) if row[0] == "new"]) == 1


@pytest.mark.parametrize("gateways", ["one", "several"])
async def test_null_versions_at_once(gateway, bucket, user, monkeypatch, gateways):
    """Writes and deletes of the null version at once: at most one stands, with its bytes, and the index is sound."""
    if gateways == "several":
        monkeypatch.setattr(versions, "_turn", lambda *_: contextlib.nullcontext())  # nobody waits for the others' turn
    await gateway.buckets.set_versioning(bucket, True)
    old = await put(gateway, bucket, "k", b"old", user)
    await gateway.buckets.set_versioning(bucket, False)
    for _ in range(8):
        bodies = [secrets.token_bytes(10) for _ in range(5)]
        await asyncio.gather(*(put(gateway, bucket, "k", data, user) for data in bodies), *(gateway.objects.delete(bucket, "k") for _ in range(2)),
                             *(gateway.objects.delete(bucket, "k", "null") for _ in range(2)))
        rows = await listed(gateway, bucket)
        assert rows in ([("k", "null", True, marker), ("k", old.version_id, False, False)] for marker in (False, True)) or rows == [
            ("k", old.version_id, True, False)]
        if rows[0][3]:
            assert await code(gateway.objects.head(bucket, "k")) == "NoSuchKey"
        else:
            assert await fetch(gateway, bucket, "k") in (bodies if len(rows) == 2 else [b"old"])
        head = await existing_head(gateway, bucket, "k")
        assert bool(head.etag) == (rows[0][1:] == ("null", True, False))  # nothing is left behind
    await gateway.buckets.set_versioning(bucket, True)
    await put(gateway, bucket, "k", b"new", user)
    report = await bucket_check.check(gateway, bucket, check_objects=True)
    assert report.clean and not report.differences


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_a_null_version_that_radosgw_took_for_an_older_one(gateway, bucket, user, monkeypatch, acknowledged):
    """Its removal, late, takes the object and the entry of a new one that is linked already; without the entry the index takes no version."""
    await gateway.buckets.set_versioning(bucket, True)
    old = await put(gateway, bucket, "k", b"old", user)
    await gateway.buckets.set_versioning(bucket, False)
    link = olh.link

    async def taken(*arguments, **named):
        await link(*arguments, **named)
        if named.get("marker") is None:
            assert await remove_object(gateway, await existing_head(gateway, bucket, "k"))

    if acknowledged:
        await put(gateway, bucket, "k", b"null", user)
        assert await remove_object(gateway, await existing_head(gateway, bucket, "k"))
        rows = [("k", old.version_id, False, False)]
    else:
        monkeypatch.setattr(olh, "link", taken)
        assert await code(put(gateway, bucket, "k", b"null", user)) == "ServiceUnavailable"
        monkeypatch.setattr(olh, "link", link)
        rows = [("k", "null", False, True), ("k", old.version_id, False, False)]
        assert (await listed(gateway, bucket))[1:] == rows[1:]
    await gateway.buckets.set_versioning(bucket, True)
    new = await put(gateway, bucket, "k", b"new", user)
    assert await fetch(gateway, bucket, "k") == b"new"
    report = await bucket_check.check(gateway, bucket, check_objects=True, fix=True)
    assert report.clean and bool(report.differences) == acknowledged
    assert await listed(gateway, bucket) == [("k", new.version_id, True, False), *rows]
    report = await bucket_check.check(gateway, bucket, check_objects=True)
    assert report.clean and not report.differences


class Died(BaseException):
    """The gateway is gone at this point."""


def dying(*_arguments, **_named):
    raise Died


STEPS = {"linked": "apply_log", "logged": "_apply", "applied": "_trim", "trimmed": "_drop_head"}  # done already when it dies


@pytest.mark.parametrize("reader", ["get", "put"])
@pytest.mark.parametrize(("what", "step"), [
    *((what, step) for what in ("put", "marker", "unlink", "last", "null") for step in ("linked", "applied")), ("null", "logged"), ("last", "trimmed")])
async def test_half_done(gateway, bucket, user, monkeypatch, what, step, reader):
    await gateway.buckets.set_versioning(bucket, True)
    first = await put(gateway, bucket, "k", b"first", user)
    second = first if what == "last" else await put(gateway, bucket, "k", b"second", user)
    if what == "null":
        await gateway.buckets.set_versioning(bucket, False)
        await put(gateway, bucket, "k", b"null", user)
    with monkeypatch.context() as patch:
        patch.setattr(olh, STEPS[step], dying)
        with pytest.raises(Died):
            if what == "put":
                await put(gateway, bucket, "k", b"third", user)
            elif what in ("marker", "null"):
                await gateway.objects.delete(bucket, "k", owner=user)
            else:
                await gateway.objects.delete(bucket, "k", second.version_id)
    before = await listed(gateway, bucket)  # before anything is repaired: the index decides
    shown = {"put": b"third", "marker": None, "null": None, "unlink": b"first", "last": None}[what]
    if reader == "put":
        await put(gateway, bucket, "k", shown := b"after", user)
    if shown is None:
        assert await code(gateway.objects.head(bucket, "k")) == "NoSuchKey"
    else:
        assert await fetch(gateway, bucket, "k") == shown
    if reader != "put":
        assert await listed(gateway, bucket) == before
    if what in ("unlink", "last"):
        assert await code(gateway.objects.head(bucket, "k", second.version_id)) == "NoSuchVersion"
    seen = await olh.look(bucket, "k")
    assert seen.olh is None or not seen.olh.pending_log or step == "applied"
    for row in await listed(gateway, bucket):
        await gateway.objects.delete(bucket, "k", row[1])
    await collect(gateway)
    assert await listed(gateway, bucket) == [] and await census(gateway, bucket) == set()


async def test_announcements_that_came_to_nothing(gateway, bucket, user, monkeypatch):
    """A change that died before it reached the index leaves an announcement; the first reader after the timeout takes it away."""
    await gateway.buckets.set_versioning(bucket, True)
    await put(gateway, bucket, "k", b"1", user)
    await olh.announce(gateway, bucket, "k", olh.new_op_tag())
    await olh.announce(gateway, bucket, "never", olh.new_op_tag())
    assert await code(gateway.objects.head(bucket, "never")) == "NoSuchKey"

    async def pending():
        head = await olh.existing_head(gateway, bucket, "k")
        return [name for name in head.attrs if name.startswith(OLH_PENDING)]

    assert await fetch(gateway, bucket, "k") == b"1" and len(await pending()) == 1
    monkeypatch.setitem(gateway.options._values, "rgw_olh_pending_timeout_sec", 0)
    assert await fetch(gateway, bucket, "k") == b"1" and await pending() == []


async def test_an_epoch_that_radosgw_copied_from_another_key(gateway, bucket, user):
    """Its CopyObject of a null version gives the new one's head the epoch of the source: what the log says is done all the same."""
    await gateway.buckets.set_versioning(bucket, True)
    first = await put(gateway, bucket, "k", b"1", user)
    second = await put(gateway, bucket, "k", b"2", user)
    await olh.write_head(gateway, bucket, "k", olh.WriteOp().setxattr(olh.OLH_VER, b"99"))
    await gateway.objects.delete(bucket, "k", second.version_id)
    assert await fetch(gateway, bucket, "k") == b"1"
    assert await existing_head(gateway, bucket, "k", second.version_id) is None
    await gateway.objects.delete(bucket, "k", first.version_id)
    await collect(gateway)
    assert await listed(gateway, bucket) == [] and await census(gateway, bucket) == set()


@pytest.mark.parametrize("linked", [True, False])
async def test_a_pointer_that_radosgw_copied_from_another_key(gateway, bucket, user, linked):
    """Its CopyObject writes a null version with its source's pointer, and the next step sets that right; here it, or another, died before."""
    await gateway.buckets.set_versioning(bucket, True)
    await put(gateway, bucket, "other", b"other", user)
    old = await put(gateway, bucket, "k", b"old", user)
    await gateway.buckets.set_versioning(bucket, False)
    await put(gateway, bucket, "k", b"null", user)
    other = (await existing_head(gateway, bucket, "other")).attrs
    own = (await existing_head(gateway, bucket, "k")).attrs
    if linked:  # a write that the index knows of, not the head
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(olh, "_apply", dying)
            with pytest.raises(Died):
                await put(gateway, bucket, "k", b"null", user)
    await olh.write_head(gateway, bucket, "k", olh.WriteOp().setxattrs({name: other[name] for name in (olh.OLH_IDTAG, olh.OLH_INFO, olh.OLH_VER)}))
    assert await fetch(gateway, bucket, "k") == b"null"
    head = (await existing_head(gateway, bucket, "k")).attrs
    assert [name for name in head if name.startswith(OLH_PENDING)] == []
    seen = await olh.look(bucket, "k")
    assert seen.olh.pending_log == {} and seen.olh.tag.encode() == head[olh.OLH_IDTAG] == own[olh.OLH_IDTAG]
    assert head[olh.OLH_INFO] == own[olh.OLH_INFO] and int(head[olh.OLH_VER]) == seen.olh.epoch
    await gateway.objects.delete(bucket, "k", "null")
    assert await fetch(gateway, bucket, "k") == b"old" and [row[1] for row in await listed(gateway, bucket) if row[0] == "k"] == [old.version_id]


async def test_head_lost(gateway, bucket, user):
    """A key whose head is lost: the index still knows its versions, and the next change makes the head right again."""
    await gateway.buckets.set_versioning(bucket, True)
    first = await put(gateway, bucket, "k", b"1", user)
    head = await olh.existing_head(gateway, bucket, "k")
    await head.head_pool.write(head.head_oid, olh.WriteOp().remove(), locator=head.head_locator)
    second = await put(gateway, bucket, "k", b"2", user)
    assert await fetch(gateway, bucket, "k") == b"2"
    assert [row[1] for row in await listed(gateway, bucket)] == [second.version_id, first.version_id]
    with pytest.raises(olh.Moved):
        await olh.link(gateway, bucket, "k", "x", marker=DirEntryMeta(), expected=b"something else")
    assert not [name for name in (await olh.existing_head(gateway, bucket, "k")).attrs if name.startswith(OLH_PENDING)]


async def test_condition_lost_at_the_last_moment(gateway, bucket, user, monkeypatch):
    """Another write gets between the check and the link: the version goes again, its tail too."""
    await gateway.buckets.set_versioning(bucket, True)
    link, rivals = olh.link, []

    async def late(*arguments, **named):
        if not rivals:
            rivals.append(None)
            rivals[0] = await put(gateway, bucket, "k", b"rival", user)
        await link(*arguments, **named)

    monkeypatch.setattr(olh, "link", late)
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await put(gateway, bucket, "k", body(4 * MIB + 1), user, conditions=Conditions(if_none_match="*"))
    assert [row[1] for row in await listed(gateway, bucket)] == [rivals[0].version_id]
    await collect(gateway)
    assert await fetch(gateway, bucket, "k") == b"rival"
    assert len(await census(gateway, bucket)) == 2  # the pointer and the rival


async def paged(gateway, bucket, max_keys):
    """What ``listed`` gives, page by page."""
    rows, key, version_id, seen = [], "", "", set()
    while True:
        page = await gateway.listing.versions(bucket, "", "", key, version_id, max_keys)
        rows += [(e.name, e.instance or "null", bool(e.flags & 2 or not e.flags & 1), bool(e.flags & 4)) for e in page.entries]
        if not page.truncated:
            return rows
        key, version_id = page.next_marker, page.next_version_marker
        assert (key, version_id) not in seen, "the listing begins again"
        seen.add((key, version_id))


@pytest.fixture
async def with_nulls(gateway, bucket, user):
    """Keys of up to 24 versions; the null version, or a delete marker in its place, has 0, 1, 7, 8 or 20 newer ones."""
    newer = {"a": 0, "b": 1, "c": 7, "d": 8, "e": 20, "_f": 8, "g": 0}
    for key in newer:
        await put(gateway, bucket, key, b"null", user)
    await gateway.buckets.set_versioning(bucket, True)
    for key in ("a", "d", "_f"):
        for _ in range(4):
            await put(gateway, bucket, key, b"old", user)
    await gateway.buckets.set_versioning(bucket, False)
    for key in ("a", "d"):
        await put(gateway, bucket, key, b"null", user)
    await gateway.objects.delete(bucket, "_f")
    await gateway.buckets.set_versioning(bucket, True)
    for key, count in newer.items():
        for _ in range(count):
            await put(gateway, bucket, key, b"new", user)
    return bucket


async def test_null_versions_in_pages(gateway, with_nulls):
    """Null versions have no id by which the index could go on behind them."""
    rows = await paged(gateway, with_nulls, 1000)
    assert len(rows) == len(set(rows)) == 44 + 7 + 12 and [row[:2] for row in rows if row[2]][::6] == [("_f", rows[0][1]), ("g", "null")]
    for max_keys in (1, 2, 3, 5, 8, 13):
        assert await paged(gateway, with_nulls, max_keys) == rows, max_keys
    assert shown_keys(await gateway.listing.objects(with_nulls, max_keys=3)) == ["_f", "a", "b"]


@pytest.mark.parametrize("where", ["listed", "plain"])
@pytest.mark.parametrize("key", ["c", "e"])
async def test_null_versions_that_stand_twice(gateway, with_nulls, key, where):
    """What radosgws leave that write null versions at once, or suggest one to the index: listings take it away."""
    rows = await paged(gateway, with_nulls, 1000)
    index = with_nulls.index
    entry = next(e for e in (await gateway.listing.versions(with_nulls, key)).entries if not e.instance).full()
    older, newer = (replace(entry, versioned_epoch=entry.versioned_epoch + by) for by in (-1, 3))
    stray = WriteOp().omap_set({list_key(key, one.versioned_epoch, ""): one.encode() for one in (older, newer)})
    if where == "plain":
        stray = WriteOp().call(classes.DIR_SUGGEST_CHANGES(cls_rgw.SuggestChangesOp([cls_rgw.SuggestedChange(op=ord("u"), entry=entry)])))
    for max_keys in (1, 3, 1000):
        await index.ioctx.write(index.shard(key), stray)
        assert await paged(gateway, with_nulls, max_keys) == rows
    report = await bucket_check.check(gateway, with_nulls, check_objects=True)
    assert report.clean and not report.differences


def shown_keys(page):
    return [entry.name for entry in page.entries]
