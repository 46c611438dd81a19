"""One run of a bucket's lifecycle rules over its objects, versions and uploads."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from rgw.core import lc_rules
from rgw.core.conditions import Conditions
from rgw.core.lc_rules import Clock, Item
from rgw.core.restrictions import locked
from rgw.core.transition import change_class
from rgw.errors import S3Error
from rgw.formats.basics import ObjTags
from rgw.formats.index import FLAG_DELETE_MARKER
from rgw.formats.lifecycle import LcRule
from rgw.formats.listed import ListedEntry
from rgw.store.errors import StoreError

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

TAGGING = "user.rgw.x-amz-tagging"
_PAGE = 1000
Progress = Callable[[str], None]
_GONE = ("NoSuchKey", "NoSuchVersion", "NoSuchUpload", "PreconditionFailed", "OperationAborted")  # somebody else changed it: next time


class BucketRun:
    """``run`` does what is due. ``done`` counts it by kind; ``failed`` what the store or the gateway refused."""

    def __init__(self, gateway: Gateway, bucket: Bucket, rules: list[LcRule], clock: Clock, progress: Progress | None = None) -> None:
        self._gateway = gateway
        self._bucket = bucket
        self._rules = [rule for rule in rules if rule.enabled]
        self._clock = clock
        self._progress = progress
        self._seen = 0
        self._limit = asyncio.Semaphore(gateway.options.rgw_lc_max_wp_worker)
        self.done: Counter[str] = Counter()
        self.failed = 0

    async def run(self) -> None:
        for prefix in lc_rules.common_prefixes(self._rules):
            batch: list[Item] = []
            async for item in self._items(prefix):
                if any(lc_rules.fits(rule, item) for rule in self._rules):
                    batch.append(item)
                if len(batch) >= _PAGE:
                    await self._each(batch)
                    batch = []
            await self._each(batch)
        await self._uploads()

    async def _each(self, batch: list[Item]) -> None:
        async def one(item: Item) -> None:
            async with self._limit:
                try:
                    await self._apply(item)
                except (S3Error, StoreError) as error:
                    if isinstance(error, S3Error) and error.code in _GONE:
                        return
                    self.failed += 1
                    log.warning("lifecycle of %s/%s: %s", self._bucket.name, item.key, error)

        await asyncio.gather(*(one(item) for item in batch))
        self._seen += len(batch)
        if self._progress is not None:
            self._progress(f"{self._bucket.name}: {self._seen:,} objects looked at, {sum(self.done.values()):,} of them expired or moved")

    async def _items(self, prefix: str) -> AsyncIterator[Item]:
        if not self._bucket.versioned:
            async for entry in self._entries(prefix, versions=False):
                yield self._item(entry, entry.name)
            return
        group: list[ListedEntry] = []
        async for entry in self._entries(prefix, versions=True):
            if group and entry.name != group[0].name:
                for item in self._versions(group):
                    yield item
                group = []
            group.append(entry)
        for item in self._versions(group):
            yield item

    async def _entries(self, prefix: str, *, versions: bool) -> AsyncIterator[ListedEntry]:
        marker, version = "", ""
        while True:
            if versions:
                page = await self._gateway.listing.versions(self._bucket, prefix, "", marker, version, _PAGE)
            else:
                page = await self._gateway.listing.objects(self._bucket, prefix, marker=marker, max_keys=_PAGE)
            for entry in page.entries:
                yield entry
            if not page.truncated:
                return
            marker, version = page.next_marker, page.next_version_marker

    @staticmethod
    def _item(entry: ListedEntry, key: str, version: str = "") -> Item:
        return Item(key, version, entry.mtime, entry.accounted_size, entry.storage_class)

    def _versions(self, group: list[ListedEntry]) -> list[Item]:
        """The entries of one key, newest first, with what they know of each other."""
        found: list[Item] = []
        noncurrent, since = 0, 0
        for entry in group:
            found.append(replace(
                self._item(entry, entry.name, entry.instance or "null"), current=entry.current, delete_marker=bool(entry.flags & FLAG_DELETE_MARKER),
                alone=len(group) == 1, successor=since, newer=noncurrent))
            noncurrent += not entry.current
            since = entry.mtime
        return found

    async def _apply(self, item: Item) -> None:
        rules = [rule for rule in self._rules if lc_rules.fits(rule, item)]
        if lc_rules.action(rules, item, self._clock) is None:
            return
        if item.delete_marker:
            await self._gateway.objects.delete(self._bucket, item.key, item.version)
            self.done["delete markers removed"] += 1
            return
        version = "" if item.current else item.version
        state = await self._gateway.objects.head(self._bucket, item.key, version)
        raw = state.attrs.get(TAGGING)
        tags = ObjTags.decode(raw).tags if raw is not None else []
        # as it is now: it may have been written anew since it was listed
        wanted = lc_rules.action([rule for rule in rules if lc_rules.tagged(rule, tags)], replace(item, mtime=state.mtime, size=state.size,
                                 storage_class=state.storage_class or "STANDARD"), self._clock)
        if wanted is None:
            return
        if wanted != lc_rules.EXPIRE:
            await change_class(self._gateway, state, wanted)
            self.done[f"moved to {wanted}"] += 1
        elif item.current:
            await self._gateway.objects.delete(self._bucket, item.key, "", Conditions(if_match=state.etag or "*", idtag=state.idtag))
            self.done["expired"] += 1
        elif not locked(state):
            await self._gateway.objects.delete(self._bucket, item.key, item.version)
            self.done["versions removed"] += 1

    async def _uploads(self) -> None:
        rules = [rule for rule in self._rules if rule.mp_expiration.given]
        for prefix in lc_rules.common_prefixes(rules):
            key, upload_id = "", ""
            while True:
                page = await self._gateway.multipart.list_uploads(self._bucket, prefix, "", key, upload_id, _PAGE)
                for upload in page.uploads:
                    if any(upload.key.startswith(rule.key_prefix) and self._clock.due(rule.mp_expiration, upload.initiated) for rule in rules):
                        await self._abort(upload.key, upload.upload_id)
                if not page.truncated:
                    break
                key, upload_id = page.next_key_marker, page.next_upload_id_marker

    async def _abort(self, key: str, upload_id: str) -> None:
        try:
            await self._gateway.multipart.abort(self._bucket, key, upload_id)
            self.done["uploads aborted"] += 1
        except (S3Error, StoreError) as error:
            if isinstance(error, S3Error) and error.code in _GONE:
                return
            self.failed += 1
            log.warning("lifecycle of the upload %s of %s/%s: %s", upload_id, self._bucket.name, key, error)
