"""Dates as signatures write them, to nanoseconds since the epoch."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from rgw.errors import S3Error

_BASIC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
SECOND = 1_000_000_000


@lru_cache(1024)
def parse_basic(text: str) -> int | None:
    """ISO 8601 basic form (20130524T000000Z); None if it is not one."""
    match = _BASIC.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(group) for group in match.groups())
    try:
        datetime(year, month, day, hour, minute, min(second, 59))
    except ValueError:
        return None
    if second > 60:
        return None
    return timegm((year, month, day, hour, minute, second)) * SECOND


def parse_any(text: str) -> int | None:
    """The basic form or an HTTP date (RFC 7231, RFC 2822); None if it is neither."""
    moment = parse_basic(text)
    if moment is not None:
        return moment
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return int(date.timestamp()) * SECOND
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None


@lru_cache(1024)
def basic(moment: int) -> str:
    return datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")


def extended(moment: int) -> str:
    return datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def of_request(headers: Mapping[str, str], now: int, skew: int) -> int:
    """The time that a signed request's headers tell, in ns. AccessDenied without one, RequestTimeTooSkewed beyond ``skew`` seconds."""
    text = headers["x-amz-date"] if "x-amz-date" in headers else headers.get("date", "")
    moment = parse_any(text)
    if moment is None or moment < 0:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    if abs(now - moment) > skew * SECOND:
        raise S3Error("RequestTimeTooSkewed", RequestTime=text, ServerTime=extended(now),
                      MaxAllowedSkewMilliseconds=str(skew * 1000))
    return moment
