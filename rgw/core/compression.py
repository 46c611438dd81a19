"""Objects that radosgw stored compressed: which stored blocks hold a range, and how each compressor's blocks are opened.

Sources: RGWCompressionInfo (formats page 3.6) and the compressor plugins of Ceph Pacific. This gateway itself never compresses.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

import cramjam
import lz4.block

from rgw.errors import S3Error
from rgw.formats.encoding import U32
from rgw.formats.obj import CompressionBlock, CompressionInfo

NONE = ("", "none")
_RAW_DEFLATE = -15  # window bits where the compressor left no message of its own
_LZ4_WINDOW = 64 * 1024  # how far back a piece may refer to what was written before it


class DamagedBlock(ValueError):
    """A stored block that does not decompress to what it should."""


def _zlib(block: bytes, message: int | None) -> bytes:
    """A byte that names the variant (both are alike), then deflate with the window that the message tells."""
    return zlib.decompressobj(_RAW_DEFLATE if message is None else message).decompress(block[1:])


def _snappy(block: bytes, message: int | None) -> bytes:
    return bytes(cramjam.snappy.decompress_raw(block))


def _zstd(block: bytes, message: int | None) -> bytes:
    """The length of the data as u32, then a frame."""
    size, at = U32.dec(block, 0, len(block))
    return bytes(cramjam.zstd.decompress(block[at:]))[:size]


def _lz4(block: bytes, message: int | None) -> bytes:
    """u32 count; of each piece its size and its stored size as u32; then the pieces, each of which may refer to those before."""
    count, at = U32.dec(block, 0, len(block))
    sizes = []
    for _ in range(count):
        size, at = U32.dec(block, at, len(block))
        stored, at = U32.dec(block, at, len(block))
        sizes.append((size, stored))
    out = bytearray()
    for size, stored in sizes:
        out += lz4.block.decompress(block[at:at + stored], uncompressed_size=size, dict=bytes(out[-_LZ4_WINDOW:]))
        at += stored
    return bytes(out)


_OPENERS: dict[str, Callable[[bytes, int | None], bytes]] = {"zlib": _zlib, "snappy": _snappy, "zstd": _zstd, "lz4": _lz4}


def decompress(info: CompressionInfo, block: bytes, size: int) -> bytes:
    """A stored block's ``size`` bytes of data. DamagedBlock; S3Error NotImplemented for a compressor that is not known."""
    opener = _OPENERS.get(info.compression_type)
    if opener is None:
        raise S3Error("NotImplemented", f"objects compressed with {info.compression_type} cannot be read by this gateway")
    try:
        data = opener(block, info.compressor_message)
    except Exception as error:  # each library has exceptions of its own
        raise DamagedBlock(f"a block of {len(block)} bytes is no {info.compression_type}: {error}") from error
    if len(data) != size:
        raise DamagedBlock(f"a block of {len(block)} bytes gave {len(data)} bytes, not {size}")
    return data


def blocks_of(info: CompressionInfo, offset: int, end: int) -> list[tuple[CompressionBlock, int]]:
    """The blocks that hold the data ``[offset, end)``, each with the size of its data."""
    ends = [block.old_ofs for block in info.blocks[1:]] + [info.orig_size]
    return [(block, stop - block.old_ofs) for block, stop in zip(info.blocks, ends, strict=True) if block.old_ofs < end and stop > offset]


def original_parts(info: CompressionInfo, parts: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(number, offset, size) of an object's parts as clients know them, from those of the stored bytes."""
    starts = {block.new_ofs: block.old_ofs for block in info.blocks}
    begins = [starts.get(offset, info.orig_size) for _, offset, _ in parts] + [info.orig_size]
    return [(number, begins[i], begins[i + 1] - begins[i]) for i, (number, _, _) in enumerate(parts)]


def joined(parts: Iterable[CompressionInfo], stored: Iterable[int]) -> CompressionInfo | None:
    """What an object of these parts is compressed like; ``stored`` are their stored sizes. None if none is compressed.

    S3Error InvalidPart if only some of them are, or by different compressors: one object cannot say so (radosgw refuses it too).
    """
    found, sizes = list(parts), list(stored)
    kinds = {"none" if info.compression_type in NONE else info.compression_type for info in found}
    if kinds <= {"none"}:
        return None
    if len(kinds) > 1:
        raise S3Error("InvalidPart", "The parts are stored in different compressions: upload them through one gateway.")
    blocks: list[CompressionBlock] = []
    original = place = 0
    for info, size in zip(found, sizes, strict=True):
        blocks += [CompressionBlock(old_ofs=block.old_ofs + original, new_ofs=block.new_ofs + place, len=block.len) for block in info.blocks]
        original, place = original + info.orig_size, place + size
    return CompressionInfo(compression_type=kinds.pop(), orig_size=original, compressor_message=found[0].compressor_message, blocks=blocks)
