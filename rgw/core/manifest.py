"""Where an object's bytes lie: manifests read as pieces of RADOS objects, and manifests for new objects.

Source: RGWObjManifest of Ceph Pacific. A manifest is either a set of rules, from which names are computed, or an explicit list of pieces.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rgw.formats import names
from rgw.formats.basics import BucketName, Obj, PlacementRule, Pool
from rgw.formats.gc import GcObj
from rgw.formats.index import ClsObjKey
from rgw.formats.obj import ManifestPart, ManifestRule, ObjManifest


@dataclass(frozen=True, slots=True)
class Piece:
    """``length`` bytes of an object from ``offset`` on, at ``start`` in one RADOS object.

    ``loc`` names it; ``pool`` is "" where the manifest's tail placement decides; ``head`` if it is the object's own head.
    """

    offset: int
    length: int
    loc: Obj
    start: int
    pool: str = ""
    head: bool = False

    @property
    def oid(self) -> str:
        return names.raw_name(self.loc.bucket.marker, self.loc.name, self.loc.instance, self.loc.ns)

    @property
    def locator(self) -> str:
        return "" if self.loc.ns else names.locator(self.loc.bucket.marker, self.loc.name)


def pool_text(pool: Pool | str) -> str:
    """A pool of a bucket or zone as text; "" if none is named."""
    return pool if isinstance(pool, str) else pool.text() if pool.name else ""


def tail_bucket(manifest: ObjManifest) -> BucketName:
    """The bucket whose marker the tails bear."""
    return manifest.tail_bucket or manifest.obj.bucket


def tail_instance(manifest: ObjManifest) -> str:
    """The version under which the tails are named."""
    return manifest.obj.instance if manifest.tail_instance is None else manifest.tail_instance


def _same(a: Obj, b: Obj) -> bool:
    return (a.bucket.marker, a.ns, a.name, a.instance) == (b.bucket.marker, b.ns, b.name, b.instance)


def _explicit(manifest: ObjManifest, offset: int, end: int) -> Iterator[Piece]:
    starts = sorted(manifest.objs)
    first = max(bisect_right(starts, offset) - 1, 0)
    for i in range(first, len(starts)):
        start = starts[i]
        if start >= end:
            return
        stop = starts[i + 1] if i + 1 < len(starts) else manifest.obj_size
        low, high = max(start, offset), min(stop, end)
        if low >= high:
            continue
        part = manifest.objs[start]
        pool = pool_text(part.loc.bucket.data_pool)
        yield Piece(low, high - low, part.loc, part.loc_ofs + low - start, pool, _same(part.loc, manifest.obj))


def pieces(manifest: ObjManifest, offset: int = 0, length: int | None = None) -> Iterator[Piece]:
    """The pieces that hold ``length`` bytes (None: all) from ``offset`` on, in order. Work is in proportion to what is yielded."""
    end = manifest.obj_size if length is None else min(offset + length, manifest.obj_size)
    if manifest.explicit_objs:
        yield from _explicit(manifest, offset, end)
        return
    bucket, instance = tail_bucket(manifest), tail_instance(manifest)
    pool = pool_text(bucket.data_pool)
    starts = sorted(manifest.rules)
    while offset < end:
        if offset < manifest.head_size:
            stop = min(manifest.head_size, end)
            yield Piece(offset, stop - offset, manifest.obj, offset, pool_text(manifest.obj.bucket.data_pool), head=True)
            offset = stop
            continue
        i = bisect_right(starts, offset) - 1
        rule = manifest.rules[starts[i]]
        rule_end = starts[i + 1] if i + 1 < len(starts) else manifest.obj_size
        number, begin = rule.start_part_num, rule.start_ofs
        if rule.part_size:
            step = (offset - rule.start_ofs) // rule.part_size
            number, begin = number + step, begin + step * rule.part_size
            rule_end = min(rule_end, begin + rule.part_size)
        stripe = (offset - begin) // rule.stripe_max_size
        start = begin + stripe * rule.stripe_max_size
        stop = min(start + rule.stripe_max_size, rule_end, end)
        prefix = rule.override_prefix or manifest.prefix
        if number == 0 and manifest.head_size:  # the head is stripe 0; where it holds no data (a storage class elsewhere) the first tail is
            stripe += 1
        yield Piece(offset, stop - offset, Obj(bucket, *stripe_name(prefix, number, stripe), instance), offset - start, pool)
        offset = stop


def stripe_name(prefix: str, part: int, stripe: int) -> tuple[str, str]:
    """(namespace, name) of a tail: ``part`` 0 is a plain object."""
    if part == 0:
        return "shadow", f"{prefix}{stripe}"
    return ("shadow", f"{prefix}.{part}_{stripe}") if stripe else ("multipart", f"{prefix}.{part}")


def tails(manifest: ObjManifest | None) -> list[Piece]:
    """Every piece that does not lie in the object's own head."""
    return [] if manifest is None else [piece for piece in pieces(manifest) if not piece.head]


def gc_chain(found: Iterable[Piece], default_pool: str) -> list[GcObj]:
    """The distinct RADOS objects of the pieces, as a garbage collection entry lists them."""
    seen: dict[tuple[str, str], GcObj] = {}
    for piece in found:
        pool = piece.pool or default_pool
        if (pool, piece.oid) not in seen:
            seen[pool, piece.oid] = gc_obj(pool, piece.oid, piece.locator)
    return list(seen.values())


def gc_obj(pool: str, oid: str, locator: str = "") -> GcObj:
    """One RADOS object of a garbage collection entry (cls_rgw_obj, whose key repeats the name)."""
    return GcObj(pool=pool, oid=oid, loc=locator, key=ClsObjKey(name=oid, instance=""))


def plain_manifest(
    obj: Obj, size: int, head_size: int, max_head: int, stripe: int, prefix: str, tail: PlacementRule, head: PlacementRule,
) -> ObjManifest:
    """The manifest of an object written in one go."""
    rule = ManifestRule(start_part_num=0, start_ofs=max_head, part_size=0, stripe_max_size=stripe, override_prefix="")
    return ObjManifest(
        obj_size=size, objs={}, explicit_objs=False, obj=obj, head_size=head_size, max_head_size=max_head, prefix=prefix,
        rules={0: rule}, head_placement=head, tail_placement=tail,
    )


def part_manifest(obj: Obj, size: int, number: int, stripe: int, prefix: str, tail: PlacementRule) -> ObjManifest:
    """The manifest of one uploaded part, as ``.meta`` records it. ``obj`` is the final object."""
    rule = ManifestRule(start_part_num=number, start_ofs=0, part_size=0, stripe_max_size=stripe, override_prefix="")
    return ObjManifest(
        obj_size=size, objs={}, explicit_objs=False, obj=obj, head_size=0, max_head_size=0, prefix=prefix, rules={0: rule},
        head_placement=PlacementRule("", ""), tail_placement=tail,
    )


def joined_manifest(obj: Obj, parts: list[ObjManifest], tail: PlacementRule) -> ObjManifest:
    """One manifest by rules for the parts of a multipart upload, in order; runs of equal parts share a rule."""
    rules: dict[int, ManifestRule] = {}
    prefix = parts[0].prefix
    offset = 0
    last: ManifestRule | None = None
    for part in parts:
        source = part.rules[0]
        override = "" if part.prefix == prefix else part.prefix
        joins = False
        if last is not None:
            count = (offset - last.start_ofs) // last.part_size
            joins = (
                source.start_part_num == last.start_part_num + count and part.obj_size == last.part_size
                and override == last.override_prefix and source.stripe_max_size == last.stripe_max_size
            )
        if not joins:
            last = ManifestRule(
                start_part_num=source.start_part_num, start_ofs=offset, part_size=part.obj_size,
                stripe_max_size=source.stripe_max_size, override_prefix=override,
            )
            if part.obj_size:
                rules[offset] = last
            else:
                last = None
        offset += part.obj_size
    if len(parts) == 1 or not rules:
        source = parts[0].rules[0]
        rules = {0: replace(source, start_ofs=0, part_size=0, override_prefix="")}
    return ObjManifest(
        obj_size=offset, objs={}, explicit_objs=False, obj=obj, head_size=0, max_head_size=0, prefix=prefix, rules=rules,
        head_placement=PlacementRule("", ""), tail_placement=tail,
    )


def explicit_manifest(obj: Obj, found: Iterable[Piece], size: int, own: int, tail: PlacementRule) -> ObjManifest:
    """A manifest that lists its pieces. ``own`` bytes at its start lie in the object's head (as in a part that copied its source's)."""
    objs = {piece.offset: ManifestPart(loc=piece.loc, loc_ofs=piece.start, size=piece.length) for piece in found}
    return ObjManifest(
        obj_size=size, objs=objs, explicit_objs=True, obj=obj, head_size=own, max_head_size=own, prefix="", rules={},
        head_placement=PlacementRule("", ""), tail_placement=tail,
    )


def part_ranges(manifest: ObjManifest | None) -> list[tuple[int, int, int]] | None:
    """(part number, offset, size) of a multipart object, None for others and for explicit manifests, which do not tell."""
    if manifest is None or manifest.explicit_objs or not manifest.rules:
        return None
    found: list[tuple[int, int, int]] = []
    starts = sorted(manifest.rules)
    for i, key in enumerate(starts):
        rule = manifest.rules[key]
        if rule.start_part_num == 0:
            return None
        end = starts[i + 1] if i + 1 < len(starts) else manifest.obj_size
        size = rule.part_size or end - rule.start_ofs
        offset, number = rule.start_ofs, rule.start_part_num
        while True:
            found.append((number, offset, min(size, end - offset)))
            offset, number = offset + size, number + 1
            if offset >= end:
                break
    return found
