"""Manifests: where bytes lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgw.core.manifest import explicit_manifest, gc_chain, joined_manifest, part_manifest, part_ranges, pieces, plain_manifest, tails
from rgw.formats.basics import BucketName, Obj, PlacementRule, Pool
from rgw.formats.obj import ObjManifest

MIB = 1 << 20
RULE = PlacementRule("default-placement", "")
BUCKET = BucketName(name="b", marker="MARK", bucket_id="BID", tenant="")


def obj(name: str = "key") -> Obj:
    return Obj(BUCKET, "", name, "")


def part(number: int, size: int, prefix: str = "key.2~id") -> ObjManifest:
    return part_manifest(obj(), size, number, 4 * MIB, prefix, RULE)


def test_plain_object_head_and_stripes():
    manifest = plain_manifest(obj(), 10 * MIB, 4 * MIB, 4 * MIB, 4 * MIB, ".abc_", RULE, RULE)
    found = list(pieces(manifest))
    assert [(p.offset, p.length, p.oid, p.start, p.head) for p in found] == [
        (0, 4 * MIB, "MARK_key", 0, True),
        (4 * MIB, 4 * MIB, "MARK__shadow_.abc_1", 0, False),
        (8 * MIB, 2 * MIB, "MARK__shadow_.abc_2", 0, False),
    ]
    assert [p.oid for p in pieces(manifest, 9 * MIB, 5)] == ["MARK__shadow_.abc_2"]
    assert next(pieces(manifest, 9 * MIB, 5)).start == MIB
    assert part_ranges(manifest) is None


def test_head_without_data():
    """As radosgw writes where the tail's pool is not the head's: the first tail is stripe 0."""
    manifest = plain_manifest(obj(), 9 * MIB, 0, 0, 4 * MIB, ".abc_", RULE, RULE)
    assert [(p.offset, p.oid) for p in pieces(manifest)] == [(n * 4 * MIB, f"MARK__shadow_.abc_{n}") for n in range(3)]


def test_small_object_has_no_tail():
    assert tails(plain_manifest(obj(), 100, 100, 4 * MIB, 4 * MIB, ".abc_", RULE, RULE)) == []
    assert tails(None) == []


def test_equal_parts_share_a_rule():
    manifest = joined_manifest(obj(), [part(n, 5 * MIB) for n in (1, 2, 3)], RULE)
    assert list(manifest.rules) == [0]
    assert manifest.obj_size == 15 * MIB
    assert [p.oid for p in pieces(manifest)] == [
        "MARK__multipart_key.2~id.1", "MARK__shadow_key.2~id.1_1", "MARK__multipart_key.2~id.2", "MARK__shadow_key.2~id.2_1",
        "MARK__multipart_key.2~id.3", "MARK__shadow_key.2~id.3_1",
    ]


def test_a_shorter_last_part_has_its_own_rule():
    manifest = joined_manifest(obj(), [part(1, 5 * MIB), part(2, 5 * MIB), part(3, MIB)], RULE)
    assert sorted(manifest.rules) == [0, 10 * MIB]
    assert part_ranges(manifest) == [(1, 0, 5 * MIB), (2, 5 * MIB, 5 * MIB), (3, 10 * MIB, MIB)]


def test_a_single_part_keeps_part_size_zero():
    manifest = joined_manifest(obj(), [part(7, 5 * MIB)], RULE)
    assert manifest.rules[0].part_size == 0
    assert part_ranges(manifest) == [(7, 0, 5 * MIB)]


def test_a_part_uploaded_again_has_its_own_prefix():
    manifest = joined_manifest(obj(), [part(1, 5 * MIB), part(2, 5 * MIB, "key.other"), part(3, 5 * MIB)], RULE)
    assert [p.oid for p in pieces(manifest)][2] == "MARK__multipart_key.other.2"
    assert [p.oid for p in pieces(manifest)][4] == "MARK__multipart_key.2~id.3"


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8), st.data())
def test_joined_pieces_are_contiguous_and_name_the_right_part(sizes, data):
    numbers = sorted(data.draw(st.sets(st.integers(1, 20), min_size=len(sizes), max_size=len(sizes))))
    manifest = joined_manifest(obj(), [part_manifest(obj(), size, n, 512, "p", RULE) for n, size in zip(numbers, sizes, strict=True)], RULE)
    total = sum(sizes)
    low = data.draw(st.integers(0, total - 1))
    length = data.draw(st.integers(1, total - low))
    at = low
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    for piece in pieces(manifest, low, length):
        assert piece.offset == at
        index = max(i for i, start in enumerate(starts) if start <= at)
        inside = at - starts[index]
        stripe, start = divmod(inside, 512)
        assert piece.start == start
        name = f"p.{numbers[index]}" + (f"_{stripe}" if stripe else "")
        assert piece.loc.name == name
        assert piece.length <= 512 - start
        at += piece.length
    assert at == low + length


def test_manifests_survive_encoding():
    for manifest in (joined_manifest(obj(), [part(1, 5 * MIB), part(2, MIB)], RULE),
                     plain_manifest(obj(), 10 * MIB, 4 * MIB, 4 * MIB, 4 * MIB, ".abc_", RULE, RULE)):
        assert list(pieces(ObjManifest.decode(manifest.encode()))) == list(pieces(manifest))


def test_explicit_pieces_keep_pool_and_place():
    source = plain_manifest(obj("src"), 10 * MIB, 4 * MIB, 4 * MIB, 4 * MIB, ".abc_", RULE, RULE)
    from rgw.core.part_copy import pooled

    found = [type(p)(p.offset - 5 * MIB, p.length, pooled(p.loc, "data"), p.start) for p in pieces(source, 5 * MIB, 4 * MIB)]
    manifest = ObjManifest.decode(explicit_manifest(obj("dst"), found, 4 * MIB, 0, RULE).encode())
    again = list(pieces(manifest, 1, 4 * MIB))
    assert [(p.offset, p.length, p.start, p.pool) for p in again] == [(1, 3 * MIB - 1, MIB + 1, "data"), (3 * MIB, MIB, 0, "data")]
    assert [item.pool for item in gc_chain(again, "other")] == ["data", "data"]
    assert BUCKET.data_pool == Pool("", "") or not BUCKET.data_pool


@pytest.mark.parametrize("size", [0, 1])
def test_tiny_multipart(size):
    manifest = joined_manifest(obj(), [part(1, size)], RULE)
    assert sum(p.length for p in pieces(manifest)) == size
