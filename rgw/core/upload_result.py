"""What became of an upload: its object, if a Complete made one before it died or before a retry came, or if radosgw did, or what is gone again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.head import existing_head
from rgw.core.key_index import read_key
from rgw.core.parallel import each
from rgw.core.state import TAIL_TAG, ObjectState, load
from rgw.core.upload_lock import LOCK_XATTR
from rgw.core.uploads import Part, Upload, combined_etag
from rgw.core.versions import current, shown
from rgw.errors import S3Error
from rgw.store import errors as store_errors
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

_LOOKS = 32  # parts looked at in parallel


def _is_made_of(state: ObjectState, upload_id: str) -> bool:
    """Whether the object was made of the upload. The tags of those that radosgw completed do not tell, but the names of the parts do."""
    if state.attrs.get(TAIL_TAG, b"").rstrip(b"\0").partition(b"/")[0] == upload_id.encode():
        return True
    named, manifest = f"{state.key}.{upload_id}", state.manifest
    return manifest is not None and (manifest.prefix == named or any(rule.override_prefix == named for rule in manifest.rules.values()))


async def standing_object(gw: Gateway, upload: Upload) -> ObjectState | None:
    """The object that a Complete made which did not come to the upload's end, as it was before ``close``. One of radosgw's left its lock."""
    bucket, key = upload.bucket, upload.key
    state = await existing_head(gw, bucket, key, upload.instance)
    if state is not None and _is_made_of(state, upload.upload_id):
        return state
    if bucket.versioned and LOCK_XATTR in upload.attrs:  # radosgw chose a version of its own
        for stored in (await read_key(bucket, key)).versions:
            state = None if stored.is_marker else await existing_head(gw, bucket, key, stored.entry.instance)
            if state is not None and _is_made_of(state, upload.upload_id):
                return state
    return None


async def object_of_ended(gw: Gateway, bucket: Bucket, key: str, upload_id: str, etags: list[str]) -> ObjectState | None:
    """What an upload that is gone became of the parts with these ETags: the current object, or a version below newer ones. None if there is no such."""
    try:
        etag = combined_etag([etag.strip('"') for etag in etags])
    except S3Error:
        return None
    state = await current(gw, bucket, key)
    if state is not None and _is_made_of(state, upload_id):
        return state if state.etag == etag else None
    if bucket.versioned:
        for stored in (await read_key(bucket, key)).listed:
            if not stored.is_marker and stored.entry.meta.etag == etag:
                try:
                    state = await load(gw, bucket, key, shown(stored.entry.instance))
                except S3Error as error:
                    if error.code not in ("NoSuchVersion", "NoSuchKey"):  # it went meanwhile
                        raise
                    continue
                if _is_made_of(state, upload_id):
                    return state
    return None


async def was_replaced(gw: Gateway, upload: Upload, parts: list[Part]) -> bool:
    """Whether the upload's object stood already and is gone again: its tails then are garbage, and a second head would lose them."""
    names = {upload.part_oid(part.prefix(upload), part.number) for part in parts}
    for entry in await gw.gc.list(include_all=True):
        if entry.tag.rstrip("\0") == upload.upload_id or any(obj.oid in names for obj in entry.chain.objs):  # radosgw has a tag of its own
            return True
    ioctx = await gw.pool(places.tail_pool_name(gw, upload.bucket, upload.placement))

    async def gone(part: Part) -> bool:
        try:
            await ioctx.read(upload.part_oid(part.prefix(upload), part.number), ReadOp().stat())
        except store_errors.NotFound:
            return True
        return False

    return any(await each([part for part in parts if part.size], gone, _LOOKS))
