"""Removing a bucket with all that is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rgw.core.parallel import each

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.formats.listed import ListedEntry

_PARALLEL = 16  # deletions in flight


async def purge_bucket(gw: Gateway, bucket: Bucket, progress: Callable[[str], None] | None = None) -> int:
    """Removes every version of every object, then the bucket with its uploads under way; the number of objects.

    Broken off, it has removed some: a second run goes on. S3Error BucketNotEmpty if somebody keeps writing.
    """
    done = 0

    async def one(entry: ListedEntry) -> None:
        nonlocal done
        version = (entry.instance or "null") if bucket.versioned else ""
        await gw.objects.delete(bucket, entry.name, version_id=version)
        done += 1
        if progress is not None and done % 100 == 0:
            progress(f"{bucket.name}: {done} objects removed")

    while True:
        page = await gw.listing.versions(bucket)
        await each(page.entries, one, _PARALLEL)
        if not page.truncated:
            break
    await gw.buckets.delete(bucket)
    return done
