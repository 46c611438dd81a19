"""Changes of a bucket's index: one operation on the shard of the key, guarded against a reshard under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from rgw.core.reshard_marks import STATE, is_blocked, marks
from rgw.errors import S3Error
from rgw.formats import cls_rgw
from rgw.formats.index import FLAG_VER_MARKER, ClsObjKey, DirEntry, DirEntryMeta, EntryVer
from rgw.formats.index_keys import instance_key, object_key
from rgw.formats.names import bucket_shard, index_name
from rgw.store import classes
from rgw.store.classcall import ClassCall
from rgw.store.errors import Cancelled, ClassError, NotFound
from rgw.store.interface import IoCtx, ReadOp, ReadResult, WriteOp, WriteResult

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

OP_ADD, OP_DEL, OP_CANCEL = 0, 1, 2
RESHARDING = -2300  # what the guard answers, radosgw's ERR_BUSY_RESHARDING
GUARD = classes.GUARD_BUCKET_RESHARDING(cls_rgw.GuardBucketReshardingOp(ret_err=RESHARDING)).constant()
_STATE_STEP = 1  # of a change's operation: the comparison of the state
_MISSING_SHARD_RETRIES = 20
_CANCEL_TRIES = 10  # against changes of the same entry by others
_LOOK_DELAY, _QUICK_LOOKS, _SLOW_DELAY = 0.002, 200, 0.1  # seconds between looks whether a reshard is over: ours blocks for milliseconds
_RECOVERY_DELAY, _RECOVERY_LOOKS = 3.0, 20  # seconds after which a change asks whether the one who reshards has died, and how often


class _Resharding(Exception):
    """The shard is blocked: the bucket is about to be switched to its new index."""


@dataclass(frozen=True, slots=True)
class IndexKey:
    """An entry's place: its name in the index, and the object's key that decides the shard."""

    name: str          # escaped
    shard_key: str     # the (final) object's own key
    instance: str = ""
    locator: str = ""

    @classmethod
    def of(cls, key: str, instance: str = "") -> IndexKey:
        """The entry of an object, or of one of its versions."""
        return cls(index_name(key), key, instance, key if key.startswith("_") else "")

    @classmethod
    def multipart(cls, name: str, key: str) -> IndexKey:
        """An entry of the namespace ``multipart`` (``<key>.<upload id>.meta`` or ``.<part>``), kept beside the entry of ``key``."""
        return cls(index_name(name, "multipart"), key)

    @property
    def cls_key(self) -> ClsObjKey:
        return ClsObjKey(name=self.name, instance=self.instance)


class BucketIndex:
    """The index of one bucket. It follows the bucket through reshards. S3Error NotImplemented for a bucket of radosgw's that has none."""

    __slots__ = ("_gateway", "_bucket")

    def __init__(self, gateway: Gateway, bucket: Bucket) -> None:
        if bucket.info.layout.current_index.layout.type != 0:
            raise S3Error("NotImplemented", f"bucket {bucket.name} has no index: its objects can only be read", BucketName=bucket.name)
        self._gateway = gateway
        self._bucket = bucket

    @property
    def ioctx(self) -> IoCtx:
        return self._bucket.index_ioctx

    @property
    def zones_trace(self) -> list[str]:
        """One element ``<zone id>:<bucket>:<bucket id>``, as radosgw sends it."""
        bucket = self._bucket
        name = f"{bucket.tenant}/{bucket.name}" if bucket.tenant else bucket.name
        return [f"{self._gateway.zone.id}:{name}:{bucket.bucket_id}"]

    def shards(self) -> list[str]:
        """The names of all shard objects."""
        return shard_names(self._bucket.bucket_id, self._bucket.num_shards)

    def shard(self, shard_key: str) -> str:
        """The name of the shard object that holds this key."""
        count = self._bucket.num_shards
        base = f".dir.{self._bucket.bucket_id}"
        return f"{base}.{bucket_shard(shard_key, count)}" if count else base

    async def prepare(self, op: int, tag: str, key: IndexKey, *, bilog_flags: int = 0) -> None:
        """Announces a change (``OP_ADD``, ``OP_DEL``) under a new ``tag``."""
        await self.call(key.shard_key, lambda: classes.BUCKET_PREPARE_OP(cls_rgw.PrepareOp(
            op=op, tag=tag, locator=key.locator, log_op=False, key=key.cls_key, bilog_flags=bilog_flags, zones_trace=self.zones_trace)))

    async def complete(
        self, op: int, tag: str, key: IndexKey, *, pool_id: int = -1, version: int = 0, meta: DirEntryMeta | None = None,
        remove: Sequence[IndexKey] = (), bilog_flags: int = 0,
    ) -> None:
        """Ends a prepared change. ``pool_id`` and ``version`` are of the data write: an older version than the entry's loses silently.

        ``remove`` names further entries of the same shard to drop with it. For ``OP_DEL`` of an entry that is gone: no error.
        """
        try:
            await self._complete(op, tag, key, EntryVer(pool=pool_id, epoch=version), meta, remove, bilog_flags)
        except NotFound:
            if op != OP_DEL:
                raise
        if op == OP_ADD:
            self._gateway.reshard_queue.grew(self._bucket)

    async def _complete(
        self, op: int, tag: str, key: IndexKey, version: EntryVer, meta: DirEntryMeta | None = None, remove: Sequence[IndexKey] = (),
        bilog_flags: int = 0, expected: tuple[bytes, bytes] | None = None,
    ) -> None:
        await self.call(key.shard_key, lambda: classes.BUCKET_COMPLETE_OP(cls_rgw.CompleteOp(
            op=op, tag=tag, locator=key.locator, log_op=False, key=key.cls_key, ver=version, meta=meta or DirEntryMeta(),
            remove_objs=[other.cls_key for other in remove], bilog_flags=bilog_flags, zones_trace=self.zones_trace)), expected)

    async def cancel(self, tag: str, key: IndexKey) -> None:
        """Takes a prepared change back.

        The class makes the version that comes with it the entry's. Hence it is told the entry's own: with none, as radosgw 16.2 does it,
        a removal that completes later would take the entry of an object that was written since.
        """
        at_key, at_version = object_key(key.cls_key), instance_key(key.cls_key)
        for _ in range(_CANCEL_TRIES):
            found = (await self.read(key.shard_key, ReadOp().assert_exists().omap_get_keys([at_key, at_version]))).omap
            assert found is not None
            place, held = at_key, found.values.get(at_key)
            if held is not None and DirEntry.decode(held).flags & FLAG_VER_MARKER:  # of a key with versions, whose null version is meant
                place, held = at_version, found.values.get(at_version)
            version = EntryVer(pool=-1, epoch=0) if held is None else DirEntry.decode(held).ver
            try:
                await self._complete(OP_CANCEL, tag, key, version, expected=(place, held or b""))
                return
            except Cancelled:
                continue  # it changed meanwhile
        await self._complete(OP_CANCEL, tag, key, version)  # many at once: one of them may be right

    async def call(self, shard_key: str, make_call: Any, expected: tuple[bytes, bytes] | None = None) -> WriteResult:
        """Runs a class call that changes the shard of ``shard_key``, guarded. ``make_call`` is a ClassCall, or makes one for each try.

        ``expected``: a key and its value (b"": none) that the shard must hold, else Cancelled.

        NotFound is the class method's own. S3Error NoSuchBucket if the bucket is gone, SlowDown if a reshard takes too long.
        """
        async def attempt(oid: str, state: bytes) -> WriteResult:
            call: ClassCall = make_call() if callable(make_call) and not isinstance(make_call, ClassCall) else make_call
            if is_blocked(state):
                raise _Resharding
            op = WriteOp().assert_exists().cmpxattr(STATE, state)
            if not state:
                op.call(GUARD)
            if expected is not None:
                op.omap_cmp(*expected)
            op.call(call)
            if state:
                op.omap_set(marks(call, self._gateway.cluster.instance_id))
            return await self.ioctx.write(oid, op)

        return await self._following(shard_key, attempt, changes=True)

    async def read(self, shard_key: str, op: ReadOp) -> ReadResult:
        """Reads from the shard of ``shard_key``; put ``assert_exists()`` first. NotFound is the class method's own."""
        return await self._following(shard_key, lambda oid, _: self.ioctx.read(oid, op), changes=False)

    async def _following(self, shard_key: str, attempt: Any, *, changes: bool) -> Any:
        """Runs ``attempt(shard object, state of it)`` until it is no reshard that refuses it. Others may learn more meanwhile."""
        started = monotonic()
        missing, looks = 0, 0
        while True:
            known, oid = self._bucket.bucket_id, self.shard(shard_key)
            state = self._bucket.shard_states.get(oid, b"")
            try:
                return await attempt(oid, state)
            except NotFound as error:
                if not await self._shard_missing(error, oid):
                    raise
                missing += 1
                if missing > _MISSING_SHARD_RETRIES:
                    raise S3Error("NoSuchBucket", BucketName=self._bucket.name) from error
            except Cancelled as error:
                if not changes or (await self._learn_state(oid) == state and error.step != _STATE_STEP):
                    raise
                continue
            except (_Resharding, ClassError) as error:
                if isinstance(error, ClassError) and error.code != RESHARDING:
                    raise
                waited = monotonic() - started
                if waited > self._gateway.options.rgw_reshard_wait_timeout:
                    log.warning("bucket %s: still being resharded, giving up", self._bucket.name)
                    raise S3Error("SlowDown") from error
                if waited > _RECOVERY_DELAY and looks % _RECOVERY_LOOKS == 0:
                    await self._gateway.resharder.recover(self._bucket)  # does nothing while the one who reshards is alive
            if self._bucket.bucket_id == known:
                await self._gateway.buckets.follow(self._bucket)
            if self._bucket.bucket_id == known:
                quick = looks < _QUICK_LOOKS
                await asyncio.sleep(_LOOK_DELAY if quick else _SLOW_DELAY)
                looks += 1
                if not quick or looks % 10 == 0:  # a reshard that is given up leaves the bucket as it was
                    await self._learn_state(oid)

    async def _learn_state(self, oid: str) -> bytes | None:
        """Reads how far a reshard of the shard is; None without the shard."""
        try:
            state = (await self.ioctx.read(oid, ReadOp().assert_exists().getxattrs())).xattrs.get(STATE, b"")
        except NotFound:
            return None
        self._bucket.shard_states[oid] = state
        return state

    async def _shard_missing(self, error: NotFound, oid: str) -> bool:
        if error.step is not None:
            return error.step == 0
        try:
            await self.ioctx.read(oid, ReadOp().stat())
        except NotFound:
            return True
        return False


def shard_names(bucket_id: str, num_shards: int) -> list[str]:
    """The index objects of a bucket instance; an unsharded one has a single object without number."""
    base = f".dir.{bucket_id}"
    return [f"{base}.{number}" for number in range(num_shards)] if num_shards else [base]
