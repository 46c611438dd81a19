"""What the tests of resharding share: entries of an index, what a bucket must be like afterwards, and deaths."""

from __future__ import annotations

import asyncio

from rgw.core.index import OP_ADD, OP_DEL, IndexKey, shard_names
from rgw.core.reshard_lock import LOCK
from rgw.core.reshard_marks import MARK, STATE
from rgw.formats.cls_lock import BreakLockOp, GetInfoOp
from rgw.formats.index import DirEntryMeta
from rgw.formats.names import bucket_shard
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp

META = DirEntryMeta(category=1, size=10, accounted_size=10)
OPTIONS = {"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 4, "rgw_override_bucket_index_max_shards": 3, "rgw_reshard_batch_size": 40,
           "rgw_reshard_rest": 0, "rgw_multipart_min_part_size": 0, "rgw_reshard_num_logs": 2}


class Killed(BaseException):
    """The process dies: nothing is cleaned up."""


async def fill(gateway, bucket, count: int) -> list[str]:
    """Index entries without data, written in one go."""
    names = [f"k{i:05d}" for i in range(count)]
    await asyncio.gather(*(add(gateway, bucket, name) for name in names))
    return names


async def add(gateway, bucket, name: str) -> None:
    tag, key = gateway.new_tag(), IndexKey.of(name)
    await bucket.index.prepare(OP_ADD, tag, key)
    await bucket.index.complete(OP_ADD, tag, key, pool_id=1, version=7, meta=META)


async def remove(gateway, bucket, name: str) -> None:
    tag, key = gateway.new_tag(), IndexKey.of(name)
    await bucket.index.prepare(OP_DEL, tag, key)
    await bucket.index.complete(OP_DEL, tag, key, pool_id=1, version=0, meta=DirEntryMeta())


async def listed(gateway, bucket) -> list[str]:
    names: list[str] = []
    while True:
        page = await gateway.listing.objects(bucket, marker=names[-1] if names else "")
        names += [entry.name for entry in page.entries]
        if not page.truncated:
            return names


async def settled(gateway, bucket, shards: int) -> None:
    """Every key lies in its shard, the statistics are those of the entries, and nothing of a reshard is left."""
    await gateway.buckets.reload(bucket)
    assert bucket.num_shards == shards
    oids = shard_names(bucket.bucket_id, shards)
    for number, oid in enumerate(oids):
        found = await bucket.index_ioctx.read(oid, ReadOp().getxattrs().omap_get(max_entries=10_000).call(classes.BUCKET_CHECK_INDEX()))
        assert STATE not in found.xattrs
        checked = found.reply
        stored, counted = ({category: row for category, row in header.stats.items() if row.num_entries and category}
                           for header in (checked.existing_header, checked.calculated_header))
        assert stored == counted  # but for null delete markers (category 0), which the class counts only when it counts anew
        assert checked.existing_header.new_instance.status == 0
        for key in found.omap.values:
            assert not key.startswith(MARK)
            name = key.removeprefix(b"\x801000_").removeprefix(b"\x801001_").split(b"\0")[0].decode()
            plain = name.removeprefix("_multipart_").rsplit(".", 2)[0] if name.startswith("_multipart_") else name.removeprefix("_")
            assert shards <= 1 or bucket_shard(plain, shards) == number
    marker = bucket.marker.encode()
    objects = [item.name async for item in bucket.index_ioctx.list_objects() if bucket.bucket_id in item.name or item.name in oids]
    assert sorted(objects) == sorted(oids), marker
    reshards = await gateway.pool(gateway.zone.reshard_pool)
    try:
        notes = (await reshards.read("gw.reshards", ReadOp().omap_get())).omap.values
    except NotFound:
        notes = {}
    assert not [key for key in notes if bucket.name.encode() in key]


async def all_shards(gateway, bucket) -> set[str]:
    """The index objects of all instances that this gateway gave the bucket."""
    return {item.name async for item in bucket.index_ioctx.list_objects()}


async def break_lock(gateway, bucket, bucket_id: str) -> None:
    """What time does to the lock of one who died."""
    ioctx, oid = await gateway.pool(gateway.zone.reshard_pool), f"{bucket.name}:{bucket_id}"
    try:
        reply = (await ioctx.read(oid, ReadOp().assert_exists().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK))))).reply
    except NotFound:
        return
    for locker in reply.lockers:
        call = classes.LOCK_BREAK_LOCK(BreakLockOp(name=LOCK, locker=locker.id.locker, cookie=locker.id.cookie))
        await ioctx.write(oid, WriteOp().call(call))


def dies_at(step: str):
    def on_step(name: str, copied: int) -> None:
        if name == step:
            raise Killed(step)
    return on_step
