"""S3's checksums: MD5, CRC32, CRC32C, CRC64NVME, SHA1, SHA256; of bytes as they pass, of parts, and as headers name them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from awscrt import checksums as crt
from isal import isal_zlib

from rgw.errors import S3Error

PREFIX = "x-amz-checksum-"
# algorithm: bytes of its digest
LENGTHS = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32, "md5": 16}
ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
COMPOSITE, FULL_OBJECT = "COMPOSITE", "FULL_OBJECT"
_TRAILERS = {PREFIX + name for name in ALGORITHMS}
_NO_VALUES = {PREFIX + name for name in ("algorithm", "mode", "type")}

_CRCS: dict[str, Callable[[bytes, int], int]] = {"crc32": isal_zlib.crc32, "crc32c": crt.crc32c, "crc64nvme": crt.crc64nvme}
# The polynomials, bit-reversed, for combine().
_POLYNOMIALS = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78, "crc64nvme": 0x9A6C9329AC4BC9B5}


class Checksum:
    """A running checksum. ``algorithm``: one of LENGTHS, in lower case."""

    __slots__ = ("algorithm", "_crc", "_hash", "_function")

    def __init__(self, algorithm: str) -> None:
        if algorithm not in LENGTHS:
            raise S3Error("InvalidRequest", "The checksum algorithm is not supported.")
        self.algorithm = algorithm
        self._crc = 0
        self._function = _CRCS.get(algorithm)
        self._hash = None if self._function else hashlib.new(algorithm, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        if self._function is not None:
            self._crc = self._function(data, self._crc)
        elif self._hash is not None:
            self._hash.update(data)

    def digest(self) -> bytes:
        if self._hash is not None:
            return self._hash.digest()
        return self._crc.to_bytes(LENGTHS[self.algorithm], "big")

    def base64(self) -> str:
        return base64.b64encode(self.digest()).decode()


def _multiply(a: int, b: int, polynomial: int, bits: int) -> int:
    """a times b modulo the polynomial over GF(2), bit-reversed (the highest bit is x^0)."""
    product, mask = 0, 1 << (bits - 1)
    while mask:
        if a & mask:
            product ^= b
        mask >>= 1
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
    return product


def combine(algorithm: str, first: bytes, second: bytes, second_length: int) -> bytes:
    """The CRC of two pieces of data one after the other, from their CRCs and the second's length in bytes."""
    polynomial = _POLYNOMIALS.get(algorithm)
    if polynomial is None:
        raise S3Error("InvalidRequest", f"{algorithm.upper()} has no full-object checksum of a multipart upload.")
    size = LENGTHS[algorithm]
    bits = size * 8
    power, square, exponent = 1 << (bits - 1), 1 << (bits - 2), second_length * 8
    while exponent:  # power becomes x^(8 * second_length), by squaring
        if exponent & 1:
            power = _multiply(power, square, polynomial, bits)
        square = _multiply(square, square, polynomial, bits)
        exponent >>= 1
    shifted = _multiply(power, int.from_bytes(first, "big"), polynomial, bits)
    return (shifted ^ int.from_bytes(second, "big")).to_bytes(size, "big")


_COMBINE: dict[str, Callable[[int, int, int], int] | None] = {
    name: getattr(crt, f"combine_{name}", None) for name in _POLYNOMIALS
}


def full_object(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """Base64 of a multipart object's full-object CRC; ``parts``: (base64 CRC, bytes) in order."""
    if algorithm not in _POLYNOMIALS:
        raise S3Error("InvalidRequest", f"{algorithm.upper()} has no full-object checksum of a multipart upload.")
    size = LENGTHS[algorithm]
    fast = _COMBINE[algorithm]
    total = bytes(size)
    for text, length in parts:
        digest = decode_value(algorithm, text)
        if fast is not None:  # the C function; older awscrt lack it
            total = fast(int.from_bytes(total, "big"), int.from_bytes(digest, "big"), length).to_bytes(size, "big")
        else:
            total = combine(algorithm, total, digest, length)
    return base64.b64encode(total).decode()


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """Base64 checksum of the parts' checksums, with "-N"."""
    running, count = Checksum(algorithm), 0
    for text in parts:
        running.update(decode_value(algorithm, text))
        count += 1
    return f"{running.base64()}-{count}"


def decode_value(algorithm: str, text: str) -> bytes:
    """The digest in a header or trailer; InvalidRequest if it is not one."""
    try:
        digest = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        digest = b""
    if len(digest) != LENGTHS[algorithm]:
        raise S3Error("InvalidRequest", f"Value for {PREFIX}{algorithm} header is invalid.")
    return digest


def content_md5(headers: Mapping[str, str]) -> bytes | None:
    """Content-MD5's 16 bytes; InvalidDigest if it is not that."""
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an upload's headers promise: ``algorithm`` in lower case, the base64 ``value``, or None if it comes as trailer
    (``trailer`` true) or is only to be computed."""

    algorithm: str
    value: str | None = None
    trailer: bool = False


def algorithm_name(text: str) -> str:
    """An algorithm's lower-case name from x-amz-checksum-algorithm or x-amz-sdk-checksum-algorithm; InvalidRequest if unknown."""
    name = text.strip().lower()
    if name not in ALGORITHMS:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
                      "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
    return name


def expected(headers: Mapping[str, str]) -> Expectation | None:
    """The checksum that an upload's headers name, if any. InvalidRequest: more than one, one that contradicts the algorithm named, or one
    that is not known, since the client would take it for verified."""
    named = headers.get("x-amz-sdk-checksum-algorithm") or headers.get("x-amz-checksum-algorithm") or ""
    named = algorithm_name(named) if named.strip() else ""
    values = [(name[len(PREFIX):], value.strip()) for name, value in headers.items() if name.startswith(PREFIX) and name not in _NO_VALUES]
    trailing = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
    if any(name not in _TRAILERS for name in trailing):
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    trailing = [name.removeprefix(PREFIX) for name in trailing]
    if any(name not in ALGORITHMS for name, _ in values):
        raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
    if len(values) + len(trailing) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    if values:
        found = Expectation(values[0][0], values[0][1])
        decode_value(found.algorithm, values[0][1])
    elif trailing:
        found = Expectation(trailing[0], trailer=True)
    elif named:
        found = Expectation(named)
    else:
        return None
    if named and named != found.algorithm:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    return found


def checksum_type(headers: Mapping[str, str], algorithm: str) -> str:
    """COMPOSITE or FULL_OBJECT for a multipart upload: x-amz-checksum-type, or the algorithm's default. InvalidRequest if unfit."""
    text = headers.get("x-amz-checksum-type", "").strip().upper()
    if not text:
        return FULL_OBJECT if algorithm == "crc64nvme" else COMPOSITE
    if text not in (COMPOSITE, FULL_OBJECT):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if (text == COMPOSITE and algorithm == "crc64nvme") or (text == FULL_OBJECT and algorithm in ("sha1", "sha256")):
        raise S3Error("InvalidRequest", f"The {text} checksum type cannot be used with the {algorithm} checksum algorithm.")
    return text


def verify(running: Checksum, value: str) -> None:
    """BadDigest unless ``running`` ended at the base64 ``value``, InvalidRequest if that is none."""
    if running.digest() != decode_value(running.algorithm, value):
        raise S3Error("BadDigest", f"The {running.algorithm.upper()} you specified did not match the calculated checksum.")
