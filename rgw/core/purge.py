"""Removing a bucket with all that is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rgw.core import bucket_check
from rgw.core.parallel import each
from rgw.errors import S3Error

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.formats.listed import ListedEntry

_PARALLEL = 16  # deletions in flight


@contextmanager
def without_waiting(gw: Gateway) -> Iterator[None]:
    """What is removed meanwhile is not left to the garbage collector: its data go at once, but for what copies refer to."""
    gw.gc.bypass = True
    try:
        yield
    finally:
        gw.gc.bypass = False


async def purge_bucket(gw: Gateway, bucket: Bucket, progress: Callable[[str], None] | None = None) -> int:
    """Removes every version of every object, then the bucket with its uploads under way; the number of objects.

    An index that lists what is not there is mended first. Broken off, it has removed some: a second run goes on. S3Error BucketNotEmpty if
    somebody keeps writing.
    """
    done, mended = 0, False

    async def one(entry: ListedEntry) -> bool:
        nonlocal done
        version = (entry.instance or "null") if bucket.versioned else ""
        if not await gw.objects.delete(bucket, entry.name, version_id=version):
            return False
        done += 1
        if progress is not None and done % 100 == 0:
            progress(f"{bucket.name}: {done} objects removed")
        return True

    while True:
        page = await gw.listing.versions(bucket)
        removed = sum(await each(page.entries, one, _PARALLEL))
        if removed == len(page.entries) and not page.truncated:
            break
        if not removed and page.entries:
            if mended:
                raise S3Error("BucketNotEmpty", f"{bucket.name} lists objects that are not there, such as {page.entries[0].name}")
            await bucket_check.check(gw, bucket, fix=True, check_objects=True, progress=progress)
            mended = True
    await gw.buckets.delete(bucket)
    return done
