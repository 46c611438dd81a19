"""What dead gateways leave at null versions: notes, which listings of ours take away, and what radosgw's made of them before a check mends;
and another key's pointer, which a read of ours sets right.
"""

import asyncio
import time

import pytest

from rgw.core import key_index, olh, version_check
from rgw.core.gateway import Gateway
from rgw.core.head import existing_head
from rgw.core.index import OP_ADD, IndexKey
from rgw.core.options import Options
from rgw.core.state import OLH_PREFIX
from rgw.store.interface import WriteOp
from rgw.store.librados import connect
from tests.radosgw import tools
from tests.radosgw.test_versions import status, versions

KEYS = ("_k", "k")


async def _announce_and_die(pair, name) -> None:
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    try:
        bucket = await gateway.buckets.get(name)
        for key in KEYS:
            await bucket.index.prepare(OP_ADD, gateway.new_tag(), IndexKey.of(key))
    finally:
        await gateway.close()
        await cluster.close()


@pytest.mark.parametrize("crossed", ["ours-to-radosgw"], indirect=True)
def test_a_null_version_is_listed_once(crossed, monkeypatch):
    pair, ours, radosgw, name = crossed.pair, crossed.ours, crossed.theirs, crossed.bucket
    status(radosgw, name, "Enabled")
    for key in KEYS:
        radosgw.put_object(Bucket=name, Key=key, Body=b"old")
    status(radosgw, name, "Suspended")

    def write(body):
        for key in KEYS:
            radosgw.put_object(Bucket=name, Key=key, Body=body)

    def radosgws_listing():
        versions(radosgw, name)
        time.sleep(0.5)  # what it suggests to the index is not awaited
        return versions(radosgw, name)

    write(b"null")
    asyncio.run(_announce_and_die(pair, name))
    write(b"nulls")  # brings the notes into listings
    listed = versions(ours, name)
    assert len(listed) == 2 * len(KEYS) and radosgws_listing() == versions(ours, name) == listed
    write(b"nulls!")
    assert len(radosgws_listing()) == 3 * len(KEYS), "radosgw lists null versions once: then rgw.core.null_notes is not needed"
    for module in (key_index, version_check):
        monkeypatch.setattr(module, "CHANGE_TIMEOUT", 0)  # two minutes are over
    assert {item["mended"] for item in pair.rgw_admin("bucket", "check", "--bucket", name, "--check-objects", "--fix")["differences"]} == {True}
    listed = versions(ours, name)
    assert len(listed) == 2 * len(KEYS) and radosgws_listing() == listed
    checked = pair.radosgw_admin("bucket", "check", "--bucket", name)["check_result"]
    assert tools.counts(checked["existing_header"]) == tools.counts(checked["calculated_header"])


async def _give_pointer(pair, name, source, key) -> None:
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    try:
        bucket = await gateway.buckets.get(name)
        copied = {attr: value for attr, value in (await existing_head(gateway, bucket, source)).attrs.items() if attr.startswith(OLH_PREFIX)}
        await olh.write_head(gateway, bucket, key, WriteOp().setxattrs(copied))
    finally:
        await gateway.close()
        await cluster.close()


@pytest.mark.parametrize("crossed", ["ours-to-radosgw"], indirect=True)
def test_a_null_version_with_another_keys_pointer(crossed):
    """What a radosgw leaves that dies in CopyObject, in front of the step that gives the copy its own pointer."""
    pair, ours, radosgw, name = crossed.pair, crossed.ours, crossed.theirs, crossed.bucket
    status(radosgw, name, "Enabled")
    for key in ("_source", "_copy"):
        radosgw.put_object(Bucket=name, Key=key, Body=b"old")
    status(radosgw, name, "Suspended")
    for key in ("_source", "_copy"):
        radosgw.put_object(Bucket=name, Key=key, Body=key.encode())
    asyncio.run(_give_pointer(pair, name, "_source", "_copy"))
    place = {"Bucket": name, "Key": "_copy"}
    assert radosgw.get_object(**place)["Body"].read() == b"_source", "radosgw does not follow it: then it need not be set right"
    for end in (ours, radosgw):
        assert end.get_object(**place)["Body"].read() == b"_copy"
    tools.settled_versions(pair, name)
