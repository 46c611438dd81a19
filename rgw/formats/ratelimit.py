"""Rate limits (xattr ``user.rgw.ratelimit``). Source: RGWRateLimitInfo in rgw_common.h of Ceph Quincy; Pacific has none and passes it by."""

from __future__ import annotations

from rgw.formats.encoding import BOOL, S64, Struct, f, struct


@struct(1, 1)
class RateLimitInfo(Struct):
    """RGWRateLimitInfo: operations and bytes in a minute; 0: no limit."""

    max_write_ops: int = f(S64)
    max_read_ops: int = f(S64)
    max_write_bytes: int = f(S64)
    max_read_bytes: int = f(S64)
    enabled: bool = f(BOOL)
