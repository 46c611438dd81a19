"""Ordered maps with keys of any length, against a sorted dict."""

from __future__ import annotations

import itertools

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgw.store.embedded import omap

# Keys around the cut, of few different bytes, so that they share prefixes and collide.
lengths = st.sampled_from([0, 1, 2, omap.CUT - 1, omap.CUT, omap.CUT + 1, 2 * omap.CUT - 1, 2 * omap.CUT, 2 * omap.CUT + 1, 1200])
keys = st.builds(lambda n, fill, tail: fill * n + tail, lengths, st.sampled_from([b"a", b"\xff", b"\0"]), st.binary(max_size=3))
changes = st.lists(st.tuples(st.booleans(), keys, st.binary(max_size=4)), max_size=30)


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    with lmdb.open(str(tmp_path_factory.mktemp("omap")), map_size=1 << 26, sync=False) as opened:
        yield opened


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes, start=keys, prefix=keys)
def test_like_a_sorted_dict(env, changes, start, prefix):
    ids = itertools.count(100)
    model: dict[bytes, bytes] = {}
    with env.begin(write=True, buffers=True) as txn:
        omap.put(txn, None, 8, b"neighbour below", b"", lambda: next(ids))
        omap.put(txn, None, 10, b"neighbour above", b"", lambda: next(ids))
        before = txn.stat()["entries"]
        for is_put, key, value in changes:
            if is_put:
                omap.put(txn, None, 9, key, value, lambda: next(ids))
                model[key] = value
            else:
                omap.delete(txn, None, 9, key)
                model.pop(key, None)
        ordered = sorted(model.items())
        assert list(omap.iterate(txn, None, 9)) == ordered
        assert list(omap.iterate(txn, None, 9, start)) == [(k, v) for k, v in ordered if k >= start]
        assert list(omap.iterate(txn, None, 9, start, prefix)) == [(k, v) for k, v in ordered if k >= start and k.startswith(prefix)]
        for key in (*model, start):
            assert omap.get(txn, None, 9, key) == model.get(key)
        omap.purge(txn, None, 9)
        assert txn.stat()["entries"] == before
        txn.abort()
