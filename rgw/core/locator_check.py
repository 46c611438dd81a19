"""Objects that old radosgws put in the wrong place: keys that begin with an underscore, whose RADOS objects have a locator or must have none.

A head of such a key bears a locator (formats page, 2.1), its tails do not; releases before Firefly forgot the one and gave the other. They cannot
be found by their keys, and `radosgw-admin bucket check --check-head-obj-locator`, which this follows, brings them to where they belong. In a store
where a name stands for one object, whatever its locator, everything is in its place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rgw.core import places
from rgw.core.manifest import tails
from rgw.core.state import load
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.index import FLAG_DELETE_MARKER
from rgw.store.errors import Exists, NotFound
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway


@dataclass(slots=True)
class Place:
    """Where the head (``oid``, ``locator``), or the tails, of a version of a key were looked for. ``status``: ok, needs_fixing or fixed."""

    kind: str  # head or tail
    key: str
    instance: str
    needs_fixing: bool = False
    status: str = "ok"
    oid: str = ""
    locator: str = ""

    def dump(self) -> dict[str, Any]:
        """radosgw-admin's JSON."""
        where = {"oid": self.oid, "locator": self.locator} if self.kind == "head" else {}
        return {"key": {"type": self.kind, "name": self.key, "instance": self.instance}, **where,
                "needs_fixing": self.needs_fixing, "status": self.status}


async def check(
    gw: Gateway, bucket: Bucket, *, fix: bool = False, remove_bad: bool = False, progress: Callable[[str], None] | None = None,
) -> list[Place]:
    """Looks at head and tails of each version of each key that begins with an underscore. ``fix`` copies what is in the wrong place to the right
    one (heads; what is in the wrong place is removed with ``remove_bad`` only) or moves it (tails)."""
    found: list[Place] = []
    async for key, instance in _versions(gw, bucket):
        found.append(await _check_head(gw, bucket, key, instance, fix, remove_bad))
        found.append(await _check_tails(gw, bucket, key, instance, fix))
        if progress is not None:
            progress(f"{bucket.name}: {len(found) // 2:,} objects looked at")
    return found


async def _versions(gw: Gateway, bucket: Bucket) -> AsyncIterator[tuple[str, str]]:
    """Key and instance of all versions but delete markers, which have no object."""
    marker, version, more = "", "", True
    while more:
        page = await gw.listing.versions(bucket, "_", key_marker=marker, version_marker=version)
        for entry in page.entries:
            if not entry.flags & FLAG_DELETE_MARKER:
                yield entry.name, entry.instance
        more, marker, version = page.truncated, page.next_marker, page.next_version_marker


async def _exists(ioctx: IoCtx, oid: str, locator: str) -> bool:
    try:
        await ioctx.read(oid, ReadOp().stat(), locator)
    except NotFound:
        return False
    return True


async def _copy(ioctx: IoCtx, oid: str, wrong: str, right: str) -> None:
    """Copies an object from one locator to another, with its xattrs and time; nothing if there is one already. NotFound."""
    found = await ioctx.read(oid, ReadOp().assert_exists().stat().getxattrs().read(), wrong)
    try:
        await ioctx.write(oid, WriteOp(found.mtime).create(exclusive=True).write_full(found.data).setxattrs(found.xattrs), right)
    except Exists:
        return  # written meanwhile, by a gateway that knows where it belongs


async def _remove(ioctx: IoCtx, oid: str, locator: str) -> bool:
    try:
        await ioctx.write(oid, WriteOp().remove(), locator)
    except NotFound:
        return False
    return True


def _distinct(gw: Gateway) -> bool:
    return gw.cluster.capabilities.locators_tell_apart


async def _check_head(gw: Gateway, bucket: Bucket, key: str, instance: str, fix: bool, remove_bad: bool) -> Place:
    ioctx = await places.head_pool(gw, bucket)
    place = Place("head", key, instance, oid=names.raw_name(bucket.marker, key, instance), locator=names.locator(bucket.marker, key))
    if not await _exists(ioctx, place.oid, place.locator):
        place.needs_fixing, place.status = True, "needs_fixing"
        if fix:
            try:
                await _copy(ioctx, place.oid, "", place.locator)
                place.status = "fixed"
            except NotFound:
                pass  # it is in neither place
    if fix and remove_bad and place.status != "needs_fixing" and _distinct(gw) and await _remove(ioctx, place.oid, ""):
        place.status = "fixed"
    return place


async def _check_tails(gw: Gateway, bucket: Bucket, key: str, instance: str, fix: bool) -> Place:
    place = Place("tail", key, instance)
    try:
        state = await load(gw, bucket, key, instance or "null")
    except S3Error as error:
        if error.code not in ("NoSuchKey", "NoSuchVersion"):
            raise
        return place
    for piece in tails(state.manifest):
        if not piece.loc.ns:
            continue
        assert state.manifest is not None
        ioctx = await gw.pool(piece.pool or places.manifest_pool_name(gw, bucket, state.manifest))
        wrong = f"{piece.loc.bucket.marker}_{piece.loc.name}"
        if not _distinct(gw) or await _exists(ioctx, piece.oid, piece.locator) or not await _exists(ioctx, piece.oid, wrong):
            continue
        place.needs_fixing, place.status = True, "needs_fixing"
        if fix:
            await _copy(ioctx, piece.oid, wrong, piece.locator)
            await _remove(ioctx, piece.oid, wrong)
            place.status = "ok"
    return place
