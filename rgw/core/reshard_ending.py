"""How a reshard ends, once the entry point tells which index the bucket has: forward to the new one, or back to the old (rgw.core.reshard)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

from rgw.core.buckets import entry_oid, instance_oid
from rgw.core.index import shard_names
from rgw.core.reshard_marks import MARK, STATE
from rgw.formats import cls_rgw
from rgw.formats.basics import BucketName
from rgw.formats.bucket import BucketEntryPoint, BucketInfo
from rgw.formats.index import ReshardEntry
from rgw.store import classes
from rgw.store.errors import Cancelled, NotFound
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway
    from rgw.core.metadata import SystemObject

log = logging.getLogger(__name__)

NOT_RESHARDING, IN_PROGRESS, DONE = 0, 1, 2  # of a shard's header and of a bucket's instance
NOTES = "gw.reshards"  # in the reshard namespace: omap of ReshardEntry, one for each reshard of ours that is under way
_INSTANCE_FIELDS = {"bucket", "layout", "reshard_status", "new_bucket_instance_id"}  # of BucketInfo: an instance's own

Step = Callable[[str, int], None]  # a step's name, and entries copied so far


def no_step(name: str, copied: int) -> None:
    """For who does not want to be told."""


def note_key(note: ReshardEntry) -> bytes:
    """Under which the reshard stands in ``NOTES``."""
    return f"{note.tenant}:{note.bucket_name}:{note.bucket_id}".encode("utf-8", "surrogateescape")


class Ending:
    """What follows the decision, forward or back. Every step may have been done already."""

    def __init__(self, gateway: Gateway, reshards: IoCtx, index: IoCtx, note: ReshardEntry, on_step: Step = no_step) -> None:
        self._gw = gateway
        self._reshards = reshards
        self._index = index
        self._note = note
        self._on_step = on_step

    def _name(self, bucket_id: str) -> BucketName:
        return BucketName(name=self._note.bucket_name, tenant=self._note.tenant, bucket_id=bucket_id)

    async def forward(self, made_from: SystemObject | None = None) -> None:
        """``made_from``: the old instance as the new one repeats it, where that is known."""
        note, metadata, pool = self._note, self._gw.metadata, self._gw.zone.meta_root
        oid = entry_oid(note.bucket_name, note.tenant)
        await metadata.announce(pool, oid)
        self._on_step("announced", 0)
        await self._finish_old_instance(made_from)
        self._on_step("old instance done", 0)
        await self._enter_in_list(oid)
        self._on_step("listed", 0)
        # radosgw's writers wait until the old shards are gone; the lock must outlive them.
        await self._gw.buckets.remove_shards(self._index, note.bucket_id, note.old_num_shards)
        self._on_step("old shards removed", 0)
        await self._remove_instance(note.bucket_id)
        self._on_step("old instance removed", 0)
        await self._forget()

    async def _finish_old_instance(self, made_from: SystemObject | None) -> None:
        """Tells radosgw, which may still hold the old instance, where the bucket went. A change that came in late is carried over."""
        metadata, pool = self._gw.metadata, self._gw.zone.meta_root
        oid = instance_oid(self._name(self._note.bucket_id))
        while True:
            try:
                old = await metadata.get(pool, oid, fresh=True)
            except NotFound:
                return
            info = BucketInfo.decode(old.data)
            if info.reshard_status == DONE:
                return
            if info.newer:
                log.warning("a newer release wrote %s while it was resharded: it is left as it is", oid)
                return
            if made_from is None or old.version != made_from.version:
                await self._carry_over(old, made_from)
                made_from = old
            info.reshard_status, info.new_bucket_instance_id = DONE, self._note.new_instance_id
            try:
                await metadata.replace(pool, oid, info.encode(), old.xattrs, old)
                return
            except Cancelled:
                continue
            except NotFound:
                return

    async def _carry_over(self, old: SystemObject, made_from: SystemObject | None) -> None:
        """Brings to the new instance what was changed in the old one since ``made_from``.

        Where that is not known, the one written last counts, as a whole.
        """
        metadata, pool = self._gw.metadata, self._gw.zone.meta_root
        oid = instance_oid(self._name(self._note.new_instance_id))
        while True:
            try:
                new = await metadata.get(pool, oid, fresh=True)
            except NotFound:
                return
            if made_from is None and new.mtime >= old.mtime:
                return
            base = made_from or new
            info, was, now = BucketInfo.decode(new.data), BucketInfo.decode(base.data), BucketInfo.decode(old.data)
            for field in fields(BucketInfo):
                if field.name not in _INSTANCE_FIELDS and getattr(now, field.name) != getattr(was, field.name):
                    setattr(info, field.name, getattr(now, field.name))
            xattrs = {name: value for name, value in new.xattrs.items() if name in old.xattrs or name not in base.xattrs}
            xattrs |= {name: value for name, value in old.xattrs.items() if base.xattrs.get(name) != value}
            try:
                await metadata.replace(pool, oid, info.encode(), xattrs, new)
                return
            except Cancelled:
                continue
            except NotFound:
                return

    async def _enter_in_list(self, oid: str) -> None:
        metadata, pool = self._gw.metadata, self._gw.zone.meta_root
        try:
            point = BucketEntryPoint.decode((await metadata.get(pool, oid, fresh=True)).data)
        except NotFound:
            return  # deleted meanwhile
        if point.bucket.bucket_id == self._note.new_instance_id:
            await self._gw.buckets.link(point)

    async def back(self, *, remove_new: bool) -> None:
        """Leaves the bucket as it was before."""
        note = self._note
        await self._gw.buckets.each(shard_names(note.bucket_id, note.old_num_shards), self._unmark)
        self._on_step("old shards cleared", 0)
        if remove_new and note.new_instance_id:
            await self._gw.buckets.remove_shards(self._index, note.new_instance_id, note.new_num_shards)
            await self._remove_instance(note.new_instance_id)
        await self._reset_old_instance()
        await self._forget()

    async def _unmark(self, oid: str) -> None:
        clear = classes.CLEAR_BUCKET_RESHARDING(cls_rgw.ClearBucketReshardingOp())
        try:
            await self._index.write(oid, WriteOp().assert_exists().call(clear).rmxattr(STATE))
            while True:
                marks = (await self._index.read(oid, ReadOp().assert_exists().omap_get(b"", MARK))).omap
                assert marks is not None
                if not marks.values:
                    return
                await self._index.write(oid, WriteOp().assert_exists().omap_rm(marks.values))
        except NotFound:
            log.debug("index object %s is gone", oid)

    async def _reset_old_instance(self) -> None:
        """A radosgw that died in a reshard left the instance in progress."""
        metadata, pool = self._gw.metadata, self._gw.zone.meta_root
        oid = instance_oid(self._name(self._note.bucket_id))
        try:
            old = await metadata.get(pool, oid, fresh=True)
            info = BucketInfo.decode(old.data)
            if info.reshard_status != NOT_RESHARDING and not info.newer:
                info.reshard_status, info.new_bucket_instance_id = NOT_RESHARDING, ""
                await metadata.replace(pool, oid, info.encode(), old.xattrs, old)
        except (NotFound, Cancelled):
            log.info("bucket %s changed while its reshard was taken back", self._note.bucket_name)

    async def _remove_instance(self, bucket_id: str) -> None:
        try:
            await self._gw.metadata.remove(self._gw.zone.meta_root, instance_oid(self._name(bucket_id)))
        except NotFound:
            log.debug("the instance %s is gone", bucket_id)

    async def _forget(self) -> None:
        try:
            await self._reshards.write(NOTES, WriteOp().assert_exists().omap_rm([note_key(self._note)]))
        except NotFound:
            log.debug("there are no notes of reshards")
