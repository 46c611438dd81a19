"""Removing a bucket with all that is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.formats.index import DirEntry

_PARALLEL = 16  # deletions in flight


async def purge_bucket(gw: Gateway, bucket: Bucket, progress: Callable[[str], None] | None = None) -> int:
    """Removes every version of every object, then the bucket with its uploads under way; the number of objects.

    Broken off, it has removed some: a second run goes on. S3Error BucketNotEmpty if somebody keeps writing.
    """
    limit = asyncio.Semaphore(_PARALLEL)
    done = 0

    async def one(entry: DirEntry) -> None:
        nonlocal done
        version = (entry.instance or "null") if bucket.versioned else ""
        async with limit:
            await gw.objects.delete(bucket, entry.name, version_id=version)
        done += 1
        if progress is not None and done % 100 == 0:
            progress(f"{bucket.name}: {done} objects removed")

    while True:
        page = await gw.listing.versions(bucket)
        async with asyncio.TaskGroup() as tasks:
            for entry in page.entries:
                tasks.create_task(one(entry))
        if not page.truncated:
            break
    await gw.buckets.delete(bucket)
    return done
