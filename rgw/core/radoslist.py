"""Which RADOS objects hold a bucket's data: heads, tails, and the parts of uploads under way. Source: `radosgw-admin bucket radoslist`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rgw.core import places
from rgw.core.manifest import tails
from rgw.core.state import MANIFEST
from rgw.core.uploads import load_upload, part_pieces, read_parts
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.index import FLAG_DELETE_MARKER
from rgw.formats.obj import ObjManifest
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway



@dataclass(frozen=True, slots=True)
class RadosObject:
    """A RADOS object in ``pool``, and the S3 key whose bytes it holds."""

    pool: str
    oid: str
    key: str


def of_manifest(gw: Gateway, bucket: Bucket, key: str, manifest: ObjManifest | None) -> list[RadosObject]:
    """The distinct tails of an object."""
    if manifest is None:
        return []
    default = places.manifest_pool_name(gw, bucket, manifest)
    return list(dict.fromkeys(RadosObject(piece.pool or default, piece.oid, key) for piece in tails(manifest)))


async def of_upload(gw: Gateway, bucket: Bucket, key: str, upload_id: str) -> list[RadosObject]:
    """The parts of an upload under way, those too whose bytes are other objects' tails; nothing if it has ended."""
    pool = ""
    found: dict[RadosObject, None] = {}
    try:
        upload = await load_upload(gw, bucket, key, upload_id)
        pool = places.tail_pool_name(gw, upload.bucket, upload.placement)
        parts, _, _ = await read_parts(upload)
        for part in parts:
            if part.by_reference:
                found[RadosObject(pool, upload.part_oid(part.prefix(upload), part.number), key)] = None
            for piece in await part_pieces(gw, upload, part):
                found[RadosObject(piece.pool or pool, piece.oid, key)] = None
    except S3Error as error:
        if error.code != "NoSuchUpload":
            raise
    except NotFound:
        pass  # a part was replaced or the upload ended meanwhile
    return list(found)


async def of_bucket(gw: Gateway, bucket: Bucket, *, uploads: bool = True) -> AsyncIterator[RadosObject]:
    """Every RADOS object of a bucket in its data pools. Uploads come first: one that is completed meanwhile is then met as an object."""
    if uploads:
        async for record in gw.listing.namespace(bucket, "multipart"):
            if record.name.endswith(".meta") and record.name.count(".") >= 2:
                key, upload_id, _ = record.name.rsplit(".", 2)
                for found in await of_upload(gw, bucket, key, upload_id):
                    yield found
    marker = version = ""
    while True:
        page = await gw.listing.versions(bucket, key_marker=marker, version_marker=version)
        pointer = ""
        for entry in page.entries:
            if entry.instance and entry.name != pointer:  # the object that points to a key's current version
                pointer = entry.name
                yield RadosObject(places.head_pool_name(gw, bucket), names.raw_name(bucket.marker, entry.name), entry.name)
            if entry.flags & FLAG_DELETE_MARKER:
                continue
            for found in await of_head(gw, bucket, entry.name, entry.instance):
                yield found
        if not page.truncated:
            return
        marker, version = page.next_marker, page.next_version_marker


async def of_head(gw: Gateway, bucket: Bucket, key: str, instance: str = "") -> list[RadosObject]:
    """The head and tails of one version; nothing if it is gone."""
    ioctx = await places.head_pool(gw, bucket)
    oid = names.raw_name(bucket.marker, key, instance)
    try:
        found = await ioctx.read(oid, ReadOp().getxattrs(), locator=names.locator(bucket.marker, key))
    except NotFound:
        return []
    raw = found.xattrs.get(MANIFEST)
    head = RadosObject(places.head_pool_name(gw, bucket), oid, key)
    return [head, *of_manifest(gw, bucket, key, ObjManifest.decode(raw) if raw else None)]
