"""Multipart uploads: create, parts, listings, complete, abort (formats page, 5.6)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rgw.core import complete as completing
from rgw.core import places
from rgw.core.complete import AttrsOf, CompletedPart
from rgw.core.conditions import Conditions
from rgw.core.encryption import CustomerKey, attributes
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta, with_acl
from rgw.core.indexed import IndexChange
from rgw.core.part_copy import copy_part
from rgw.core.parts import PartWriter
from rgw.core.state import ACL, ObjectState
from rgw.core.storage_class import object_placement, with_class
from rgw.core.uploads import Part, Upload, load_upload, read_parts
from rgw.formats.acl import AccessControlPolicy, AclOwner
from rgw.formats.obj import MultipartUploadInfo
from rgw.formats.user import UserInfo
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

__all__ = ["CompletedPart", "Multipart", "Part", "PartWriter", "Upload", "UploadEntry", "UploadListing"]

_META = 3  # the index category of uploads


@dataclass(frozen=True, slots=True)
class UploadEntry:
    """An upload in a listing. ``initiated`` ns; ``owner`` a user's text."""

    key: str
    upload_id: str
    owner: str
    owner_display_name: str
    initiated: int
    storage_class: str


@dataclass(slots=True)
class UploadListing:
    """A page of uploads; the next markers are set if ``truncated``."""

    uploads: list[UploadEntry] = field(default_factory=list)
    common_prefixes: list[str] = field(default_factory=list)
    truncated: bool = False
    next_key_marker: str = ""
    next_upload_id_marker: str = ""


class Multipart:
    """The multipart uploads of a gateway's buckets."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw

    async def create(
        self, bucket: Bucket, key: str, *, owner: UserInfo | None = None, attrs: dict[str, bytes], customer_key: CustomerKey | None = None,
    ) -> str:
        """Starts an upload and returns its id. ``attrs`` become the object's; the ACL among them names the owner.

        With ``customer_key`` the object will be encrypted, and each part must come with the same key.
        """
        return await uncancelled(self._create(bucket, key, with_acl(attrs, owner) | attributes(customer_key)))

    async def _create(self, bucket: Bucket, key: str, attrs: dict[str, bytes]) -> str:
        gw, attrs = self._gw, with_class(bucket, attrs)
        rule = object_placement(bucket, attrs)
        places.tail_pool_name(gw, bucket, rule)  # refuses an unknown storage class before anything is written
        upload_id = f"2~{random_text(31)}"
        owner = AccessControlPolicy.decode(attrs[ACL]).owner if ACL in attrs else AclOwner(id=bucket.owner.text(), display_name="")
        pool = await places.extra_pool(gw, bucket)
        mtime = time.time_ns()
        upload = Upload(bucket, key, upload_id, attrs, owner, mtime, rule, pool)
        data = MultipartUploadInfo(dest_placement=rule).encode()
        change = await IndexChange.prepare(gw, bucket, upload.meta_key, delete=False, tag=gw.new_tag())
        try:
            op = WriteOp(mtime=mtime).create(exclusive=True).write_full(data).setxattrs(attrs)
            version = (await pool.write(upload.meta_oid, op)).version
        except (store_errors.TimedOut, store_errors.Unavailable):
            raise  # it may be there: the entry stays in doubt, and listings look
        except BaseException:
            await change.cancel()
            raise
        meta = entry_meta(attrs, len(data), mtime)
        meta.category, meta.accounted_size = _META, 0
        await change.complete(pool.pool_id, version, meta)
        return upload_id

    async def get(self, bucket: Bucket, key: str, upload_id: str) -> Upload:
        """An upload in progress. S3Error NoSuchUpload."""
        return await load_upload(self._gw, bucket, key, upload_id)

    def part_writer(
        self, upload: Upload, number: int, size_hint: int | None = None, customer_key: CustomerKey | None = None,
    ) -> PartWriter:
        """A writer for a part's body. S3Error InvalidArgument unless ``customer_key`` is the upload's, if that is encrypted."""
        return PartWriter(self._gw, upload, number, customer_key)

    async def copy_part(
        self, upload: Upload, number: int, src: ObjectState, offset: int, length: int, customer_key: CustomerKey | None = None,
        checksums: dict[str, str] | None = None,
    ) -> Part:
        """Makes a range of an object a part, by reference where possible: where neither is encrypted. An encrypted source must be unlocked.

        ``checksums``: the range's, by their algorithms, in base64.

        S3Error InvalidArgument unless ``customer_key`` is the upload's, if that is encrypted.
        """
        return await copy_part(self._gw, upload, number, src, offset, length, customer_key, checksums)

    async def list_parts(self, upload: Upload, marker: int = 0, max_parts: int = 1000) -> tuple[list[Part], bool]:
        """Parts numbered above ``marker``, and whether there are more. S3Error NoSuchUpload."""
        if max_parts <= 0:
            return [], False
        parts, more, _ = await read_parts(upload, marker, max_parts)
        return parts, more

    async def complete(
        self, bucket: Bucket, key: str, upload_id: str, parts: list[CompletedPart], *, conditions: Conditions | None = None,
        attrs_of: AttrsOf | None = None,
    ) -> ObjectState:
        """Makes the object; see ``rgw.core.complete.complete``."""
        return await completing.complete(self._gw, bucket, key, upload_id, parts, conditions=conditions, attrs_of=attrs_of)

    async def abort(self, bucket: Bucket, key: str, upload_id: str) -> None:
        """Ends an upload without an object. S3Error NoSuchUpload."""
        await completing.abort(self._gw, bucket, key, upload_id)

    async def list_uploads(
        self, bucket: Bucket, prefix: str = "", delimiter: str = "", key_marker: str = "", upload_id_marker: str = "",
        max_uploads: int = 1000,
    ) -> UploadListing:
        """Uploads in progress by key, then id, after the markers; keys that go on behind ``delimiter`` are rolled up."""
        found: list[UploadEntry] = []
        async for entry in self._gw.listing.uploads(bucket, prefix, key_marker):
            if entry.name.count(".") < 2:
                continue
            key, upload_id, _ = entry.name.rsplit(".", 2)
            if not key.startswith(prefix) or key < key_marker or (key == key_marker and not upload_id_marker):
                continue
            if key == key_marker and upload_id <= upload_id_marker:
                continue
            meta = entry.meta
            found.append(UploadEntry(key, upload_id, meta.owner, meta.owner_display_name, meta.mtime, meta.storage_class))
        # The index sorts "<key>.<id>", where "a-b." precedes "a.": sorted by key here.
        found.sort(key=lambda item: (item.key, item.upload_id))
        return _page(found, prefix, delimiter, key_marker, max_uploads)


def _page(found: Iterable[UploadEntry], prefix: str, delimiter: str, key_marker: str, limit: int) -> UploadListing:
    page = UploadListing()
    rolled = ""
    for item in found:
        common = ""
        if delimiter:
            at = item.key.find(delimiter, len(prefix))
            if at >= 0:
                common = item.key[:at + len(delimiter)]
        if common and (common == rolled or common == key_marker):
            continue
        if len(page.uploads) + len(page.common_prefixes) >= limit:
            page.truncated = limit > 0
            return page
        if common:
            rolled = common
            page.common_prefixes.append(common)
            page.next_key_marker, page.next_upload_id_marker = common, ""
        else:
            page.uploads.append(item)
            page.next_key_marker, page.next_upload_id_marker = item.key, item.upload_id
    page.next_key_marker = page.next_upload_id_marker = ""
    return page
