"""Gateways in processes of their own, under mixed load until they are killed.

The module runs as a nursery: for each line ``<seed>`` on its stdin it forks a process with a gateway of its own and tells its number as
``PID <n>``; that process tells what it begins and what is done. Forking spares the start of Python for each of hundreds of gateways.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import traceback
from pathlib import Path

from rgw.core import multipart, objects  # noqa: F401  (before the fork, not after each)
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.state import STORAGE_CLASS
from rgw.core.transition import change_class
from rgw.errors import S3Error
from rgw.store.embedded import open_store
from rgw.store.interface import Cluster
from tests.core.conftest import add_classes
from tests.core.helpers import body, completed, md5, new_upload, put, upload_part

OPTIONS = {"rgw_max_chunk_size": 65536, "rgw_obj_stripe_size": 65536, "rgw_multipart_min_part_size": 0, "rgw_gc_obj_min_wait": 0,
           "rgw_gc_max_objs": 2, "rgw_override_bucket_index_max_shards": 2, "rgw_put_obj_min_window_size": 131072}
_WORKERS = 4
_KINDS = ("put", "put", "multipart", "reupload", "partcopy", "abort", "copy", "delete", "half", "move")
_CLASSES = ("STANDARD", "STANDARD", "COLD")  # the one has its data in heads, the other elsewhere


def tell(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


async def open_cluster(store: str) -> Cluster:
    """The store of a folder, or of a ceph.conf."""
    if not store.endswith(".conf"):
        return await open_store(Path(store))
    from rgw.store.librados import connect

    return await connect(store, "client.admin")


async def work(gateway, bucket, user, number: int, rnd: random.Random) -> None:
    while True:
        key = f"k{number}-{rnd.randrange(4)}"
        kind = rnd.choice(_KINDS)
        data = body(rnd.choice((100, 70_000, 300_000, 700_000)))
        storage_class = rnd.choice(_CLASSES)
        attrs = {STORAGE_CLASS: storage_class.encode()}
        if kind == "put":
            tell("BEGIN", key, md5(data))
            await put(gateway, bucket, key, data, user, attrs=attrs)
        elif kind == "move":
            try:
                await change_class(gateway, await gateway.objects.head(bucket, key), storage_class)
            except S3Error:
                pass  # there is none
            continue
        elif kind == "delete":
            tell("BEGIN", key, "-")
            await gateway.objects.delete(bucket, key)
        elif kind in ("copy", "partcopy"):
            try:
                source = await gateway.objects.head(bucket, f"k{number}-{rnd.randrange(4)}")
            except S3Error:
                continue
            content = b"".join([part async for part in gateway.objects.read(source, 0, None)])
            if kind == "copy":
                tell("BEGIN", key, md5(content))
                await gateway.objects.copy(source, bucket, key, owner=user, attrs=attrs)
            else:
                upload = await new_upload(gateway, bucket, key, user, attrs)
                half = len(content) // 2
                parts = [await gateway.multipart.copy_part(upload, 1, source, half, len(content) - half)]
                parts.append(await upload_part(gateway, upload, 2, data))
                parts.append(await gateway.multipart.copy_part(upload, 3, source, 0, half))
                whole = content[half:] + data + content[:half]
                tell("BEGIN", key, md5(whole))
                await gateway.multipart.complete(bucket, key, upload.upload_id, completed(parts))
        elif kind == "half":
            writer = gateway.objects.writer(bucket, key, owner=user, attrs={}, size_hint=None)
            await writer.write(data)
            await writer.abort()
            continue
        else:
            upload = await new_upload(gateway, bucket, key, user, attrs)
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


async def live(store: str, bucket_name: str, uid: str, seed: int) -> None:
    gateway = await Gateway.open(await open_cluster(store), Options(OPTIONS))
    await add_classes(gateway)
    user, bucket = await gateway.users.get(uid), await gateway.buckets.get(bucket_name)
    tell("READY")
    rnd = random.Random(seed)
    await asyncio.gather(*(work(gateway, bucket, user, n, random.Random(rnd.random())) for n in range(_WORKERS)))


def main(store: str, bucket_name: str, uid: str) -> None:
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                tell(f"PID {os.getpid()}")
                asyncio.run(live(store, bucket_name, uid, int(line)))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.waitpid(pid, 0)
        tell("DEAD")


if __name__ == "__main__":
    main(*sys.argv[1:])
