"""What the tests of objects share: bodies, uploads, and the census of a pool."""

import hashlib
import secrets

from rgw.core.multipart import CompletedPart
from rgw.store.interface import ALL_NAMESPACES

MIB = 1 << 20


def body(size: int) -> bytes:
    return secrets.token_bytes(size)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


async def put(gateway, bucket, key, data, user, **kwargs):
    """Puts an object as a front end does."""
    writer = gateway.objects.writer(bucket, key, owner=user, attrs=kwargs.pop("attrs", {}), size_hint=len(data))
    try:
        for i in range(0, len(data), 300_000):
            await writer.write(data[i:i + 300_000])
        return await writer.complete(md5(data), **kwargs)
    finally:
        await writer.abort()


async def fetch(gateway, bucket, key, offset=0, length=None) -> bytes:
    state = await gateway.objects.get(bucket, key)
    return b"".join([part async for part in gateway.objects.read(state, offset, length)])


async def upload_part(gateway, upload, number, data):
    writer = gateway.multipart.part_writer(upload, number, len(data))
    try:
        await writer.write(data)
        return await writer.complete(md5(data))
    finally:
        await writer.abort()


async def new_upload(gateway, bucket, key, user, attrs=None):
    upload_id = await gateway.multipart.create(bucket, key, owner=user, attrs=attrs or {})
    return await gateway.multipart.get(bucket, key, upload_id)


def completed(parts):
    return [CompletedPart(part.number, part.etag) for part in parts]


async def census(gateway, bucket) -> set[str]:
    """Every RADOS object of the bucket in the data and extra pools."""
    found: set[str] = set()
    for text in {gateway.zone.data_pool(bucket.placement), gateway.zone.extra_pool(bucket.placement)}:
        ioctx = await gateway.cluster.open_pool(text.split(":")[0], ALL_NAMESPACES)
        found |= {item.name async for item in ioctx.list_objects() if item.name.startswith(bucket.marker + "_")}
    return found


async def spread(gateway, bucket) -> dict[str, int]:
    """How many RADOS objects of the bucket lie in each namespace of the data pool."""
    found = {"cold": 0, "": 0}
    ioctx = await gateway.cluster.open_pool(gateway.zone.data_pool(bucket.placement).split(":")[0], ALL_NAMESPACES)
    async for item in ioctx.list_objects():
        if item.name.startswith(bucket.marker + "_"):
            found[item.namespace] += 1
    return found


async def index_keys(gateway, bucket) -> set[str]:
    """Every key of the bucket's index."""
    from rgw.core.index import shard_names
    from rgw.store.interface import ReadOp

    ioctx = gateway.index_pool(bucket.placement)
    found: set[str] = set()
    for oid in shard_names(bucket.bucket_id, bucket.num_shards):
        result = await ioctx.read(oid, ReadOp().omap_get(max_entries=10_000))
        found |= {key.decode("utf-8", "surrogateescape") for key in result.omap.values}
    return found


async def collect(gateway) -> None:
    await gateway.gc.process(include_all=True)
