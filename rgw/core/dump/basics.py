"""Times, quotas and names of buckets in radosgw's JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rgw.formats.basics import BucketName, QuotaInfo

_RELATIVE = 10 * 365 * 86400  # seconds; radosgw prints times below as plain numbers


def moment(ns: int, zone: str = "Z") -> str:
    """A time as radosgw prints it: microseconds, UTC; `0.000000` for none."""
    seconds, micros = ns // 1_000_000_000, ns % 1_000_000_000 // 1000
    if seconds < _RELATIVE:
        return f"{seconds}.{micros:06d}"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{micros:06d}{zone}"


def parse_moment(text: str) -> int:
    """Nanoseconds of what ``moment`` prints; ValueError."""
    if text[:1].isdigit() and "-" not in text:
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
    base, _, fraction = text.rstrip("Z").partition(".")
    seconds_ = int(datetime.strptime(base, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp())
    return seconds_ * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def flag(value: object) -> str:
    """A truth value, which radosgw prints as text in most places."""
    return "true" if value else "false"


def quota(info: QuotaInfo) -> dict[str, Any]:
    return {
        "enabled": info.enabled,
        "check_on_raw": info.check_on_raw,
        "max_size": info.max_size,
        "max_size_kb": (info.max_size + 1023) // 1024 if info.max_size >= 0 else 0,
        "max_objects": info.max_objects,
    }


def explicit_placement(bucket: BucketName) -> dict[str, str]:
    return {"data_pool": bucket.data_pool.text(), "data_extra_pool": bucket.data_extra_pool.text(), "index_pool": bucket.index_pool.text()}


def bucket_name(bucket: BucketName) -> dict[str, Any]:
    return {"name": bucket.name, "marker": bucket.marker, "bucket_id": bucket.bucket_id, "tenant": bucket.tenant,
            "explicit_placement": explicit_placement(bucket)}
