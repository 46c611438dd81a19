"""A gateway in a process of its own, under mixed load until it is killed. Tells on stdout what it begins and what is done."""

from __future__ import annotations

import asyncio
import os
import random
import sys

from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.errors import S3Error
from rgw.store.embedded import open_store
from tests.core.helpers import body, completed, md5, new_upload, put, upload_part

OPTIONS = {"rgw_max_chunk_size": 65536, "rgw_obj_stripe_size": 65536, "rgw_multipart_min_part_size": 0, "rgw_gc_obj_min_wait": 0,
           "rgw_gc_max_objs": 2, "rgw_override_bucket_index_max_shards": 2, "rgw_put_obj_min_window_size": 131072}
_WORKERS = 4


def tell(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


async def work(gateway, bucket, user, number: int, rnd: random.Random) -> None:
    while True:
        key = f"k{number}-{rnd.randrange(4)}"
        kind = rnd.choice(("put", "put", "multipart", "reupload", "abort", "copy", "delete", "half"))
        data = body(rnd.choice((100, 70_000, 300_000, 700_000)))
        if kind == "put":
            tell("BEGIN", key, md5(data))
            await put(gateway, bucket, key, data, user)
        elif kind == "delete":
            tell("BEGIN", key, "-")
            await gateway.objects.delete(bucket, key)
        elif kind == "copy":
            try:
                source = await gateway.objects.head(bucket, f"k{number}-{rnd.randrange(4)}")
            except S3Error:
                continue
            content = b"".join([part async for part in gateway.objects.read(source, 0, None)])
            tell("BEGIN", key, md5(content))
            await gateway.objects.copy(source, bucket, key, owner=user, attrs=None)
        elif kind == "half":
            writer = gateway.objects.writer(bucket, key, owner=user, attrs={}, size_hint=None)
            await writer.write(data)
            await writer.abort()
            continue
        else:
            upload = await new_upload(gateway, bucket, key, user)
            parts = [await upload_part(gateway, upload, n, data[n * 10:]) for n in (1, 2)]
            whole = data[10:] + data[20:]
            if kind == "reupload":
                parts[0] = await upload_part(gateway, upload, 1, data)
                whole = data + data[20:]
            if kind == "abort":
                await gateway.multipart.abort(bucket, key, upload.upload_id)
                continue
            tell("BEGIN", key, md5(whole))
            await gateway.multipart.complete(bucket, key, upload.upload_id, completed(parts))
        tell("DONE", key)


async def main(folder: str, bucket_name: str, uid: str, seed: int) -> None:
    gateway = await Gateway.open(await open_store(folder), Options(OPTIONS))
    user, bucket = await gateway.users.get(uid), await gateway.buckets.get(bucket_name)
    tell("READY")
    rnd = random.Random(seed)
    await asyncio.gather(*(work(gateway, bucket, user, n, random.Random(rnd.random())) for n in range(_WORKERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
