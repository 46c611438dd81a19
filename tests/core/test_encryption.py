"""SSE-C: the format, byte for byte radosgw's, and encrypted objects and uploads on each store."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgw.core import reader, transition
from rgw.core.encryption import CHUNK, KEY_MD5, KEY_SIZE, MODE, CustomerKey
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.state import COMPRESSION
from rgw.errors import S3Error
from rgw.formats.obj import CompressionInfo
from tests.core.helpers import body, census, collect, completed, index_keys, md5, put

STRIPE = 32 << 10
KEY, OTHER = CustomerKey(bytes(range(KEY_SIZE))), CustomerKey(bytes(KEY_SIZE))
# SHA-256 of what radosgw 16.2.15 stored of plaintext(size) under KEY
STORED = {
    1: "13598656f10fa962b75f6c4587a61a067c14c1ef7dc9ca3703da76bae4c1beb1",
    15: "9ad5a0ad903d18c69e31aedb0952514b6f4094bd6af139903b73a4028d3be4b7",
    16: "93d771b3c12de2af372fac90f987580ca002d79319eabc2824fcb1c3bef10211",
    17: "df537942e80247b768861ad5d202c6c594d63f6f8fb37d42a5c6ac66e2549682",
    31: "b9ba54726b9cde892d4148137b723b7fcc38bcb71a177633bd228ea844c41ba6",
    4095: "a2d593cd003e100d15ba8bf4896c420f3da8788f5d9314e4d2072eab34e5873b",
    4096: "f6c476460ac4c0576ec3b4bebe8e259a0db33121f9d04755a2b7babd01a5ce7f",
    4097: "25aa45514f78b66b02429cd69469d780b4cc06717ebd4462a56e6c089c823fe3",
    4112: "e455074c2fe5d20033560f0d4888859f5ccbcf5192ba35a875ce7ae4235c39ba",
    8197: "b06e7086692f0aa8acb93bdf3a846919e680b376e7b4b2ce1c1671fb59d0a302",
    1052676: "90788cc22d6f504c62a77dcc2f6761b8bea55d76ea82b1f3ddc8ac7cfa68676e",
}


@pytest.fixture
def options() -> Options:
    """Small stripes, so that small objects have many."""
    return Options({"rgw_gc_obj_min_wait": 0, "rgw_gc_max_objs": 4, "rgw_override_bucket_index_max_shards": 5, "rgw_max_chunk_size": CHUNK,
                    "rgw_obj_stripe_size": STRIPE, "rgw_multipart_min_part_size": 1})


def plaintext(size: int) -> bytes:
    return (bytes(i * 7 % 251 for i in range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", STORED)
def test_same_bytes_as_radosgw(size):
    data = plaintext(size)
    stored = KEY.encrypt(data, 0)
    assert hashlib.sha256(stored).hexdigest() == STORED[size]
    assert KEY.decrypt(stored, 0) == data


@given(st.integers(0, 5 * CHUNK), st.integers(0, 2**40), st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**32))
def test_any_cut_at_chunks_gives_the_same(size, far, cuts, seed):
    """A stream's pieces encrypt and decrypt each by itself to what the whole gives, wherever the stream is cut between chunks."""
    data, start = random.Random(seed).randbytes(size), far * CHUNK
    stored = KEY.encrypt(data, start)
    assert len(stored) == size and KEY.decrypt(stored, start) == data
    at = sorted({0, size, *(min(cut * CHUNK, size) for cut in cuts)})
    pieces = list(zip(at, at[1:], strict=False))
    assert b"".join(KEY.encrypt(data[a:b], start + a) for a, b in pieces) == stored
    assert b"".join(KEY.decrypt(stored[a:b], start + a) for a, b in pieces) == data


def test_a_key_cannot_be_printed():
    secret = bytes(range(65, 65 + KEY_SIZE))
    key = CustomerKey(secret)
    shown = f"{key!r} {key} {key._algorithm!r}"
    assert secret.decode() not in shown and secret.hex() not in shown and str(secret) not in shown


async def _put(gateway, bucket, key, data, user, customer_key, attrs=None):
    writer = gateway.objects.writer(bucket, key, owner=user, attrs=attrs or {}, customer_key=customer_key)
    try:
        for i in range(0, len(data), 10_007):
            await writer.write(data[i:i + 10_007])
        return await writer.complete(md5(data))
    finally:
        await writer.abort()


async def _read(gateway, bucket, key, customer_key, offset=0, length=None, prefetch=True):
    state = await (gateway.objects.get if prefetch else gateway.objects.head)(bucket, key)
    if state.encrypted:
        assert not state.in_head(offset, state.size if length is None else length)  # ciphertext
    state.unlock(customer_key)
    return b"".join([data async for data in gateway.objects.read(state, offset, length)])


async def _code(awaitable) -> str:
    with pytest.raises(S3Error) as refusal:
        await awaitable
    return refusal.value.code


async def _raw(gateway, bucket, key) -> bytes:
    state = await gateway.objects.head(bucket, key)
    return b"".join([data async for data in reader.read_stored(gateway, state, 0, state.stored_size)])


RANGES = [(0, 1), (1, 15), (15, 2), (CHUNK - 1, 2), (CHUNK, CHUNK), (3 * CHUNK + 5, 17), (STRIPE, 100), (STRIPE - 3, 2 * STRIPE), (7, 10**9)]


async def test_objects(gateway, bucket, user):
    for size in (0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, STRIPE + CHUNK, 5 * STRIPE + 1234):
        data = body(size)
        state = await _put(gateway, bucket, "k", data, user, KEY)
        assert (state.size, state.etag) == (size, md5(data))
        assert (await gateway.objects.head(bucket, "k")).attrs.items() >= {MODE: b"SSE-C-AES256", KEY_MD5: hashlib.md5(bytes(range(32))).digest()}.items()
        assert await _raw(gateway, bucket, "k") == KEY.encrypt(data, 0)
        assert await _read(gateway, bucket, "k", KEY) == await _read(gateway, bucket, "k", KEY, prefetch=False) == data
        for offset, length in [*RANGES, (max(size - 5, 0), 5)]:
            assert await _read(gateway, bucket, "k", KEY, offset, length) == data[offset:offset + length]
        for wrong in (None, OTHER):
            assert await _code(_read(gateway, bucket, "k", wrong)) == "InvalidArgument"
    assert (await gateway.listing.objects(bucket)).entries[0].accounted_size == size
    await gateway.objects.delete(bucket, "k")
    await collect(gateway)
    assert await census(gateway, bucket) == set()


async def test_a_range_reads_only_its_chunks(gateway, bucket, user, monkeypatch):
    data = body(5 * STRIPE)
    await _put(gateway, bucket, "k", data, user, KEY)
    asked = []
    really = reader.read_stored
    monkeypatch.setattr(reader, "read_stored", lambda gw, state, start, end: asked.append((start, end)) or really(gw, state, start, end))
    for offset, length in [(2 * STRIPE + 5, 10), (CHUNK - 1, 2), (len(data) - 1, 1)]:
        assert await _read(gateway, bucket, "k", KEY, offset, length) == data[offset:offset + length]
    assert asked == [(2 * STRIPE, 2 * STRIPE + CHUNK), (0, 2 * CHUNK), (len(data) - CHUNK, len(data))]


async def test_copies_are_written_anew(gateway, bucket, user):
    data = body(3 * STRIPE + 5)
    await _put(gateway, bucket, "source", data, user, KEY, {"user.rgw.x-amz-meta-a": b"b\0"})
    await put(gateway, bucket, "plain", data, user)

    async def source(key, customer_key):
        state = await gateway.objects.head(bucket, key)
        state.unlock(customer_key)
        return state

    for name, begin, end in [("source", KEY, KEY), ("source", KEY, OTHER), ("source", KEY, None), ("plain", None, OTHER)]:
        copied = await gateway.objects.copy(await source(name, begin), bucket, "copy", owner=user, customer_key=end)
        assert copied.etag == md5(data) and copied.encrypted == (end is not None)
        assert await _read(gateway, bucket, "copy", end) == data
        assert await _raw(gateway, bucket, "copy") == (end.encrypt(data, 0) if end else data)
    await gateway.objects.copy(await source("source", KEY), bucket, "source", owner=user, customer_key=OTHER)  # the key is changed
    assert await _read(gateway, bucket, "source", OTHER) == data
    assert (await gateway.objects.head(bucket, "source")).attrs["user.rgw.x-amz-meta-a"] == b"b\0"
    assert await _code(gateway.objects.copy(await gateway.objects.head(bucket, "source"), bucket, "copy", owner=user)) == "InvalidArgument"
    for key in ("source", "plain", "copy"):
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await census(gateway, bucket) == set() == await index_keys(gateway, bucket)


SIZES = [STRIPE + 1, 17, 3 * STRIPE + CHUNK + 9, 5]


async def test_multipart(gateway, bucket, user):
    parts = [body(size) for size in SIZES]
    await _put(gateway, bucket, "source", parts[2], user, OTHER)
    source = await gateway.objects.head(bucket, "source")
    source.unlock(OTHER)
    upload_id = await gateway.multipart.create(bucket, "m", owner=user, attrs={}, customer_key=KEY)
    upload = await gateway.multipart.get(bucket, "m", upload_id)
    for wrong in (None, OTHER):
        with pytest.raises(S3Error) as refusal:
            gateway.multipart.part_writer(upload, 1, customer_key=wrong)
        assert refusal.value.code == "InvalidArgument"
        assert await _code(gateway.multipart.copy_part(upload, 3, source, 0, SIZES[2], wrong)) == "InvalidArgument"

    async def part(number):
        if number == 3:
            return await gateway.multipart.copy_part(upload, 3, source, 0, SIZES[2], KEY)
        writer = gateway.multipart.part_writer(upload, number, customer_key=KEY)
        await writer.write(parts[number - 1])
        return await writer.complete(md5(parts[number - 1]))

    done = await asyncio.gather(*(part(number) for number in range(1, 5)))
    assert [(p.size, p.etag) for p in done] == [(len(data), md5(data)) for data in parts]
    state = await gateway.multipart.complete(bucket, "m", upload_id, completed(done))
    whole = b"".join(parts)
    assert state.size == len(whole) and [size for _, _, size in state.parts] == SIZES
    assert await _raw(gateway, bucket, "m") == b"".join(KEY.encrypt(data, 0) for data in parts)
    assert await _read(gateway, bucket, "m", KEY) == whole
    borders = [sum(SIZES[:i]) for i in range(4)]
    for offset, length in RANGES + [(at + shift, length) for at in borders[1:] for shift in (-1, 0, 1) for length in (1, 2, 30, CHUNK, 10**6)]:
        assert await _read(gateway, bucket, "m", KEY, offset, length) == whole[offset:offset + length], (offset, length)
    state.unlock(KEY)
    assert (await gateway.objects.copy(state, bucket, "copy", owner=user, customer_key=OTHER)).size == len(whole)
    assert await _read(gateway, bucket, "copy", OTHER, 5, 10**6) == whole[5:]
    await transition.change_class(gateway, state, "STANDARD")  # into the same pool: the parts stay what they are
    await transition.change_class(gateway, await gateway.objects.head(bucket, "m"), "STANDARD")
    assert await _raw(gateway, bucket, "m") == b"".join(KEY.encrypt(data, 0) for data in parts)
    assert [size for _, _, size in (await gateway.objects.head(bucket, "m")).parts] == SIZES
    for offset, length in [(0, 10**6), *((at - 1, 2) for at in borders[1:])]:
        assert await _read(gateway, bucket, "m", KEY, offset, length) == whole[offset:offset + length]
    for key in ("source", "m", "copy"):
        await gateway.objects.delete(bucket, key)
    await collect(gateway)
    assert await census(gateway, bucket) == set() == await index_keys(gateway, bucket)


async def test_a_part_of_a_plain_upload_from_an_encrypted_source(gateway, bucket, user):
    data = body(3 * STRIPE)
    await _put(gateway, bucket, "source", data, user, KEY)
    upload = await gateway.multipart.get(bucket, "m", await gateway.multipart.create(bucket, "m", owner=user, attrs={}))
    locked = await gateway.objects.head(bucket, "source")
    assert await _code(gateway.multipart.copy_part(upload, 1, locked, 0, 10)) == "InvalidArgument"
    locked.unlock(KEY)
    part = await gateway.multipart.copy_part(upload, 1, locked, 5, 2 * STRIPE)
    assert part.etag == md5(data[5:2 * STRIPE + 5])
    await gateway.multipart.complete(bucket, "m", upload.upload_id, completed([part]))
    assert await _raw(gateway, bucket, "m") == data[5:2 * STRIPE + 5]


async def test_moved_as_it_is(gateway, bucket, user):
    data = body(3 * STRIPE + 7)
    await _put(gateway, bucket, "k", data, user, KEY)
    await transition.change_class(gateway, await gateway.objects.head(bucket, "k"), "STANDARD")
    assert await _raw(gateway, bucket, "k") == KEY.encrypt(data, 0)
    assert await _read(gateway, bucket, "k", KEY, 3, 10**6) == data[3:]


@pytest.mark.parametrize("attrs", [
    {MODE: b"SSE-KMS", "user.rgw.crypt.keyid": b"k"}, {MODE: b"RGW-AUTO", "user.rgw.crypt.keysel": b"s"}, {MODE: b"AES256"},
    {MODE: b"SSE-C-AES256", KEY_MD5: KEY.md5, "user.rgw.crypt.part-lengths": b"x"}, {KEY_MD5: KEY.md5},
    {MODE: b"SSE-C-AES256", KEY_MD5: KEY.md5, COMPRESSION: CompressionInfo(compression_type="zlib", orig_size=3).encode()},
], ids=["kms", "auto", "s3", "newer", "no mode", "compressed"])
async def test_other_ways_are_refused(gateway, bucket, user, attrs):
    await put(gateway, bucket, "k", b"abc", user, attrs=attrs)
    for key in (None, KEY):
        assert await _code(_read(gateway, bucket, "k", key)) in ("NotImplemented", *(() if key else ("InvalidArgument",)))
    assert await _code(_read(gateway, bucket, "k", KEY)) == "NotImplemented"
    assert await _raw(gateway, bucket, "k") == b"abc"
    await gateway.objects.delete(bucket, "k")


async def test_stripes_must_be_whole_chunks(cluster, options, bucket, user):
    odd = await Gateway.open(cluster, Options({**options.as_dict(), "rgw_obj_stripe_size": STRIPE + 1}))
    try:
        with pytest.raises(S3Error) as refusal:
            odd.objects.writer(bucket, "k", owner=user, customer_key=KEY)
        assert refusal.value.code == "NotImplemented"
    finally:
        await odd.close()
