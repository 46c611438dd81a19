"""Changes of one key that overtake each other on their way to the index: the entry tells what was written to the head last."""

import asyncio

from rgw.core.delete import remove_object
from rgw.core.head import existing_head
from rgw.core.index import OP_DEL, IndexKey
from rgw.core.indexed import IndexChange
from rgw.core.olh import null_entry
from rgw.formats.index import DirEntry
from tests.core.helpers import body, fetch, index_keys, md5, put


async def test_a_change_that_is_taken_back_lets_no_older_one_win(gateway, bucket, user, monkeypatch) -> None:
    """The class makes the version that comes with a cancel the entry's own; without one, a removal that comes late would take the new entry."""
    await put(gateway, bucket, "k", body(10), user)
    before = await existing_head(gateway, bucket, "k")
    removed, go_on = asyncio.Event(), asyncio.Event()
    complete = IndexChange.complete

    async def late(change, *args, **kwargs):
        if change._op == OP_DEL:
            removed.set()
            await go_on.wait()
        await complete(change, *args, **kwargs)

    monkeypatch.setattr(IndexChange, "complete", late)
    removal = asyncio.create_task(gateway.objects.delete(bucket, "k"))
    await removed.wait()
    new = body(20)
    await put(gateway, bucket, "k", new, user)
    assert before is not None and await remove_object(gateway, before) is None  # of another gateway, which is too late
    go_on.set()
    await removal
    assert await fetch(gateway, bucket, "k") == new
    assert [(entry.name, entry.etag) for entry in (await gateway.listing.objects(bucket)).entries] == [("k", md5(new))]


async def test_a_change_of_a_new_key_that_is_taken_back_leaves_nothing(gateway, bucket) -> None:
    change = await IndexChange.prepare(gateway, bucket, IndexKey.of("_k"), delete=False, tag=gateway.new_tag())
    await change.cancel()
    await change.cancel()  # off already: no error
    assert await index_keys(gateway, bucket) == set()


async def test_a_change_of_a_null_version_that_is_taken_back_keeps_its_version(gateway, bucket, user) -> None:
    await put(gateway, bucket, "k", body(10), user)
    await gateway.buckets.set_versioning(bucket, True)
    await put(gateway, bucket, "k", body(10), user)
    before = DirEntry.decode((await null_entry(bucket, "k"))[1])
    for delete in (False, True):
        await (await IndexChange.prepare(gateway, bucket, IndexKey.of("k"), delete=delete, tag=gateway.new_tag())).cancel()
    after = DirEntry.decode((await null_entry(bucket, "k"))[1])
    assert after.ver == before.ver and after.ver.epoch and after.exists and not after.pending_map
