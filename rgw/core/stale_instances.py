"""Bucket instances that a reshard, or the removal of a bucket, left behind: with their index, but nobody looks there any more.

As `radosgw-admin reshard stale-instances` has it: instances whose reshard is done, and those that the bucket's entry point does not name.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rgw.core import metadata_sections
from rgw.core.buckets import entry_oid, instance_oid
from rgw.core.parallel import each
from rgw.core.reshard_ending import DONE, IN_PROGRESS
from rgw.formats.basics import BucketName
from rgw.formats.bucket import BucketEntryPoint, BucketInfo
from rgw.store.errors import NotFound

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

_PARALLEL = 16  # buckets looked at, at the same time
_YOUNG = 60_000_000_000  # ns; a bucket that is being made has its instance before its entry point


@dataclass(frozen=True, slots=True)
class StaleInstance:
    """``key`` as in metadata: `[tenant/]bucket:id`."""

    key: str
    info: BucketInfo


async def find(gw: Gateway, progress: Callable[[str], None] | None = None) -> list[StaleInstance]:
    """All stale instances. What a reshard works on that is under way is left out; one that died is to be settled before."""
    instances: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in await metadata_sections.keys(gw, "bucket.instance"):
        bucket, _, bucket_id = key.rpartition(":")
        tenant, _, name = bucket.rpartition("/")
        instances[tenant, name].append(bucket_id)
    done = 0

    async def one(bucket: tuple[str, str]) -> list[StaleInstance]:
        nonlocal done
        found = await _of_bucket(gw, *bucket, instances[bucket])
        done += 1
        if progress is not None:
            progress(f"{done:,} of {len(instances):,} buckets looked at")
        return found

    return [stale for found in await each(instances, one, _PARALLEL) for stale in found]


async def remove(gw: Gateway, stale: StaleInstance) -> bool:
    """Removes an instance and its index; False if a reshard is at it. Objects of a bucket that is no more stay (`orphans find` tells them)."""
    info = stale.info
    async with gw.resharder.locked(info.bucket) as free:
        if not free:
            return False
        explicit = info.bucket.index_pool
        index = await gw.pool(explicit) if explicit.name else gw.index_pool(info.placement_rule)
        await gw.buckets.remove_shards(index, info.bucket.bucket_id, info.layout.num_shards)
        try:
            await gw.metadata.remove(gw.zone.meta_root, instance_oid(info.bucket))
        except NotFound:
            return True  # somebody else was faster
    return True


async def _info(gw: Gateway, name: BucketName) -> BucketInfo | None:
    try:
        return BucketInfo.decode((await gw.metadata.get(gw.zone.meta_root, instance_oid(name), fresh=True)).data)
    except NotFound:
        return None


async def _current(gw: Gateway, tenant: str, name: str) -> BucketInfo | None:
    """The instance that the entry point names, also of a bucket that is unlinked."""
    try:
        entry = await gw.metadata.get(gw.zone.meta_root, entry_oid(name, tenant), fresh=True)
    except NotFound:
        return None
    return await _info(gw, BucketEntryPoint.decode(entry.data).bucket)


async def _of_bucket(gw: Gateway, tenant: str, name: str, ids: list[str]) -> list[StaleInstance]:
    read = [await _info(gw, BucketName(name=name, tenant=tenant, bucket_id=bucket_id)) for bucket_id in ids]
    current = await _current(gw, tenant, name)  # after the instances: one that was made since is not among them
    infos = [info for info in read if info is not None and (current is None or info.bucket.bucket_id != current.bucket.bucket_id)]
    done = [info for info in infos if info.reshard_status == DONE]
    others = [info for info in infos if info.reshard_status != DONE]
    if current is None:
        others = [info for info in others if time.time_ns() - info.creation_time > _YOUNG]
    elif current.reshard_status == IN_PROGRESS:
        others = []
    elif others:
        others = [info for info in others if info.bucket.bucket_id != current.new_bucket_instance_id]
        async with gw.resharder.locked(current.bucket) as free:
            if not free:
                others = []
    return [StaleInstance(f"{tenant}/{name}:{i.bucket.bucket_id}" if tenant else f"{name}:{i.bucket.bucket_id}", i) for i in done + others]
