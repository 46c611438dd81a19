"""A gateway killed at any instant loses nothing that it acknowledged, and leaves nothing that is not collected.

Another gateway of the same store settles what the dead noted (rgw.core.recovery) and collects the garbage; then every RADOS object of
the bucket must be reached from its index. RGW_TEST_CRASHES sets the number of kills (``-s`` shows what was found).
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import sys
import time
from pathlib import Path

import pytest

from rgw.core import places
from rgw.core.gateway import Gateway
from rgw.core.index import shard_names
from rgw.core.intents import shard_oids
from rgw.core.manifest import gc_chain, tails
from rgw.core.options import Options
from rgw.core.purge import purge_bucket
from rgw.errors import S3Error
from rgw.formats import cls_rgw, names
from rgw.formats.acl import AccessControlPolicy
from rgw.store import classes
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from tests.conftest import missing_ceph
from tests.core.conftest import add_classes
from tests.core.crashload import OPTIONS, open_cluster
from tests.core.helpers import census, fetch, index_keys, md5

_KILLS = int(os.environ.get("RGW_TEST_CRASHES", "100"))
_ROOT = Path(__file__).parents[2]


class Nursery:
    """Brings up gateways under load, and kills them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout

    @classmethod
    async def open(cls, store: str, bucket: str, uid: str) -> Nursery:
        return cls(await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.core.crashload", store, bucket, uid, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT))

    async def run_and_kill(self, seed: int, longest: float, known: dict[str, set[str]]) -> int:
        """One life. ``known`` holds for each key the contents that it may have afterwards. Returns the number of changes done."""
        self._in.write(b"%d\n" % seed)
        pid = int((await self._out.readline()).split()[1])
        assert await self._out.readline() == b"READY\n"
        await asyncio.sleep(random.Random(seed).uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        begun: dict[str, str] = {}
        done = 0
        while (line := (await self._out.readline()).decode().rstrip("\n")) != "DEAD":
            word, key, *rest = line.split(" ")
            if word == "BEGIN":
                begun[key] = rest[0]
            else:
                known[key] = {begun.pop(key)}
                done += 1
        for key, content in begun.items():
            known[key] = known.get(key, {"-"}) | {content}
        return done

    async def close(self) -> None:
        self._in.close()
        await self._process.wait()


async def _content(gateway: Gateway, bucket, key: str) -> str:
    try:
        return md5(await fetch(gateway, bucket, key))
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        return "-"


async def _expire_leases(gateway: Gateway) -> None:
    """What time does: the leases of dead gateways run out (after some minutes)."""
    ioctx = await gateway.intents.pool()
    for item in [item async for item in ioctx.list_objects()]:
        if item.name.startswith("instance.") and item.name != f"instance.{gateway.cluster.instance_id}":
            await ioctx.write(item.name, WriteOp().remove())


async def _intents(gateway: Gateway) -> list[bytes]:
    """The keys of intents of other gateways."""
    found: list[bytes] = []
    ioctx = await gateway.intents.pool()
    for oid in shard_oids():
        try:
            page = (await ioctx.read(oid, ReadOp().omap_get(max_entries=10_000))).omap
        except NotFound:
            continue
        found += [key for key in page.values if not key.startswith(b"%d." % gateway.cluster.instance_id)]
    return found


async def _unreachable(gateway: Gateway, bucket, listed: list[str]) -> set[str]:
    """RADOS objects of the bucket that no listed object uses. No upload may be open, and no garbage wait."""
    used: set[str] = set()
    for name in listed:
        state = await gateway.objects.head(bucket, name)
        used.add(names.raw_name(bucket.marker, name))
        if state.manifest is not None:
            used |= {item.oid for item in gc_chain(tails(state.manifest), places.manifest_pool_name(gateway, bucket, state.manifest))}
    return await census(gateway, bucket) - used


async def _verify(gateway: Gateway, bucket, known: dict[str, set[str]], seed: int) -> int:
    """After one kill: settle, collect, and see that all is as it should be. Returns the number of intents settled."""
    # The embedded store shows the last commit of a process that was killed in the middle of it when the next one writes.
    await (await gateway.intents.pool()).write(shard_oids()[0], WriteOp().create())
    for key, contents in known.items():
        found = await _content(gateway, bucket, key)
        assert found in contents, f"{key} after kill {seed}"
        known[key] = {found}
    await _expire_leases(gateway)
    settled = await gateway.recovery.run()
    for upload in (await gateway.multipart.list_uploads(bucket)).uploads:
        await gateway.multipart.abort(bucket, upload.key, upload.upload_id)
    await gateway.intents._flush()  # those of copied parts stay as long as their upload
    assert await _intents(gateway) == []
    await gateway.gc.process(include_all=True)
    listed = [entry.name for entry in (await gateway.listing.objects(bucket)).entries]
    assert listed == sorted(key for key, contents in known.items() if contents != {"-"}), f"listing after kill {seed}"
    assert await _unreachable(gateway, bucket, listed) == set(), f"left over after kill {seed}"
    for key, contents in known.items():
        assert {await _content(gateway, bucket, key)} == contents, f"{key} after kill {seed} and the collection"
    return settled


async def _index_is_clean(gateway: Gateway, bucket) -> None:
    """Once unfinished changes are old, the index holds what is listed and nothing else."""
    ioctx = gateway.index_pool(bucket.placement)
    for oid in shard_names(bucket.bucket_id, bucket.num_shards):
        await ioctx.write(oid, WriteOp().call(classes.BUCKET_SET_TAG_TIMEOUT(cls_rgw.TagTimeoutOp(tag_timeout=1))))
    await asyncio.sleep(1.5)
    assert (await gateway.multipart.list_uploads(bucket)).uploads == []
    listed = {entry.name for entry in (await gateway.listing.objects(bucket)).entries}
    assert await index_keys(gateway, bucket) == listed


@pytest.mark.timeout(120 + _KILLS)
@pytest.mark.parametrize("kind", ["embedded", "ceph"])
async def test_killed_at_any_instant(kind, request, tmp_path) -> None:
    if kind == "ceph":
        if reason := missing_ceph():
            pytest.skip(reason)
        store, kills, longest = str(request.getfixturevalue("ceph_conf")), max(_KILLS // 10, 1), 0.8
    else:
        store, kills, longest = str(tmp_path / "store"), _KILLS, 0.4
    cluster = await open_cluster(store)
    gateway = await Gateway.open(cluster, Options(OPTIONS))
    await add_classes(gateway)
    uid, name = f"u{secrets.token_hex(4)}", f"b{secrets.token_hex(4)}"
    user = await gateway.users.create(uid, "A user")
    bucket, _ = await gateway.buckets.create(name, user, AccessControlPolicy.private(uid, "A user"))
    nursery = await Nursery.open(store, name, uid)
    known: dict[str, set[str]] = {}
    done = settled = 0
    base, started = random.randrange(1 << 30), time.monotonic()
    print(f"seeds from {base}")
    for seed in range(base, base + kills):
        done += await nursery.run_and_kill(seed, longest, known)
        settled += await _verify(gateway, bucket, known, seed)
    await nursery.close()
    await _index_is_clean(gateway, bucket)
    print(f"{kills} kills, {done} changes done, {settled} intents settled, {time.monotonic() - started:.0f} s")
    assert done > kills and settled > kills
    await purge_bucket(gateway, bucket)
    await gateway.gc.process(include_all=True)
    assert await census(gateway, bucket) == set()
    await gateway.close()
    assert [item.name async for item in (await gateway.intents.pool()).list_objects() if item.name.startswith("instance.")] == []
    await cluster.close()
