"""Quotas at work: no write beyond what a bucket or its owner may hold. And the sums that this needs.

Sums are remembered for ``rgw_bucket_quota_ttl`` and carried forward with what this gateway writes; where they come near the limit, they are
read anew for each write, as radosgw does. Sizes are counted in whole blocks of 4 KiB unless the quota says ``check_on_raw``. A bucket
without a quota has its owner's bucket quota, or else the global one; a user without one the global one of users.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from rgw.core import user_stats
from rgw.core.background import BackgroundTask
from rgw.errors import S3Error
from rgw.formats.basics import QuotaInfo
from rgw.formats.user import UserInfo
from rgw.store.errors import StoreError

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

_NEAR = 0.95  # of a limit: rgw_bucket_quota_soft_threshold
_KNOWN = 10_000  # sums remembered, rgw_bucket_quota_cache_size
_BLOCK = 4096


@dataclass(slots=True)
class Sums:
    """What is stored: objects, bytes, bytes in whole blocks."""

    objects: int = 0
    size: int = 0
    rounded: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.objects + other.objects, self.size + other.size, self.rounded + other.rounded)


@dataclass(slots=True)
class _Account:
    """``known`` is what was read, and written by us since; ``flying`` what our writes under way will add."""

    known: Sums
    flying: Sums
    expires: float


def added(size: int, objects: int = 1) -> Sums:
    return Sums(objects, size, -(-size // _BLOCK) * _BLOCK)


def exceeds(quota: QuotaInfo, sums: Sums, more: Sums, part: float = 1.0) -> bool:
    """Whether the sums would go beyond ``part`` of the quota's limits."""
    if not quota.enabled:
        return False
    if more.objects and quota.max_objects >= 0 and sums.objects + more.objects > quota.max_objects * part:
        return True
    bytes_then = sums.size + more.size if quota.check_on_raw else sums.rounded + more.rounded
    return bool(quota.max_size >= 0 and bytes_then > quota.max_size * part)


class _Room:
    """See ``Quotas.room``. Every write enters one: a generator for a context manager would cost it more than all it does here."""

    __slots__ = ("_quotas", "_bucket", "_more", "_accounts")

    def __init__(self, quotas: Quotas, bucket: Bucket, more: Sums) -> None:
        self._quotas, self._bucket, self._more = quotas, bucket, more

    async def __aenter__(self) -> None:
        self._accounts = await self._quotas.admit(self._bucket, self._more)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        more = self._more
        for account in self._accounts:
            account.flying += replace(more, objects=-more.objects, size=-more.size, rounded=-more.rounded)
            if kind is None:
                account.known += more


class Quotas:
    """Room for writes. ``touched`` buckets are brought into their owners' sums in the background."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._accounts: OrderedDict[tuple[str, str], _Account] = OrderedDict()  # by kind and bucket id or user
        self._touched: dict[str, Bucket] = {}
        self._worker = BackgroundTask("quota")

    def room(self, bucket: Bucket, size: int, objects: int = 1) -> _Room:
        """Holds room for a write of ``size`` bytes while it is under way. S3Error QuotaExceeded if there is none."""
        return _Room(self, bucket, added(size, objects))

    async def check(self, bucket: Bucket, size: int) -> None:
        """S3Error QuotaExceeded unless an object of this size has room now: for bodies whose size shows at their end."""
        for account in await self.admit(bucket, more := added(size)):
            account.flying += replace(more, objects=-more.objects, size=-more.size, rounded=-more.rounded)

    async def admit(self, bucket: Bucket, more: Sums) -> list[_Account]:
        """The accounts of the quotas there are, each with ``more`` under way. S3Error QuotaExceeded."""
        own, user_quota = bucket.info.quota, None
        try:
            owner = await self._gateway.users.get(bucket.owner)
        except S3Error as error:
            if error.code != "NoSuchUser":
                raise
        else:
            own, user_quota = own if own.enabled else owner.bucket_quota, owner.user_quota
        everybody = self._gateway.zone.period
        own = own if own.enabled else everybody.bucket_quota
        if user_quota is not None and not user_quota.enabled:
            user_quota = everybody.user_quota
        found: list[_Account] = []
        try:
            if own.enabled:
                found.append(await self._take(("bucket", bucket.bucket_id), own, more, lambda: self.bucket_sums(bucket)))
            if user_quota is not None and user_quota.enabled:
                found.append(await self._take(("user", bucket.owner.text()), user_quota, more, lambda: self._user_sums(owner)))
        except BaseException:
            for account in found:
                account.flying += replace(more, objects=-more.objects, size=-more.size, rounded=-more.rounded)
            raise
        return found

    async def _take(self, key: tuple[str, str], quota: QuotaInfo, more: Sums, read: Callable[[], Awaitable[Sums]]) -> _Account:
        account = self._accounts.get(key)
        if account is None or account.expires < monotonic() or exceeds(quota, account.known + account.flying, more, _NEAR):
            sums = await read()
            account = self._accounts.setdefault(key, _Account(sums, Sums(), 0.0))  # another write may have made it meanwhile
            account.known, account.expires = sums, monotonic() + self._gateway.options.rgw_bucket_quota_ttl
            while len(self._accounts) > _KNOWN:
                self._accounts.popitem(last=False)
        if exceeds(quota, account.known + account.flying, more):
            raise S3Error("QuotaExceeded")
        account.flying += more
        return account

    async def bucket_sums(self, bucket: Bucket) -> Sums:
        """What the index tells, of all categories: parts of uploads count too."""
        sums = Sums()
        for header in await self._gateway.buckets.stats(bucket):
            for stats in header.stats.values():
                sums += Sums(stats.num_entries, stats.total_size, stats.total_size_rounded)
        return sums

    async def _user_sums(self, owner: UserInfo) -> Sums:
        await self._sync_touched(owner.user_id.text())
        stats = (await user_stats.read(self._gateway, owner)).stats
        return Sums(stats.total_entries, stats.total_bytes, stats.total_bytes_rounded)

    def touched(self, bucket: Bucket) -> None:
        """Remembers that a bucket's sums have changed."""
        self._touched[bucket.bucket_id] = bucket

    async def _sync(self, bucket: Bucket) -> None:
        self._touched.pop(bucket.bucket_id, None)
        try:
            await self._gateway.buckets.sync_stats(bucket)
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
        except StoreError:
            self._touched.setdefault(bucket.bucket_id, bucket)
            raise

    async def _sync_touched(self, owner: str | None = None) -> None:
        for bucket in list(self._touched.values()):
            if owner is None or bucket.owner.text() == owner:
                await self._sync(bucket)

    def start(self) -> None:
        """Starts the background worker, unless ``rgw_enable_quota_threads`` is off."""
        if self._gateway.options.rgw_enable_quota_threads:
            self._worker.start(self._work)

    async def stop(self) -> None:
        """Stops the worker and brings in what is left."""
        if await self._worker.stop():
            await self._sync_or_tell()

    async def _sync_or_tell(self) -> None:
        try:
            await self._sync_touched()
        except (StoreError, S3Error) as error:
            log.warning("cannot bring buckets into their owners' sums: %s", error)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._gateway.options.rgw_user_quota_bucket_sync_interval)
            await self._sync_or_tell()
