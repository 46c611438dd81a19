"""Signature Version 4: canonical request, string to sign, keys. Pure functions of data, so that AWS's vectors run on them as they are.

Source: the S3 API reference, "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

from .request import octets
from .secret import Secret

ALGORITHM = "AWS4-HMAC-SHA256"
_RUN = re.compile(r"[ \t]+")
# What is canonical already: unreserved characters, and escapes of all others in upper case.
_PIECE = r"(?:[A-Za-z0-9._~-]++|%(?:[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[BCDF]))*+"
_CANONICAL = re.compile(_PIECE)
_CACHED_KEYS = 4096
_SHA256 = sha256()  # of nothing: OpenSSL 3 copies a sum in a fraction of the time in which it begins one


def canonical_piece(text: str) -> str:
    """A query name or value, percent-encoded as the specification has it, however the client encoded it."""
    if _CANONICAL.fullmatch(text):
        return text
    return quote(unquote_to_bytes(octets(text.replace("+", " "))), safe="-_.~")


def sorted_query(raw_query: str, without: str = "") -> str:
    """The parameters sorted, encoded as they came: the canonical query of nearly all clients. The parameter ``without`` is left out."""
    if not raw_query:
        return ""
    pieces = sorted([piece.partition("=") for piece in raw_query.split("&") if piece])
    return "&".join([f"{name}={value}" for name, _, value in pieces if name != without])


def canonical_query(raw_query: str, without: str = "") -> str:
    """The sorted query, encoded as the specification has it; the parameter named ``without`` is left out."""
    pairs = [piece.partition("=")[::2] for piece in raw_query.split("&") if piece]
    encoded = sorted((canonical_piece(name), canonical_piece(value)) for name, value in pairs)
    return "&".join([f"{name}={value}" for name, value in encoded if name != without])


def reencoded_path(raw_path: str) -> str:
    """The path as a client that encodes everything but ``/`` and the unreserved characters would have signed it."""
    return quote(unquote_to_bytes(octets(raw_path)), safe="/-_.~") or "/"


def header_value(value: str) -> str:
    if "  " in value or "\t" in value:
        value = _RUN.sub(" ", value)
    return value.strip(" ")


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], signed_headers: Iterable[str], payload_hash: str,
) -> str:
    """``path`` and ``query`` already canonical; a signed header that is absent counts as empty."""
    lines = "".join([f"{name}:{header_value(headers.get(name, ''))}\n" for name in signed_headers])
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(signed_headers)}\n{payload_hash}"


def _sha256_hex(data: bytes) -> str:
    sum_ = _SHA256.copy()
    sum_.update(data)
    return sum_.hexdigest()


def string_to_sign(timestamp: str, scope: str, canonical: str) -> str:
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{_sha256_hex(octets(canonical))}"


def derive_key(secret: bytes, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, octets(part), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    return hmac.digest(key, octets(text), "sha256").hex()


class SigningKey:
    """A derived key that signs often: HMAC-SHA256 (RFC 2104) whose blocks of the key are hashed already. OpenSSL 3 sets up an HMAC
    for longer than it then computes. ``derived_from`` is the secret."""

    __slots__ = ("derived_from", "secret", "_inner", "_outer")

    def __init__(self, derived_from: bytes, key: bytes) -> None:
        self.derived_from = derived_from
        self.secret = Secret(key)
        block = key.ljust(64, b"\0")
        self._inner, self._outer = (sha256(bytes([byte ^ pad for byte in block])) for pad in (0x36, 0x5C))

    def sign(self, text: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(octets(text))
        outer.update(inner.digest())
        return outer.hexdigest()


class KeyCache:
    """Derived signing keys, most recently used. One whose user has another secret by now is derived anew. For the event loop's thread alone."""

    def __init__(self, size: int = _CACHED_KEYS) -> None:
        self._size = size
        self._keys: OrderedDict[tuple[str, str, str, str], SigningKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, access_key: str, secret: bytes, date: str, region: str, service: str) -> SigningKey:
        slot = (access_key, date, region, service)
        key = self._keys.get(slot)
        if key is None or key.derived_from != secret:
            key = self._keys[slot] = SigningKey(secret, derive_key(secret, date, region, service))
            if len(self._keys) > self._size:
                self._keys.popitem(last=False)
        self._keys.move_to_end(slot)
        return key


KEYS = KeyCache()
