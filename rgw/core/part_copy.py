"""UploadPartCopy by reference: the part holds references on the source's tails, only bytes in the source's head are copied.

The steps, in this order, others lose data:
1. an intent in the log pool tells the part's names, the tails and the tag of the references;
2. a note in the upload's ``.meta`` tells tails and tag, unless the upload is being ended;
3. the references are taken, each after a look whether the intent still stands;
4. the part's object is written, with the own bytes and the manifest, and its index entry;
5. its record goes into ``.meta``, if that is there and the upload is not being ended;
6. the intent is left, to be looked at again (rgw.core.recovery) until the part is replaced, or the upload over: then it goes.

Each attempt has a tag of its own, and a Complete takes references of its own for the object (rgw.core.complete). So every reference has
one owner, nobody takes a tag again that was given back (which would retire it: such a reference stays for ever), and giving it back once
too often does no harm. Who gives them back, where the gateway

=====================  =======================================  ===========================================
the upload is          is killed (or nobody knows how it went)  is only slow
=====================  =======================================  ===========================================
open, not recorded     1-4: recovery, by the intent             nobody: it goes on
open, recorded         5-6: nobody, the part counts             nobody
replaced               who replaces the part, else the end      the same
completed or aborted   2-4: recovery, and the end by the note;  its step 2 or 5 is refused: itself; if recovery
by us                  5-6: the end, by the note                took it for dead, 3-5 are refused: both
aborted by radosgw     2-4: recovery, by the intent;            its step 5 is refused: itself;
                       5-6: radosgw, by the part's object       recorded: radosgw, by the part's object
completed by radosgw   as aborted; where the part is recorded, radosgw refuses to complete, and the upload goes on
=====================  =======================================  ===========================================

What radosgw does not see, and loses of its own parts too, is found by the next look at the intent: a part that is recorded between its
look at the parts and its removal of ``.meta``, a copied part that it replaces, and one of a number that was sent before, whose object
therefore bears another name.
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
from rgw.core.head import entry_meta
from rgw.core.indexed import IndexChange
from rgw.core.manifest import Piece, explicit_manifest, gc_chain, pieces
from rgw.core.parts import MARK, PartWriter, drop_index_entry, part_intent, record_part
from rgw.core.reader import ObjectChanged, read, read_head
from rgw.core.state import ACL, ETAG, IDTAG, MANIFEST, TAIL_TAG, ObjectState, with_nul
from rgw.core.uploads import CLOSING, NOTE, PIECES, Part, Upload, beside_parts, reference_tag
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
    checksums: dict[str, str] | None = None,
) -> Part:
    """Makes ``length`` bytes of ``src`` from ``offset`` on a part of the upload, whose key is ``customer_key``; ``checksums`` are those bytes'.

    S3Error NoSuchUpload, OperationAborted if the source changes meanwhile, and those of ``require_key`` for source and upload.
    """
    src.require_readable()
    if src.encrypted or is_encrypted(upload.attrs):
        return await _really(gw, upload, number, src, offset, length, customer_key, checksums)
    found = [] if src.manifest is None or src.compression is not None else list(pieces(src.manifest, offset, length))
    limit = gw.options.rgw_part_copy_max_pieces
    if (src.manifest is None or all(piece.head for piece in found) or len(list(islice(pieces(src.manifest), limit + 1))) > limit
            or places.manifest_pool_name(gw, src.bucket, src.manifest) != places.tail_pool_name(gw, upload.bucket, upload.placement)):
        return await _really(gw, upload, number, src, offset, length, checksums=checksums)
    if gw.options.rgw_part_copy_etag == "md5":
        digest = hashlib.md5(usedforsecurity=False)
        async for data in _stream(gw, src, offset, length):
            await asyncio.to_thread(digest.update, data)
        etag = digest.hexdigest()
    else:
        etag = _etag(src, offset, length)
    try:
        part = await uncancelled(_by_reference(gw, upload, number, src, found, offset, length, etag, checksums or {}))
        return part or await _really(gw, upload, number, src, offset, length, checksums=checksums)
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
    checksums: dict[str, str] | None = None,
) -> Part:
    writer = PartWriter(gw, upload, number, customer_key)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        async for data in _stream(gw, src, offset, length):
            await asyncio.to_thread(digest.update, data)
            await writer.write(data)
        return await writer.complete(digest.hexdigest(), checksums)
    finally:
        await writer.abort()


async def _note(upload: Upload, key: bytes, chain: list[GcObj], limit: int) -> bool:
    """Notes which tails get a reference; False if the upload's parts would then lie in more than ``limit`` pieces of others."""
    try:
        while True:
            known = upload.attrs.get(PIECES, b"")
            total = int(known or b"0") + len(chain)
            if total > limit:
                return False
            op = WriteOp().assert_exists().cmpxattr(CLOSING, b"").cmpxattr(PIECES, known).setxattr(PIECES, b"%d" % total)
            try:
                await upload.pool.write(upload.meta_oid, op.omap_set({key: beside_parts(GcObjChain(objs=chain).encode())}))
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
    checksums: dict[str, str],
) -> Part | None:
    """None, with nothing done, if the upload would be in too many pieces."""
    assert src.manifest is not None
    source_pool = places.manifest_pool_name(gw, src.bucket, src.manifest)
    shared = [
        Piece(piece.offset - offset, piece.length, pooled(piece.loc, piece.pool or source_pool), piece.start) for piece in found if not piece.head
    ]
    chain = gc_chain([piece for piece in found if not piece.head], source_pool)
    prefixes = [upload.name, f"{upload.key}.{random_text(32)}"]
    written: list[str] = []
    with part_intent(gw, upload, number, prefixes, GcObjChain(objs=chain).encode()) as intent:
        note, tag = NOTE + b"%d.%s" % (number, intent.mark), reference_tag(upload.upload_id, intent.mark)
        intent.begin()
        try:
            if not await _note(upload, note, chain, gw.options.rgw_part_copy_max_pieces):
                return None
            if await take_references(gw, chain, tag, intent):
                raise ObjectChanged(src.head_oid)  # just collected
            own = b"".join([await read_head(src, piece.start, piece.length) for piece in found if piece.head])
            part = await _with_references(gw, upload, number, own, shared, length, etag, checksums, intent, written)
            intent.leave()
            return part
        except (S3Error, ObjectChanged):  # it was not recorded, and nothing of it is under way
            await put_references(gw, chain, tag)
            for prefix in written:
                await remove_objects(gw, places.tail_pool_name(gw, upload.bucket, upload.placement), [upload.part_oid(prefix, number)])
                await drop_index_entry(gw, upload.bucket, upload.part_key(prefix, number))
            intent.close()
            raise


async def _with_references(
    gw: Gateway, upload: Upload, number: int, own: bytes, shared: list[Piece], length: int, etag: str, checksums: dict[str, str],
    intent: OpenIntent, written: list[str],
) -> Part:
    """Writes and records the part. ``written`` gets the prefix of its object's name as soon as that is there."""
    await intent.confirm()
    prefix, version, mtime, attrs = await _part_object(gw, upload, number, own, shared, length, etag, intent)
    written.append(prefix)
    ioctx = await gw.pool(places.tail_pool_name(gw, upload.bucket, upload.placement))
    change = await IndexChange.prepare(gw, upload.bucket, upload.part_key(prefix, number), delete=False, tag=gw.new_tag())
    await change.complete(ioctx.pool_id, version, entry_meta(attrs, length, mtime))
    part = Part(number, length, etag, mtime, checksums)
    empty = ObjManifest(
        obj_size=0, objs={}, explicit_objs=False, obj=upload.final_obj, head_size=0, max_head_size=0, prefix=prefix, rules={},
        head_placement=PlacementRule("", ""), tail_placement=upload.placement,
    )
    await record_part(gw, upload, part, empty, intent)
    return part


async def _part_object(
    gw: Gateway, upload: Upload, number: int, own: bytes, shared: list[Piece], length: int, etag: str, intent: OpenIntent,
) -> tuple[str, int, int, dict[str, bytes]]:
    """Writes the part's object. Returns its prefix, version, mtime and xattrs."""
    pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
    ioctx = await gw.pool(pool)
    mtime = time.time_ns()
    for prefix in intent.value.prefixes:
        obj = upload.part_obj(prefix, number)
        first = [Piece(0, len(own), obj, 0)] if own else []
        manifest = explicit_manifest(obj, first + shared, length, len(own), upload.placement)
        attrs = {
            MANIFEST: manifest.encode(), TAIL_TAG: reference_tag(upload.upload_id, intent.mark).encode(), IDTAG: with_nul(gw.new_tag()), ETAG: etag.encode(),
        }
        if ACL in upload.attrs:
            attrs[ACL] = upload.attrs[ACL]
        op = WriteOp(mtime=mtime).create(exclusive=True).write_full(own).setxattrs({**attrs, MARK: intent.mark})
        try:
            version = (await ioctx.write(upload.part_oid(prefix, number), op)).version
        except store_errors.Exists:
            continue
        return prefix, version, mtime, attrs
    raise store_errors.Exists(upload.part_oid(prefix, number))
