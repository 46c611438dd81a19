"""The entries of a bucket's index as they lie in its shards, for tools (class methods bi_list and bi_get)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rgw.errors import S3Error
from rgw.formats.cls_rgw import BiEntry, BiGetOp, BiListOp
from rgw.formats.index import ClsObjKey
from rgw.formats.names import index_name
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket

PLAIN, INSTANCE, OLH = 1, 2, 3
KINDS = {"plain": PLAIN, "instance": INSTANCE, "olh": OLH}
_PAGE = 1000


async def entries(bucket: Bucket, shard: str, name_filter: str = "") -> AsyncIterator[BiEntry]:
    """The entries of one shard, those of one index name if given: plain ones, then versions, then the pointers to current versions."""
    marker, more = "", True
    while more:
        request = BiListOp(max=_PAGE, name_filter=name_filter, marker=marker)
        reply = (await bucket.index_ioctx.read(shard, ReadOp().call(classes.BI_LIST(request)))).reply
        for entry in reply.entries:
            yield entry
            marker = entry.idx
        more = reply.truncated and bool(reply.entries)


async def of_bucket(bucket: Bucket, key: str = "", number: int | None = None) -> AsyncIterator[BiEntry]:
    """The entries of all shards in turn, or of the one of this number, or those of one object.

    S3Error NoSuchBucket if a shard is missing, InvalidArgument if there is none of this number.
    """
    index = bucket.index
    shards = [index.shard(key)] if key else index.shards()
    if number is not None and not key:
        if not 0 <= number < len(shards):
            raise S3Error("InvalidArgument", f"the bucket has {len(shards)} index shards")
        shards = [shards[number]]
    try:
        for shard in shards:
            async for entry in entries(bucket, shard, index_name(key) if key else ""):
                yield entry
    except NotFound:
        raise S3Error("NoSuchBucket", f"the index of {bucket.name} is gone: resharded or deleted", BucketName=bucket.name) from None


async def get(bucket: Bucket, key: str, kind: int = PLAIN, instance: str = "") -> BiEntry:
    """One entry. S3Error NoSuchKey."""
    request = BiGetOp(key=ClsObjKey(name=index_name(key), instance=instance), type=kind)
    try:
        return (await bucket.index.read(key, ReadOp().assert_exists().call(classes.BI_GET(request)))).reply.entry
    except NotFound:
        raise S3Error("NoSuchKey", f"the index of {bucket.name} has no such entry of {key}", Key=key) from None
