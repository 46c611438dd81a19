"""The classes in Python against Ceph's own: the same calls on both stores give the same replies, errors and stored bytes.

Each reply of the OSD is also golden: it encodes to the same bytes again.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

import pytest

from rgw.store.classcall import ClassCall
from rgw.store.embedded import open_store
from rgw.store.embedded.classes import REGISTRY
from rgw.store.interface import StepKind, WriteOp
from tests.classes.scripts import SCRIPTS, Break, random_index, run
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


def test_every_method_is_called() -> None:
    """By one script at least; breaking a lock takes a step of its own."""
    steps = [step for script in SCRIPTS.values() for step in script()]
    calls = [step for step in steps if isinstance(step, ClassCall)]
    calls += [call for step in steps if isinstance(step, WriteOp) for kind, arguments in step.steps if kind == StepKind.CALL for call in arguments]
    called = {(call.method.cls, call.method.name) for call in calls} | {("lock", "break_lock") for step in steps if isinstance(step, Break)}
    assert called == set(REGISTRY)


@pytest.mark.parametrize("name", _CASES)
async def test_both_do_the_same(pools, name, monkeypatch) -> None:
    script = _CASES[name]()
    decode = ClassCall.decode_reply

    def decode_reply(call: ClassCall, data: bytes) -> Any:
        reply = decode(call, data)
        assert call.method.reply is None or reply.encode() == data, call.method.name
        return reply

    monkeypatch.setattr(ClassCall, "decode_reply", decode_reply)  # only an OSD's replies come as bytes
    ours, osd = [await run(pool, "o", script) for pool in pools]
    for number, (step, mine, theirs) in enumerate(zip(script, ours, osd, strict=True)):
        assert mine == theirs, f"step {number}: {step}"
