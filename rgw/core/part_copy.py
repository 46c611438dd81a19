"""UploadPartCopy by reference: the part holds references on the source's tails, only bytes in the source's head are copied.

The order of steps is that of the formats page, section 12: intent, references, own bytes, part object, record. Other orders lose data.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.copy import put_references, take_references
from rgw.core.encryption import CustomerKey, is_encrypted
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta, existing_head
from rgw.core.indexed import IndexChange
from rgw.core.manifest import Piece, explicit_manifest, gc_chain, pieces, tails
from rgw.core.parts import MARK, PartWriter, drop_index_entry, part_intent, record_part
from rgw.core.reader import ObjectChanged, read, read_head
from rgw.core.state import ACL, ETAG, IDTAG, MANIFEST, TAIL_TAG, ObjectState, with_nul
from rgw.core.uploads import CLOSING, INTENT, PIECES, Part, Upload
from rgw.core.writer import remove_objects
from rgw.errors import S3Error
from rgw.formats.basics import Obj, PlacementRule, Pool
from rgw.formats.gc import GcObj, GcObjChain
from rgw.formats.obj import ObjManifest
from rgw.store import errors as store_errors
from rgw.store.interface import ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway
    from rgw.core.intents import OpenIntent

_MD5 = re.compile(r"[0-9a-f]{32}")


def pooled(obj: Obj, pool: str) -> Obj:
    """The location with its pool named in it, for explicit manifests: no placement rule is asked then."""
    return replace(obj, bucket=replace(obj.bucket, data_pool=Pool.parse(pool), data_extra_pool=Pool("", ""), index_pool=Pool("", "")))


async def copy_part(
    gw: Gateway, upload: Upload, number: int, src: ObjectState, offset: int, length: int, customer_key: CustomerKey | None = None,
) -> Part:
    """Makes ``length`` bytes of ``src`` from ``offset`` on a part of the upload, whose key is ``customer_key``.

    S3Error NoSuchUpload, OperationAborted if the source changes meanwhile, and those of ``require_key`` for source and upload.
    """
    src.require_readable()
    if src.encrypted or is_encrypted(upload.attrs):
        return await _really(gw, upload, number, src, offset, length, customer_key)
    found = [] if src.manifest is None or src.compression is not None else list(pieces(src.manifest, offset, length))
    limit = gw.options.rgw_part_copy_max_pieces
    if (src.manifest is None or all(piece.head for piece in found) or len(list(islice(pieces(src.manifest), limit + 1))) > limit
            or places.manifest_pool_name(gw, src.bucket, src.manifest) != places.tail_pool_name(gw, upload.bucket, upload.placement)):
        return await _really(gw, upload, number, src, offset, length)
    if gw.options.rgw_part_copy_etag == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        async for data in _stream(gw, src, offset, length):
            await asyncio.to_thread(digest.update, data)
        etag = digest.hexdigest()
    else:
        etag = _etag(src, offset, length)
    try:
        part = await uncancelled(_by_reference(gw, upload, number, src, found, offset, length, etag))
        return part or await _really(gw, upload, number, src, offset, length)
    except ObjectChanged as error:
        raise S3Error("OperationAborted", "the source changed while it was copied") from error


def _etag(src: ObjectState, offset: int, length: int) -> str:
    """The MD5 where it is known without reading; else digits derived from the bytes' identity and the range."""
    if offset == 0 and length == src.size and _MD5.fullmatch(src.etag):
        return src.etag
    identity = f"{src.bucket.marker}\0{src.key}\0{src.instance}\0{src.tail_tag}\0{src.etag}\0{src.size}\0{offset}\0{length}"
    return hashlib.md5(identity.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


async def _stream(gw: Gateway, src: ObjectState, offset: int, length: int):  # type: ignore[no-untyped-def]
    try:
        async for data in read(gw, src, offset, length):
            yield data
    except ObjectChanged as error:
        raise S3Error("OperationAborted", "the source changed while it was copied") from error


async def _really(
    gw: Gateway, upload: Upload, number: int, src: ObjectState, offset: int, length: int, customer_key: CustomerKey | None = None,
) -> Part:
    writer = PartWriter(gw, upload, number, customer_key)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        async for data in _stream(gw, src, offset, length):
            await asyncio.to_thread(digest.update, data)
            await writer.write(data)
        return await writer.complete(digest.hexdigest())
    finally:
        await writer.abort()


async def _record_intent(upload: Upload, number: int, chain: list[GcObj], limit: int) -> bool:
    """Notes which tails get a reference; False if the upload's parts would then lie in more than ``limit`` pieces of others."""
    key = INTENT + b"%d.%s" % (number, random_text(16).encode())
    try:
        while True:
            known = upload.attrs.get(PIECES, b"")
            total = int(known or b"0") + len(chain)
            if total > limit:
                return False
            op = WriteOp().assert_exists().cmpxattr(CLOSING, b"").cmpxattr(PIECES, known).setxattr(PIECES, b"%d" % total)
            try:
                await upload.pool.write(upload.meta_oid, op.omap_set({key: GcObjChain(objs=chain).encode()}))
                return True
            except store_errors.Cancelled:
                now = (await upload.pool.read(upload.meta_oid, ReadOp().getxattrs())).xattrs
                if now.get(CLOSING) or now.get(PIECES, b"") == known:
                    raise S3Error("NoSuchUpload", UploadId=upload.upload_id) from None
                upload.attrs = now  # another part was copied at the same time
    except store_errors.NotFound:
        raise S3Error("NoSuchUpload", UploadId=upload.upload_id) from None


async def _by_reference(
    gw: Gateway, upload: Upload, number: int, src: ObjectState, found: list[Piece], offset: int, length: int, etag: str,
) -> Part | None:
    """None, with nothing done, if the upload would be in too many pieces."""
    assert src.manifest is not None
    source_pool = places.manifest_pool_name(gw, src.bucket, src.manifest)
    shared = [piece for piece in found if not piece.head]
    chain = gc_chain(shared, source_pool)
    with part_intent(gw, upload, number, [upload.name, f"{upload.key}.{random_text(32)}"]) as intent:
        intent.begin()
        if not await _record_intent(upload, number, chain, gw.options.rgw_part_copy_max_pieces):
            return None
        return await _with_references(gw, upload, number, src, found, offset, length, etag, intent)


async def _with_references(
    gw: Gateway, upload: Upload, number: int, src: ObjectState, found: list[Piece], offset: int, length: int, etag: str, intent: OpenIntent,
) -> Part:
    assert src.manifest is not None
    source_pool = places.manifest_pool_name(gw, src.bucket, src.manifest)
    shared = [piece for piece in found if not piece.head]
    chain = gc_chain(shared, source_pool)
    if await take_references(gw, chain, upload.upload_id):
        raise ObjectChanged(src.head_oid)  # just collected; what was taken stays until the upload ends
    own = b"".join([await read_head(src, piece.start, piece.length) for piece in found if piece.head])
    listed = [
        Piece(piece.offset - offset, piece.length, pooled(piece.loc, piece.pool or source_pool), piece.start) for piece in shared
    ]
    await intent.confirm()
    prefix, manifest, version, mtime, attrs = await _part_object(gw, upload, number, own, listed, length, etag, intent)
    part_pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
    ioctx = await gw.pool(part_pool)
    key = upload.part_key(prefix, number)
    change = await IndexChange.prepare(gw, upload.bucket, key, delete=False, tag=gw.new_tag())
    await change.complete(ioctx.pool_id, version, entry_meta(attrs, length, mtime))
    part = Part(number, length, etag, mtime)
    empty = ObjManifest(
        obj_size=0, objs={}, explicit_objs=False, obj=upload.final_obj, head_size=0, max_head_size=0, prefix=prefix, rules={},
        head_placement=PlacementRule("", ""), tail_placement=upload.placement,
    )
    try:
        await record_part(gw, upload, part, empty, intent)
    except S3Error as error:
        # The part object is recorded nowhere, hence ours to remove.
        await remove_objects(gw, part_pool, [upload.part_oid(prefix, number)])
        await drop_index_entry(gw, upload.bucket, key)
        if error.code == "NoSuchUpload":
            await _release_late(gw, upload, chain)
        raise
    return part


async def _release_late(gw: Gateway, upload: Upload, chain: list[GcObj]) -> None:
    """Puts references taken after the end of the upload had put its own: all, but those that the completed object lives on.

    Only for an upload whose ``.meta`` is gone: before that its object may still be on the way.
    """
    state = await existing_head(gw, upload.bucket, upload.key)
    used: set[tuple[str, str]] = set()
    if state is not None and state.manifest is not None and state.tail_tag.rstrip("\0") == upload.upload_id:
        held = gc_chain(tails(state.manifest), places.manifest_pool_name(gw, upload.bucket, state.manifest))
        used = {(item.pool, item.oid) for item in held}
    await put_references(gw, [item for item in chain if (item.pool, item.oid) not in used], upload.upload_id)


async def _part_object(
    gw: Gateway, upload: Upload, number: int, own: bytes, shared: list[Piece], length: int, etag: str, intent: OpenIntent,
) -> tuple[str, ObjManifest, int, int, dict[str, bytes]]:
    """Writes the part's object. Returns its prefix, manifest, version, mtime and xattrs."""
    pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
    ioctx = await gw.pool(pool)
    mtime = time.time_ns()
    for prefix in intent.value.prefixes:
        obj = upload.part_obj(prefix, number)
        first = [Piece(0, len(own), obj, 0)] if own else []
        manifest = explicit_manifest(obj, first + shared, length, len(own), upload.placement)
        attrs = {
            MANIFEST: manifest.encode(), TAIL_TAG: upload.upload_id.encode(), IDTAG: with_nul(gw.new_tag()), ETAG: etag.encode(),
        }
        if ACL in upload.attrs:
            attrs[ACL] = upload.attrs[ACL]
        op = WriteOp(mtime=mtime).create(exclusive=True).write_full(own).setxattrs({**attrs, MARK: intent.mark})
        try:
            version = (await ioctx.write(upload.part_oid(prefix, number), op)).version
        except store_errors.Exists:
            continue
        return prefix, manifest, version, mtime, attrs
    raise store_errors.Exists(upload.part_oid(prefix, number))
