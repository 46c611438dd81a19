"""Changes of versions that a killed radosgw left at each of its steps: what ours shows of them, and who sets them right."""

import pytest

from rgw.core import bucket_check
from rgw.core.head import existing_head
from rgw.core.key_index import read_key
from rgw.core.state import OLH_PENDING
from tests.core.helpers import census, collect, fetch, index_keys, put
from tests.core.killed_radosgw import FORGOTTEN, STATES, KilledRadosgw
from tests.core.test_versions import code, listed, version

HOURS = 3 * 3600


async def shown(gateway, bucket, states):
    """Reads and listings tell what the index says."""
    for state in states:
        if state.versions and state.versions[0][1] is not None:
            assert await fetch(gateway, bucket, state.key) == state.versions[0][1], state.key
        else:
            assert await code(gateway.objects.head(bucket, state.key)) == "NoSuchKey", state.key
        for version_id, data in state.versions:
            if data is None:
                assert await code(gateway.objects.head(bucket, state.key, version_id)) == "MethodNotAllowed", state.key
            else:
                assert await version(gateway, bucket, state.key, version_id) == data, state.key
    await only_listed(gateway, bucket, states)


async def only_listed(gateway, bucket, states):
    ordered = sorted(states, key=lambda state: state.key)
    assert await listed(gateway, bucket) == [(state.key, version_id, number == 0, data is None)
                                             for state in ordered for number, (version_id, data) in enumerate(state.versions)]
    page = await gateway.listing.objects(bucket)
    assert [entry.name for entry in page.entries] == [state.key for state in ordered if state.versions and state.versions[0][1] is not None]


async def sound(gateway, bucket, states):
    """Statistics need no mending, bucket check mends the rest, if any, and finds nothing afterwards."""
    assert not (await bucket_check.check(gateway, bucket)).statistics_differ
    report = await bucket_check.check(gateway, bucket, check_objects=True, fix=True)
    assert report.clean, [item.dump() for item in report.differences]
    report = await bucket_check.check(gateway, bucket, check_objects=True)
    assert report.clean and not report.differences and not report.statistics_differ
    wanted = [data for state in states for _, data in state.versions if data is not None]
    stats = [header.stats[1] for header in await gateway.buckets.stats(bucket) if 1 in header.stats]
    assert (sum(s.num_entries for s in stats), sum(s.total_size for s in stats)) == (len(wanted), sum(map(len, wanted)))


@pytest.mark.parametrize(("met_by", "age"), [
    ("get", 0), ("put", 0), ("delete", 0), *((met_by, HOURS) for met_by in ("get", "put", "delete", "unlink", "check"))])
async def test_killed_radosgw(gateway, bucket, user, met_by, age):
    """``age``: of what it left, in seconds; after rgw_olh_pending_timeout_sec an announcement counts for nothing."""
    await gateway.buckets.set_versioning(bucket, True)
    changes = [*STATES, *(FORGOTTEN if age and met_by != "get" else [])]
    if met_by == "unlink":
        changes = [(change, step) for change, step in changes if change in ("unlink", "last")]
    states = [KilledRadosgw(gateway, bucket, user, change, step, age) for change, step in changes]
    for state in states:
        await state.leave()
    await only_listed(gateway, bucket, states)
    for state in states:
        if met_by == "put":
            state.versions.insert(0, ((await put(gateway, bucket, state.key, b"after", user)).version_id, b"after"))
        elif met_by == "delete":
            done = await gateway.objects.delete(bucket, state.key, owner=user)
            if not state.versions or state.versions[0][1] is not None:
                state.versions.insert(0, (done.version_id, None))
        elif met_by == "unlink":  # once more
            await gateway.objects.delete(bucket, state.key, state.removed)
            state.versions = [row for row in state.versions if row[0] != state.removed]
    if met_by == "check":
        await sound(gateway, bucket, states)
    await shown(gateway, bucket, states)
    for state in states:
        head = await existing_head(gateway, bucket, state.key)
        pending = [] if head is None else [name for name in head.attrs if name.startswith(OLH_PENDING)]
        assert not pending or (not age and "announced" in state.step), state.key
        if state.step != "applied" or met_by not in ("get", "unlink"):  # nothing is left to do but to trim the log
            index = await read_key(bucket, state.key)
            assert index.olh is None or not index.olh.pending_log, state.key
    for state in states:
        for version_id, _ in state.versions[:1]:
            await gateway.objects.delete(bucket, state.key, version_id)
        del state.versions[:1]
    await shown(gateway, bucket, states)
    if age:
        await sound(gateway, bucket, states)
    for state in states:
        for version_id, _ in state.versions:
            await gateway.objects.delete(bucket, state.key, version_id)
    await collect(gateway)
    assert await listed(gateway, bucket) == []
    if age:  # what is young may still be ended by its writer
        assert await census(gateway, bucket) == set() and await index_keys(gateway, bucket) == set()
