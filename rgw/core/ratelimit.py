"""Rate limits of users and buckets: how many requests and bytes in a minute each gateway process serves them.

Limits are kept as newer radosgw keeps them, in an xattr of the user or the bucket instance. What is used up comes back evenly over the minute;
bytes are charged when they have flowed, so that one request may run a debt that the next ones wait for.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from rgw.core.metadata import SystemObject
from rgw.errors import S3Error
from rgw.formats.ratelimit import RateLimitInfo
from rgw.formats.user import UserInfo

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

XATTR = "user.rgw.ratelimit"
_MINUTE = 60.0
_KNOWN = 100_000  # users and buckets remembered
_READS = ("GET", "HEAD", "OPTIONS")


@dataclass(slots=True)
class _Meter:
    """What is left, in requests and bytes, at a moment of the monotonic clock: without end where there is no limit."""

    ops: float
    bytes: float
    at: float

    def refill(self, ops: int, size: int, now: float) -> None:
        part = (now - self.at) / _MINUTE
        self.ops = min(self.ops + ops * part, ops) if ops else math.inf
        self.bytes = min(self.bytes + size * part, size) if size else math.inf
        self.at = now

    def wait(self, ops: int, size: int) -> float:
        """Seconds until another request may come."""
        lacking = [(1 - self.ops) / ops if ops else 0.0, -self.bytes / size if size and self.bytes <= 0 else 0.0]
        return max(0.0, *lacking) * _MINUTE


Charge = list[_Meter]


class RateLimits:
    def __init__(self, gateway: Gateway, clock: Callable[[], float] = monotonic) -> None:
        self._gateway = gateway
        self._clock = clock
        self._meters: OrderedDict[tuple[str, str, bool], _Meter] = OrderedDict()
        self._decoded: dict[bytes, RateLimitInfo] = {}

    async def admit(self, user: UserInfo | None, bucket: Bucket | None, method: str) -> Charge:
        """Takes a request; what it moves is to be charged to the result. S3Error SlowDown, with Retry-After, beyond a limit."""
        limits: list[tuple[str, str, bytes]] = []
        if user is not None:
            uid = user.user_id.text()
            metadata, pool = self._gateway.metadata, self._gateway.zone.uid_pool
            found = metadata.cached(pool, uid) or await metadata.get(pool, uid)
            if XATTR in found.xattrs:
                limits.append(("user", uid, found.xattrs[XATTR]))
        if bucket is not None and XATTR in bucket.attrs:
            limits.append(("bucket", bucket.marker, bucket.attrs[XATTR]))
        if not limits:
            return []
        reading, now = method in _READS, self._clock()
        charge: Charge = []
        waits: list[float] = []
        for kind, name, raw in limits:
            info = self._info(raw)
            ops, size = (info.max_read_ops, info.max_read_bytes) if reading else (info.max_write_ops, info.max_write_bytes)
            if not info.enabled or not (ops or size):
                continue
            meter = self._meter((kind, name, reading), ops, size, now)
            waits.append(meter.wait(ops, size))
            charge.append(meter)
        if any(waits):
            refusal = S3Error("SlowDown")
            refusal.headers["Retry-After"] = str(math.ceil(max(waits)))
            raise refusal
        for meter in charge:
            meter.ops -= 1
        return charge

    @staticmethod
    def settle(charge: Charge, size: int) -> None:
        """Charges the bytes of a request's bodies."""
        for meter in charge:
            meter.bytes -= size

    def _info(self, raw: bytes) -> RateLimitInfo:
        info = self._decoded.get(raw)
        if info is None:
            if len(self._decoded) > _KNOWN:
                self._decoded.clear()
            info = self._decoded[raw] = RateLimitInfo.decode(raw)
        return info

    def _meter(self, key: tuple[str, str, bool], ops: int, size: int, now: float) -> _Meter:
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = _Meter(ops, size, now)
            if len(self._meters) > _KNOWN:
                self._meters.popitem(last=False)
        meter.refill(ops, size, now)
        return meter

    # the limits themselves

    async def of_user(self, user: UserInfo) -> RateLimitInfo:
        return self._of((await self._user_object(user)).xattrs)

    def of_bucket(self, bucket: Bucket) -> RateLimitInfo:
        return self._of(bucket.attrs)

    @staticmethod
    def _of(xattrs: dict[str, bytes]) -> RateLimitInfo:
        return RateLimitInfo.decode(xattrs[XATTR]) if XATTR in xattrs else RateLimitInfo()

    async def _user_object(self, user: UserInfo) -> SystemObject:
        return await self._gateway.metadata.get(self._gateway.zone.uid_pool, user.user_id.text(), fresh=True)

    async def set_user(self, user: UserInfo, info: RateLimitInfo) -> None:
        """Cancelled if the user is changed at the same time. S3Error NotImplemented if a newer release wrote ``info``."""
        _refuse_newer(info)
        found = await self._user_object(user)
        xattrs = {**found.xattrs, XATTR: info.encode()}
        await self._gateway.metadata.replace(self._gateway.zone.uid_pool, user.user_id.text(), found.data, xattrs, found)

    async def set_bucket(self, bucket: Bucket, info: RateLimitInfo) -> None:
        """S3Error NotImplemented if a newer release wrote ``info``."""
        _refuse_newer(info)
        await self._gateway.buckets.set_attrs(bucket, {XATTR: info.encode()})


def _refuse_newer(info: RateLimitInfo) -> None:
    if info.newer:
        raise S3Error("NotImplemented", "the limits were written by a newer release, whose fields a change would drop")
