"""What every store must do, case by case, on each of them."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from rgw.formats import cls_rgw
from rgw.formats.index import DirEntry
from rgw.store import classes
from rgw.store.errors import Cancelled, Exists, NotFound, StoreError
from rgw.store.interface import ALL_NAMESPACES, ReadOp, WriteOp


async def everything(pool, oid):
    return await pool.read(oid, ReadOp().stat().getxattrs().read().omap_get().omap_get_header())


async def test_create_write_read_in_one_operation_each(pool):
    written = await pool.write("o", WriteOp().create(exclusive=True).write_full(b"data").setxattrs({"a": b"1", "b": b"\0\xff"})
                               .omap_set({b"k2": b"v2", b"k1": b""}).omap_set_header(b"head"))
    result = await everything(pool, "o")
    assert (result.size, result.data, result.xattrs) == (4, b"data", {"a": b"1", "b": b"\0\xff"})
    assert list(result.omap.values.items()) == [(b"k1", b""), (b"k2", b"v2")] and not result.omap.more
    assert result.omap_header == b"head"
    assert result.version == written.version > 0


async def test_exclusive_create(pool):
    await pool.write("o", WriteOp().create(exclusive=True))
    with pytest.raises(Exists) as failed:
        await pool.write("o", WriteOp().create(exclusive=True))
    assert failed.value.step in (0, None)
    await pool.write("o", WriteOp().create())
    assert (await pool.read("o", ReadOp().stat())).size == 0


@pytest.mark.parametrize("op", [
    ReadOp().stat(), ReadOp().getxattrs(), ReadOp().read(), ReadOp().omap_get(), ReadOp().omap_get_header(), ReadOp().assert_exists(),
], ids=["stat", "getxattrs", "read", "omap_get", "omap_get_header", "assert_exists"])
async def test_reading_nothing(pool, op):
    with pytest.raises(NotFound):
        await pool.read("nothing", op)


@pytest.mark.parametrize("op", [
    WriteOp().remove(), WriteOp().assert_exists().create(), WriteOp().assert_version(7).create(), WriteOp().rmxattr("a"),
    WriteOp().omap_rm([b"k"]), WriteOp().omap_clear(), WriteOp().omap_cmp(b"k", b""),
    WriteOp().cmpxattr("a", b"").create(), WriteOp().cmpxattr("a", b"x").create(),
], ids=["remove", "assert_exists", "assert_version", "rmxattr", "omap_rm", "omap_clear", "omap_cmp", "cmpxattr_empty", "cmpxattr"])
async def test_changing_nothing(pool, op):
    with pytest.raises(NotFound):
        await pool.write("nothing", op)
    with pytest.raises(NotFound):
        await pool.read("nothing", ReadOp().stat())


async def test_steps_that_do_not_make_an_object(pool):
    await pool.write("o", WriteOp().truncate(5))
    with pytest.raises(NotFound):
        await pool.read("o", ReadOp().stat())


async def test_remove_and_create_in_one_operation(pool):
    await pool.write("o", WriteOp().write_full(b"x" * 100_000).setxattr("a", b"1").omap_set({b"k": b"v"}))
    await pool.write("o", WriteOp().remove().create().setxattr("b", b"2"))
    result = await everything(pool, "o")
    assert (result.data, result.xattrs, result.omap.values) == (b"", {"b": b"2"}, {})


@pytest.mark.parametrize("op", [
    WriteOp().write(0, b""), WriteOp().write_full(b""), WriteOp().append(b"x"), WriteOp().setxattr("a", b""),
    WriteOp().omap_set({b"k": b"v"}), WriteOp().omap_set_header(b"h"),
], ids=["write", "write_full", "append", "setxattr", "omap_set", "omap_set_header"])
async def test_writes_create_the_object(pool, op):
    await pool.write("o", op)
    await pool.read("o", ReadOp().stat())


async def test_failed_operation_changes_nothing(pool):
    await pool.write("o", WriteOp().write_full(b"old").setxattr("a", b"1").omap_set({b"k": b"v"}))
    before = await everything(pool, "o")
    with pytest.raises(Cancelled):
        await pool.write("o", WriteOp().write_full(b"new" * 50_000).setxattr("a", b"2").setxattr("c", b"3")
                         .omap_set({b"k": b"w", b"l": b""}).omap_set_header(b"h").cmpxattr("a", b"other"))
    assert await everything(pool, "o") == before
    with pytest.raises(Cancelled):
        await pool.write("o", WriteOp().remove().create().cmpxattr("a", b"other"))
    assert await everything(pool, "o") == before


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536, 65_537, 200_000, 4 << 20])
async def test_sizes_and_ranges(pool, size):
    data = os.urandom(size)
    await pool.write("o", WriteOp().write_full(data))
    result = await pool.read("o", ReadOp().stat().read())
    assert (result.size, result.data) == (size, data)
    for offset, length in ((0, 1), (size // 2, 10), (size // 3, size // 2 or 1), (size, 10), (size + 5, 0),
                           (max(size - 3, 0), 100), (1, 0)):
        expected = data[offset:offset + length] if length else data[offset:]
        assert (await pool.read("o", ReadOp().read(offset, length))).data == expected


async def test_random_writes_against_a_model(pool):
    import random

    rng = random.Random(7)
    model = b""
    for number in range(60):
        kind = rng.choice(["write", "write", "append", "truncate", "full", "batch"])
        size = rng.choice([0, 1, 100, 5_000, 70_000, 300_000])
        data = rng.randbytes(size)
        offset = rng.randrange(0, 400_000)
        op = WriteOp()
        if kind == "append":
            op.append(data)
            model += data
        elif kind == "truncate":
            op.create().truncate(offset)
            model = model[:offset].ljust(offset, b"\0")
        elif kind == "full" and number % 3 == 0:
            op.write_full(data)
            model = data
        else:
            op.write(offset, data)
            if data:
                model = model[:offset].ljust(offset, b"\0") + data + model[offset + size:]
            if kind == "batch":
                op.write(offset // 2, b"second")
                at = offset // 2
                model = model[:at].ljust(at, b"\0") + b"second" + model[at + 6:]
        await pool.write("o", op)
        result = await pool.read("o", ReadOp().stat().read())
        assert result.size == len(model), (number, kind)
        assert result.data == model, (number, kind)
        at = rng.randrange(0, len(model) + 1)
        assert (await pool.read("o", ReadOp().read(at, 1000))).data == model[at:at + 1000]


async def test_write_full_keeps_xattrs_and_omap_and_remove_takes_all(pool):
    await pool.write("o", WriteOp().write_full(b"1").setxattr("a", b"1").omap_set({b"k": b"v"}).omap_set_header(b"h"))
    await pool.write("o", WriteOp().write_full(b"2"))
    result = await everything(pool, "o")
    assert (result.data, result.xattrs, result.omap.values, result.omap_header) == (b"2", {"a": b"1"}, {b"k": b"v"}, b"h")
    await pool.write("o", WriteOp().remove())
    with pytest.raises(NotFound):
        await everything(pool, "o")
    await pool.write("o", WriteOp().create(exclusive=True))
    result = await everything(pool, "o")
    assert (result.data, result.xattrs, result.omap.values, result.omap_header) == (b"", {}, {}, b"")


async def test_xattrs(pool):
    await pool.write("o", WriteOp().setxattr("a", b"1").setxattr("user.rgw.idtag", b"x" * 3000))
    await pool.write("o", WriteOp().rmxattr("a").setxattr("c", b""))
    assert (await pool.read("o", ReadOp().getxattrs())).xattrs == {"user.rgw.idtag": b"x" * 3000, "c": b""}
    await pool.write("o", WriteOp().rmxattr("a"))  # it is gone already


async def test_comparisons(pool):
    await pool.write("o", WriteOp().setxattr("a", b"1").omap_set({b"k": b"v"}))
    await pool.write("o", WriteOp().cmpxattr("a", b"1").cmpxattr("unset", b"").omap_cmp(b"k", b"v").omap_cmp(b"unset", b"")
                     .setxattr("b", b"2"))
    await pool.read("o", ReadOp().cmpxattr("b", b"2").stat())
    for op in (WriteOp().cmpxattr("a", b"2"), WriteOp().cmpxattr("unset", b"2"), WriteOp().omap_cmp(b"k", b"w"),
               WriteOp().omap_cmp(b"u", b"w")):
        with pytest.raises(Cancelled):
            await pool.write("o", op.setxattr("b", b"3"))
    with pytest.raises(Cancelled):
        await pool.read("o", ReadOp().cmpxattr("b", b"3").stat())
    assert (await pool.read("o", ReadOp().getxattrs())).xattrs["b"] == b"2"


async def test_versions_grow_and_guard(pool):
    first = (await pool.write("o", WriteOp().create())).version
    second = (await pool.write("o", WriteOp().setxattr("a", b"1"))).version
    assert second > first
    with pytest.raises(Cancelled):
        await pool.write("o", WriteOp().assert_version(first).setxattr("a", b"2"))
    third = (await pool.write("o", WriteOp().assert_version(second).setxattr("a", b"3"))).version
    await pool.read("o", ReadOp().assert_version(third).stat())
    with pytest.raises(Cancelled):
        await pool.read("o", ReadOp().assert_version(second).stat())
    await pool.write("o", WriteOp().remove())
    assert (await pool.write("o", WriteOp().create())).version > third


async def test_remove_gradually(pool):
    for entries in (0, 1, 2500):
        await pool.write("o", WriteOp().create().omap_set({b"\x80%d" % n: b"v" * 10 for n in range(entries)}))
        await pool.remove_gradually("o")
        with pytest.raises(NotFound):
            await pool.read("o", ReadOp().stat())
        with pytest.raises(NotFound):
            await pool.remove_gradually("o")


async def test_only_one_of_many_guarded_writers_wins(pool):
    version = (await pool.write("o", WriteOp().create())).version
    results = await asyncio.gather(*(pool.write("o", WriteOp().assert_version(version).setxattr("w", b"%d" % n)) for n in range(20)),
                                   return_exceptions=True)
    assert sum(not isinstance(r, Exception) for r in results) == 1
    assert sum(isinstance(r, Cancelled) for r in results) == 19


async def test_mtime(pool):
    await pool.write("o", WriteOp(mtime=1_600_000_000_123_456_789).write_full(b"x"))
    assert (await pool.read("o", ReadOp().stat())).mtime == 1_600_000_000_123_456_789
    await pool.write("o", WriteOp().write_full(b"y"))
    assert abs((await pool.read("o", ReadOp().stat())).mtime - time.time_ns()) < 60_000_000_000


async def test_omap_pages(pool):
    entries = {b"%s/%03d" % (p, n): b"%d" % n for p in (b"a", b"b", b"b\xff", b"c") for n in range(25)}
    await pool.write("o", WriteOp().omap_set(entries))
    got: dict[bytes, bytes] = {}
    after, pages = b"", 0
    while True:
        page = (await pool.read("o", ReadOp().omap_get(after, b"", 7))).omap
        got.update(page.values)
        pages += 1
        if not page.more:
            break
        assert len(page.values) == 7
        after = list(page.values)[-1]
    assert list(got.items()) == sorted(entries.items()) and pages == 15
    page = (await pool.read("o", ReadOp().omap_get(b"b/010", b"b/", 5))).omap
    assert list(page.values) == [b"b/%03d" % n for n in range(11, 16)] and page.more
    page = (await pool.read("o", ReadOp().omap_get(b"b/023", b"b/", 5))).omap
    assert list(page.values) == [b"b/024"] and not page.more
    page = (await pool.read("o", ReadOp().omap_get(b"", b"nothing", 5))).omap
    assert page.values == {} and not page.more


async def test_omap_changes(pool):
    await pool.write("o", WriteOp().omap_set({b"%d" % n: b"v" for n in range(10)}).omap_set_header(b"h"))
    await pool.write("o", WriteOp().omap_rm([b"1", b"2", b"not there"]).omap_set({b"3": b"new"}))
    result = await pool.read("o", ReadOp().omap_get_keys([b"3", b"1", b"0"]))
    assert result.omap.values == {b"0": b"v", b"3": b"new"}
    await pool.write("o", WriteOp().omap_clear().omap_set({b"x": b"y"}))
    result = await everything(pool, "o")
    assert (result.omap.values, result.omap_header) == ({b"x": b"y"}, b"")


async def test_long_omap_keys_stay_in_order(pool):
    keys = [b"k" * n + tail for n in (1, 499, 500, 501, 511, 999, 1000, 1001, 1200) for tail in (b"", b"\0", b"a", b"\xff")]
    await pool.write("o", WriteOp().omap_set({k: b"%d" % len(k) for k in keys}))
    assert list((await pool.read("o", ReadOp().omap_get())).omap.values) == sorted(set(keys))
    after = b"k" * 1000
    assert list((await pool.read("o", ReadOp().omap_get(after))).omap.values) == [k for k in sorted(set(keys)) if k > after]
    await pool.write("o", WriteOp().omap_rm(keys[::2]))
    left = sorted(set(keys) - set(keys[::2]))
    assert list((await pool.read("o", ReadOp().omap_get())).omap.values) == left


@pytest.mark.parametrize("name", ["x" * 1500, "../../etc/passwd", "a/b//c", "\u0001\u0002", "größe-\U0001f600", "%2F", " "],
                         ids=["long", "dots", "slashes", "control", "unicode", "percent", "space"])
async def test_names(pool, name):
    await pool.write(name, WriteOp().write_full(b"x"))
    assert (await pool.read(name, ReadOp().read())).data == b"x"
    assert [o.name async for o in pool.list_objects()] == [name]
    await pool.write(name, WriteOp().remove())
    assert [o.name async for o in pool.list_objects()] == []


async def test_namespaces_and_locators(cluster, pool):
    other = await cluster.open_pool("contract", pool.namespace + "-other")
    await pool.write("o", WriteOp().write_full(b"1"))
    await other.write("o", WriteOp().write_full(b"2"), locator="loc")
    assert (await pool.read("o", ReadOp().read())).data == b"1"
    assert (await other.read("o", ReadOp().read(), locator="loc")).data == b"2"
    assert [(o.name, o.locator, o.namespace) async for o in other.list_objects()] == [("o", "loc", other.namespace)]
    if cluster.capabilities.locators_tell_apart:
        with pytest.raises(NotFound):
            await other.read("o", ReadOp().read())
    else:
        assert (await other.read("o", ReadOp().read())).data == b"2"
    everywhere = await cluster.open_pool("contract", ALL_NAMESPACES)
    seen = {(o.name, o.namespace) async for o in everywhere.list_objects()}
    assert {("o", pool.namespace), ("o", other.namespace)} <= seen


async def test_listing_many(pool):
    names = {f"object {n}" for n in range(2100)}
    for start in range(0, 2100, 300):
        await asyncio.gather(*(pool.write(f"object {n}", WriteOp().create()) for n in range(start, start + 300)))
    listed = [o.name async for o in pool.list_objects()]
    assert len(listed) == len(names) and set(listed) == names


async def test_class_calls_side_by_side(pool):
    """Replies and refusals in the order of the calls; one that fails leaves the others."""
    for name in ("a", "b", "c"):
        entry = DirEntry(name=name, exists=True).encode()
        await pool.write(name, WriteOp().call(classes.BUCKET_INIT_INDEX()).omap_set({name.encode(): entry}))
    call = classes.BUCKET_LIST(cls_rgw.ListOp(num_entries=10))
    first, nothing, second, refused, third, wrong = await pool.call_each(
        [("c", call), ("nothing", call), ("a", call.method(call.request)), ("x" * 5000, call), ("b", call), ("a", classes.BI_GET(cls_rgw.BiGetOp()))])
    assert [list(reply.dir.entries) for reply in (first, second, third)] == [["c"], ["a"], ["b"]]
    assert isinstance(nothing, NotFound) and isinstance(refused, StoreError) and isinstance(wrong, StoreError)
    assert await pool.call_each([]) == []


async def test_pools(cluster, pool):
    assert "contract" in await cluster.list_pools()
    await cluster.create_pool("contract")
    assert await cluster.open_pool("contract", pool.namespace) is pool
    with pytest.raises(NotFound):
        await cluster.open_pool("no such pool")
    assert (await cluster.list_pools()).count("contract") == 1
    assert cluster.fsid and cluster.instance_id > 0 and pool.pool_id > 0


async def test_watch_and_notify(pool):
    await pool.write("o", WriteOp().create())
    await pool.notify("o", b"nobody listens")
    got: list[bytes] = []
    arrived = asyncio.Event()

    def on_notify(payload: bytes) -> None:
        got.append(payload)
        arrived.set()

    watch = await pool.watch("o", on_notify, lambda: None)
    for payload in (b"1", b"", b"x" * 100_000):
        arrived.clear()
        await pool.notify("o", payload)
        await asyncio.wait_for(arrived.wait(), 5)
        assert got[-1] == payload
    await watch.close()
    await pool.notify("o", b"too late")
    await asyncio.sleep(0.1)
    assert len(got) == 3


async def test_watching_nothing(pool):
    with pytest.raises(NotFound):
        await pool.watch("nothing", lambda payload: None, lambda: None)
    with pytest.raises(NotFound):
        await pool.notify("nothing", b"")
