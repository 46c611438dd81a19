"""Buckets: entry point, instance, index objects and the owner's list, changed in radosgw's order (formats page, 5.9 and 5.10)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rgw.core.index import BucketIndex, shard_names
from rgw.core.metadata import SystemObject
from rgw.core.parallel import each
from rgw.errors import S3Error
from rgw.formats import cls_rgw, cls_user
from rgw.formats.acl import AccessControlPolicy, shared_policy
from rgw.formats.basics import BucketName, ObjVersion, PlacementRule, User
from rgw.formats.bucket import BucketEntryPoint, BucketInfo, BucketLayout, UserBucket, UserBucketEntry
from rgw.formats.index import ClsObjKey, DirHeader
from rgw.formats.user import UserInfo
from rgw.store import classes
from rgw.store.errors import Cancelled, Exists, NotFound
from rgw.store.interface import IoCtx, ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

Headers = list[DirHeader]

ACL_XATTR = "user.rgw.acl"
LC_XATTR = "user.rgw.lc"
_MAIN = 1  # the category of objects and parts in the index's statistics
FLAG_SUSPENDED, FLAG_VERSIONED, FLAG_VERSIONS_SUSPENDED, FLAG_MFA, FLAG_OBJECT_LOCK = 1, 2, 4, 0x10, 0x20
_RETRIES = 10
_numbers = itertools.count(1)  # of the process, for gateways may share a store
_MODIFY_RETRIES = 50


def refuse_newer(*records: BucketInfo | BucketEntryPoint) -> None:
    """S3Error NotImplemented if one of a bucket's records, about to be written again, is of a newer structure."""
    if any(record.newer for record in records):
        raise S3Error("NotImplemented", "the bucket was written by a newer release, whose fields a change would drop")


@dataclass(slots=True, eq=False)
class Bucket:
    """A bucket as read. ``version`` is the instance object's; a reshard under way may replace ``info`` in place."""

    gateway: Gateway
    info: BucketInfo
    attrs: dict[str, bytes]
    version: ObjVersion
    entry: SystemObject
    instance: SystemObject
    index_ioctx: IoCtx
    head_ioctx: IoCtx | None = None  # once it was asked for (rgw.core.places)
    shard_states: dict[str, bytes] = field(default_factory=dict)  # what is believed of reshards of the index shards

    @property
    def name(self) -> str:
        return self.info.bucket.name

    @property
    def tenant(self) -> str:
        return self.info.bucket.tenant

    @property
    def marker(self) -> str:
        return self.info.bucket.marker

    @property
    def bucket_id(self) -> str:
        return self.info.bucket.bucket_id

    @property
    def owner(self) -> User:
        return self.info.owner

    @property
    def acl(self) -> AccessControlPolicy:
        raw = self.attrs.get(ACL_XATTR)
        return shared_policy(raw) if raw else AccessControlPolicy.private(self.owner.text(), "")

    @property
    def creation_time(self) -> int:
        return self.info.creation_time

    @property
    def num_shards(self) -> int:
        return self.info.layout.num_shards

    @property
    def placement(self) -> PlacementRule:
        return self.info.placement_rule

    @property
    def suspended(self) -> bool:
        return bool(self.info.flags & FLAG_SUSPENDED)

    @property
    def versioning_enabled(self) -> bool:
        return self.info.flags & (FLAG_VERSIONED | FLAG_VERSIONS_SUSPENDED) == FLAG_VERSIONED

    @property
    def versioning_suspended(self) -> bool:
        return self.info.flags & (FLAG_VERSIONED | FLAG_VERSIONS_SUSPENDED) == FLAG_VERSIONED | FLAG_VERSIONS_SUSPENDED

    @property
    def versioned(self) -> bool:
        """Versions may exist: enabled now or once."""
        return bool(self.info.flags & FLAG_VERSIONED)

    @property
    def index(self) -> BucketIndex:
        return BucketIndex(self.gateway, self)


def entry_oid(name: str, tenant: str = "") -> str:
    """The entry point's object name."""
    return f"{tenant}/{name}" if tenant else name


def instance_oid(bucket: BucketName) -> str:
    """The instance's object name."""
    prefix = f"{bucket.tenant}:" if bucket.tenant else ""
    return f".bucket.meta.{prefix}{bucket.name}:{bucket.bucket_id}"


class Buckets:
    """All buckets. What was read stays in memory for as long as both of its system objects do."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known: dict[str, Bucket] = {}
        self._looks: dict[tuple[str, str], asyncio.Task[Bucket | None]] = {}

    def cached(self, name: str, tenant: str = "") -> Bucket | None:
        """The bucket if it is in memory and fresh: no waiting."""
        oid = entry_oid(name, tenant)
        bucket = self._known.get(oid)
        if bucket is None:
            return None
        if bucket.entry.fresh() and bucket.instance.fresh():
            return bucket
        del self._known[oid]
        return None

    async def get(self, name: str, tenant: str = "") -> Bucket:
        """The bucket; S3Error NoSuchBucket."""
        return self.cached(name, tenant) or await self._load(name, tenant)

    async def find(self, name: str, tenant: str, marker: str) -> Bucket | None:
        """The bucket of this name and marker; None if it is gone, even if another one bears its name."""
        try:
            bucket = await self.get(name, tenant)
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
            return None
        return bucket if bucket.marker == marker else None

    async def _load(self, name: str, tenant: str, *, fresh: bool = False) -> Bucket:
        metadata, pool = self._gateway.metadata, self._gateway.zone.meta_root
        oid = entry_oid(name, tenant)
        for attempt in range(_RETRIES):
            try:
                entry = await metadata.get(pool, oid, fresh=fresh or attempt > 0)
            except NotFound:
                break
            point = BucketEntryPoint.decode(entry.data)
            if not point.linked:
                break
            try:
                instance = await metadata.get(pool, instance_oid(point.bucket), fresh=fresh or attempt > 0)
            except NotFound:  # being resharded or deleted: the entry point has changed, or is about to
                await asyncio.sleep(0.01 * attempt)
                continue
            info = BucketInfo.decode(instance.data)
            explicit = info.bucket.index_pool  # of very old buckets, which have their pools of their own
            index = await self._gateway.pool(explicit) if explicit.name else self._gateway.index_pool(info.placement_rule)
            bucket = Bucket(self._gateway, info, instance.xattrs, instance.version, entry, instance, index)
            if len(self._known) > self._gateway.options.rgw_cache_lru_size:
                self._known.clear()
            self._known[oid] = bucket
            return bucket
        raise S3Error("NoSuchBucket", BucketName=name)

    async def reload(self, bucket: Bucket) -> None:
        """Reads the bucket anew into ``bucket``. NoSuchBucket if it is gone, or another one has its name now."""
        self._adopt(bucket, await self._load(bucket.name, bucket.tenant, fresh=True))

    async def follow(self, bucket: Bucket) -> None:
        """As ``reload`` if the name stands for another instance by now. The many changes that wait for one reshard share a look."""
        key = (entry_oid(bucket.name, bucket.tenant), bucket.bucket_id)
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.ensure_future(self._look(*key, bucket.name, bucket.tenant))
            look.add_done_callback(lambda _: self._looks.pop(key, None))
        new = await asyncio.shield(look)
        if new is not None:
            self._adopt(bucket, new)

    async def _look(self, oid: str, bucket_id: str, name: str, tenant: str) -> Bucket | None:
        try:
            entry = await self._gateway.metadata.get(self._gateway.zone.meta_root, oid, fresh=True)
        except NotFound:
            raise S3Error("NoSuchBucket", BucketName=name) from None
        if BucketEntryPoint.decode(entry.data).bucket.bucket_id == bucket_id:
            return None
        return await self._load(name, tenant, fresh=True)

    @staticmethod
    def _adopt(bucket: Bucket, new: Bucket) -> None:
        if new.marker != bucket.marker:
            raise S3Error("NoSuchBucket", BucketName=bucket.name)
        bucket.info, bucket.attrs, bucket.version = new.info, new.attrs, new.version
        bucket.entry, bucket.instance, bucket.index_ioctx, bucket.head_ioctx = new.entry, new.instance, new.index_ioctx, new.head_ioctx

    def new_id(self) -> str:
        """A bucket id that no other bucket or instance has."""
        return f"{self._gateway.zone.id}.{self._gateway.cluster.instance_id}.{next(_numbers)}"

    async def create(
        self, name: str, owner: UserInfo, acl: AccessControlPolicy, *, placement: str = "", object_lock: bool = False,
        attrs: Mapping[str, bytes] | None = None,
    ) -> tuple[Bucket, bool]:
        """Makes a bucket, or returns the owner's existing one with False. Names are not checked here.

        S3Error BucketAlreadyExists, TooManyBuckets, InvalidLocationConstraint (unknown placement), NotImplemented (one without index).
        """
        user = owner.user_id
        existing = await self._existing(name, owner)
        if existing is not None:
            return existing, False
        await self._check_count(owner)
        zone = self._gateway.zone
        rule = PlacementRule(placement, "") if placement else owner.default_placement
        if not rule.name:
            rule = zone.default_placement
        if rule.name not in zone.params.placement_pools:
            raise S3Error("InvalidLocationConstraint")
        if zone.params.placement_pools[rule.name].index_type != 0:
            raise S3Error("NotImplemented", f"placement {rule.name} makes buckets without an index")
        now = time.time_ns()
        bucket_id = self.new_id()
        shards = self._gateway.options.rgw_override_bucket_index_max_shards or zone.index_shards
        bucket_name = BucketName(name=name, marker=bucket_id, bucket_id=bucket_id, tenant=user.tenant)
        info = BucketInfo(
            bucket=bucket_name, owner=user, flags=FLAG_VERSIONED | FLAG_OBJECT_LOCK if object_lock else 0, zonegroup=zone.zonegroup_id,
            creation_time=now, placement_rule=PlacementRule(rule.name, rule.storage_class), layout=BucketLayout.new(shards),
        )
        await self.create_shards(self._gateway.index_pool(rule), bucket_id, shards)
        metadata = self._gateway.metadata
        xattrs = {ACL_XATTR: acl.encode(), **(attrs or {})}
        await metadata.create(zone.meta_root, instance_oid(bucket_name), info.encode(), xattrs)
        point = BucketEntryPoint(bucket=bucket_name, owner=user, linked=True, creation_time=now)
        try:
            await metadata.create(zone.meta_root, entry_oid(name, user.tenant), point.encode())
        except Exists:
            await metadata.remove(zone.meta_root, instance_oid(bucket_name))
            await self.remove_shards(self._gateway.index_pool(rule), bucket_id, shards)
            winner = await self._existing(name, owner)
            if winner is None:  # and the winner has deleted it again
                raise S3Error("OperationAborted") from None
            return winner, False
        await self.link(point)
        return await self.get(name, user.tenant), True

    async def _existing(self, name: str, owner: UserInfo) -> Bucket | None:
        user = owner.user_id
        try:
            bucket = await self._load(name, user.tenant, fresh=True)
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
            return None
        if bucket.owner.text() != user.text():
            raise S3Error("BucketAlreadyExists", BucketName=name)
        listed, _ = await self.list(owner, prefix=name, max_buckets=1)
        if not listed or listed[0].bucket.name != name:  # a creation died before it came to this
            await self.link(BucketEntryPoint.decode(bucket.entry.data))
        return bucket

    async def _check_count(self, owner: UserInfo) -> None:
        if owner.max_buckets < 0:
            raise S3Error("TooManyBuckets")
        if owner.max_buckets == 0:  # no limit
            return
        marker, count = "", 0
        while True:
            page, more = await self.list(owner, marker)
            count += len(page)
            if count >= owner.max_buckets:
                raise S3Error("TooManyBuckets")
            if not more:
                return
            marker = page[-1].bucket.name

    async def create_shards(self, ioctx: IoCtx, bucket_id: str, count: int) -> None:
        """Makes the empty index of a bucket instance."""
        op = WriteOp().create(exclusive=True).call(classes.BUCKET_INIT_INDEX())
        await self.each(shard_names(bucket_id, count), lambda oid: ioctx.write(oid, op))

    async def remove_shards(self, ioctx: IoCtx, bucket_id: str, count: int) -> None:
        """Removes the index of a bucket instance, or what is there of it."""
        async def remove(oid: str) -> None:
            try:
                await ioctx.remove_gradually(oid)
            except NotFound:
                log.debug("index object %s is gone already", oid)

        await self.each(shard_names(bucket_id, count), remove)

    async def each(self, oids: Iterable[str], work: Callable) -> list:  # type: ignore[type-arg]
        """Runs ``work`` on each index object, so many at a time."""
        return await each(oids, work, self._gateway.options.rgw_bucket_index_max_aio)

    async def link(self, point: BucketEntryPoint) -> None:
        """Enters a bucket, or its new instance, in its owner's list."""
        entry = UserBucketEntry(bucket=_user_bucket(point.bucket), creation_time=point.creation_time, user_stats_sync=True)
        await self._set_buckets_info(point.owner, [entry], add=True)

    async def _set_buckets_info(self, user: User, entries: list[UserBucketEntry], *, add: bool) -> None:
        ioctx = await self._gateway.pool(self._gateway.zone.uid_pool)
        request = cls_user.SetBucketsOp(entries=entries, add=add, time=time.time_ns())
        await ioctx.write(f"{user.text()}.buckets", WriteOp().call(classes.USER_SET_BUCKETS_INFO(request)))

    async def list(
        self, user: UserInfo, marker: str = "", prefix: str = "", max_buckets: int = 1000,
    ) -> tuple[list[UserBucketEntry], bool]:
        """The user's buckets after ``marker``, by name, and whether there are more."""
        ioctx = await self._gateway.pool(self._gateway.zone.uid_pool)
        found: list[UserBucketEntry] = []
        if prefix > marker:
            head = prefix[:-1] + chr(ord(prefix[-1]) - 1) + "\U0010ffff" if ord(prefix[-1]) > 1 else marker
            marker = max(marker, head)
        while True:
            request = cls_user.ListBucketsOp(marker=marker, max_entries=min(max_buckets - len(found) + 1, 1000), end_marker="")
            try:
                reply = (await ioctx.read(f"{user.user_id.text()}.buckets", ReadOp().call(classes.USER_LIST_BUCKETS(request)))).reply
            except NotFound:
                return found, False
            for entry in reply.entries:
                marker = entry.bucket.name
                if not marker.startswith(prefix):
                    if marker > prefix:
                        return found, False
                    continue
                if len(found) == max_buckets:
                    return found, True
                found.append(entry)
            if not reply.truncated or not reply.entries:
                return found, False

    async def set_attrs(self, bucket: Bucket, changes: Mapping[str, bytes | None]) -> Bucket:
        """Sets (or with None removes) xattrs of the instance, and returns the bucket as it is then."""
        return await self.modify(bucket, lambda _info, attrs: _apply(attrs, changes))

    async def set_versioning(self, bucket: Bucket, enabled: bool) -> Bucket:
        """Enables versioning, or suspends it: versions that there are stay."""
        def change(info: BucketInfo, _attrs: dict[str, bytes]) -> None:
            info.flags |= FLAG_VERSIONED
            info.flags = info.flags & ~FLAG_VERSIONS_SUSPENDED if enabled else info.flags | FLAG_VERSIONS_SUSPENDED

        return await self.modify(bucket, change)

    async def set_acl(self, bucket: Bucket, acl: AccessControlPolicy) -> Bucket:
        return await self.set_attrs(bucket, {ACL_XATTR: acl.encode()})

    async def modify(self, bucket: Bucket, change: Callable[[BucketInfo, dict[str, bytes]], None]) -> Bucket:
        """Applies ``change`` to a copy of info and attrs and writes them, anew if somebody else was faster.

        S3Error NoSuchBucket if the bucket is gone, OperationAborted if others keep being faster.
        """
        pool = self._gateway.zone.meta_root
        for attempt in range(_MODIFY_RETRIES):
            info, attrs = BucketInfo.decode(bucket.instance.data), dict(bucket.attrs)
            refuse_newer(info)
            change(info, attrs)
            try:
                await self._gateway.metadata.replace(pool, instance_oid(info.bucket), info.encode(), attrs, bucket.instance)
            except (Cancelled, NotFound):
                await asyncio.sleep(random.uniform(0, 0.01 * attempt))  # many at once would meet again
                await self.reload(bucket)
                continue
            await self.reload(bucket)
            return bucket
        raise S3Error("OperationAborted")

    async def stats(self, bucket: Bucket) -> Headers:
        """The header of each index shard: entries and bytes by category. None for a bucket without index."""
        if bucket.info.layout.current_index.layout.type != 0:
            return []
        index = bucket.index
        request = cls_rgw.ListOp(num_entries=0, filter_prefix="", start_obj=ClsObjKey(), list_versions=False, delimiter="")

        async def header(oid: str) -> DirHeader:
            return (await index.ioctx.read(oid, ReadOp().call(classes.BUCKET_LIST(request)))).reply.dir.header

        for attempt in range(_RETRIES):
            try:
                return await self.each(index.shards(), header)
            except NotFound:
                await self.reload(bucket)
                await asyncio.sleep(0.01 * attempt)
        raise S3Error("NoSuchBucket", BucketName=bucket.name)

    async def delete(self, bucket: Bucket) -> None:
        """Removes an empty bucket. S3Error BucketNotEmpty, NoSuchBucket, OperationAborted (it changed meanwhile)."""
        await self.reload(bucket)
        if await self._has_entries(bucket):
            raise S3Error("BucketNotEmpty", BucketName=bucket.name)
        await self._abort_uploads(bucket)
        pool, metadata = self._gateway.zone.meta_root, self._gateway.metadata
        try:
            await metadata.remove(pool, entry_oid(bucket.name, bucket.tenant), bucket.entry.version)
        except NotFound:
            raise S3Error("NoSuchBucket", BucketName=bucket.name) from None
        except Cancelled:
            raise S3Error("OperationAborted") from None
        try:
            await metadata.remove(pool, instance_oid(bucket.info.bucket), bucket.version)
        except Cancelled:  # an attribute was set meanwhile: without entry point it is of no use
            await metadata.remove(pool, instance_oid(bucket.info.bucket))
        except NotFound:
            log.warning("bucket %s: its instance object was gone already", bucket.name)
        await self.remove_shards(bucket.index_ioctx, bucket.bucket_id, bucket.num_shards)
        ioctx = await self._gateway.pool(self._gateway.zone.uid_pool)
        request = cls_user.RemoveBucketOp(bucket=_user_bucket(bucket.info.bucket))
        try:
            await ioctx.write(f"{bucket.owner.text()}.buckets", WriteOp().assert_exists().call(classes.USER_REMOVE_BUCKET(request)))
        except NotFound:
            log.debug("bucket %s was not in its owner's list", bucket.name)
        if LC_XATTR in bucket.attrs:
            await self._gateway.lifecycle.forget(bucket)

    async def _has_entries(self, bucket: Bucket) -> bool:
        """Objects, versions, delete markers. Uploads in progress do not count, as in S3."""
        found = await self._gateway.listing.versions(bucket, max_keys=1)
        return bool(found.entries)

    async def _abort_uploads(self, bucket: Bucket) -> None:
        """Ends the uploads in progress, whose data would stay for ever without the bucket."""
        async for entry in self._gateway.listing.uploads(bucket):
            if entry.exists:
                key, _, upload_id = entry.name.removesuffix(".meta").rpartition(".")
                try:
                    await self._gateway.multipart.abort(bucket, key, upload_id)
                except S3Error as error:
                    if error.code != "NoSuchUpload":
                        raise

    async def sync_stats(self, bucket: Bucket) -> None:
        """Writes the bucket's size and count into its owner's list."""
        headers = await self.stats(bucket)
        size = rounded = count = 0
        for header in headers:
            stats = header.stats.get(_MAIN)  # uploads under way do not count, but their parts do, as with radosgw
            if stats is not None:
                size += stats.total_size
                rounded += stats.total_size_rounded
                count += stats.num_entries
        entry = UserBucketEntry(bucket=_user_bucket(bucket.info.bucket), size=size, size_rounded=rounded, count=count,
                                creation_time=bucket.creation_time, user_stats_sync=True)
        await self._set_buckets_info(bucket.owner, [entry], add=False)


def _user_bucket(bucket: BucketName) -> UserBucket:
    return UserBucket(name=bucket.name, marker=bucket.marker, bucket_id=bucket.bucket_id)


def _apply(attrs: dict[str, bytes], changes: Mapping[str, bytes | None]) -> None:
    for name, value in changes.items():
        if value is None:
            attrs.pop(name, None)
        else:
            attrs[name] = value
