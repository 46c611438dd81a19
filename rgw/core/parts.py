"""Uploading one part: written like an object, recorded last. What is not recorded leaves nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from rgw.core import encryption, places
from rgw.core.copy import put_references
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.manifest import gc_chain, gc_obj, part_manifest
from rgw.core.state import ACL, ETAG, with_nul
from rgw.core.stripes import StripeSink
from rgw.core.uploads import CHECKSUM_PREFIX, CLOSING, FORMER, SUMS, Part, Upload, encode_sums, part_omap_key, part_pieces, part_references, reference_intent
from rgw.core.writer import remove_objects
from rgw.errors import S3Error
from rgw.formats.gc import GcObj
from rgw.formats.index import DirEntryMeta
from rgw.formats.obj import CompressionInfo, ObjManifest, UploadPartInfo
from rgw.store import errors as store_errors
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.core.intents import OpenIntent

log = logging.getLogger(__name__)

MARK = "user.rgw.x-pyrgw-intent"  # of a part's first object: the intent of the writer that it and its tails belong to
_CLOSING_WAIT = 30.0  # seconds that a part waits for the outcome of a Complete or Abort under way


async def record_part(gw: Gateway, upload: Upload, part: Part, manifest: ObjManifest, intent: OpenIntent) -> None:
    """Makes a part count, and frees the former part of its number.

    Waits while the upload is being ended, for that may yet be refused. S3Error NoSuchUpload if it has ended, OperationAborted if that
    takes too long.
    """
    key = part_omap_key(part.number)
    info = UploadPartInfo(
        num=part.number, size=part.size, etag=part.etag, modified=part.mtime, manifest=manifest,
        cs_info=CompressionInfo(compression_type="none", orig_size=0, compressor_message=None, blocks=[]), accounted_size=part.size,
    )
    part.info = info
    sums = part_omap_key(part.number, SUMS)
    former = part_omap_key(part.number, FORMER) + b"." + random_text(16).encode()
    deadline = time.monotonic() + _CLOSING_WAIT
    while True:
        try:
            result = await upload.pool.read(upload.meta_oid, ReadOp().getxattrs().omap_get_keys([key]))
            assert result.omap is not None
            if result.xattrs.get(CLOSING):
                if time.monotonic() > deadline:
                    raise S3Error("OperationAborted", "the upload is being completed or aborted")
                await asyncio.sleep(0.05)
                continue
            old = result.omap.values.get(key, b"")
            op = WriteOp().assert_exists().cmpxattr(CLOSING, b"").omap_cmp(key, old)
            op.omap_set({key: info.encode(), sums: encode_sums(part.etag, part.checksums)})
            if old:
                op.omap_set({former: old})  # until its data is freed
            await intent.confirm()
            await upload.pool.write(upload.meta_oid, op)
            break
        except store_errors.NotFound:
            raise S3Error("NoSuchUpload", UploadId=upload.upload_id) from None
        except store_errors.Cancelled:
            continue  # the part was replaced meanwhile, or the upload is ending: look again
    if old:
        found = UploadPartInfo.decode(old)
        replaced = Part(found.num, found.size, found.etag, found.modified, info=found)
        try:
            noted = b""
            if replaced.by_reference:
                tag, held = await part_references(gw, upload, replaced)
                if noted := reference_intent(tag):
                    await put_references(gw, held, tag)
            await free_parts(gw, upload, [replaced])
            await upload.pool.write(upload.meta_oid, WriteOp().assert_exists().omap_rm([former]))
            if noted:
                gw.intents.forget(noted)
        except (store_errors.StoreError, S3Error) as error:
            # The new part counts, whatever happens to the former one: the end of the upload frees it, or just did.
            log.info("the former part %d of upload %s is left to the upload's end: %s", part.number, upload.upload_id, error)


async def enqueue_parts(gw: Gateway, upload: Upload, parts: list[Part], pool: str, tag: str) -> None:
    """Hands what the parts own to the garbage collector in one entry under ``tag``; objects without data go at once."""
    chain: list[GcObj] = []
    ownerless: list[str] = []
    for part in parts:
        own, empty = await own_objects(gw, upload, part, pool)
        chain.extend(own)
        ownerless.extend(empty)
    await remove_objects(gw, pool, ownerless)
    await gw.gc.enqueue(tag, chain)


async def free_parts(gw: Gateway, upload: Upload, parts: list[Part], *, index: bool = True) -> None:
    """Frees parts that no object uses: own data to the garbage collector, index entries removed if ``index``.

    References that they hold on others' tails are not theirs to give back.
    """
    pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
    await enqueue_parts(gw, upload, parts, pool, f"{upload.upload_id}.{random_text(16)}")
    if index:
        for part in parts:
            await drop_index_entry(gw, upload.bucket, upload.part_key(part.prefix(upload), part.number))


async def own_objects(gw: Gateway, upload: Upload, part: Part, pool: str) -> tuple[list[GcObj], list[str]]:
    """What a part itself owns: RADOS objects for the garbage collector, and names of part objects to remove at once."""
    oid = upload.part_oid(part.prefix(upload), part.number)
    if part.by_reference:
        return [], [oid]
    if part.size == 0:
        return [gc_obj(pool, oid)], []
    return gc_chain(await part_pieces(gw, upload, part), pool), []


async def drop_index_entry(gw: Gateway, bucket: Bucket, key: IndexKey) -> None:
    """Removes one entry from the bucket's index; a missing one is no error."""
    change = await IndexChange.prepare(gw, bucket, key, delete=True, tag="_" + gw.new_tag())
    await change.complete(-1, 0, DirEntryMeta(mtime=time.time_ns()))


def part_intent(gw: Gateway, upload: Upload, number: int, prefixes: list[str], referred: bytes = b"") -> OpenIntent:
    """The intent to write a part under one of the prefixes; its first object has to bear ``mark`` as MARK. ``referred`` as for Intents.part."""
    return gw.intents.part(
        upload.bucket, upload.key, upload.upload_id, (places.extra_pool_name(gw, upload.bucket), upload.meta_oid), number,
        places.tail_pool_name(gw, upload.bucket, upload.placement), prefixes, referred)


def _stripe(oid: str) -> int:
    return int(oid.rpartition("_")[2])


class PartWriter:
    """One part's body. Either ``complete`` or ``abort`` must be called; ``abort`` after a failed ``complete`` removes what was written."""

    def __init__(self, gw: Gateway, upload: Upload, number: int, customer_key: encryption.CustomerKey | None = None) -> None:
        """S3Error NotImplemented or InvalidArgument unless ``customer_key`` is what the upload was begun with."""
        encryption.require_key(upload.attrs, customer_key)
        self._customer_key = customer_key if encryption.is_encrypted(upload.attrs) else None
        self._gw = gw
        self._upload = upload
        self._number = number
        self._prefix, self._other = upload.name, f"{upload.key}.{random_text(32)}"
        self._pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
        self._written: list[str] = []
        self._indexed = False
        self._kept = False
        self._unsure = False  # whether the first object may be there, ours or another writer's
        self._intent = part_intent(gw, upload, number, [self._prefix, self._other])
        self._stripe_size = stripe = gw.options.rgw_obj_stripe_size
        if self._customer_key is not None:
            encryption.require_stripes([stripe])
        self._sink = StripeSink(stripe, stripe, gw.options.rgw_put_obj_min_window_size, self._put, gw.body_memory)

    async def _put(self, stripe: int, data: bytes) -> None:
        if self._customer_key is not None:
            data = await encryption.off_loop(self._customer_key.encrypt, data, stripe * self._stripe_size)
        ioctx = await self._gw.pool(self._pool)
        await self._intent.confirm()
        if stripe:
            oid = self._upload.part_oid(self._prefix, self._number, stripe)
            self._written.append(oid)
            writing = ioctx.write(oid, WriteOp().write_full(data))
            del data  # the store holds it for as long as it needs it
            await writing
            return
        await uncancelled(self._put_first(ioctx, data))  # else it could be there and nobody would know

    async def _put_first(self, ioctx: IoCtx, data: bytes) -> None:
        while True:
            oid = self._upload.part_oid(self._prefix, self._number)
            try:
                await ioctx.write(oid, WriteOp().create(exclusive=True).write_full(data).setxattr(MARK, self._intent.mark))
            except store_errors.Exists:
                if self._prefix == self._other:
                    raise
                self._prefix = self._other  # the number is taken: this part gets names of its own
                continue
            except (store_errors.TimedOut, store_errors.Unavailable):
                self._unsure = True
                raise
            self._written.append(oid)
            return

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._sink.size

    async def write(self, data: bytes | memoryview) -> None:
        """Takes more of the body. The data must not change afterwards."""
        self._intent.begin()
        await self._sink.write(data)

    async def complete(self, etag: str, checksums: dict[str, str] | None = None) -> Part:
        """Records the part. S3Error NoSuchUpload if the upload ended meanwhile."""
        await self._sink.finish()
        return await uncancelled(self._complete(etag, checksums or {}))

    async def _complete(self, etag: str, checksums: dict[str, str]) -> Part:
        gw, upload = self._gw, self._upload
        mtime = time.time_ns()
        attrs = {ETAG: etag.encode()}
        if ACL in upload.attrs:
            attrs[ACL] = upload.attrs[ACL]
        attrs.update({CHECKSUM_PREFIX + name: with_nul(value) for name, value in checksums.items()})
        change = await IndexChange.prepare(
            gw, upload.bucket, upload.part_key(self._prefix, self._number), delete=False, tag=gw.new_tag())
        self._indexed = True
        ioctx = await gw.pool(self._pool)
        op = WriteOp(mtime=mtime).assert_exists().setxattrs(attrs)
        version = (await ioctx.write(self._written[0], op)).version
        await change.complete(ioctx.pool_id, version, entry_meta(attrs, self._sink.size, mtime))
        manifest = part_manifest(
            upload.final_obj, self._sink.size, self._number, gw.options.rgw_obj_stripe_size, self._prefix, upload.placement)
        part = Part(self._number, self._sink.size, etag, mtime, checksums)
        self._kept = True
        try:
            await record_part(gw, upload, part, manifest, self._intent)
        except S3Error:
            self._kept = False  # it was not recorded
            raise
        except BaseException:
            self._intent.abandon()  # it may be recorded: removing its data could lose it
            raise
        self._intent.close()
        return part

    async def abort(self) -> None:
        """Removes what was written; does nothing after a successful ``complete``."""
        await uncancelled(self._abort())

    async def _abort(self) -> None:
        await self._sink.settle()
        if self._kept:
            return
        self._kept = True
        if self._unsure:
            self._intent.abandon()
            return
        with self._intent:
            await remove_objects(self._gw, self._pool, self._written[:1] + sorted(self._written[1:], key=_stripe))
            if self._indexed:
                await drop_index_entry(self._gw, self._upload.bucket, self._upload.part_key(self._prefix, self._number))
