"""Index entries whose change is not finished, or never was because its gateway died: the object's head decides what a listing shows.

What is found goes back to the index as a suggestion (formats page, 5.8), as radosgw's listings do. The class takes it only when no
unfinished change of the entry is younger than the shard's tag timeout; younger ones are not even suggested, their gateway will finish.
Entries of versions are left alone: their place in the listing is made by the versions' own log (rgw.core.null_notes).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.head import entry_meta, existing_head
from rgw.core.index import GUARD, RESHARDING, IndexKey
from rgw.core.reshard_marks import STATE
from rgw.core.state import ObjectState, is_olh_only, text
from rgw.core.uploads import load_upload
from rgw.errors import S3Error
from rgw.formats import cls_rgw, names
from rgw.formats.index import ClsObjKey, DirEntry, DirEntryMeta, DirHeader, EntryVer
from rgw.formats.listed import ListedEntry
from rgw.store import classes
from rgw.store.errors import Cancelled, ClassError, NotFound
from rgw.store.interface import ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

TAG_TIMEOUT = 120  # seconds, where the shard's header names none
_PLAIN = 1  # the kind of entry that bi_get reads
_LOOKS = 32  # heads looked at in one go
_UPDATE, _REMOVE = ord("u"), ord("r")  # suggestions to the class


def is_doubtful(entry: ListedEntry) -> bool:
    """Whether the entry may not tell the truth."""
    return (entry.pending or not entry.exists) and not entry.flags and not entry.instance


async def settled(gw: Gateway, bucket: Bucket, entries: list[DirEntry], header: DirHeader) -> list[DirEntry | None]:
    """What the doubtful entries of one shard should be: as their heads tell, None where there is no object. Suggests it to the index."""
    limit = asyncio.Semaphore(_LOOKS)

    async def one(entry: DirEntry) -> DirEntry | None:
        async with limit:
            return await _settle(gw, bucket, entry, (header.tag_timeout or TAG_TIMEOUT) * 1_000_000_000)

    return list(await asyncio.gather(*(one(entry) for entry in entries)))


async def _settle(gw: Gateway, bucket: Bucket, entry: DirEntry, timeout: int) -> DirEntry | None:
    namespace, name = names.parse_index_name(entry.name)
    if namespace and (namespace != "multipart" or (entry.exists and not name.endswith(".meta"))):
        return entry if entry.exists else None  # a part's entry stays as long as its upload
    now = time.time_ns()
    if any(change.timestamp + timeout >= now for change in entry.pending_map.values()):
        return await _true_entry(gw, bucket, entry, namespace, name)
    place = IndexKey(entry.name, _shard_key(name) if namespace else name)
    try:  # the entry as it stands before the look at the head: a change in between makes the suggestion void
        reply = (await bucket.index.ioctx.read(bucket.index.shard(place.shard_key), ReadOp().call(
            classes.BI_GET(cls_rgw.BiGetOp(key=ClsObjKey(name=entry.name), type=_PLAIN))))).reply
    except NotFound:
        return await _true_entry(gw, bucket, entry, namespace, name)
    found = await _true_entry(gw, bucket, entry, namespace, name)
    try:
        await suggest(bucket, place, reply.entry.idx, reply.entry.data, entry, found)
    except NotFound:
        log.debug("the index of bucket %s went while %s was looked at", bucket.name, entry.name)
    return found


async def suggest(bucket: Bucket, place: IndexKey, idx: str, raw: bytes, entry: DirEntry, found: DirEntry | None) -> bool:
    """Replaces an entry by what it should be, or removes it for None, if it still is ``raw`` under the key ``idx``; whether it was.

    Nothing is changed during a reshard, nor of an entry that a newer release wrote. NotFound without the shard.
    """
    if entry.newer:
        return False
    change = cls_rgw.SuggestedChange(op=_REMOVE, entry=entry) if found is None else cls_rgw.SuggestedChange(op=_UPDATE, entry=found)
    op = WriteOp().assert_exists().cmpxattr(STATE, b"").call(GUARD).omap_cmp(idx.encode("utf-8", "surrogateescape"), raw)
    op.call(classes.DIR_SUGGEST_CHANGES(cls_rgw.SuggestChangesOp([change])))
    try:
        await bucket.index.ioctx.write(bucket.index.shard(place.shard_key), op)
    except Cancelled:
        log.debug("%s in bucket %s changed while it was looked at", entry.name, bucket.name)
        return False
    except ClassError as error:
        if error.code != RESHARDING:
            raise
        return False
    return True


def _shard_key(name: str) -> str:
    """The object's key of an upload's or part's entry: ``<key>.<upload id>.meta``, ``<key>.<upload id or random>.<number>``."""
    return name.rsplit(".", 2)[0]


async def _true_entry(gw: Gateway, bucket: Bucket, entry: DirEntry, namespace: str, name: str) -> DirEntry | None:
    if namespace:
        return await _true_upload(gw, bucket, entry, name) if name.endswith(".meta") else None  # parts: announced, never there
    state = await existing_head(gw, bucket, name)
    if state is None or is_olh_only(state.attrs):
        return None
    return entry_of(entry, state)


def entry_of(entry: DirEntry, state: ObjectState) -> DirEntry:
    """The entry as the head of its object tells it."""
    return _entry(entry, state, entry_meta(state.attrs, state.stored_size, state.mtime))


def _entry(entry: DirEntry, state: ObjectState, meta: DirEntryMeta) -> DirEntry:
    return replace(
        entry, exists=True, meta=meta, pending_map={}, ver=EntryVer(pool=state.head_pool.pool_id, epoch=state.version), tag=text(state.idtag))


async def _true_upload(gw: Gateway, bucket: Bucket, entry: DirEntry, name: str) -> DirEntry | None:
    key, upload_id, _ = name.rsplit(".", 2)
    try:
        upload = await load_upload(gw, bucket, key, upload_id)
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise
        return None
    meta = entry_meta(upload.attrs, 0, upload.mtime)
    meta.category = 3
    pool = await places.extra_pool(gw, bucket)
    return replace(entry, exists=True, meta=meta, pending_map={}, ver=EntryVer(pool=pool.pool_id, epoch=entry.ver.epoch))
