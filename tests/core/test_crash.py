"""A gateway killed at any instant loses nothing that it acknowledged.

What it was writing at that instant stays behind: tails of objects without a head, and parts that were not recorded. Nothing notes them
before they are written, so they are found by no collector; the test counts them (``-s`` shows the figures) and sees that it is no more.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from rgw.core import places
from rgw.core.complete import LOCK_NAME
from rgw.core.gateway import Gateway
from rgw.core.manifest import gc_chain, tails
from rgw.core.options import Options
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.cls_lock import BreakLockOp, GetInfoOp
from rgw.store import classes
from rgw.store.embedded import open_store
from rgw.store.interface import ReadOp, WriteOp
from tests.core.crashload import OPTIONS
from tests.core.helpers import census, fetch, md5

_ROUNDS = 15
_IN_FLIGHT = 4 * 36  # most tails and parts that the load's four workers can be writing at an instant
_ROOT = Path(__file__).parents[2]


async def _run_and_kill(folder: Path, bucket: str, uid: str, seed: int, known: dict[str, set[str]]) -> int:
    """One life of the gateway. ``known`` holds for each key the contents that it may have. Returns the number of changes done."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.core.crashload", str(folder), bucket, uid, str(seed), stdout=asyncio.subprocess.PIPE, cwd=_ROOT)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"READY\n"
    reader = asyncio.ensure_future(process.stdout.read())
    await asyncio.sleep(random.Random(seed).uniform(0.05, 0.8))
    assert process.returncode is None, "the load ended by itself"
    process.kill()
    lines, done = (await reader).decode().split("\n"), 0
    await process.wait()
    begun: dict[str, str] = {}
    for line in lines[:-1]:  # the last one is empty or cut off
        word, key, *rest = line.split(" ")
        if word == "BEGIN":
            begun[key] = rest[0]
        else:
            known[key] = {begun.pop(key)}
            done += 1
    for key, content in begun.items():
        known[key] = known.get(key, {"-"}) | {content}
    return done


async def _content(gateway: Gateway, bucket, key: str) -> str:
    try:
        return md5(await fetch(gateway, bucket, key))
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        return "-"


async def _expire_lock(upload) -> None:
    """What time does: the dead gateway's lock on an upload that it was ending runs out (after ten minutes)."""
    reply = (await upload.pool.read(upload.meta_oid, ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK_NAME))))).reply
    for locker in reply.lockers:
        request = BreakLockOp(name=LOCK_NAME, locker=locker.id.locker, cookie=locker.id.cookie)
        await upload.pool.write(upload.meta_oid, WriteOp().call(classes.LOCK_BREAK_LOCK(request)))


async def _unreachable(gateway: Gateway, bucket) -> set[str]:
    """RADOS objects of the bucket that no object in its index uses. No upload may be open, and no garbage wait."""
    used: set[str] = set()
    listing = await gateway.listing.objects(bucket)
    for entry in listing.entries:
        state = await gateway.objects.head(bucket, entry.name)
        used.add(names.raw_name(bucket.marker, entry.name))
        if state.manifest is not None:
            used |= {item.oid for item in gc_chain(tails(state.manifest), places.manifest_pool_name(gateway, bucket, state.manifest))}
    return await census(gateway, bucket) - used


async def test_killed_at_any_instant(tmp_path) -> None:
    folder = tmp_path / "store"
    store = await open_store(folder)
    gateway = await Gateway.open(store, Options(OPTIONS))
    user = await gateway.users.create("u", "A user")
    bucket, _ = await gateway.buckets.create("b", user, AccessControlPolicy.private("u", "A user"))
    await gateway.close()
    await store.close()
    known: dict[str, set[str]] = {}
    done, leaked = 0, 0
    for seed in range(_ROUNDS):
        done += await _run_and_kill(folder, "b", "u", seed, known)
        store = await open_store(folder)
        gateway = await Gateway.open(store, Options(OPTIONS))
        bucket = await gateway.buckets.get("b")
        for key, contents in known.items():
            found = await _content(gateway, bucket, key)
            assert found in contents, f"{key} in round {seed}"
            known[key] = {found}
        uploads = (await gateway.multipart.list_uploads(bucket)).uploads
        for upload in uploads:
            try:
                await _expire_lock(await gateway.multipart.get(bucket, upload.key, upload.upload_id))
                await gateway.multipart.abort(bucket, upload.key, upload.upload_id)
            except S3Error as error:
                assert error.code == "NoSuchUpload"
        await gateway.gc.process(include_all=True)
        lost = await _unreachable(gateway, bucket)
        print(f"round {seed}: {len(uploads)} open uploads, {len(lost) - leaked} objects leaked")
        assert len(lost) - leaked <= _IN_FLIGHT
        assert not [oid for oid in lost if "__shadow_" not in oid and "__multipart_" not in oid], "heads that no listing shows"
        leaked = len(lost)
        await gateway.close()
        await store.close()
    print(f"{done} changes done, {leaked} objects leaked")
    assert done > 20
