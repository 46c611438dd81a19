"""One change of one index entry: prepared, then completed or cancelled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rgw.core.index import OP_ADD, OP_DEL, BucketIndex, IndexKey
from rgw.formats.index import DirEntryMeta
from rgw.store.errors import InvalidArgument

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)


class IndexChange:
    """A prepared change; exactly one of ``complete`` and ``cancel`` ends it."""

    __slots__ = ("_index", "_key", "_op", "tag")

    def __init__(self, index: BucketIndex, key: IndexKey, op: int, tag: str) -> None:
        self._index = index
        self._key = key
        self._op = op
        self.tag = tag

    @classmethod
    async def prepare(cls, gw: Gateway, bucket: Bucket, key: IndexKey, *, delete: bool, tag: str) -> IndexChange:
        """Announces that the entry will be added (or deleted)."""
        index = BucketIndex(gw, bucket)
        op = OP_DEL if delete else OP_ADD
        await index.prepare(op, tag, key)
        return cls(index, key, op, tag)

    async def complete(self, pool_id: int, version: int, meta: DirEntryMeta, remove: Sequence[IndexKey] = ()) -> None:
        """Ends the change; ``remove`` names entries of the same shard that go with it."""
        while True:
            try:
                await self._index.complete(self._op, self.tag, self._key, pool_id=pool_id, version=version, meta=meta, remove=remove)
                return
            except InvalidArgument:
                # It took so long that a listing settled the entry without it (rgw.core.index_repair), maybe before the head was written.
                log.warning("the change of %s in the index took very long and is made again", self._key.name)
                self.tag += "'"
                await self._index.prepare(self._op, self.tag, self._key)

    async def cancel(self) -> None:
        try:
            await self._index.cancel(self.tag, self._key)
        except InvalidArgument:
            log.debug("the change of %s in the index is off already", self._key.name)
