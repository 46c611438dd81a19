"""The comparison that every test of S3 relies on does find what a refusal leaves."""

from types import SimpleNamespace

import pytest

from rgw.formats.index import DirEntry
from rgw.frontend.reply import Reply
from rgw.store.interface import WriteOp
from tests.s3.traces import Watched


@pytest.mark.parametrize("where", ["data", "index"])
async def test_a_trace_is_found(s3, where):
    bucket = await s3.gw.buckets.get(s3.bucket)
    ioctx, oid, change, undo = {
        "data": (await s3.gw.cluster.open_pool("default.rgw.buckets.data", "somewhere"), s3.bucket, WriteOp().create(), WriteOp().remove()),
        "index": (s3.gw.index_pool(bucket.placement), f".dir.{bucket.bucket_id}.0", WriteOp().omap_set({b"k": DirEntry(name="k").encode()}),
                  WriteOp().omap_rm([b"k"]))}[where]

    async def careless(_request):
        await ioctx.write(oid, change)
        return Reply(403, {})

    watched = Watched(careless, s3.gw, [s3.bucket], patience=0.1)
    await watched(SimpleNamespace(method="PUT", raw_path="/b/k"))
    await ioctx.write(oid, undo)
    assert len(watched.traces) == 1
