"""Copied parts, each step of their course against each end of their upload, by us or by radosgw: no reference is left, none is lost."""

import asyncio
import itertools

import pytest

from rgw.core import complete as completing
from rgw.core import part_copy, upload_lock
from rgw.core import parts as parts_module
from rgw.core.conditions import Conditions
from rgw.core.intents import Intents
from rgw.core.manifest import gc_chain
from rgw.core.multipart import CompletedPart
from rgw.core.parts import drop_index_entry
from rgw.core.uploads import PART, part_pieces, part_references
from rgw.errors import S3Error
from rgw.formats.cls_lock import GetInfoOp
from rgw.store import classes
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import body, census, collect, completed, fetch, index_keys, new_upload, put, upload_part
from tests.core.test_recovery import BIG, Killed, die, killer, noted, options, other  # noqa: F401

POINTS = {"noted": ("take_references", False), "taken": ("take_references", True), "written": ("record_part", False),
          "recorded": ("record_part", True)}


async def aborted_by_radosgw(gateway, bucket, upload, between=None) -> None:
    """What radosgw does: parts that it sees go, one without pieces in its record as an object of its own, then ``.meta``."""
    seen = (await upload.pool.read(upload.meta_oid, ReadOp().omap_get(b"", PART))).omap.values
    parts = (await gateway.multipart.list_parts(upload))[0] if seen else []
    if between is not None:
        await between()
    for part in parts:
        if part.by_reference:
            if part.prefix(upload) != upload.name:
                continue  # it looks for it under the first name
            tag, held = await part_references(gateway, upload, part)
            await gateway.gc.enqueue(tag, held)
            oid = upload.part_oid(upload.name, part.number)
            await (await gateway.pool(gateway.zone.data_pool(upload.placement))).write(oid, WriteOp().remove())
        else:
            tail = gc_chain(await part_pieces(gateway, upload, part), gateway.zone.data_pool(upload.placement))
            await gateway.gc.enqueue(upload.upload_id, tail)
        await drop_index_entry(gateway, bucket, upload.part_key(part.prefix(upload), part.number))
    await upload.pool.write(upload.meta_oid, WriteOp().remove())
    await drop_index_entry(gateway, bucket, upload.meta_key)


async def nothing_is_left(gateway, bucket, *keys) -> None:
    for key in keys:
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await census(gateway, bucket) == set()
    assert await index_keys(gateway, bucket) == set()


def pauser(monkeypatch, name, *, after):
    """Lets a part copy wait before or after a step: events that tell that it is there, and let it go on."""
    original, there, go_on = getattr(part_copy, name), asyncio.Event(), asyncio.Event()

    async def slow(*args):
        result = await original(*args) if after else None
        there.set()
        await go_on.wait()
        return result if after else await original(*args)

    monkeypatch.setattr(part_copy, name, slow)
    return there, go_on


@pytest.mark.parametrize("end", ["complete", "abort", "radosgw", "recovery"])
async def test_the_end_meets_a_copy_under_way(gateway, other, bucket, user, monkeypatch, end) -> None:  # noqa: F811
    """A part beside it refers to the same tails, so that whatever is given back there once can be told from what is never given back."""
    data = body(BIG)
    for (point, (step, after)), killed in itertools.product(POINTS.items(), (True, False)):
        await put(gateway, bucket, "src", data, user)
        source = await gateway.objects.head(bucket, "src")
        upload = await new_upload(gateway, bucket, "dst", user)
        parts = [await other.multipart.copy_part(upload, 1, source, 0, BIG), await upload_part(other, upload, 3, body(100))]
        with monkeypatch.context() as patch:
            if killed:
                killer(patch, part_copy, step, after=after)
                with pytest.raises(Killed):
                    await gateway.multipart.copy_part(upload, 2, source, 0, BIG)
            else:
                there, go_on = pauser(patch, step, after=after)
                copying = asyncio.ensure_future(gateway.multipart.copy_part(upload, 2, source, 0, BIG))
                await there.wait()
        if end == "recovery":  # of the dead while the upload is open
            if killed:
                await die(gateway)
                await other.recovery.run()
            else:
                go_on.set()
                await copying
        if end in ("complete", "recovery"):
            await other.multipart.complete(bucket, "dst", upload.upload_id, completed(parts))
        elif end == "abort":
            await other.multipart.abort(bucket, "dst", upload.upload_id)
        else:
            await aborted_by_radosgw(other, bucket, upload)
        await collect(other)
        if killed:
            await die(gateway)
            await other.recovery.run()
        elif end != "recovery":
            go_on.set()
            if point == "recorded":
                await copying
            else:
                with pytest.raises(S3Error, match="NoSuchUpload"):
                    await copying
        await collect(other)
        assert await fetch(other, bucket, "src") == data, (point, killed)
        await other.objects.delete(bucket, "src")
        await collect(other)
        if end in ("complete", "recovery"):
            assert (await fetch(other, bucket, "dst"))[:BIG] == data, (point, killed)
            await other.objects.delete(bucket, "dst")
            await collect(other)
        assert (await census(other, bucket), await index_keys(other, bucket)) == (set(), set()), (point, killed)
        if killed:
            gateway.intents.abandoned.clear()
    for ended in (other, gateway):
        await ended.intents._flush()
    if end == "radosgw":
        assert await noted(gateway) + await noted(other)
    monkeypatch.setattr(Intents, "lock_seconds", 0.0)
    monkeypatch.setattr(Intents, "look_again", 0.0)
    for ended in (other, gateway):
        ended.intents.abandoned = dict.fromkeys(ended.intents.abandoned, 0.0)
        if end == "radosgw":
            await ended.recovery.run()
        assert await noted(ended) == 0


def looked_at(gateway, noter) -> list[bytes]:
    """The intents of ``noter`` that the gateway looks at from time to time. Uploads that other tests left open have theirs."""
    return [key for key in gateway.intents.abandoned if key.startswith(b"%d." % noter.intents.instance_id)]


@pytest.mark.parametrize("case", ["recorded late", "replaced", "under another name"])
async def test_copies_that_radosgw_does_not_see(gateway, bucket, user, monkeypatch, case) -> None:
    """Their intents stay as long as the upload, and what radosgw leaves of them is found by a look some time later."""
    data = body(BIG)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    monkeypatch.setattr(Intents, "lock_seconds", 0.0)
    monkeypatch.setattr(Intents, "look_again", 0.0)

    async def copied():
        return await gateway.multipart.copy_part(upload, 1, source, 0, BIG)

    if case == "recorded late":
        await aborted_by_radosgw(gateway, bucket, upload, copied)
    elif case == "replaced":
        await copied()
        with monkeypatch.context() as patch:
            async def nothing(*args):
                return "", []
            for name in ("part_references", "put_references", "free_parts"):
                patch.setattr(parts_module, name, nothing)
            new = await upload_part(gateway, upload, 1, b"radosgw's")
        await gateway.recovery.run()
        await collect(gateway)
        assert len(await census(gateway, bucket)) == 2 + 3  # .meta and the part; the source
        await aborted_by_radosgw(gateway, bucket, upload)
        await drop_index_entry(gateway, bucket, upload.part_key(new.prefix(upload), 1))
    else:
        await upload_part(gateway, upload, 1, b"former")
        await copied()
        await aborted_by_radosgw(gateway, bucket, upload)
    await gateway.recovery.run()
    assert await fetch(gateway, bucket, "src") == data
    await nothing_is_left(gateway, bucket, "src")
    await gateway.intents._flush()
    assert await noted(gateway) == 0 and not looked_at(gateway, gateway)


async def test_recovery_lets_an_open_upload_be(gateway, other, bucket, user, monkeypatch) -> None:  # noqa: F811
    """Its copies are looked at again and again, by whoever is there, and completed at last by another."""
    data = body(BIG)
    await put(gateway, bucket, "src", data, user)
    upload = await new_upload(gateway, bucket, "dst", user)
    part = await gateway.multipart.copy_part(upload, 1, await gateway.objects.head(bucket, "src"), 0, BIG)
    monkeypatch.setattr(Intents, "lock_seconds", 0.0)
    monkeypatch.setattr(Intents, "look_again", 0.0)
    await gateway.recovery.run()
    await die(gateway)
    for _ in range(2):
        await other.recovery.run()
    assert len(looked_at(other, gateway)) == 1
    await other.objects.delete(bucket, "src")
    await collect(other)
    await other.multipart.complete(bucket, "dst", upload.upload_id, completed([part]))
    await other.intents._flush()
    assert await noted(gateway) == 0 and not looked_at(other, gateway)
    assert await fetch(other, bucket, "dst") == data
    await nothing_is_left(other, bucket, "dst")


@pytest.mark.parametrize("then", ["again", "abort", "radosgw"])
async def test_a_complete_that_dies_and_what_comes_then(gateway, other, bucket, user, monkeypatch, then) -> None:  # noqa: F811
    """``then``, before recovery comes: the lock of the dead has run out for us, and radosgw's abort looks at none."""
    data = body(BIG)
    for name, after in (("_rename", True), ("take_references", True), ("put_head", True), ("_remove_meta", False)):
        await put(gateway, bucket, "src", data, user)
        source = await gateway.objects.head(bucket, "src")
        upload = await new_upload(gateway, bucket, "dst", user)
        parts = [await gateway.multipart.copy_part(upload, 1, source, 0, BIG), await upload_part(gateway, upload, 2, body(100))]
        extra = [await upload_part(gateway, upload, 3, body(BIG)), await gateway.multipart.copy_part(upload, 4, source, 0, BIG)]
        assert [part.number for part in extra] == [3, 4]
        with monkeypatch.context() as patch:
            async def nothing(*args):
                pass
            for module, undo in ((upload_lock, "reopen"), (completing, "put_references"))[:1 if name == "_remove_meta" else 2]:
                patch.setattr(module, undo, nothing)
            if name == "_rename":
                killer(patch, completing, "take_references")
            else:
                killer(patch, completing, name, after=after)
            with pytest.raises(Killed):
                await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed(parts))
        stands = name in ("put_head", "_remove_meta")
        await die(gateway)
        if then == "radosgw":
            await aborted_by_radosgw(other, bucket, upload)
        else:
            await upload.pool.write(upload.meta_oid, WriteOp().rmxattr(f"lock.{upload_lock.LOCK_NAME}"))
            if then == "again":
                await other.multipart.complete(bucket, "dst", upload.upload_id, completed(parts))
                stands = True
            else:
                try:
                    await other.multipart.abort(bucket, "dst", upload.upload_id)
                    assert not stands
                except S3Error as error:
                    assert stands and error.code == "NoSuchUpload"
        await other.recovery.run()
        await collect(other)
        assert await noted(gateway) == 0
        assert await fetch(other, bucket, "src") == data
        await other.objects.delete(bucket, "src")
        await collect(other)
        if stands:
            assert (await fetch(other, bucket, "dst"))[:BIG] == data, name
            await other.objects.delete(bucket, "dst")
            await collect(other)
        assert (await census(other, bucket), await index_keys(other, bucket)) == (set(), set()), name


async def test_radosgw_aborts_while_we_complete(gateway, bucket, user, monkeypatch, options) -> None:  # noqa: F811
    """The object stands then, as the Complete says that is answered last."""
    data = body(BIG)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    part = await gateway.multipart.copy_part(upload, 1, source, 0, BIG)
    await gateway.multipart.copy_part(upload, 2, source, 0, BIG)
    put_head = completing.put_head

    async def late(*args):
        await aborted_by_radosgw(gateway, bucket, upload)
        return await put_head(*args)

    monkeypatch.setattr(completing, "put_head", late)
    await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed([part]))
    await gateway.objects.delete(bucket, "src")
    await collect(gateway)
    assert await fetch(gateway, bucket, "dst") == data
    await nothing_is_left(gateway, bucket, "dst")


async def test_a_replaced_copy_is_freed_at_once(gateway, bucket, user, options) -> None:  # noqa: F811
    await put(gateway, bucket, "src", body(BIG), user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    await gateway.multipart.copy_part(upload, 1, source, 0, BIG)
    await upload_part(gateway, upload, 1, b"instead")
    await gateway.objects.delete(bucket, "src")
    await collect(gateway)
    assert len(await census(gateway, bucket)) == 2  # .meta and the part
    await gateway.multipart.abort(bucket, "dst", upload.upload_id)
    await nothing_is_left(gateway, bucket)


@pytest.mark.parametrize("versioned", [False, True])
async def test_a_refused_complete_changes_nothing(gateway, bucket, user, versioned, monkeypatch, options) -> None:  # noqa: F811
    """The index and what it counts, the records, who holds the lock: all as before, and the upload can be completed."""
    if versioned:
        bucket = await gateway.buckets.set_versioning(bucket, True)
    data = body(BIG)
    await put(gateway, bucket, "src", data, user)
    source = await gateway.objects.head(bucket, "src")
    upload = await new_upload(gateway, bucket, "dst", user)
    parts = [await gateway.multipart.copy_part(upload, 1, source, 0, BIG), await upload_part(gateway, upload, 2, data)]
    await put(gateway, bucket, "dst", b"there", user)

    async def seen():
        entries = {key for key in await index_keys(gateway, bucket) if "dst" in key and "_multipart_" in key}
        headers = await gateway.buckets.stats(bucket)
        stats = [(category, s.num_entries, s.total_size) for header in headers for category, s in sorted(header.stats.items())]
        listed = [(part.number, part.etag) for part in (await gateway.multipart.list_parts(upload))[0]]
        xattrs = (await upload.pool.read(upload.meta_oid, ReadOp().getxattrs())).xattrs
        lock = await upload.pool.read(upload.meta_oid, ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=upload_lock.LOCK_NAME))))
        assert not lock.reply.lockers
        return entries, stats, listed, {name for name in xattrs if not name.startswith("lock.")}, await census(gateway, bucket)

    before = await seen()
    refused = Conditions(if_none_match="*")
    for wanted, code in ((completed(parts), "PreconditionFailed"), (completed(parts[::-1]), "InvalidPartOrder"),
                         ([CompletedPart(1, "0" * 32)], "InvalidPart")):
        with pytest.raises(S3Error, match=code):
            await gateway.multipart.complete(bucket, "dst", upload.upload_id, wanted, conditions=refused)
        assert await seen() == before, code
    if versioned:  # overtaken after the conditions were found to hold: judged again by the link
        await gateway.objects.delete(bucket, "dst")
        before = await seen()
        from rgw.core import versions

        link_if = versions._link_if

        async def overtaken(*args):
            await put(gateway, bucket, "dst", b"faster", user)
            return await link_if(*args)

        with monkeypatch.context() as patch:
            patch.setattr(versions, "_link_if", overtaken)
            with pytest.raises(S3Error, match="PreconditionFailed"):
                await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed(parts), conditions=refused)
        after = await seen()
        assert (after[0], after[2], after[3]) == (before[0], before[2], before[3])
    await gateway.multipart.complete(bucket, "dst", upload.upload_id, completed(parts))
    await collect(gateway)
    assert await fetch(gateway, bucket, "dst") == data + data
    assert not any("_multipart_" in key for key in await index_keys(gateway, bucket))
    if not versioned:
        await nothing_is_left(gateway, bucket, "src", "dst")
