"""Notes that dead gateways leave at null versions: listings of ours take them away; what radosgw's made of them before, a check mends."""

import asyncio
import time

import pytest

from rgw.core import key_index, version_check
from rgw.core.gateway import Gateway
from rgw.core.index import OP_ADD, IndexKey
from rgw.core.options import Options
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
