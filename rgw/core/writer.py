"""Writing an object: tails while the body arrives, the head last. Nothing is visible before ``complete``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rgw.core import encryption, places
from rgw.core.conditions import Conditions
from rgw.core.entropy import random_text
from rgw.core.finish import uncancelled
from rgw.core.head import HeadWrite
from rgw.core.manifest import gc_chain, plain_manifest, tails
from rgw.core.state import ETAG, ObjectState, with_nul
from rgw.core.storage_class import object_placement, with_class
from rgw.core.stripes import StripeSink
from rgw.core.versions import new_instance, put_head
from rgw.formats import names
from rgw.formats.basics import Obj
from rgw.store import errors as store_errors
from rgw.store.interface import WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.core.intents import OpenIntent

log = logging.getLogger(__name__)


async def remove_objects(gw: Gateway, pool: str, oids: list[str]) -> None:
    """Removes RADOS objects that nothing refers to; missing ones are no error.

    The last are removed first, so that what a dead gateway leaves has no wide gaps (rgw.core.recovery).
    """
    ioctx = await gw.pool(pool)

    async def remove(oid: str) -> None:
        try:
            await ioctx.write(oid, WriteOp().remove())
        except store_errors.NotFound:
            log.debug("%s is gone already", oid)

    for i in range(len(oids), 0, -32):
        await asyncio.gather(*(remove(oid) for oid in oids[max(i - 32, 0):i]))


class ObjectWriter:
    """One object's body. ``complete`` or ``abort`` must be called; after a failed ``complete``, ``abort`` removes what was written."""

    def __init__(self, gw: Gateway, bucket: Bucket, key: str, attrs: dict[str, bytes], customer_key: encryption.CustomerKey | None = None) -> None:
        """With ``customer_key`` the object is encrypted. S3Error NotImplemented if the options do not allow that."""
        self._gw = gw
        self._bucket = bucket
        self._key = key
        self._attrs = with_class(bucket, attrs) | encryption.attributes(customer_key)
        self._customer_key = customer_key
        self._rule = object_placement(bucket, self._attrs)
        self._pool = places.tail_pool_name(gw, bucket, self._rule)
        self._prefix = f".{random_text(31)}_"
        self._instance = new_instance(bucket)
        self._head = b""
        self._tails: list[str] = []
        self._keep = False
        self._tag = gw.new_tag()
        self._intent: OpenIntent | None = None  # an object that fits into its head needs none
        self._stripe = gw.options.rgw_obj_stripe_size
        self._head_room = places.head_room(gw, bucket, self._pool)
        self._first = self._head_room or self._stripe  # of a head without room stripe 0 is a tail
        if customer_key is not None:
            encryption.require_stripes([self._first, self._stripe])
        self._sink = StripeSink(self._first, self._stripe, gw.options.rgw_put_obj_min_window_size, self._put, gw.body_memory)

    async def _put(self, number: int, data: bytes) -> None:
        if number == 0 and self._sink.size > self._head_room:  # there are tails: their intent becomes durable while more of the body arrives
            tag = with_nul(self._tag).decode()
            self._intent = self._gw.intents.tails(self._bucket, self._key, self._pool, self._prefix, tag, self._instance)
            self._intent.begin()
        data = await self._stored(data, self._first + (number - 1) * self._stripe if number else 0)
        if self._intent is None or (number == 0 and self._head_room):
            self._head = data
            return
        oid = names.raw_name(self._bucket.marker, f"{self._prefix}{number}", self._instance, "shadow")
        self._tails.append(oid)
        ioctx = await self._gw.pool(self._pool)
        await self._intent.confirm()
        writing = ioctx.write(oid, WriteOp().write_full(data))
        del data  # the store holds it for as long as it needs it
        await writing

    async def _stored(self, data: bytes, offset: int) -> bytes:
        """A stripe as it is stored."""
        return data if self._customer_key is None else await encryption.off_loop(self._customer_key.encrypt, data, offset)

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._sink.size

    async def write(self, data: bytes | memoryview) -> None:
        """Takes more of the body. The data must not change afterwards."""
        await self._sink.write(data)

    async def complete(self, etag: str, attrs: dict[str, bytes] | None = None, conditions: Conditions | None = None) -> ObjectState:
        """Makes the object visible. ``attrs`` join those given at the start. S3Error PreconditionFailed."""
        await self._sink.finish()
        return await uncancelled(self._complete(etag, attrs, conditions))

    async def _complete(self, etag: str, attrs: dict[str, bytes] | None, conditions: Conditions | None) -> ObjectState:
        obj = Obj(self._bucket.info.bucket, "", self._key, self._instance)
        manifest = plain_manifest(
            obj, self._sink.size, len(self._head), self._head_room, self._stripe, self._prefix, self._rule, places.bucket_rule(self._bucket))
        merged = {**self._attrs, **(attrs or {}), ETAG: etag.encode()}
        write = HeadWrite(self._bucket, self._key, merged, manifest, self._head, conditions=conditions, tag=self._tag, intent=self._intent,
                          instance=self._instance)
        try:
            state, won = await put_head(self._gw, write)
        finally:
            self._keep = write.may_exist
            if self._keep and self._intent is not None:
                self._intent.abandon()  # unless it is closed below
        self._keep = True
        if not won and self._tails:
            await self._gw.gc.enqueue(state.tail_tag, gc_chain(tails(manifest), self._pool))
        if self._intent is not None:
            self._intent.close()
        return state

    async def abort(self) -> None:
        """Removes every tail written so far; does nothing after a successful ``complete``."""
        await uncancelled(self._abort())

    async def _abort(self) -> None:
        await self._sink.settle()
        if self._keep or self._intent is None:
            return
        with self._intent:
            written, self._tails = self._tails, []
            await remove_objects(self._gw, self._pool, written)
