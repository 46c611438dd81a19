"""Copies of objects: tails are shared by reference, only the head is copied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.conditions import Conditions
from rgw.core.encryption import CRYPT_PREFIX, CustomerKey
from rgw.core.entropy import random_text
from rgw.core.head import HeadWrite
from rgw.core.manifest import Piece, gc_chain, plain_manifest, tail_bucket, tail_instance, tails
from rgw.core.parallel import each
from rgw.core.reader import ObjectChanged, read, read_all, read_head
from rgw.core.state import COMPRESSION, ETAG, OLH_PREFIX, OWN_ATTRS, PARTS, STORAGE_CLASS, TAIL_TAG, ObjectState, with_nul
from rgw.core.storage_class import object_placement, with_class
from rgw.core.versions import new_instance, put_head
from rgw.core.writer import ObjectWriter
from rgw.errors import S3Error
from rgw.formats.basics import Obj, PlacementRule
from rgw.formats.cls_refcount import RefcountOp
from rgw.formats.gc import GcObj
from rgw.formats.obj import ObjManifest
from rgw.store import classes
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.core.intents import OpenIntent


def copied_attrs(attrs: dict[str, bytes]) -> dict[str, bytes]:
    """The attributes that a copy takes over from its source; its class is what is asked for, or the bucket's own."""
    return {name: value for name, value in attrs.items() if name not in OWN_ATTRS and name != STORAGE_CLASS and not name.startswith(OLH_PREFIX)}


async def take_references(gw: Gateway, found: Iterable[GcObj], tag: str, intent: OpenIntent) -> list[GcObj]:
    """One reference under ``tag`` on each tail, as ``intent`` tells. Returns those not taken because the object is gone; nothing is undone.

    A tag that was given back must not be taken again on the same tail: it is retired there, and would never be released.
    """
    async def take(tail: GcObj) -> GcObj | None:
        ioctx = await gw.pool(tail.pool)
        op = WriteOp().assert_exists().call(classes.REFCOUNT_GET(RefcountOp(tag=tag, implicit_ref=True)))
        await intent.confirm()  # each one: what comes after a recovery gave them back would stay
        try:
            await ioctx.write(tail.oid, op, locator=tail.loc)
        except store_errors.NotFound:
            return tail
        return None

    looked = await each(found, take, gw.options.rgw_copy_obj_concurrency, go_on=True)
    return [tail for tail in looked if tail is not None]


async def put_references(gw: Gateway, found: Iterable[GcObj], tag: str) -> None:
    """Gives references back. An unknown tag changes nothing (never the source's own reference: implicit is false)."""
    async def put(tail: GcObj) -> None:
        ioctx = await gw.pool(tail.pool)
        try:
            op = WriteOp().assert_exists().call(classes.REFCOUNT_PUT(RefcountOp(tag=tag, implicit_ref=False)))
            await ioctx.write(tail.oid, op, locator=tail.loc)
        except (store_errors.NotFound, store_errors.InvalidArgument):
            return  # gone, or never referenced: nothing is held there

    await each(found, put, gw.options.rgw_copy_obj_concurrency, go_on=True)


async def copy(
    gw: Gateway, src: ObjectState, bucket: Bucket, key: str, *, attrs: dict[str, bytes] | None, conditions: Conditions | None = None,
    extra: dict[str, bytes] | None = None, customer_key: CustomerKey | None = None,
) -> ObjectState:
    """Copies ``src``; bytes that are or shall be encrypted are always written anew.

    ``attrs`` replace the source's (None keeps them); ``extra`` (such as the new ACL) are set in both cases.

    Copying an object onto itself changes its attributes only. S3Error OperationAborted if the source changes meanwhile.
    """
    src.require_readable()
    chosen = copied_attrs(src.attrs) if attrs is None else dict(attrs)
    chosen = with_class(bucket, chosen | (extra or {}))
    chosen = {name: value for name, value in chosen.items() if not _of_stored_form(name)}
    chosen[ETAG] = src.attrs.get(ETAG, b"")
    if PARTS in src.attrs:
        chosen[PARTS] = src.attrs[PARTS]
    raw = chosen | {name: value for name, value in src.attrs.items() if _of_stored_form(name)}  # for copies of the stored bytes
    rule = object_placement(bucket, chosen)
    itself = src.bucket.marker == bucket.marker and src.key == key and not src.instance and not bucket.versioning_enabled
    try:
        if src.encrypted or customer_key is not None:
            return await _copy_data(gw, src, bucket, key, chosen, conditions, customer_key)
        if itself and _may_share(gw, src, bucket, rule):
            return await _onto_itself(gw, src, bucket, key, raw, conditions)
        if src.manifest is None or not tails(src.manifest):
            if src.size <= places.head_room(gw, bucket, places.tail_pool_name(gw, bucket, rule)):
                return await _copy_small(gw, src, bucket, key, chosen, rule, conditions)
            return await _copy_data(gw, src, bucket, key, chosen, conditions)
        if not _may_share(gw, src, bucket, rule):
            return await _copy_data(gw, src, bucket, key, chosen, conditions)
        return await _by_reference(gw, src, bucket, key, raw, conditions)
    except ObjectChanged as error:
        raise S3Error("OperationAborted", "the source changed while it was copied") from error


def _of_stored_form(name: str) -> bool:
    """Whether an attribute tells how the bytes are stored, and so belongs to them."""
    return name == COMPRESSION or name.startswith(CRYPT_PREFIX)


def _may_share(gw: Gateway, src: ObjectState, bucket: Bucket, rule: PlacementRule) -> bool:
    """Whether the stored bytes may serve the copy: they lie in the class's pool, and a manifest of a newer release is not written again."""
    if src.manifest is not None and src.manifest.newer:
        return False
    held = places.head_pool_name(gw, src.bucket) if src.manifest is None else places.manifest_pool_name(gw, src.bucket, src.manifest)
    return held == places.tail_pool_name(gw, bucket, rule)


async def _onto_itself(
    gw: Gateway, src: ObjectState, bucket: Bucket, key: str, attrs: dict[str, bytes], conditions: Conditions | None,
) -> ObjectState:
    manifest = src.manifest
    if manifest is None:
        manifest = plain_manifest(
            src.obj, src.size, src.size, max(src.size, gw.options.rgw_max_chunk_size), gw.options.rgw_obj_stripe_size,
            f".{random_text(31)}_", places.bucket_rule(bucket), places.bucket_rule(bucket),
        )
    data = await read_head(src, 0, src.head_size)
    tail_tag = src.attrs.get(TAIL_TAG) or src.idtag
    state, _ = await put_head(gw, HeadWrite(bucket, key, attrs, manifest, data, tail_tag=tail_tag, conditions=conditions, expect=src))
    return state


async def _copy_small(
    gw: Gateway, src: ObjectState, bucket: Bucket, key: str, attrs: dict[str, bytes], rule: PlacementRule, conditions: Conditions | None,
) -> ObjectState:
    data = await read_all(gw, src, 0, src.size)
    instance = new_instance(bucket)
    manifest = plain_manifest(
        Obj(bucket.info.bucket, "", key, instance), src.size, src.size, gw.options.rgw_max_chunk_size, gw.options.rgw_obj_stripe_size,
        f".{random_text(31)}_", rule, places.bucket_rule(bucket),
    )
    state, _ = await put_head(gw, HeadWrite(bucket, key, attrs, manifest, data, conditions=conditions, instance=instance))
    return state


async def _copy_data(
    gw: Gateway, src: ObjectState, bucket: Bucket, key: str, attrs: dict[str, bytes], conditions: Conditions | None,
    customer_key: CustomerKey | None = None,
) -> ObjectState:
    writer = ObjectWriter(gw, bucket, key, attrs, customer_key)
    try:
        async for data in read(gw, src):
            await writer.write(data)
        return await writer.complete(src.etag, conditions=conditions)
    finally:
        await writer.abort()


def _destination_manifest(source: ObjManifest, obj: Obj) -> ObjManifest:
    """The source's manifest for a new object: the tails keep their names, hence bucket and version are named where they differ."""
    if source.explicit_objs:
        return replace(source, obj=obj)
    bucket, instance = tail_bucket(source), tail_instance(source)
    here = (bucket.tenant, bucket.name, bucket.bucket_id) == (obj.bucket.tenant, obj.bucket.name, obj.bucket.bucket_id)
    return replace(source, obj=obj, tail_bucket=None if here else bucket, tail_instance=None if instance == obj.instance else instance)


def _moved_head(source: ObjManifest, obj: Obj) -> ObjManifest:
    """For explicit manifests with own bytes: the piece in the head is renamed to the new head."""
    manifest = _destination_manifest(source, obj)
    if not source.explicit_objs:
        return manifest
    objs = dict(source.objs)
    for offset, part in source.objs.items():
        if (part.loc.bucket.marker, part.loc.ns, part.loc.name, part.loc.instance) == (
                source.obj.bucket.marker, source.obj.ns, source.obj.name, source.obj.instance):
            objs[offset] = replace(part, loc=obj)
    return replace(manifest, objs=objs)


async def _by_reference(
    gw: Gateway, src: ObjectState, bucket: Bucket, key: str, attrs: dict[str, bytes], conditions: Conditions | None,
) -> ObjectState:
    assert src.manifest is not None
    found: list[Piece] = tails(src.manifest)
    chain = gc_chain(found, places.manifest_pool_name(gw, src.bucket, src.manifest))
    tag = with_nul(gw.new_tag()).decode()
    instance = new_instance(bucket)
    manifest = _moved_head(src.manifest, Obj(bucket.info.bucket, "", key, instance))
    head = await read_head(src, 0, src.head_size) if src.head_size else None
    pool = places.manifest_pool_name(gw, src.bucket, src.manifest)
    with gw.intents.references(bucket, key, pool, src.manifest.encode(), tag, instance) as intent:
        await intent.confirm()
        write = HeadWrite(bucket, key, attrs, manifest, head, tail_tag=tag.encode(), conditions=conditions, intent=intent,
                          instance=instance)
        try:
            try:
                if await take_references(gw, chain, tag, intent):
                    raise ObjectChanged(src.head_oid)
                state, _ = await put_head(gw, write)
                return state
            finally:
                if not write.may_exist:
                    await put_references(gw, chain, tag)
        except (S3Error, ObjectChanged):
            if not write.may_exist:
                intent.close()  # a refusal leaves nothing to be settled
            raise
