"""Objects stored compressed: the blocks of each compressor, ranges, parts, copies. radosgw's own are read in tests/radosgw."""

from __future__ import annotations

import random
import struct
import zlib

import cramjam
import lz4.block
import pytest

from rgw.core.compression import DamagedBlock, decompress, joined
from rgw.core.state import COMPRESSION
from rgw.errors import S3Error
from rgw.formats.obj import CompressionBlock, CompressionInfo

PIECES = [b"abcdefgh" * 900, random.Random(1).randbytes(5000) + bytes(3000), b"abcdefgh" * 5]


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return b"\0" + packer.compress(data) + packer.flush()


def _lz4(data: bytes) -> bytes:
    """Three pieces, each of which refers to those before it."""
    cuts = [data[:1000], data[1000:6000], data[6000:]]
    packed = [lz4.block.compress(cut, store_size=False, dict=b"".join(cuts[:i])) for i, cut in enumerate(cuts)]
    sizes = b"".join(struct.pack("<II", len(cut), len(pack)) for cut, pack in zip(cuts, packed, strict=True))
    return struct.pack("<I", 3) + sizes + b"".join(packed)


PACKERS = {
    "zlib": _deflated, "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)), "lz4": _lz4,
    "zstd": lambda data: struct.pack("<I", len(data)) + bytes(cramjam.zstd.compress(data)),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_blocks(kind):
    info = CompressionInfo(compression_type=kind)
    for data in PIECES:
        packed = PACKERS[kind](data)
        assert decompress(info, packed, len(data)) == data
        with pytest.raises(DamagedBlock):
            decompress(info, packed, len(data) + 1)
        with pytest.raises(DamagedBlock):
            decompress(info, packed[:len(packed) // 2], len(data))


def test_unknown_compressor_and_joined_parts():
    with pytest.raises(S3Error) as refusal:
        decompress(CompressionInfo(compression_type="brotli"), b"x", 1)
    assert refusal.value.code == "NotImplemented"
    plain, one = CompressionInfo(), CompressionInfo(compression_type="zlib", orig_size=100, blocks=[CompressionBlock(0, 0, 7)])
    assert joined([plain, plain], [5, 5]) is None
    both = joined([one, one], [7, 7])
    assert both is not None and both.orig_size == 200 and both.blocks == [CompressionBlock(0, 0, 7), CompressionBlock(100, 7, 7)]
    with pytest.raises(S3Error) as refusal:
        joined([one, plain], [7, 5])
    assert refusal.value.code == "InvalidPart"


@pytest.mark.parametrize("kind", PACKERS)
async def test_reads_and_copies(gateway, bucket, kind):
    """A compressed object as radosgw leaves it: read in ranges, copied onto itself, copied away, its index entry telling both sizes."""
    info, stored, old = CompressionInfo(compression_type=kind), b"", 0
    for data in PIECES:
        packed = PACKERS[kind](data)
        info.blocks.append(CompressionBlock(old_ofs=old, new_ofs=len(stored), len=len(packed)))
        stored, old = stored + packed, old + len(data)
    info.orig_size = old
    whole = b"".join(PIECES)
    writer = gateway.objects.writer(bucket, "k", attrs={COMPRESSION: info.encode()})
    await writer.write(stored)
    await writer.complete("e")

    async def read(key: str, offset: int = 0, length: int | None = None) -> bytes:
        state = await gateway.objects.get(bucket, key)
        assert state.size == len(whole)
        return b"".join([data async for data in gateway.objects.read(state, offset, length)])

    assert await read("k") == whole
    cuts = [0, 1, 7199, 7200, 7201, 15199, 15200, len(whole) - 1]
    for offset in cuts:
        for length in (1, 2, 8000, len(whole)):
            assert await read("k", offset, length) == whole[offset:offset + length]
    entry = (await gateway.listing.objects(bucket)).entries[0]
    assert (entry.full().meta.size, entry.accounted_size) == (len(stored), len(whole))
    state = await gateway.objects.head(bucket, "k")
    await gateway.objects.copy(state, bucket, "k", attrs={"user.rgw.x-amz-meta-a": b"b\0"})
    await gateway.objects.copy(await gateway.objects.head(bucket, "k"), bucket, "copy")
    assert await read("k") == await read("copy") == whole
