"""Pool ids of the embedded store never repeat, so that copied index entries cannot pass for newer than what is written after the copy."""

from __future__ import annotations

from pathlib import Path

from rgw.store.embedded import open_store


async def test_two_stores_give_a_pool_different_ids(tmp_path: Path) -> None:
    ids = set()
    for name in ("a", "b", "c"):
        cluster = await open_store(tmp_path / name)
        for pool in ("one", "two"):
            await cluster.create_pool(pool)
            ids.add((await cluster.open_pool(pool)).pool_id)
        await cluster.close()
    assert len(ids) == 6
    assert min(ids) >= 1 << 10  # beyond what a Ceph cluster gives its pools
