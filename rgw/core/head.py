"""Making an object visible: index prepare, the guarded write of its head, index complete, the old tail to the garbage collector."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.conditions import Conditions, check
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.manifest import gc_chain, part_ranges, pieces, tails
from rgw.core.state import (
    ACL,
    CONTENT_TYPE,
    ETAG,
    IDTAG,
    MANIFEST,
    OLH_IDTAG,
    OLH_PREFIX,
    STORAGE_CLASS,
    TAIL_TAG,
    ObjectState,
    compression_of,
    is_olh_only,
    load,
    text,
    with_nul,
)
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.acl import AccessControlPolicy, shared_policy
from rgw.formats.cls_rgw import ObjRemoveOp
from rgw.formats.index import DirEntryMeta
from rgw.formats.obj import ObjManifest
from rgw.formats.user import UserInfo
from rgw.store import classes
from rgw.store import errors as store_errors
from rgw.store.interface import IoCtx, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.core.intents import OpenIntent

log = logging.getLogger(__name__)
_REMOVE_BUT_OLH = classes.OBJ_REMOVE(ObjRemoveOp([OLH_PREFIX])).constant()


@dataclass(slots=True)
class HeadWrite:
    """A head to be. ``tail_tag`` None: the new idtag. ``remove_objs``: index entries that go in the same index operation.

    ``expect``: the state that must still be there (copy onto itself); its tail then is kept. ``may_exist``: the head was, or may have been,
    written, hence its tail must stay. ``tag``: the new idtag, "": one is made. ``intent``: what covers the tail until the head is written.
    ``instance``: the version that it is; ``announced``: what an overwritten head of a versioned key tells besides (rgw.core.olh).
    """

    bucket: Bucket
    key: str
    attrs: dict[str, bytes]
    manifest: ObjManifest
    data: bytes | None
    tail_tag: bytes | None = None
    conditions: Conditions | None = None
    remove_objs: list[IndexKey] = field(default_factory=list)
    expect: ObjectState | None = None
    may_exist: bool = False
    tag: str = ""
    intent: OpenIntent | None = None
    instance: str = ""
    announced: dict[str, bytes] = field(default_factory=dict)


def with_acl(attrs: dict[str, bytes], owner: UserInfo | None) -> dict[str, bytes]:
    """The attributes with an ACL: the owner's private one where they have none."""
    if ACL in attrs or owner is None:
        return dict(attrs)
    return {**attrs, ACL: AccessControlPolicy.private(owner.user_id.text(), owner.display_name).encode()}


def entry_meta(attrs: dict[str, bytes], size: int, mtime: int) -> DirEntryMeta:
    """What the bucket index tells of an object; ``size`` is that of its stored bytes."""
    owner, display = "", ""
    compression = compression_of(attrs)
    if ACL in attrs:
        policy = shared_policy(attrs[ACL])
        owner, display = policy.owner.id, policy.owner.display_name
    return DirEntryMeta(
        category=1, size=size, mtime=mtime, etag=text(attrs.get(ETAG)), owner=owner, owner_display_name=display,
        content_type=text(attrs.get(CONTENT_TYPE)),
        accounted_size=size if compression is None else compression.orig_size, user_data="", storage_class=text(attrs.get(STORAGE_CLASS)),
        appendable=False,
    )


async def existing_head(gw: Gateway, bucket: Bucket, key: str, instance: str = "") -> ObjectState | None:
    """The head of a key, or of one of its versions, as it stands now, None if there is none."""
    try:
        return await load(gw, bucket, key, instance, raw=True)
    except S3Error as error:
        if error.code not in ("NoSuchKey", "NoSuchVersion"):
            raise
        return None


def shown_etag(state: ObjectState | None) -> str | None:
    """The ETag that conditions compare with, None where there is no object."""
    return None if state is None or is_olh_only(state.attrs) else state.etag


async def free_tail(gw: Gateway, state: ObjectState) -> None:
    """Hands an unreachable object's tail to the garbage collector."""
    if state.all_in_head:
        return
    found = tails(state.manifest)
    if state.manifest is not None and found:
        chain = gc_chain(found, places.manifest_pool_name(gw, state.bucket, state.manifest))
        await gw.gc.enqueue(state.tail_tag, chain)


async def note_old_tail(gw: Gateway, state: ObjectState) -> AbstractContextManager[object]:
    """To hold from before a head is replaced or removed until its tail is freed: should this gateway die, the tail is found."""
    if state.all_in_head or state.manifest is None or all(piece.head for piece in pieces(state.manifest)):
        return nullcontext()
    head = (places.head_pool_name(gw, state.bucket), state.head_oid, state.head_locator)
    pool = places.manifest_pool_name(gw, state.bucket, state.manifest)
    intent = gw.intents.tail(state.bucket, state.key, head, pool, state.attrs[MANIFEST], state.tail_tag)
    await intent.confirm()
    return intent


def _same_tail(tag: str, other: str) -> bool:
    """Whether two tail tags stand for the same parts: equal, or of two Completes of one upload (rgw.core.uploads.object_tag)."""
    return tag.partition("/")[0] == other.partition("/")[0]


async def write_head(gw: Gateway, write: HeadWrite) -> tuple[ObjectState, bool]:
    """Writes a head. Returns its state and whether it won: if another write was faster, an unconditional one counts as overwritten at once.

    S3Error PreconditionFailed if the conditions do not hold. Unless ``write.may_exist`` is set afterwards, the caller still owns the tail.
    """
    with ExitStack() as old_tails:
        try:
            return await _write_head(gw, write, old_tails)
        except S3Error:
            if not write.may_exist:
                old_tails.close()  # it is known that nothing was replaced
            raise


async def _write_head(gw: Gateway, write: HeadWrite, old_tails: ExitStack) -> tuple[ObjectState, bool]:
    tag = write.tag or gw.new_tag()
    tail_tag = (with_nul(tag) if write.tail_tag is None else write.tail_tag).decode("utf-8", "surrogateescape")
    existing = write.expect
    noted: ObjectState | None = None
    conditional = write.conditions is not None and write.conditions.any
    if conditional:
        existing = existing or await existing_head(gw, write.bucket, write.key, write.instance)
        check(write.conditions, shown_etag(existing))
    preparing = IndexChange.prepare(gw, write.bucket, IndexKey.of(write.key, write.instance), delete=False, tag=tag)
    looking: asyncio.Future[ObjectState | None] | None = None
    if not conditional and existing is None:  # what there is to overwrite is looked up meanwhile
        looking = asyncio.get_running_loop().create_task(existing_head(gw, write.bucket, write.key, write.instance))
    try:
        change = await preparing
    except BaseException:
        if looking is not None:
            await asyncio.wait({looking})
            looking.exception()  # what is raised tells enough
        raise
    settled = False
    try:
        if looking is not None:
            existing = await looking
        while True:
            if existing is not None and existing is not noted and not _same_tail(existing.tail_tag, tail_tag):
                old_tails.enter_context(await note_old_tail(gw, existing))
                noted = existing
            try:
                state = await _write_once(gw, write, tag, existing)
                break
            except (store_errors.Exists, store_errors.Cancelled):
                before, existing = existing, await existing_head(gw, write.bucket, write.key, write.instance)
                if conditional:
                    check(write.conditions, shown_etag(existing))
                    continue
                if write.expect is not None and (existing is None or existing.tail_tag != write.expect.tail_tag):
                    raise S3Error("OperationAborted", "the object changed while it was copied onto itself") from None
                if before is not None and (existing is None or existing.tail_tag != before.tail_tag):
                    place = (before.head_pool, before.head_oid, before.head_locator)
                    return _state(write, _attrs(write, tag), time.time_ns(), place, 0), False
        settled = True
        await change.complete(state.head_pool.pool_id, state.version, entry_meta(state.attrs, state.stored_size, state.mtime), write.remove_objs)
    finally:
        if not settled and not write.may_exist:
            await change.cancel()
    if existing is not None and not _same_tail(existing.tail_tag, state.tail_tag):
        await free_tail(gw, existing)
    return state, True


def _size(attrs: dict[str, bytes], manifest: ObjManifest) -> int:
    compression = compression_of(attrs)
    return manifest.obj_size if compression is None else compression.orig_size


def _state(write: HeadWrite, attrs: dict[str, bytes], mtime: int, place: tuple[IoCtx, str, str], version: int) -> ObjectState:
    """The object as written with ``attrs`` at ``place``, its head's pool, name and locator."""
    ioctx, oid, locator = place
    return ObjectState(
        bucket=write.bucket, key=write.key, version_id=write.instance, instance=write.instance, size=_size(attrs, write.manifest), mtime=mtime,
        attrs=attrs, manifest=write.manifest, head_pool=ioctx, head_oid=oid, head_locator=locator, version=version,
        head_size=len(write.data or b""), parts=part_ranges(write.manifest),
    )


def _attrs(write: HeadWrite, tag: str) -> dict[str, bytes]:
    idtag = with_nul(tag)
    own = {IDTAG: idtag, TAIL_TAG: idtag if write.tail_tag is None else write.tail_tag, MANIFEST: write.manifest.encode()}
    return {**write.attrs, **own}


async def _write_once(gw: Gateway, write: HeadWrite, tag: str, existing: ObjectState | None) -> ObjectState:
    marker = write.bucket.marker
    ioctx = await places.head_pool(gw, write.bucket)
    oid, locator = names.raw_name(marker, write.key, write.instance), names.locator(marker, write.key)
    mtime = time.time_ns()
    op = WriteOp(mtime=mtime)
    if existing is None:
        op.create(exclusive=True)
    else:
        op.cmpxattr(IDTAG, existing.idtag).create().call(_REMOVE_BUT_OLH)
    attrs = _attrs(write, tag)
    op.setxattrs(attrs)
    if existing is not None and OLH_IDTAG in existing.attrs:
        op.cmpxattr(OLH_IDTAG, existing.attrs[OLH_IDTAG]).setxattrs(write.announced)
    if write.data is not None:
        op.write_full(write.data)
    if write.intent is not None:
        await write.intent.confirm()
    write.may_exist = True
    try:
        version = (await ioctx.write(oid, op, locator=locator)).version
    except (store_errors.TimedOut, store_errors.Unavailable):
        # The write may have happened: look. If it did not (yet), its tail stays, for losing data is worse than leaking some.
        found = await existing_head(gw, write.bucket, write.key, write.instance)
        if found is None or found.idtag != attrs[IDTAG]:
            raise
        version = found.version
    except store_errors.NotFound:
        write.may_exist = False
        if existing is None:
            raise  # the pool is gone
        raise store_errors.Cancelled("the head was removed since it was read") from None  # a missing object compares with nothing
    except store_errors.StoreError:
        write.may_exist = False
        raise
    return _state(write, attrs, mtime, (ioctx, oid, locator), version)
