"""Completing and aborting multipart uploads: idempotent, safe against each other and against late parts.

Whoever ends an upload holds the lock ``RGWCompleteMultipart`` (radosgw's) and has set ``CLOSING`` on ``.meta``, so that no part is
recorded or replaced any more (rgw.core.upload_lock). The object's tail_tag is the upload id, or begins with it: by it a retry finds that
the work is done (rgw.core.upload_result).

Of an upload with copied parts (rgw.core.part_copy) the object lies in others' tails. For it Complete takes references of its own, under a tag
that its lock's cookie makes: before the head is written, and after its intent told tails and parts. Refused, it gives them back and opens
the upload again; killed, recovery does, unless the head has that tag. The parts' references go when the object stands. Before any of this
the parts' records are renamed, so that radosgw sees none: it would free parts of which the object is being made. Should radosgw abort an upload
with renamed parts, it frees nothing, and who completes it finds ``.meta`` gone: the living one by its own knowledge, recovery by the intent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rgw.core import places, upload_lock
from rgw.core.compression import joined
from rgw.core.conditions import Conditions
from rgw.core.copy import put_references, take_references
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import HeadWrite
from rgw.core.index import OP_CANCEL, OP_DEL, BucketIndex
from rgw.core.indexed import IndexChange
from rgw.core.manifest import Piece, explicit_manifest, gc_chain, joined_manifest, tails
from rgw.core.parallel import each
from rgw.core.part_copy import pooled
from rgw.core.parts import enqueue_parts, free_parts
from rgw.core.state import COMPRESSION, ETAG, OWN_ATTRS, PARTS, STORAGE_CLASS, ObjectState, format_parts
from rgw.core.upload_result import object_of_ended, standing_object, was_replaced
from rgw.core.uploads import (
    CLOSING,
    PIECES,
    Part,
    Upload,
    combined_etag,
    former_parts,
    load_upload,
    noted_references,
    object_tag,
    part_pieces,
    part_references,
    read_parts,
    reference_intent,
)
from rgw.core.versions import link_again, put_head
from rgw.core.writer import remove_objects
from rgw.core.zone import STANDARD
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.gc import GcObj, GcObjChain
from rgw.formats.index import DirEntryMeta
from rgw.formats.obj import ObjManifest
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.core.intents import OpenIntent

_LOOKS = 32          # parts looked at in parallel


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part as a Complete request names it; ETag without quotes."""

    number: int
    etag: str
    checksums: dict[str, str] | None = None


AttrsOf = Callable[[list[Part]], dict[str, bytes]]


def _select(gw: Gateway, parts: list[Part], wanted: list[CompletedPart]) -> list[Part]:
    """The recorded parts that the request names. S3Error as S3 gives them."""
    if not wanted:
        raise S3Error("MalformedXML")
    recorded = {part.number: part for part in parts}
    chosen: list[Part] = []
    for item in wanted:
        if chosen and item.number <= chosen[-1].number:
            raise S3Error("InvalidPartOrder")
        part = recorded.get(item.number)
        if part is None or part.etag != item.etag.strip('"'):
            raise S3Error("InvalidPart", PartNumber=str(item.number))
        for name, value in (item.checksums or {}).items():
            if name in part.checksums and part.checksums[name] != value:
                raise S3Error("InvalidPart", PartNumber=str(item.number))
        if part.manifest.newer or part.cs_info.newer:
            raise S3Error("NotImplemented", f"part {item.number} was written by a newer release, whose fields the object would lack")
        chosen.append(part)
    least = gw.options.rgw_multipart_min_part_size
    for part in chosen[:-1]:
        if part.size < least:
            raise S3Error("EntityTooSmall", PartNumber=str(part.number), ProposedSize=str(part.size), MinSizeAllowed=str(least))
    return chosen


async def _manifest(gw: Gateway, upload: Upload, chosen: list[Part]) -> tuple[ObjManifest, list[GcObj]]:
    """The object's manifest, and the others' tails of which it must hold references."""
    if not any(part.by_reference or part.manifest.explicit_objs for part in chosen):
        manifest = joined_manifest(upload.final_obj, [part.manifest for part in chosen], upload.placement)
        manifest.tail_instance = "" if upload.instance else None  # parts are named before there is a version
        return manifest, []
    found: list[Piece] = []
    others: list[Piece] = []
    offset = 0
    for part, lies in zip(chosen, await each(chosen, partial(part_pieces, gw, upload), _LOOKS), strict=True):
        for piece in lies:
            found.append(Piece(offset + piece.offset, piece.length, pooled(piece.loc, piece.pool), piece.start))
        if part.by_reference:
            others += [piece for piece in lies if not piece.head]
        offset += part.stored_size
    return explicit_manifest(upload.final_obj, found, offset, 0, upload.placement), gc_chain(others, "")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a Complete asks for: see ``complete``."""

    wanted: list[CompletedPart]
    conditions: Conditions | None
    attrs_of: AttrsOf | None


async def complete(
    gw: Gateway, bucket: Bucket, key: str, upload_id: str, wanted: list[CompletedPart], *, conditions: Conditions | None = None,
    attrs_of: AttrsOf | None = None,
) -> ObjectState:
    """Makes the object of the named parts; parts not named are freed. A retry after success returns the same object.

    ``attrs_of`` tells further attributes of the object from its parts. S3Error NoSuchUpload, InvalidPart, InvalidPartOrder,
    EntityTooSmall, MalformedXML, PreconditionFailed.
    """
    return await uncancelled(_complete(gw, bucket, key, upload_id, _Asked(wanted, conditions, attrs_of)))


async def _complete(gw: Gateway, bucket: Bucket, key: str, upload_id: str, asked: _Asked) -> ObjectState:
    cookie = random_text(16)
    with gw.intents.ending(bucket, key, upload_id, cookie, abort=False) as intent:
        intent.begin()
        return await _complete_noted(gw, bucket, key, upload_id, asked, cookie, intent)


async def _complete_noted(
    gw: Gateway, bucket: Bucket, key: str, upload_id: str, asked: _Asked, cookie: str, intent: OpenIntent,
) -> ObjectState:
    try:
        upload = await load_upload(gw, bucket, key, upload_id)
        await intent.confirm()
        died = await upload_lock.close(gw, upload, cookie)
    except S3Error as error:
        if error.code in upload_lock.NOT_CLOSED:
            intent.close()
        if error.code != "NoSuchUpload":
            raise
        state = await object_of_ended(gw, bucket, key, upload_id, [item.etag for item in asked.wanted])
        if state is None:
            raise
        return state
    before = await standing_object(gw, upload)
    parts, _, _ = await read_parts(upload)
    former = await former_parts(upload)
    if before is not None:  # a former Complete died after its head was written
        before = await link_again(gw, before)
        await _finish(gw, upload, parts + former, before.manifest)
        return before
    if (died or upload_lock.LOCK_XATTR in upload.attrs) and await was_replaced(gw, upload, parts):
        await _finish(gw, upload, parts + former, None)
        raise S3Error("NoSuchUpload", UploadId=upload_id)
    return await _join(gw, upload, parts, former, asked, cookie, intent)


async def _join(
    gw: Gateway, upload: Upload, parts: list[Part], former: list[Part], asked: _Asked, cookie: str, intent: OpenIntent,
) -> ObjectState:
    """Makes the object of a closed upload, or opens that again."""
    write: HeadWrite | None = None
    renamed: list[Part] = []
    others: list[GcObj] = []
    tag = upload.upload_id
    conditions = asked.conditions
    try:
        chosen = _select(gw, parts, asked.wanted)
        manifest, others = await _manifest(gw, upload, chosen)
        attrs = _attrs(upload, chosen, asked.attrs_of)
        if manifest.explicit_objs:
            attrs[PARTS] = format_parts([(part.number, part.size) for part in chosen])
            tag = object_tag(upload.upload_id, cookie)
            await _note_references(gw, upload, parts + former, others, intent)
            renamed = parts
            await upload_lock.hide_parts(upload, parts)
            if await take_references(gw, others, tag, intent):
                raise S3Error("InvalidPart")  # the part's own reference was lost
        keys = [upload.part_key(part.prefix(upload), part.number) for part in parts + former]
        # A version's conditions are judged again when it is linked, after its index entry is complete: the parts may have to stay.
        judged_late = bool(upload.instance) and conditions is not None and conditions.any
        write = HeadWrite(
            upload.bucket, upload.key, attrs, manifest, None, tail_tag=tag.encode(), conditions=conditions,
            remove_objs=[] if judged_late else keys, intent=intent, instance=upload.instance)
        state, won = await put_head(gw, write)
    except BaseException as error:
        if write is None or not write.may_exist:
            await upload_lock.reopen(upload, cookie, renamed)
            await put_references(gw, others, tag)
            if isinstance(error, S3Error):
                intent.close()  # a refusal leaves nothing to be settled
        raise
    if not won:
        await put_references(gw, others, tag)
    await _finish(gw, upload, parts + former, manifest if won else None, indexed=not won or judged_late)
    return state


def _attrs(upload: Upload, chosen: list[Part], attrs_of: AttrsOf | None) -> dict[str, bytes]:
    """The attributes of the object: the upload's, and those that its parts make."""
    attrs = {
        name: value for name, value in upload.attrs.items()
        if name not in OWN_ATTRS and name not in (CLOSING, PIECES) and not name.startswith("lock.")
    }
    attrs.pop(STORAGE_CLASS, None)
    unnamed = ("", STANDARD)  # radosgw's uploads know of the standard class by none, unless their bucket has another one of its own
    if upload.storage_class and not (upload.storage_class in unnamed and upload.bucket.placement.storage_class in unnamed):
        attrs[STORAGE_CLASS] = upload.storage_class.encode()
    compression = joined([part.cs_info for part in chosen], [part.stored_size for part in chosen])
    if compression is not None:
        attrs[COMPRESSION] = compression.encode()
    attrs[ETAG] = combined_etag([part.etag for part in chosen]).encode()
    if attrs_of is not None:
        attrs.update(attrs_of(chosen))
    return attrs


async def _note_references(gw: Gateway, upload: Upload, parts: list[Part], others: list[GcObj], intent: OpenIntent) -> None:
    """Tells the intent what is about to be taken, and the prefixes of tails and parts, for the one who finds no upload any more."""
    await intent.amend(
        instance=upload.instance, head_oid=names.raw_name(upload.bucket.marker, upload.key, upload.instance), window=gw.intents.window,
        pool=places.tail_pool_name(gw, upload.bucket, upload.placement), manifest=GcObjChain(objs=others).encode(),
        prefixes=[f"{part.prefix(upload)}.{part.number}" for part in parts])


async def _finish(gw: Gateway, upload: Upload, parts: list[Part], manifest: ObjManifest | None, *, indexed: bool = True) -> None:
    """After the object's head stands (``manifest``; None: there is no object): frees what it does not use, then removes the upload.

    ``indexed``: the parts may still stand in the index. Everything here can be repeated, as long as ``.meta``, which goes last, is there.
    """
    pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
    used: set[tuple[str, str]] = set()
    if manifest is not None:
        used = {(item.pool, item.oid) for item in gc_chain(tails(manifest), pool)}
    copied = [part for part in parts if part.by_reference]
    recorded = dict(await each(copied, partial(part_references, gw, upload), _LOOKS))
    for tag, held in recorded.items():
        await gw.gc.enqueue(tag, held)
    for tag, held in await noted_references(upload):
        if tag not in recorded:  # it may not have been taken, and must not cost the tail its owner's reference
            await put_references(gw, held, tag)
    unused: list[Part] = []
    ownerless: list[str] = []
    for part in parts:
        oid = upload.part_oid(part.prefix(upload), part.number)
        if (pool, oid) in used:
            continue
        if manifest is not None and (part.by_reference or part.size == 0):
            ownerless.append(oid)
        else:
            unused.append(part)
    await remove_objects(gw, pool, ownerless)
    if manifest is not None:
        await free_parts(gw, upload, unused, index=False)
    else:
        await enqueue_parts(gw, upload, unused, pool, upload.upload_id)
    if indexed and parts:
        index, tag = BucketIndex(gw, upload.bucket), "_" + gw.new_tag()
        await index.prepare(OP_DEL, tag, upload.meta_key)
        await index.complete(OP_CANCEL, tag, upload.meta_key, remove=[upload.part_key(part.prefix(upload), part.number) for part in parts])
    await _remove_meta(gw, upload)
    for tag in recorded:
        if noted := reference_intent(tag):
            gw.intents.forget(noted)


async def _remove_meta(gw: Gateway, upload: Upload) -> None:
    change = await IndexChange.prepare(gw, upload.bucket, upload.meta_key, delete=True, tag="_" + gw.new_tag())
    try:
        await upload.pool.write(upload.meta_oid, WriteOp().remove())
    except store_errors.NotFound:
        pass  # another gateway removed it; the index entry still has to go
    await change.complete(upload.pool.pool_id, 0, DirEntryMeta(category=0, mtime=time.time_ns()))


async def abort(gw: Gateway, bucket: Bucket, key: str, upload_id: str) -> None:
    """Ends an upload without an object. S3Error NoSuchUpload, also if it was completed meanwhile."""
    await uncancelled(_abort(gw, bucket, key, upload_id))


async def _abort(gw: Gateway, bucket: Bucket, key: str, upload_id: str) -> None:
    cookie = random_text(16)
    with gw.intents.ending(bucket, key, upload_id, cookie, abort=True) as intent:
        intent.begin()
        try:
            upload = await load_upload(gw, bucket, key, upload_id)
            await intent.confirm()
            await upload_lock.close(gw, upload, cookie)
        except S3Error as error:
            if error.code in upload_lock.NOT_CLOSED:
                intent.close()
            raise
        await _abort_closed(gw, upload)


async def _abort_closed(gw: Gateway, upload: Upload) -> None:
    parts, _, _ = await read_parts(upload)
    parts += await former_parts(upload)
    state = await standing_object(gw, upload)
    if state is not None:  # a Complete died after its head was written: it counts
        await link_again(gw, state)
        await _finish(gw, upload, parts, state.manifest)
        raise S3Error("NoSuchUpload", UploadId=upload.upload_id)
    await _finish(gw, upload, parts, None)


async def settle_ending(gw: Gateway, bucket: Bucket, key: str, upload_id: str, cookie: str, *, aborting: bool) -> None:
    """For a gateway that died while it ended an upload under the lock of ``cookie``: goes on where the outcome is decided, else opens it again."""
    try:
        upload = await load_upload(gw, bucket, key, upload_id)
        if not await upload_lock.take_over(upload, cookie):
            return  # somebody else ends it
        if CLOSING not in upload.attrs:
            return
        await upload_lock.close(gw, upload, cookie)  # under the same cookie, so that this can be tried again
    except store_errors.NotFound:
        return  # the upload is over
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise
        return
    if aborting:
        try:
            await _abort_closed(gw, upload)
        except S3Error as error:
            if error.code != "NoSuchUpload":  # it was completed before, and is finished now
                raise
        return
    state = await standing_object(gw, upload)
    parts, _, _ = await read_parts(upload)
    if state is not None:
        await link_again(gw, state)
        await _finish(gw, upload, parts + await former_parts(upload), state.manifest)
    elif await was_replaced(gw, upload, parts):
        await _finish(gw, upload, parts + await former_parts(upload), None)
    else:
        await upload_lock.reopen(upload, cookie, parts if await upload_lock.parts_hidden(upload) else [])
