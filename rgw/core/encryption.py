"""Objects encrypted with keys that clients provide (SSE-C), in radosgw's format: AES-256-CBC in chunks, each of which stands alone.

A chunk of 4,096 bytes begins with an IV of its own: a constant, to which the number of 16-byte blocks before the chunk is added as a 128-bit
big-endian number. The last bytes of a stream, if they fill no block, are XORed with the encryption of the block of ciphertext before
them, or of the chunk's IV where the chunk has none. Sizes stay. A plain object is one stream; of a multipart object each part is one,
as the manifest tells the parts. Source: rgw_crypt.cc of Ceph Pacific; tests/core/test_encryption.py has bytes of a real radosgw.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from rgw.core.manifest import part_ranges
from rgw.errors import S3Error
from rgw.formats.obj import ObjManifest

CRYPT_PREFIX = "user.rgw.crypt."
MODE = CRYPT_PREFIX + "mode"
KEY_MD5 = CRYPT_PREFIX + "keymd5"
CUSTOMER = b"SSE-C-AES256"  # the mode of customers' keys
CHUNK, KEY_SIZE = 4096, 32
_BLOCK = 16
_FIRST_IV = int.from_bytes(b"aes256iv_ctr1337", "big")
_OFF_LOOP = 64 * 1024  # more bytes than this at once go to a thread


class CustomerKey:
    """A client's key: its 32 bytes encrypt and decrypt, and are never printed. ``md5``: by which objects know it."""

    __slots__ = ("_algorithm", "md5")

    def __init__(self, key: bytes) -> None:
        """ValueError unless there are 32 bytes."""
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes")
        self._algorithm = algorithms.AES(key)
        self.md5 = hashlib.md5(key, usedforsecurity=False).digest()

    def __repr__(self) -> str:
        return "CustomerKey(...)"

    def encrypt(self, data: bytes, offset: int) -> bytes:
        """Bytes at ``offset`` of a stream, a whole number of chunks; their number too must be one, unless the stream ends with them."""
        whole = len(data) - len(data) % _BLOCK
        source, out = memoryview(data), memoryview(bytearray(whole + _BLOCK))  # what a chunk goes into must be larger than the chunk
        for start in range(0, whole, CHUNK):  # one call for all is not to be had: each block depends on the one before
            stop = min(start + CHUNK, whole)
            self._cbc(offset + start).encryptor().update_into(source[start:stop], out[start:stop + _BLOCK])
        return b"".join((out[:whole], self._end(data[whole:], bytes(out[max(whole - _BLOCK, 0):whole]), offset + whole)))

    def decrypt(self, data: bytes, offset: int) -> bytes:
        """The reverse of ``encrypt``, with the same demands."""
        whole = len(data) - len(data) % _BLOCK
        # All in one call, as if the chunks were chained; then the first block of each is set right, which costs half of a call for each.
        out = memoryview(bytearray(whole + _BLOCK))
        self._cbc(offset).decryptor().update_into(memoryview(data)[:whole], out)
        for start in range(CHUNK, whole, CHUNK):
            chained = int.from_bytes(out[start:start + _BLOCK], "big") ^ int.from_bytes(data[start - _BLOCK:start], "big")
            out[start:start + _BLOCK] = (chained ^ _iv(offset + start)).to_bytes(_BLOCK, "big")
        return b"".join((out[:whole], self._end(data[whole:], data[max(whole - _BLOCK, 0):whole], offset + whole)))

    def _cbc(self, offset: int) -> Cipher[modes.CBC]:
        return Cipher(self._algorithm, modes.CBC(_iv(offset).to_bytes(_BLOCK, "big")))

    def _end(self, rest: bytes, before: bytes, offset: int) -> bytes:
        """The bytes at ``offset`` that fill no block, de- or encrypted; ``before``: the block of ciphertext before them, if there is one."""
        if not rest:
            return b""
        pad = Cipher(self._algorithm, modes.ECB()).encryptor().update(before if offset % CHUNK else _iv(offset).to_bytes(_BLOCK, "big"))
        return bytes(a ^ b for a, b in zip(rest, pad, strict=False))


def _iv(offset: int) -> int:
    return (_FIRST_IV + offset // _BLOCK) % (1 << 128)


async def off_loop(transform: Callable[[bytes, int], bytes], data: bytes, offset: int) -> bytes:
    """``transform(data, offset)``, in a thread where there is much to do."""
    if len(data) <= _OFF_LOOP:
        return transform(data, offset)
    return await asyncio.to_thread(transform, data, offset)


def attributes(key: CustomerKey | None) -> dict[str, bytes]:
    """The xattrs of what is encrypted with the key; none without."""
    return {} if key is None else {MODE: CUSTOMER, KEY_MD5: key.md5}


def is_encrypted(attrs: dict[str, bytes]) -> bool:
    """Whether the bytes of the object or upload with these xattrs are stored encrypted, in whatever mode."""
    return CRYPT_PREFIX in "\0".join(attrs) and any(name.startswith(CRYPT_PREFIX) for name in attrs)  # the first question is the quick one


def require_stripes(sizes: list[int]) -> None:
    """S3Error NotImplemented unless stripes of these sizes are whole chunks: each stripe is encrypted by itself."""
    if any(size % CHUNK for size in sizes):
        raise S3Error("NotImplemented", f"Encryption needs rgw_max_chunk_size and rgw_obj_stripe_size to be multiples of {CHUNK}.")


def require_customer_mode(attrs: dict[str, bytes]) -> None:
    """S3Error NotImplemented for what is encrypted otherwise than with a customer's key, or by a release that notes more of it."""
    found = {name for name in attrs if name.startswith(CRYPT_PREFIX)}
    if found and (attrs.get(MODE) != CUSTOMER or found != {MODE, KEY_MD5}):
        mode = attrs.get(MODE, b"an unknown mode").decode("utf-8", "replace")
        raise S3Error("NotImplemented", f"What is stored encrypted ({mode}) can neither be read nor added to by this gateway.")


def require_key(attrs: dict[str, bytes], key: CustomerKey | None) -> None:
    """That ``key`` is the one by which the object or upload with these xattrs is encrypted; nothing is asked of what is not.

    S3Error InvalidArgument, as radosgw, without a key or with another one; NotImplemented for other modes.
    """
    require_customer_mode(attrs)
    if not is_encrypted(attrs):
        return
    if key is None:
        raise S3Error("InvalidArgument", "This is encrypted with a key that the client keeps: the request must provide it.")
    if not hmac.compare_digest(key.md5, attrs.get(KEY_MD5, b"")):
        raise S3Error("InvalidArgument", "The key provided is not the one by which this is encrypted.")


def streams(manifest: ObjManifest | None, size: int) -> list[tuple[int, int]]:
    """(start, end) of the streams that an object of ``size`` bytes was encrypted in. S3Error NotImplemented where the manifest cannot tell."""
    if manifest is not None and manifest.explicit_objs:
        raise S3Error("NotImplemented", "Encrypted objects whose manifest lists its pieces cannot be read by this gateway.")
    parts = part_ranges(manifest)
    return [(0, size)] if parts is None else [(start, start + length) for _, start, length in parts]
