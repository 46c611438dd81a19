"""Objects: look, read, write, remove, copy, change attributes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from rgw.core import copy as copying
from rgw.core import reader, versions
from rgw.core.conditions import Conditions
from rgw.core.encryption import CustomerKey
from rgw.core.finish import uncancelled
from rgw.core.head import entry_meta, with_acl
from rgw.core.index import IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.reader import ObjectChanged
from rgw.core.state import IDTAG, OLH_PREFIX, ObjectState, load, with_nul
from rgw.core.versions import Deleted
from rgw.core.writer import ObjectWriter
from rgw.errors import S3Error
from rgw.formats.user import UserInfo
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

__all__ = ["Conditions", "ObjectChanged", "ObjectState", "ObjectWriter", "Objects"]

_SET_ATTRS_TRIES = 10


class Objects:
    """The objects of a gateway's buckets."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw

    async def head(self, bucket: Bucket, key: str, version_id: str = "") -> ObjectState:
        """An object's state. S3Error NoSuchKey or NoSuchVersion."""
        return await load(self._gw, bucket, key, version_id)

    async def get(self, bucket: Bucket, key: str, version_id: str = "") -> ObjectState:
        """As ``head``, with the head's bytes in the same round trip."""
        return await load(self._gw, bucket, key, version_id, prefetch=True)

    def read(self, state: ObjectState, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The object's bytes, in order. ObjectChanged if it is replaced while it is read. An encrypted object's state must be unlocked."""
        return reader.read(self._gw, state, offset, length)

    def writer(self, bucket: Bucket, key: str, *, owner: UserInfo | None = None, attrs: dict[str, bytes] | None = None,
               size_hint: int | None = None, customer_key: CustomerKey | None = None) -> ObjectWriter:
        """A writer for a new object. ``attrs`` are raw xattrs; without an ACL among them the owner's private one is set.

        With ``customer_key`` the object is encrypted.
        """
        return ObjectWriter(self._gw, bucket, key, with_acl(attrs or {}, owner), customer_key)

    async def delete(
        self, bucket: Bucket, key: str, version_id: str = "", conditions: Conditions | None = None, owner: UserInfo | None = None,
    ) -> Deleted:
        """Removes an object or a version, or puts a delete marker of ``owner`` (the bucket's without) on top; what it did."""
        return await uncancelled(versions.delete(self._gw, bucket, key, version_id, conditions, owner))

    async def copy(
        self, src: ObjectState, bucket: Bucket, key: str, *, owner: UserInfo | None = None, attrs: dict[str, bytes] | None = None,
        conditions: Conditions | None = None, extra: dict[str, bytes] | None = None, customer_key: CustomerKey | None = None,
    ) -> ObjectState:
        """Copies an object; an encrypted one must be unlocked. With ``customer_key`` the copy is encrypted.

        ``attrs`` None keeps the source's attributes; ``extra`` are set in any case.

        Without an ACL in either, the copy is the owner's, privately; without ``owner`` it keeps the source's ACL.
        """
        if attrs is not None:
            attrs = with_acl(attrs, owner)
        elif owner is not None:
            extra = with_acl(extra or {}, owner)
        return await uncancelled(copying.copy(
            self._gw, src, bucket, key, attrs=attrs, conditions=conditions, extra=extra, customer_key=customer_key))

    async def set_attrs(self, state: ObjectState, changes: Mapping[str, bytes | None]) -> ObjectState:
        """Sets or removes xattrs of the head, data and times untouched. S3Error NoSuchKey if it vanished, OperationAborted if it keeps changing."""
        for _ in range(_SET_ATTRS_TRIES):
            done = await uncancelled(self._set_attrs_once(state, changes))
            if done is not None:
                return done
            state = await load(self._gw, state.bucket, state.key, state.version_id)
        raise S3Error("OperationAborted")

    async def _set_attrs_once(self, state: ObjectState, changes: Mapping[str, bytes | None]) -> ObjectState | None:
        gw = self._gw
        tag = gw.new_tag()
        attrs = {**state.attrs, IDTAG: with_nul(tag)}
        mtime = state.mtime  # Last-Modified tells of the data: S3 and radosgw since Reef keep it, radosgw 16.2 does not
        op = WriteOp(mtime=mtime).assert_exists().cmpxattr(IDTAG, state.idtag)
        for name, value in changes.items():
            if value is not None:
                attrs[name] = value
            elif attrs.pop(name, None) is not None:
                op.rmxattr(name)
        op.setxattrs({name: value for name, value in attrs.items() if not name.startswith(OLH_PREFIX)})  # those change on their own
        change = await IndexChange.prepare(gw, state.bucket, IndexKey.of(state.key, state.instance), delete=False, tag=tag)
        done = False
        try:
            version = (await state.head_pool.write(state.head_oid, op, locator=state.head_locator)).version
            done = True
        except (store_errors.Cancelled, store_errors.NotFound):
            return None
        finally:
            if not done:
                await change.cancel()
        await change.complete(state.head_pool.pool_id, version, entry_meta(attrs, state.stored_size, mtime))
        return ObjectState(
            bucket=state.bucket, key=state.key, version_id=state.version_id, size=state.size, mtime=mtime, attrs=attrs,
            manifest=state.manifest, head_pool=state.head_pool, head_oid=state.head_oid, head_locator=state.head_locator,
            instance=state.instance, version=version, head_size=state.head_size, parts=state.parts,
        )
