"""Index entries as listings read them: the same as the full decoder says, for entries of every form, by listed.c and by Python."""

from __future__ import annotations

import gc
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgw.formats import cls_rgw
from rgw.formats import listed as formats_listed
from rgw.formats.encoding import FormatError
from rgw.formats.index import FLAG_COMMON_PREFIX, FLAG_VER, DirEntry, DirEntryMeta, DirHeader, EntryVer, PendingInfo
from rgw.formats.listed import BucketDir, ListedEntry, listed
from tests.formats.test_golden import DATA

_NUMBER = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
_TIME = st.integers(0, 2**32 * 10**9 - 1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)  # a NUL parts an index key's name and version


def _mostly(usual, other):
    """One of two usual values, seldom any: neighbours in an index are alike."""
    return st.one_of(st.sampled_from(usual), st.sampled_from(usual), st.sampled_from(usual), other)


_META = st.builds(
    DirEntryMeta, st.integers(0, 3), _NUMBER, _TIME, _mostly(["d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661-12"], _TEXT),
    _mostly(["alice", "bob"], _TEXT), _mostly(["Alice"], _TEXT), _mostly(["text/plain", "image/png"], _TEXT), _NUMBER, _mostly([""], _TEXT),
    _mostly(["", "COLD"], _TEXT), _mostly([False], st.booleans()))
_ENTRY = st.builds(
    DirEntry, _TEXT, st.builds(EntryVer, st.integers(-1, 1000), _NUMBER), _mostly([True], st.booleans()), _META,
    _mostly([{}], st.dictionaries(_TEXT, st.builds(PendingInfo, st.integers(0, 1), _TIME, st.integers(0, 2)), max_size=2)),
    _mostly([""], _TEXT), _NUMBER, _TEXT, _mostly([""], _TEXT), _mostly([0, FLAG_VER], st.integers(0, 0xFFFF)), _mostly([0], _NUMBER))


@pytest.fixture(params=["c", "python"], autouse=True)
def _decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(formats_listed, "in_c", None)
    elif formats_listed.in_c is None:
        pytest.skip("rgw/formats/listed.c is not built")


def _check(found: ListedEntry, entry: DirEntry) -> None:
    meta = entry.meta
    assert found.full() == entry
    assert found[:7] == (entry.name, meta.mtime, meta.etag, meta.accounted_size, meta.storage_class, meta.owner, meta.owner_display_name)
    assert (found.exists, found.pending, found.flags, found.instance) == (entry.exists, bool(entry.pending_map), entry.flags, entry.instance)
    assert found.plain == (entry.exists and not entry.pending_map and not entry.flags and not entry.instance)


def _key(entry: DirEntry) -> str:
    return entry.name if not entry.instance and not entry.flags else f"{entry.name}\0v{entry.versioned_epoch}\0i{entry.instance}"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the same for all examples
@given(st.lists(_ENTRY, max_size=12, unique_by=_key))
def test_as_the_full_decoder(entries: list[DirEntry]) -> None:
    items = sorted((_key(entry).encode(), entry) for entry in entries)
    found = listed([(key, entry.encode()) for key, entry in items])
    assert [key.encode() for key in found] == [key for key, _ in items]
    for one, (_, entry) in zip(found.values(), items, strict=True):
        _check(one, entry)
    reply = cls_rgw.ListRet(dir=BucketDir(DirHeader(ver=7), found), truncated=True)
    again = cls_rgw.ListRet.decode(reply.encode())
    assert again.truncated and again.dir.header.ver == 7 and list(again.dir.entries) == list(found)
    for one, (_, entry) in zip(again.dir.entries.values(), items, strict=True):
        _check(one, entry)


@pytest.mark.parametrize("path", sorted(DATA.glob("DirEntry-*.bin")), ids=lambda path: path.stem)
def test_what_radosgw_wrote(path: Path) -> None:
    data = path.read_bytes()
    entry = DirEntry.decode(data)
    items = [(f"{_key(entry)}{number}".encode(), replace(entry, name=f"{entry.name}{number}").encode()) for number in range(3)]
    for one, (_, raw) in zip(listed(items).values(), items, strict=True):
        _check(one, DirEntry.decode(raw))
    _check(listed([(_key(entry).encode(), data)]).popitem()[1], entry)


def test_common_prefixes() -> None:
    entries = [DirEntry(name="a/", flags=FLAG_COMMON_PREFIX), DirEntry(name="b", exists=True), DirEntry(name="c" * 100 + "/", flags=FLAG_COMMON_PREFIX),
               DirEntry(name="d/", flags=FLAG_COMMON_PREFIX | FLAG_VER), DirEntry(name="e/", flags=FLAG_COMMON_PREFIX, tag="t")]
    for one, entry in zip(listed([(entry.name.encode(), entry.encode()) for entry in entries]).values(), entries, strict=True):
        _check(one, entry)


@pytest.mark.parametrize("long", [{"etag": "e" * 200}, {"owner": "o" * 200}, {"storage_class": "S" * 200}])
def test_a_short_entry_behind_a_long_one(long: dict[str, str]) -> None:
    entries = [DirEntry(name="a", exists=True, meta=DirEntryMeta(**long)), DirEntry(name="b", exists=True, meta=DirEntryMeta(**long)),
               DirEntry(name="c", exists=True)]
    for one, entry in zip(listed([(entry.name.encode(), entry.encode()) for entry in entries]).values(), entries, strict=True):
        _check(one, entry)


def test_a_newer_entry_is_left_to_the_full_decoder() -> None:
    data = DirEntry(name="k", exists=True).encode()
    newer = bytes([DirEntry.VERSION + 1, DirEntry.COMPAT]) + (len(data) - 3).to_bytes(4, "little") + data[6:] + b"new"
    first, second = listed([(b"j", DirEntry(name="j", exists=True).encode()), (b"k", newer)]).values()
    assert first.name == "j" and second.name == "k" and second.full().newer


def test_damage_is_told() -> None:
    meta = DirEntryMeta(category=1, size=5, mtime=10**18, etag="e" * 32, owner="alice", accounted_size=5)
    entries = [DirEntry(name=f"k{i}", ver=EntryVer(7, 200), exists=True, meta=meta, tag="t", flags=FLAG_VER * (i % 2)) for i in range(4)]
    whole = cls_rgw.ListRet(dir=BucketDir(DirHeader(), listed([(entry.name.encode(), entry.encode()) for entry in entries]))).encode()
    for cut in range(len(whole)):
        with pytest.raises(FormatError):
            cls_rgw.ListRet.decode(whole[:cut])
    chance = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            cls_rgw.ListRet.decode(bytes(damaged))
        except FormatError:
            pass


def test_neighbours_that_share_owners_keep_their_own() -> None:
    """Objects of texts are shared from entry to entry, never of another text, and none of a text that is not ASCII."""
    owners = ["a", "a", "ä", "ä", "a", "b", "", "bb", "b"]
    items = [(f"k{number}".encode(), DirEntry(name=f"k{number}", exists=True, meta=DirEntryMeta(owner=owner, etag=owner, storage_class=owner)))
             for number, owner in enumerate(owners)]
    found = listed([(key, entry.encode()) for key, entry in items])
    for one, (_, entry) in zip(found.values(), items, strict=True):
        _check(one, entry)
    assert [entry.owner for entry in found.values()] == owners


def test_entries_hold_on_to_nothing_but_their_data() -> None:
    """References that C takes are given back: of the data, of the kind, and of what could not be decoded."""
    good = DirEntry(name="k", exists=True, meta=DirEntryMeta(owner="o" * 50)).encode()
    late = DirEntry(name="p", pending_map={"t": PendingInfo()}).encode()
    old = b"\x04" + good[1:]
    kept = [good, ListedEntry]
    before = [sys.getrefcount(one) for one in kept]
    for _ in range(100):
        listed([(b"k", good), (b"p", late)])
        for bad in ([(b"k", good), (b"l", good[:-1])], [(b"k", good), (b"l", good + b"x")], [(b"k", good), (b"p", old)]):
            with pytest.raises(FormatError):
                listed(bad)
    del bad
    gc.collect()
    assert [sys.getrefcount(one) for one in kept] == before
