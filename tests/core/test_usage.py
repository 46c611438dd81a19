"""The usage log: gathered, written, added up, trimmed."""

import asyncio
import time

from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.store.errors import TimedOut

HOUR = 3600


async def test_log(gateway, user):
    usage, uid = gateway.usage, user.user_id.text()
    for _ in range(3):
        usage.count(uid, "b", "get_obj", 10, 0, True)
    usage.count(uid, "b", "put_obj", 0, 100, False)
    usage.count(uid, "", "list_buckets", 5, 0, True)
    usage.count("other" + uid, "b", "get_obj", 1, 1, True)
    await usage.flush()
    usage.count(uid, "b", "get_obj", 10, 0, True)
    await usage.flush()
    await usage.flush()  # nothing twice
    first, second = await usage.read(uid)
    assert (first.bucket, second.bucket, second.owner) == ("", "b", uid)
    data = second.categories["get_obj"]
    assert (data.bytes_sent, data.bytes_received, data.ops, data.successful_ops) == (40, 0, 4, 4)
    assert (second.categories["put_obj"].ops, second.categories["put_obj"].successful_ops, second.total.ops) == (1, 0, 5)
    assert second.epoch % HOUR == 0 and time.time() - HOUR - 5 < second.epoch <= time.time()
    assert [entry.owner for entry in await usage.read(bucket="b") if entry.owner.endswith(uid)] == ["other" + uid, uid]
    assert await usage.read(uid, end=second.epoch) == [] and await usage.read(uid, start=second.epoch + HOUR) == []
    await usage.trim(uid, "b")
    assert [entry.bucket for entry in await usage.read(uid)] == [""]
    await usage.trim(uid)
    await usage.trim(uid)
    assert await usage.read(uid) == [] and len(await usage.read("other" + uid)) == 1
    await usage.clear()
    assert await usage.read() == []


async def test_what_the_store_refused_is_kept(gateway, user, monkeypatch):
    usage, uid = gateway.usage, user.user_id.text()
    usage.count(uid, "b", "get_obj", 1, 0, True)

    async def broken():
        raise TimedOut("no answer")

    others = [f"{uid}-{number}" for number in range(8)]  # in other objects of the log, whichever comes first
    for other in others:
        usage.count(other, "b", "get_obj", 1, 0, True)
    with monkeypatch.context() as patch:
        patch.setattr(usage, "_pool", broken)
        await usage._flush_or_tell()
    usage.count(uid, "b", "get_obj", 1, 0, True)
    await usage.flush()
    assert (await usage.read(uid))[0].total.ops == 2
    await usage.trim(uid)
    for other in others:
        assert (await usage.read(other))[0].total.ops == 1
        await usage.trim(other)


async def test_worker(cluster, options, user):
    """Flushes at each tick, when much is gathered, and at its end."""
    for tick, threshold in ((0.05, 1000), (1000, 2)):
        other = await Gateway.open(cluster, Options({**options.as_dict(), "rgw_enable_usage_log": True, "rgw_usage_log_tick_interval": tick,
                                                     "rgw_usage_log_flush_threshold": threshold}))
        uid = f"{user.user_id.text()}-{threshold}"
        try:
            other.usage.start()
            for number in range(3):
                other.usage.count(uid, f"b{number}", "get_obj", 1, 0, True)
            for _ in range(100):
                if await other.usage.read(uid):
                    break
                await asyncio.sleep(0.05)
            assert len(await other.usage.read(uid)) == 3
            other.usage.count(uid, "last", "get_obj", 1, 0, True)
        finally:
            await other.close()
        looking = await Gateway.open(cluster, options)
        assert len(await looking.usage.read(uid)) == 4
        await looking.usage.trim(uid)
        await looking.close()
