"""The classes in Python against Ceph's own: the same calls on both stores give the same replies, errors and stored bytes."""

from __future__ import annotations

import secrets
from functools import partial

import pytest

from rgw.store.embedded import open_store
from tests.classes.scripts import SCRIPTS, random_index, run
from tests.conftest import missing_ceph

_CASES = {**SCRIPTS, **{f"random{seed}": partial(random_index, seed) for seed in range(12)}}


@pytest.fixture
async def pools(request, tmp_path):
    """The same pool on the embedded store and on an OSD."""
    if reason := missing_ceph():
        pytest.skip(reason)
    from rgw.store.librados import connect

    stores = [await open_store(tmp_path / "store"), await connect(str(request.getfixturevalue("ceph_conf")), "client.admin")]
    opened = []
    for store in stores:
        await store.create_pool("classes")
        opened.append(await store.open_pool("classes", secrets.token_hex(4)))
    yield opened
    for store in stores:
        await store.close()


@pytest.mark.parametrize("name", _CASES)
async def test_both_do_the_same(pools, name) -> None:
    script = _CASES[name]()
    ours, osd = [await run(pool, "o", script) for pool in pools]
    for number, (step, mine, theirs) in enumerate(zip(script, ours, osd, strict=True)):
        assert mine == theirs, f"step {number}: {step}"
