"""Many writers through both gateways on the same keys, while one gateway is killed again and again.

RGW_TEST_CONTENTION_SECONDS tells for how long (20). Last of this folder: a killed watcher makes the next change of metadata wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError

from rgw.core import places
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.parts import MARK
from rgw.core.upload_lock import LOCK_NAME
from rgw.formats.cls_lock import BreakLockOp, GetInfoOp
from rgw.formats.cls_rgw import TagTimeoutOp
from rgw.formats.gc import ObjRefcount
from rgw.formats.names import raw_name
from rgw.store import classes
from rgw.store.interface import ReadOp, WriteOp
from rgw.store.librados import connect
from tests.radosgw import tools
from tests.radosgw.conftest import Ours, client
from tests.radosgw.test_versions import versions
from tests.radosgw.writers import GONE, History, Writer

SECONDS = float(os.environ.get("RGW_TEST_CONTENTION_SECONDS", "20"))
KILL_EVERY = 5.0
# A gateway that is killed counts as dead 7 s later, and its locks on garbage queues end 8 s after they were taken (by default an hour).
LEASE = ["rgw_gc_processor_max_time=8", "rgw_intent_lease=1", "rgw_op_timeout=5"]


# What a writer may be told besides the common codes: radosgw alone has this one, for errors that have no name of their own.
_CODES = {"ours": (), "radosgw": ("UnknownError",)}


@dataclass
class _Fight:
    """What writers of both gateways do to the keys of a bucket, whose versioning has this ``status``."""

    keys: list[str]
    status: str = ""
    writers: int = 4  # through each gateway
    bucket: str = field(default_factory=lambda: f"w{secrets.token_hex(4)}")
    history: History = field(default_factory=History)


async def _heal(pair, buckets: list[str]) -> None:
    """What time does by itself: operations left pending count as dead at once, and what a killed gateway had begun is undone.

    The locks end that a killed radosgw holds for ten minutes on the uploads which it was completing.
    """
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options(dict(option.split("=") for option in LEASE)))
    try:
        for name in buckets:
            bucket = await gateway.buckets.get(name)
            for oid in bucket.index.shards():
                await bucket.index.ioctx.write(oid, WriteOp().call(classes.BUCKET_SET_TAG_TIMEOUT(TagTimeoutOp(tag_timeout=1))))
            uploads = await places.extra_pool(gateway, bucket)
            metas = [found.name async for found in uploads.list_objects() if found.name.startswith(f"{bucket.marker}_")]
            locked = 0
            for oid in metas:
                held = (await uploads.read(oid, ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK_NAME))))).reply.lockers
                for locker in held:
                    broken = BreakLockOp(name=LOCK_NAME, locker=locker.id.locker, cookie=locker.id.cookie)
                    await uploads.write(oid, WriteOp().assert_exists().call(classes.LOCK_BREAK_LOCK(broken)))
                locked += bool(held)
            print(f"{locked} of {len(metas)} uploads that are left were being completed")
        await asyncio.sleep(8)
        await gateway.recovery.run()
        await gateway.gc.process(include_all=True)
    finally:
        await gateway.close()
        await cluster.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["ours", "radosgw"])
def test_writers_while_a_gateway_is_killed(pair, victim):
    fight = _Fight([f"{'_' if n % 7 == 0 else ''}k{n}" for n in range(50)])
    with _fought(pair, victim, fight) as (uid, ends):
        _examine(pair, uid, fight.bucket, victim, fight.history, fight.keys, ends)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["ours", "radosgw"])
def test_writers_of_versions_while_a_gateway_is_killed(pair, victim):
    """Where versioning is suspended nothing is removed, for radosgw alone loses null versions that are written while others are removed."""
    fights = [_Fight([f"{'_' if n % 7 == 0 else ''}k{n}" for n in range(20)], "Enabled", 3), _Fight([f"k{n}" for n in range(8)], "Suspended", 2)]
    with _fought(pair, victim, *fights) as (_, ends):
        asyncio.run(_heal(pair, [fight.bucket for fight in fights]))
        for fight in fights:
            _examine_versions(pair, fight.bucket, victim, fight.history, fight.keys, ends)


@contextmanager
def _fought(pair, victim, *fights):
    """Afterwards, with the user and a client of each gateway."""
    uid = f"w{secrets.token_hex(4)}"
    key = pair.radosgw_admin("user", "create", "--uid", uid, "--display-name", "Writers")["keys"][0]
    ours = Ours(pair.cluster, LEASE)
    ours.start()
    ends = {"ours": (ours.endpoint, key["access_key"], key["secret_key"]), "radosgw": (pair.theirs, key["access_key"], key["secret_key"])}
    try:
        stop, writers = threading.Event(), []
        for fight in fights:
            _prepare(fight, [client(*end) for end in ends.values()])
            writers += [Writer(client(*end), fight.bucket, fight.keys, fight.history, stop, seed, _CODES[side], deletes=fight.status != "Suspended")
                        for seed, (side, end) in enumerate(list(ends.items()) * fight.writers)]
        for writer in writers:
            writer.start()
        ending, kills = time.monotonic() + SECONDS / 2, 0
        while time.monotonic() < ending:
            time.sleep(min(KILL_EVERY, SECONDS / 4))
            kills += 1
            if victim == "ours":
                ours.kill()
                ours.start()
            else:
                pair.cluster.daemons["radosgw"].kill()
                pair.cluster.restart_radosgw()
        stop.set()
        for writer in writers:
            writer.join(60)
        assert all(writer.done for writer in writers)
        for fight in fights:
            acknowledged = sum(write.ended < float("inf") for write in fight.history.writes)
            print(f"{kills} kills of {victim}, {acknowledged} of {len(fight.history.writes)} writes acknowledged")
            assert fight.history.errors == [] and acknowledged > 10
        yield uid, {side: client(*end) for side, end in ends.items()}
    finally:
        ours.stop()


def _prepare(fight: _Fight, ends: list) -> None:
    """Objects from before versioning, by each gateway in turn: versions called null, which are removed like others.

    Where versioning is suspended there are other versions too, and the null versions are written again.
    """
    ends[1].create_bucket(Bucket=fight.bucket)
    if not fight.status:
        return
    suspended = fight.status == "Suspended"
    _write_each(fight, fight.keys[::2], ends, None if suspended else "null")
    ends[1].put_bucket_versioning(Bucket=fight.bucket, VersioningConfiguration={"Status": "Enabled"})
    if suspended:
        _write_each(fight, fight.keys[::3], ends, None)
        ends[1].put_bucket_versioning(Bucket=fight.bucket, VersioningConfiguration={"Status": "Suspended"})


def _write_each(fight: _Fight, keys: list[str], ends: list, version: str | None) -> None:
    for number, key in enumerate(keys):
        body = b"%d" % number
        content = hashlib.md5(body, usedforsecurity=False).hexdigest()
        fight.history.by_etag[content] = content
        write = fight.history.begin(key, "put", content)
        write.version = ends[number % len(ends)].put_object(Bucket=fight.bucket, Key=key, Body=body).get("VersionId", version)
        write.ended = time.monotonic()


def _content(end, **place) -> str:
    try:
        return hashlib.md5(end.get_object(**place)["Body"].read(), usedforsecurity=False).hexdigest()
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404", "405", "MethodNotAllowed"), (place, error)
        return GONE


def _examine_versions(pair, name, victim, history, names, ends) -> None:
    for end in ends.values():
        for key in names:  # reading a key settles what was announced on it
            _content(end, Bucket=name, Key=key)
        versions(end, name)
    time.sleep(1)
    listings = {side: versions(end, name) for side, end in ends.items()}
    assert listings["ours"] == listings["radosgw"]
    rows = {(row[0], row[1]): row for row in listings["ours"]}
    assert len(rows) == len(listings["ours"])
    latest = [row[0] for row in rows.values() if row[2]]
    assert len(latest) == len(set(latest)) and set(latest) == {key for key, _ in rows}, "each key has one current version"
    for (key, version), content in history.kept().items():
        assert (key, version) in rows, f"version {version} of {key} is lost: {history.of(key)}"
        assert rows[key, version][3] == (content == GONE)
        for side, end in ends.items():
            assert _content(end, Bucket=name, Key=key, VersionId=version) == content, (side, key, version)
    for (key, version), acknowledged in history.removed.items():
        if acknowledged:
            assert (key, version) not in rows, f"version {version} of {key} was removed"
    for key in names:
        held = {side: _content(end, Bucket=name, Key=key) for side, end in ends.items()}
        assert held["ours"] == held["radosgw"], key
        assert history.may_hold(key, held["ours"]), f"{key} holds {held['ours'] or 'nothing'} after\n{history.of(key)}"
    for upload in ends["ours"].list_multipart_uploads(Bucket=name).get("Uploads", []):
        try:
            ends["ours"].abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchUpload"
    if len(rows) > 100:  # behind a null version at the end of a page of 100, radosgw-admin's radoslist goes round for ever
        for number, key in enumerate(key for key, version in rows if version == "null"):
            list(ends.values())[number % 2].delete_object(Bucket=name, Key=key, VersionId="null")
    tools.collect(pair)
    checked = pair.radosgw_admin("bucket", "check", "--bucket", name)["check_result"]
    assert tools.counts(checked["existing_header"]) == tools.counts(checked["calculated_header"])
    marker = pair.radosgw_admin("bucket", "stats", "--bucket", name)["marker"]
    reached, found = tools.reachable(pair, name), tools.rados_objects(pair, marker)
    missing = sorted(reached - found)
    assert not missing, f"radosgw misses RADOS objects: {missing}"
    heads = {raw_name(marker, row[0]) for row in listings["ours"]}  # radoslist forgets those of keys that begin with "_"
    left = found - reached - heads
    print(f"{len(left)} RADOS objects that nothing leads to")
    if victim == "ours":
        ours = asyncio.run(_not_of_radosgw(pair, ends["radosgw"], name, left))
        assert not ours, f"RADOS objects are left that radosgw does not hold: {sorted(ours)}"


def _examine(pair, uid, name, victim, history, names, ends) -> None:
    asyncio.run(_heal(pair, [name]))
    for upload in ends["ours"].list_multipart_uploads(Bucket=name).get("Uploads", []):
        try:  # not through radosgw, which frees the parts even of an object that a dead radosgw had completed
            ends["ours"].abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchUpload"
    for end in ends.values():  # a listing settles what is pending; radosgw's suggestions to the index are not awaited
        tools.listed(end, name)
    time.sleep(1)
    held: dict[str, str] = {}
    for side, end in ends.items():
        for key in names:
            try:
                content = hashlib.md5(end.get_object(Bucket=name, Key=key)["Body"].read(), usedforsecurity=False).hexdigest()
            except ClientError as error:
                assert error.response["Error"]["Code"] == "NoSuchKey", (side, key, error)
                content = GONE
            assert held.setdefault(key, content) == content, f"the gateways differ in {key}"
            assert history.may_hold(key, content), f"{key} holds {content or 'nothing'} after\n{history.of(key)}"
    assert [row[0] for row in tools.listed(ends["ours"], name)] == sorted(key for key, content in held.items() if content != GONE)
    left = tools.settled(pair, uid, [name], list(ends.values()), orphans=False, finished=victim != "radosgw")
    print(f"{len(left)} RADOS objects that nothing leads to")  # a radosgw that is killed leaves some, and nothing of its own finds them
    if victim == "ours":
        ours = asyncio.run(_not_of_radosgw(pair, ends["radosgw"], name, left))
        assert not ours, f"RADOS objects are left that radosgw does not hold: {sorted(ours)}"


async def _not_of_radosgw(pair, radosgw, name: str, left: set[str]) -> set[str]:
    """Those of the RADOS objects that are left for another reason than these two, which are radosgw's own.

    When another write of the key is faster, its CopyObject answers 200 and keeps the references that it took, and its Complete
    answers 200 and loses the parts that were uploaded through it.
    """
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    try:
        data = await cluster.open_pool("default.rgw.buckets.data")
        radosgw.create_bucket(Bucket=f"whose-{name}")
        radosgw.put_object(Bucket=f"whose-{name}", Key="whose", Body=b"")
        marker = pair.radosgw_admin("bucket", "stats", "--bucket", f"whose-{name}")["marker"]
        idtag = (await data.read(f"{marker}_whose", ReadOp().getxattrs().stat())).xattrs["user.rgw.idtag"]
        its_tags = idtag.rpartition(b".")[0].decode() + "."
        found = set()
        for oid in left:
            attrs = (await data.read(oid, ReadOp().getxattrs().stat())).xattrs
            if "refcount" in attrs:
                held = ObjRefcount.decode(attrs["refcount"]).refs
                if not all(tag.startswith(its_tags) for tag in held):
                    found.add(oid)
                continue
            head = oid.replace("__shadow_", "__multipart_").rpartition("_")[0] if "__shadow_" in oid else oid
            if "2~" not in oid or head not in left or MARK in (await data.read(head, ReadOp().getxattrs().stat())).xattrs:
                found.add(oid)
        return found
    finally:
        await cluster.close()
