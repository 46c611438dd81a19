"""Listings: the sorted union of a bucket's index shards, read in parallel and no further than needed (formats page, 5.8)."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rgw.core import null_notes
from rgw.core.index_repair import TAG_TIMEOUT, is_doubtful, settled
from rgw.core.null_places import is_null, less_misplaced
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.index import FLAG_COMMON_PREFIX, FLAG_DELETE_MARKER, ClsObjKey, DirEntry, DirHeader
from rgw.formats.listed import ListedEntry
from rgw.formats.names import bucket_shard, index_name
from rgw.store import classes
from rgw.store.classcall import ClassCall
from rgw.store.errors import ClassError, NotFound, StoreError
from rgw.store.interface import IoCtx

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

_LAST = "\U0010ffff"  # sorts after every other character
_EFBIG = -27          # bucket_list: nothing visible in the window
_PAGE = 1000          # the most entries that the class returns
_RETRIES = 8
_NAME, _IS_PLAIN = attrgetter("name"), attrgetter("plain")


@dataclass(slots=True)
class Listing:
    """A page of a listing. ``next_marker`` (a key or a common prefix) is where the next page goes on, if ``truncated``."""

    entries: list[ListedEntry] = field(default_factory=list)  # names are the objects' keys
    common_prefixes: list[str] = field(default_factory=list)
    truncated: bool = False
    next_marker: str = ""
    next_version_marker: str = ""


class _Shard:
    """The visible entries of one shard, in order, fetched page by page (``_fill``).

    With ``hide_namespaces`` the entries have the objects' keys as names; what is asked of the shard goes by the names in the index.
    """

    def __init__(self, gateway: Gateway, bucket: Bucket, ioctx: IoCtx, oid: str, call: ClassCall, *, hide_namespaces: bool) -> None:
        self._gateway = gateway
        self._bucket = bucket
        self.ioctx = ioctx
        self.oid = oid
        self.call = call  # what is asked next
        self._hide = hide_namespaces
        self._least = gateway.options.rgw_list_bucket_min_readahead
        self._whole = True  # pages come about as large as they are asked for
        self.more = True  # to be fetched
        self.page: list[ListedEntry] = []

    @property
    def _request(self) -> cls_rgw.ListOp:
        return self.call.request  # type: ignore[no-any-return]

    def _ask(self, **changes: Any) -> None:
        self.call = classes.BUCKET_LIST(replace(self._request, **changes))

    def ask_for(self, least: int) -> None:
        """Asks for what is missing to so many entries, where that helps."""
        if self._whole and least > 1:
            count = _enough(least - len(self.page), self._least)
            if count != self._request.num_entries:
                self._ask(num_entries=count)

    def take_in(self, request: cls_rgw.ListOp, reply: cls_rgw.ListRet) -> Coroutine[Any, Any, None] | None:
        """Adds what the class answered to a request. Returns what must be waited for where some of it has to be looked at more closely."""
        self.more = reply.truncated
        rows = list(reply.dir.entries.values())
        size = min(max(self._request.num_entries, 8) * 2, _PAGE)
        if 2 * len(rows) < request.num_entries:
            self._whole = False
            if request.delimiter and rows:  # to find a prefix, the class reads as many entries as are asked for, though one would do
                size = self._least
        if not _to_be_shown(rows):
            return self._look_closely(rows, reply, size)
        self._go_on(reply.marker if reply.truncated else None, rows, rows, size)
        self.page += rows
        return None

    async def _look_closely(self, rows: list[ListedEntry], reply: cls_rgw.ListRet, size: int) -> None:
        """Adds the visible ones of ``rows`` as they should be."""
        start = reply.marker if reply.truncated else None
        if self._request.list_versions:
            if start is not None:
                start = self._before_nulls(rows, start)
            if any(is_null(entry) for entry in rows):
                rows = await less_misplaced(self._bucket, self.oid, dict(zip(reply.dir.entries, rows, strict=False)))
        doubtful = noted = False
        page = []
        for entry in rows:
            name = entry.name
            if is_doubtful(entry):
                doubtful = True
            elif not entry.exists and not entry.flags & (FLAG_COMMON_PREFIX | FLAG_DELETE_MARKER):
                continue
            elif entry.pending and null_notes.is_noted(entry):
                noted = True
            if self._hide and name.startswith("_"):
                if not name.startswith("__"):
                    # a namespace (uploads in progress): go on behind all of them, they lie around the escaped names "__..."
                    behind = "_^" + _LAST if name[1:2] < "_" else "_" + _LAST
                    if start is not None and start.name < behind:
                        start = ClsObjKey(name=behind, instance="")
                    continue
                entry = entry._replace(name=name[1:])
            page.append(entry)
        self._go_on(start, rows, page, size)
        if doubtful:
            page = await self._settled(page, reply.dir.header)
        if noted:
            page = await self._without_notes(page, reply.dir.header)
        self.page += page

    def _go_on(self, start: ClsObjKey | None, rows: list[ListedEntry], page: list[ListedEntry], size: int) -> None:
        """Asks for ``size`` more entries behind ``start``, if there is anything."""
        if start is None:
            return
        if rows and rows[-1].flags & FLAG_COMMON_PREFIX and start.name == rows[-1].name:
            start = ClsObjKey(name=start.name + _LAST, instance="")  # else the same prefix would come again
        if start == self._request.start_obj and not page and self._request.num_entries >= _PAGE:
            self.more = False  # a marker that does not move would never end
        self._ask(start_obj=start, num_entries=size)

    def _before_nulls(self, rows: list[ListedEntry], start: ClsObjKey) -> ClsObjKey:
        """Takes null versions off the end, for they have no id to go on behind: the class would begin again with the newest of the key.

        Where to go on instead, so that the next page begins with them.
        """
        if not rows or not is_null(rows[-1]):
            return start
        while rows and is_null(rows[-1]) and rows[-1].name == start.name:
            rows.pop()
        if rows and rows[-1].name == start.name:
            return ClsObjKey(name=start.name, instance=rows[-1].instance)
        return self._request.start_obj if self._request.start_obj.name == start.name and not rows else ClsObjKey(name=start.name, instance="")

    async def _settled(self, page: list[ListedEntry], header: DirHeader) -> list[ListedEntry]:
        """The page with what the heads say of entries that are not sure."""
        unsure = [number for number, entry in enumerate(page) if is_doubtful(entry)]
        shown: list[ListedEntry | None] = list(page)
        found = await settled(self._gateway, self._bucket, [page[number].full() for number in unsure], header)
        for number, entry in zip(unsure, found, strict=True):
            shown[number] = None if entry is None else ListedEntry.of(entry)._replace(name=page[number].name)
        return [entry for entry in shown if entry is not None]

    async def _without_notes(self, page: list[ListedEntry], header: DirHeader) -> list[ListedEntry]:
        """The page, of whose null versions the notes of unfinished changes are taken away."""
        timeout = (header.tag_timeout or TAG_TIMEOUT) * 1_000_000_000
        shown = list(page)
        for number, entry in enumerate(page):
            if null_notes.is_noted(entry):
                found = await null_notes.take_away(self._gateway, self._bucket, entry.full(), timeout)
                shown[number] = ListedEntry.of(found)._replace(name=entry.name)
        return shown

    def take(self, last: str | None) -> list[ListedEntry]:
        """The next entries, up to the name ``last``."""
        if last is None:
            taken, self.page = self.page, []
        else:
            cut = bisect_right(self.page, last, key=_NAME)
            taken, self.page = self.page[:cut], self.page[cut:]
        return taken

    def skip_behind(self, text: str) -> None:
        """Goes on after all names that begin with ``text``, without reading them where they are not read yet."""
        self.skip_to(text + _LAST)

    def skip_to(self, name: str) -> None:
        """Goes on behind ``name``, without reading what lies before it where it is not read yet."""
        self.take(name)
        start = _escape(name) if self._hide else name
        if not self.page and self.more and self._request.start_obj.name < start:
            self._ask(start_obj=ClsObjKey(name=start, instance=""))


class Listings:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def objects(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", marker: str = "", max_keys: int = 1000, unordered: bool = False,
    ) -> Listing:
        """Objects after ``marker`` whose keys begin with ``prefix``, rolled up at ``delimiter``. S3Error NoSuchBucket."""
        if unordered:
            if delimiter:
                raise S3Error("InvalidArgument", "an unordered listing cannot have a delimiter")
            return await self._retrying(bucket, lambda: self._unordered(bucket, prefix, marker, max_keys))
        return await self._retrying(bucket, lambda: self._ordered(bucket, prefix, delimiter, marker, None, max_keys))

    async def versions(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", key_marker: str = "", version_marker: str = "", max_keys: int = 1000,
    ) -> Listing:
        """All versions and delete markers, newest first within a key. ``entry.instance`` is empty for the null version.

        ``version_marker`` (``null`` for the null version) is a version of ``key_marker`` to go on behind.
        """
        return await self._retrying(bucket, lambda: self._ordered(bucket, prefix, delimiter, key_marker, version_marker, max_keys))

    async def namespace(self, bucket: Bucket, namespace: str, prefix: str = "", marker: str = "") -> AsyncIterator[DirEntry]:
        """All entries of a namespace such as ``multipart``, by name; their names are without the namespace."""
        head = index_name("", namespace)
        async for entry in _merge(self._shards(bucket, head + prefix, "", head + marker if marker else "", None, _PAGE, hide=False)):
            yield replace(entry.full(), name=entry.name[len(head):])

    async def raw(self, bucket: Bucket, marker: str = "", wanted: int = _PAGE) -> AsyncIterator[DirEntry]:
        """Entries of objects, versions, uploads and parts after the key ``marker``, by and under their names in the index."""
        async for entry in _merge(self._shards(bucket, "", "", _escape(marker), "", wanted + 1, hide=False)):
            yield entry.full()

    async def uploads(self, bucket: Bucket, prefix: str = "", marker: str = "") -> AsyncIterator[DirEntry]:
        """The entries ``<key>.<upload id>.meta`` of uploads in progress, by name. Their parts, which lie before them, are jumped over."""
        head = index_name("", "multipart")
        shards = self._shards(bucket, head + prefix, "", head + marker if marker else "", None, _PAGE, hide=False)
        async for entry in _merge(shards):
            upload, _, last = entry.name.rpartition(".")
            if last == "meta":
                yield replace(entry.full(), name=entry.name[len(head):])
            elif last.isdigit():  # a part, in the shard of its key
                number = bucket_shard(upload[len(head):].rpartition(".")[0], len(shards))
                shards[number].skip_to(f"{upload}.:")  # ":" follows the digits

    async def _retrying(self, bucket: Bucket, work) -> Listing:  # type: ignore[no-untyped-def]
        for attempt in range(_RETRIES):
            try:
                return await work()
            except NotFound:  # a shard is gone: the bucket was resharded or deleted
                await self._gateway.buckets.reload(bucket)
                await asyncio.sleep(0.01 * attempt)
        raise S3Error("NoSuchBucket", BucketName=bucket.name)

    def _shards(
        self, bucket: Bucket, prefix: str, delimiter: str, marker: str, version: str | None, wanted: int, *, hide: bool,
    ) -> list[_Shard]:
        """Streams of all shards, for index names. Each is asked for its share of ``wanted``, and some more against chance."""
        ioctx, oids = bucket.index.ioctx, bucket.index.shards()
        count = _enough(wanted / len(oids), self._gateway.options.rgw_list_bucket_min_readahead)
        request = cls_rgw.ListOp(
            num_entries=count, filter_prefix=prefix, start_obj=ClsObjKey(name=marker, instance=version or ""),
            list_versions=version is not None, delimiter=delimiter,
        )
        call = classes.BUCKET_LIST(request).constant()
        return [_Shard(self._gateway, bucket, ioctx, oid, call, hide_namespaces=hide) for oid in oids]

    async def _ordered(self, bucket: Bucket, prefix: str, delimiter: str, marker: str, version: str | None, max_keys: int) -> Listing:
        result = Listing()
        if max_keys <= 0:
            return result
        # The class looks for the delimiter in escaped names, where a leading "_" is doubled; such delimiters are found here instead.
        in_class = delimiter if not (delimiter.startswith("_") and not prefix) and version is None else ""
        start, instance = _escape(marker), None if version is None else ""
        skipping = False  # versions of the marker's key, up to and with the null version
        if delimiter and marker and _rolled(marker, prefix, delimiter) == marker:
            start += _LAST
        elif version == "null":
            skipping = True  # the null version has no id to start behind
        elif version:
            instance = version
        elif version is not None and marker:
            start += "\0" + _LAST  # behind all versions of the key
        shards = self._shards(bucket, _escape(prefix), in_class, start, instance, max_keys + 1, hide=True)
        room, last_prefix = max_keys, None
        wanted, taken = room + 1, 0  # entries
        while batch := await _next_batch(shards, wanted):
            taken += len(batch)
            if in_class:  # a prefix comes from each shard that has it
                batch = list({entry.name: entry for entry in batch}.values())
            batch.sort(key=_NAME)  # runs in order, which costs little
            while skipping and batch and batch[0].name == marker:
                skipping = bool(batch.pop(0).instance)
            if not delimiter:
                result.entries += batch[:room]
                result.truncated = len(batch) > room
                room -= len(batch)
            for entry in batch if delimiter else ():
                common = entry.name if entry.flags & FLAG_COMMON_PREFIX else _rolled(entry.name, prefix, delimiter)
                if common is not None and common == last_prefix:
                    continue
                if not room:
                    result.truncated = True
                    break
                room -= 1
                if common is None:
                    result.entries.append(entry)
                else:
                    result.common_prefixes.append(common)
                    last_prefix = common
            if result.truncated:
                break
            if last_prefix is not None and not in_class:  # the class skips by itself
                for shard in shards:
                    shard.skip_behind(last_prefix)
            wanted = math.ceil((room + 1) * taken / max(max_keys - room, 1)) if in_class else room + 1
        last = result.entries[-1] if result.entries else None
        if last is not None and (last_prefix is None or last.name > last_prefix):
            result.next_marker = last.name
            result.next_version_marker = "" if version is None else last.instance or "null"
        elif last_prefix is not None:
            result.next_marker = last_prefix
        return result

    async def _unordered(self, bucket: Bucket, prefix: str, marker: str, max_keys: int) -> Listing:
        """Shard after shard; the marker's own shard tells where to go on."""
        result = Listing()
        if max_keys <= 0:
            return result
        shards = self._shards(bucket, _escape(prefix), "", "", None, max_keys * max(bucket.num_shards, 1), hide=True)
        first = bucket_shard(marker, bucket.num_shards) if marker and bucket.num_shards else 0
        for number in range(first, len(shards)):
            if number == first and marker:
                shards[number] = self._shards(bucket, _escape(prefix), "", _escape(marker), None, max_keys, hide=True)[number]
            shard, room = shards[number], max_keys - len(result.entries)
            await _fill([shard])
            while shard.page:
                batch = shard.take(None)
                result.entries += batch[:room]
                if len(batch) > room:
                    result.truncated = True
                    break
                room -= len(batch)
                await _fill([shard])
            if result.truncated:
                break
        if result.entries:
            result.next_marker = result.entries[-1].name
        return result


async def _fill(shards: list[_Shard], least: int = 1) -> None:
    """Fetches a page of each shard that has fewer than ``least`` entries left; and more until there is a next entry, if there is any."""
    short = [shard for shard in shards if len(shard.page) < least and shard.more]
    for shard in short:
        shard.ask_for(least)
    while short:
        await _fetch(short)
        short = [shard for shard in short if not shard.page and shard.more]


async def _fetch(shards: list[_Shard]) -> None:
    """Fetches a page of each shard."""
    asked = [(shard, shard.call) for shard in shards]
    for _ in range(_RETRIES):
        replies = await shards[0].ioctx.call_each([(shard.oid, call) for shard, call in asked])
        again: list[tuple[_Shard, ClassCall]] = []
        waits = []
        for reply in replies:
            if isinstance(reply, StoreError) and not (isinstance(reply, ClassError) and reply.code == _EFBIG):
                raise reply
        for (shard, call), reply in zip(asked, replies, strict=True):
            request = call.request
            if not isinstance(reply, StoreError):
                waits.append(shard.take_in(request, reply))
            elif request.num_entries >= 64 * _PAGE:
                raise reply
            else:
                again.append((shard, classes.BUCKET_LIST(replace(request, num_entries=request.num_entries * 4))))
        if any(waits):
            await asyncio.gather(*filter(None, waits))
        if not again:
            return
        asked = again
    raise S3Error("ServiceUnavailable")


async def _next_batch(shards: list[_Shard], wanted: int = 1) -> list[ListedEntry]:
    """The next entries of all shards, shard by shard; none at the end. What follows them comes behind all of them by name.

    Shards that hold less than their share of ``wanted`` are read together.
    """
    least = max(wanted // len(shards), 1)
    await _fill(shards, least)
    # What lies behind the end of a page that is not the shard's last must wait for the next one.
    last = min((shard.page[-1].name for shard in shards if shard.more), default=None)
    batch: list[ListedEntry] = []
    for shard in shards:
        batch += shard.take(last)
    return batch


async def _merge(shards: list[_Shard]) -> AsyncIterator[ListedEntry]:
    """The entries of all shards by name."""
    while batch := await _next_batch(shards):
        for entry in sorted(batch, key=_NAME):
            yield entry


def _to_be_shown(rows: list[ListedEntry]) -> bool:
    """Whether all that the class found is shown under its name in the index, as it mostly is. Null versions may stand at a wrong place."""
    if not all(map(_IS_PLAIN, rows)) and not all(
            entry.plain or entry.flags == FLAG_COMMON_PREFIX or (entry.instance and entry.exists and not entry.pending) for entry in rows):
        return False
    first = bisect_left(rows, "_", key=_NAME)
    return first == len(rows) or not rows[first].name.startswith("_")


def _enough(share: float, least: int) -> int:
    """How many entries to ask of a shard that is to have ``share`` of those wanted: some more against chance."""
    return min(max(math.ceil(share + 2.5 * math.sqrt(share)) + 1, least), _PAGE)


def _escape(text: str) -> str:
    """A key, or the beginning of keys, as the index has it."""
    return "_" + text if text.startswith("_") else text


def _rolled(key: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix that the key falls under, if any."""
    if not delimiter:
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[:found + len(delimiter)]

