"""Intents: who is slow does no harm, who is dead leaves nothing, and each kind of intent is settled at each point of its course."""

import asyncio
import secrets

import pytest

from rgw.core.conditions import Conditions
from rgw.core.gateway import Gateway
from rgw.core.head import HeadWrite
from rgw.core.intents import Intents, OpenIntent, shard_oids
from rgw.core.options import Options
from rgw.errors import S3Error
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import body, census, collect, completed, fetch, md5, new_upload, put, upload_part
from tests.s3.traces import intents_left

KIB = 1024
BIG = 150 * KIB  # a head and two tails, or three objects of a part
OPTIONS = {"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 4, "rgw_override_bucket_index_max_shards": 5, "rgw_max_chunk_size": 64 * KIB,
           "rgw_obj_stripe_size": 64 * KIB, "rgw_put_obj_min_window_size": 256 * KIB, "rgw_multipart_min_part_size": 0}


class Killed(BaseException):
    """What stands for the death of a gateway: nothing handles it."""


@pytest.fixture
def options() -> Options:
    return Options(OPTIONS)


@pytest.fixture
async def other(cluster, options):
    """Another gateway, which settles what the first one leaves: instances differ though the connection is one."""
    gateway = await Gateway.open(cluster, options)
    gateway.intents = OtherIntents(gateway)
    yield gateway
    await gateway.close()


class OtherIntents(Intents):
    instance_id = 1 << 60


async def noted(gateway) -> int:
    """The number of intents of the gateway, without its lease."""
    ioctx, found = await gateway.intents.pool(), 0
    for oid in shard_oids():
        try:
            page = (await ioctx.read(oid, ReadOp().omap_get(max_entries=1000))).omap
        except NotFound:
            continue
        found += sum(key.startswith(b"%d." % gateway.intents.instance_id) for key in page.values)
    return max(found - 1, 0)


async def die(gateway) -> None:
    """The gateway renews its lease no more, forgets what it had to drop, and time goes by."""
    if gateway.intents._renewing is not None:
        gateway.intents._renewing.cancel()
        gateway.intents._renewing = None
    gateway.intents._done.clear()
    gateway.intents._fresh_until = 0.0
    try:
        await (await gateway.intents.pool()).write(f"instance.{gateway.intents.instance_id}", WriteOp().remove())
    except NotFound:
        pass


async def arrived(writer) -> None:
    """Waits until what the writer has sent so far is written."""
    if writer._sink._flying:
        await asyncio.wait(list(writer._sink._flying))


def killer(monkeypatch, owner, name, *, after=False, calls=1):
    """Kills whoever calls ``owner.name`` for the nth time, before or after the call."""
    original, count = getattr(owner, name), 0

    async def replacement(*args, **kwargs):
        nonlocal count
        count += 1
        if count == calls and not after:
            raise Killed
        result = await original(*args, **kwargs)
        if count == calls:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, replacement)


async def settle(other, bucket) -> set[str]:
    """What is left in the pools after recovery and collection."""
    await other.recovery.run()
    await collect(other)
    return await census(other, bucket)


async def test_small_objects_need_no_intent(gateway, bucket, user) -> None:
    await put(gateway, bucket, "small", body(100), user)
    await put(gateway, bucket, "small", body(64 * KIB), user)
    await gateway.objects.delete(bucket, "small")
    assert gateway.intents._lease is None


async def test_intents_go_when_all_is_done(gateway, other, bucket, user) -> None:
    data = body(BIG)
    for _ in range(2):
        await put(gateway, bucket, "k", data, user)
    source = await gateway.objects.head(bucket, "k")
    await gateway.objects.copy(source, bucket, "copy", owner=user)
    upload = await new_upload(gateway, bucket, "m", user)
    parts = [await upload_part(gateway, upload, 1, data), await gateway.multipart.copy_part(upload, 2, source, 0, BIG)]
    parts[0] = await upload_part(gateway, upload, 1, data)
    await gateway.multipart.complete(bucket, "m", upload.upload_id, completed(parts))
    await gateway.objects.delete(bucket, "k")
    await asyncio.sleep(1)
    assert await noted(gateway) == 0
    await other.recovery.run()  # takes nothing from this gateway, which lives
    await collect(gateway)
    assert await fetch(gateway, bucket, "m") == data + data
    assert await fetch(gateway, bucket, "copy") == data
    for key in ("m", "copy"):
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_lease_is_given_back(cluster, options, bucket, user) -> None:
    gateway = await Gateway.open(cluster, options)
    gateway.intents = OtherIntents(gateway)
    writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
    await writer.write(body(BIG))
    await writer.abort()
    ioctx, lease = await gateway.intents.pool(), f"instance.{OtherIntents.instance_id}"
    await ioctx.read(lease, ReadOp().stat())
    await gateway.close()
    with pytest.raises(NotFound):
        await ioctx.read(lease, ReadOp().stat())


async def test_refusals_leave_nothing_to_be_settled(gateway, bucket, user, monkeypatch) -> None:
    """An object that changes while another is put or copied over it on a condition: refused, and that is all."""
    from rgw.core import head

    old = await put(gateway, bucket, "k", body(BIG), user)
    source = await put(gateway, bucket, "src", body(BIG), user)
    once = head._write_once

    async def overtaken(*args):
        monkeypatch.undo()
        await put(gateway, bucket, "k", body(BIG), user)
        return await once(*args)

    for copies in (False, True):
        old = await gateway.objects.head(bucket, "k")
        conditions = Conditions(if_match=f'"{old.etag}"')
        monkeypatch.setattr(head, "_write_once", overtaken)
        with pytest.raises(S3Error, match="PreconditionFailed"):
            if copies:
                await gateway.objects.copy(source, bucket, "k", owner=user, conditions=conditions)
            else:
                await put(gateway, bucket, "k", body(BIG), user, conditions=conditions)
    assert not gateway.intents.abandoned
    for key in ("k", "src"):
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await census(gateway, bucket) == set()
    await gateway.intents._flush()
    assert await noted(gateway) == 0


async def test_nothing_is_noted_after_the_end(cluster, options, bucket, user) -> None:
    """Nobody would drop it. One that was closed just before is dropped."""
    class Ending(Intents):
        instance_id = (1 << 61) + secrets.randbits(32)  # of this test alone

    gateway = await Gateway.open(cluster, options)
    gateway.intents = Ending(gateway)
    late, early = [gateway.objects.writer(bucket, key, owner=user, attrs={}) for key in ("late", "early")]
    await early.write(body(BIG))
    await arrived(early)
    await early.abort()
    await gateway.close()
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        await late.write(body(BIG))
        await late.complete("e")
    await late.abort()
    assert await intents_left(gateway) == set()


async def test_a_part_whose_sender_is_cut_off(gateway, bucket, user, monkeypatch) -> None:
    """In the moment in which its first object is written: it is removed."""
    upload = await new_upload(gateway, bucket, "k", user)
    ioctx = await gateway.pool(gateway.zone.data_pool(bucket.placement))
    write, there = type(ioctx).write, asyncio.Event()

    async def slow(self, oid, op, locator=""):
        result = await write(self, oid, op, locator)
        if "__multipart_" in oid and not there.is_set():
            there.set()
            await asyncio.sleep(0.1)
        return result

    monkeypatch.setattr(type(ioctx), "write", slow)
    sending = asyncio.ensure_future(upload_part(gateway, upload, 1, body(100)))
    await there.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert len(await census(gateway, bucket)) == 1  # .meta


@pytest.mark.parametrize("point", ["tails", "head", "index", "old tail"])
async def test_put(gateway, other, bucket, user, monkeypatch, point) -> None:
    """Over an object with tails, killed at several points of its course."""
    old, new = body(BIG), body(BIG + 1)
    await put(gateway, bucket, "k", old, user)
    kept = await census(gateway, bucket)
    if point == "tails":
        writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
        await writer.write(new)
        await arrived(writer)
    else:
        writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
        await writer.write(new)
        if point == "head":
            killer(monkeypatch, OpenIntent, "confirm", after=True, calls=3)
        elif point == "index":
            from rgw.core.indexed import IndexChange
            killer(monkeypatch, IndexChange, "complete")
        else:
            killer(monkeypatch, type(gateway.gc), "enqueue")
        with pytest.raises(Killed):
            await writer.complete(md5(new))
    monkeypatch.undo()
    assert await census(gateway, bucket) > kept
    await die(gateway)
    left = await settle(other, bucket)
    if point in ("tails", "head"):
        assert await fetch(other, bucket, "k") == old
        assert left == kept
    else:
        assert await fetch(other, bucket, "k") == new
        assert len(left) == len(kept) and left & kept == {next(oid for oid in kept if "__shadow_" not in oid)}
    assert await noted(gateway) == 0


async def test_delete(gateway, other, bucket, user, monkeypatch) -> None:
    await put(gateway, bucket, "k", body(BIG), user)
    killer(monkeypatch, type(gateway.gc), "enqueue")
    with pytest.raises(Killed):
        await gateway.objects.delete(bucket, "k")
    monkeypatch.undo()
    await die(gateway)
    assert await settle(other, bucket) == set()


@pytest.mark.parametrize("after", [False, True])
async def test_copy_by_reference(gateway, other, bucket, user, monkeypatch, after) -> None:
    from rgw.core import copy, head

    data = body(BIG)
    await put(gateway, bucket, "k", data, user)
    source = await gateway.objects.head(bucket, "k")
    killer(monkeypatch, head if after else copy, "_write_once" if after else "put_head", after=after)
    with pytest.raises(Killed):
        await gateway.objects.copy(source, bucket, "copy", owner=user)
    if not after:  # as it died before it could give the references back
        monkeypatch.undo()
        monkeypatch.setattr(copy, "put_references", lambda *args: asyncio.sleep(0))
        killer(monkeypatch, copy, "put_head")
        with pytest.raises(Killed):
            await gateway.objects.copy(source, bucket, "copy", owner=user)
    monkeypatch.undo()
    await die(gateway)
    await other.recovery.run()
    await other.objects.delete(bucket, "k")
    left = await settle(other, bucket)
    if after:
        assert await fetch(other, bucket, "copy") == data
        await other.objects.delete(bucket, "copy")
        left = await settle(other, bucket)
    assert left == set()


@pytest.mark.parametrize("end", ["open", "aborted", "completed", "by the part"])
async def test_part(gateway, other, bucket, user, monkeypatch, end) -> None:
    """Killed before its record, the upload being ended by another gateway or not; or after it, and completed with it."""
    from rgw.core import parts as module

    upload = await new_upload(gateway, bucket, "k.x", user)
    last = await upload_part(gateway, upload, 3, body(100))
    data = body(BIG)
    if end == "by the part":
        second = await upload_part(gateway, upload, 2, data)
    else:
        killer(monkeypatch, module, "record_part")
        writer = gateway.multipart.part_writer(upload, 2, BIG)
        await writer.write(data)
        with pytest.raises(Killed):
            await writer.complete(md5(data))
        monkeypatch.undo()
        second = None
    await die(gateway)
    if end == "aborted":
        await other.multipart.abort(bucket, "k.x", upload.upload_id)
    elif end in ("completed", "by the part"):
        await other.multipart.complete(bucket, "k.x", upload.upload_id, completed(([second] if second else []) + [last]))
    left = await settle(other, bucket)
    if end == "open":
        assert len(left) == 2
        await other.multipart.abort(bucket, "k.x", upload.upload_id)
        left = await settle(other, bucket)
    if end in ("open", "aborted"):
        assert left == set()
    elif end == "completed":
        assert len(left) == 2 and md5(await fetch(other, bucket, "k.x")) == last.etag
    else:
        assert len(left) == 5 and (await fetch(other, bucket, "k.x"))[:-100] == data


async def test_two_writers_of_one_part_and_one_dies(gateway, other, bucket, user) -> None:
    """The names of a part are taken by who comes first: the other's intent names them too, and must not take the first's data."""
    upload = await new_upload(other, bucket, "k", user)
    data = body(BIG)
    living = other.multipart.part_writer(upload, 1, BIG)
    await living.write(data)
    dying = gateway.multipart.part_writer(upload, 1, BIG)
    await dying.write(body(BIG))
    await arrived(dying)
    await die(gateway)
    assert await other.recovery.run() >= 1
    await collect(other)
    part = await living.complete(md5(data))
    await other.multipart.complete(bucket, "k", upload.upload_id, completed([part]))
    assert await fetch(other, bucket, "k") == data
    assert len(await settle(other, bucket)) == 4


@pytest.mark.parametrize("point", ["closed", "renamed", "head", "freed"])
async def test_complete(gateway, other, bucket, user, monkeypatch, point) -> None:
    """The end of an upload goes back before the head is written, and forward after it; nobody waits for the dead one's lock."""
    from rgw.core import complete as module
    from rgw.core import upload_lock

    data = body(BIG)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "k", user)
    parts = [await gateway.multipart.copy_part(upload, 1, source, 0, BIG), await upload_part(gateway, upload, 2, body(10))]
    extra = await upload_part(gateway, upload, 3, body(10))
    assert extra.number == 3
    name, after = {"closed": ("read_parts", False), "renamed": ("put_head", False), "head": ("put_head", True),
                   "freed": ("_remove_meta", False)}[point]
    monkeypatch.setattr(upload_lock, "reopen", lambda *args: asyncio.sleep(0))  # who is killed opens nothing again
    killer(monkeypatch, module, name, after=after)
    with pytest.raises(Killed):
        await gateway.multipart.complete(bucket, "k", upload.upload_id, completed(parts))
    monkeypatch.undo()
    await die(gateway)
    await other.recovery.run()
    if point in ("closed", "renamed"):
        assert [part.number for part in (await other.multipart.list_parts(upload))[0]] == [1, 2, 3]
        await other.multipart.complete(bucket, "k", upload.upload_id, completed(parts))
    with pytest.raises(S3Error, match="NoSuchUpload"):
        await other.multipart.get(bucket, "k", upload.upload_id)
    assert (await fetch(other, bucket, "k"))[:BIG] == data
    for key in ("src", "k"):
        await other.objects.delete(bucket, key)
    assert await settle(other, bucket) == set()


async def test_abort(gateway, other, bucket, user, monkeypatch) -> None:
    from rgw.core import complete as module

    upload = await new_upload(gateway, bucket, "k", user)
    await upload_part(gateway, upload, 1, body(BIG))
    killer(monkeypatch, module, "_abort_closed")
    with pytest.raises(Killed):
        await gateway.multipart.abort(bucket, "k", upload.upload_id)
    monkeypatch.undo()
    await die(gateway)
    assert await settle(other, bucket) == set()


async def test_slow_writer_does_no_harm(gateway, other, bucket, user) -> None:
    """Stopped in mid-body for longer than its lease: what it wrote was collected, so its object is refused, and the old one stays."""
    old = body(BIG)
    await put(gateway, bucket, "k", old, user)
    kept = await census(gateway, bucket)
    writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
    await writer.write(body(BIG))
    await arrived(writer)
    await die(gateway)
    assert await settle(other, bucket) == kept
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        await writer.write(body(BIG))
        await writer.complete("e")
    await writer.abort()
    assert await fetch(gateway, bucket, "k") == old
    assert await settle(other, bucket) == kept


async def test_writer_that_comes_back_in_time(gateway, other, bucket, user) -> None:
    """Its lease ran out, but nobody looked: it takes it again, and whoever read its intent before cannot claim it."""
    data = body(BIG)
    writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
    await writer.write(data)
    await arrived(writer)
    ioctx = await gateway.intents.pool()
    oid, key = writer._intent.oid, writer._intent.key
    read = (await ioctx.read(oid, ReadOp().omap_get_keys([key]))).omap.values[key]
    await die(gateway)
    await writer.complete(md5(data))
    assert not await other.recovery._settle(ioctx, oid, key, read)
    assert await fetch(gateway, bucket, "k") == data
    await settle(other, bucket)
    assert await fetch(gateway, bucket, "k") == data


async def test_lease_that_was_renewed_does_not_vouch_for_older_intents(gateway, other, bucket, user) -> None:
    writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
    await writer.write(body(BIG))
    await arrived(writer)
    await die(gateway)
    assert await settle(other, bucket) == set()
    await gateway.intents.hold_lease()
    assert gateway.intents.fresh
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        await writer.complete("e")
    await writer.abort()
    assert await settle(other, bucket) == set()


async def test_what_is_not_known_is_settled_later(cluster, bucket, user, monkeypatch) -> None:
    """A head that may or may not have been written keeps its tail, until nothing can be under way any more."""
    from rgw.core import head
    from rgw.store.errors import TimedOut

    options = Options({**OPTIONS, "rgw_intent_lease": 0.2, "rgw_op_timeout": 0.2})
    gateway = await Gateway.open(cluster, options)

    async def lost(gw, write: HeadWrite, *args):
        write.may_exist = True
        raise TimedOut

    monkeypatch.setattr(head, "_write_once", lost)
    with pytest.raises(TimedOut):
        await put(gateway, bucket, "k", body(BIG), user)
    monkeypatch.undo()
    assert len(await census(gateway, bucket)) == 2
    await gateway.recovery.run()
    assert len(await census(gateway, bucket)) == 2
    await asyncio.sleep(0.8)
    assert await settle(gateway, bucket) == set()
    await gateway.close()


async def test_lease_that_runs_out_by_itself(cluster, bucket, user, other) -> None:
    """Nobody removes the dead gateway's lock: the store's clock ends it, and then its work is settled."""
    gateway = await Gateway.open(cluster, Options({**OPTIONS, "rgw_intent_lease": 0.3, "rgw_op_timeout": 0.3}))
    writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
    await writer.write(body(BIG))
    await arrived(writer)
    await other.recovery.run()
    assert len(await census(other, bucket)) == 1  # the rest is not a whole stripe
    gateway.intents._renewing.cancel()
    await asyncio.sleep(1.3)
    assert await settle(other, bucket) == set()
    assert await noted(gateway) == 0
    with pytest.raises(NotFound):
        await (await other.intents.pool()).read(f"instance.{gateway.intents.instance_id}", ReadOp().stat())
    await gateway.close()


async def test_a_bucket_that_is_gone(gateway, other, bucket, user) -> None:
    writer = gateway.objects.writer(bucket, "k", owner=user, attrs={})
    await writer.write(body(BIG))
    await arrived(writer)
    await die(gateway)
    await other.buckets.delete(bucket)
    assert await settle(other, bucket) == set()


@pytest.mark.parametrize("kind", ["put", "copy", "small"])
@pytest.mark.parametrize("linked", [False, True])
async def test_versions(gateway, other, bucket, user, monkeypatch, kind, linked) -> None:
    """A version that its gateway did not live to link was seen by nobody and goes; one that was linked stays, whatever is noted of it."""
    from rgw.core import olh

    old, new = body(BIG), body(100 if kind == "small" else BIG)
    bucket = await gateway.buckets.set_versioning(bucket, True)
    other_bucket = await other.buckets.get(bucket.name)
    await put(gateway, bucket, "k", old, user)
    await put(gateway, bucket, "src", new, user)
    source = await gateway.objects.head(bucket, "src")
    kept = await census(gateway, bucket)
    if not linked:
        killer(monkeypatch, olh, "link")
    try:
        if kind == "copy":
            await gateway.objects.copy(source, bucket, "k", owner=user)
        else:
            await put(gateway, bucket, "k", new, user)
        assert linked
    except Killed:
        assert not linked
    monkeypatch.undo()
    await die(gateway)
    await other.recovery.run()
    await other.objects.delete(other_bucket, "src", source.version_id)
    left = await settle(other, other_bucket)
    assert await fetch(other, other_bucket, "k") == (new if linked else old)
    assert linked or left <= kept


async def test_former_part_that_cannot_be_freed(gateway, bucket, user, monkeypatch) -> None:
    """The new part counts all the same, and the upload's end frees the former one."""
    from rgw.core import parts as module

    upload = await new_upload(gateway, bucket, "k", user)
    await upload_part(gateway, upload, 1, body(BIG))
    data = body(BIG)

    async def refuse(*args, **kwargs):
        raise S3Error("SlowDown")

    monkeypatch.setattr(module, "free_parts", refuse)
    part = await upload_part(gateway, upload, 1, data)
    monkeypatch.undo()
    await gateway.multipart.complete(bucket, "k", upload.upload_id, completed([part]))
    await collect(gateway)
    assert await fetch(gateway, bucket, "k") == data
    assert len(await census(gateway, bucket)) == 4


async def test_part_whose_first_object_is_uncertain(gateway, other, bucket, user, monkeypatch) -> None:
    """A create that was not answered may have made the object, or met another writer's: only the intent's mark tells."""
    from rgw.store.errors import TimedOut

    upload = await new_upload(gateway, bucket, "k", user)
    ioctx = await gateway.pool(gateway.zone.data_pool(bucket.placement))
    write = type(ioctx).write

    async def silent(self, oid, op, locator=""):
        result = await write(self, oid, op, locator)
        if "__multipart_" in oid:
            raise TimedOut
        return result

    monkeypatch.setattr(type(ioctx), "write", silent)
    with pytest.raises(TimedOut):
        await upload_part(gateway, upload, 1, body(BIG))
    monkeypatch.undo()
    assert len(await census(gateway, bucket)) == 2
    await die(gateway)
    assert len(await settle(other, bucket)) == 1  # .meta
    await other.multipart.abort(bucket, "k", upload.upload_id)
    assert await census(other, bucket) == set()
