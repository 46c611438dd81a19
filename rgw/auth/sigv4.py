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

ALGORITHM = "AWS4-HMAC-SHA256"
_RUN = re.compile(r"[ \t]+")
# What is canonical already: unreserved characters, and escapes of all others in upper case.
_PIECE = r"(?:[A-Za-z0-9._~-]++|%(?:[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[BCDF]))*+"
_CANONICAL = re.compile(_PIECE)
_IN_QUERY = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-=&"
_ESCAPES = frozenset(f"{byte:02X}" for byte in range(256) if not re.fullmatch(rb"[A-Za-z0-9._~-]", bytes([byte])))
_CACHED_KEYS = 4096


def canonical_piece(text: str) -> str:
    """A query name or value, percent-encoded as the specification has it, however the client encoded it."""
    if _CANONICAL.fullmatch(text):
        return text
    return quote(unquote_to_bytes(octets(text.replace("+", " "))), safe="-_.~")


def canonical_query(raw_query: str, without: str = "") -> str:
    """The sorted query; the parameter named ``without`` is left out."""
    if not raw_query:
        return ""
    pairs: list[tuple[str, str]] = [piece.partition("=")[::2] for piece in raw_query.split("&") if piece]
    if not _is_canonical(raw_query, pairs):
        pairs = [(canonical_piece(name), canonical_piece(value)) for name, value in pairs]
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs if name != without])


def _is_canonical(query: str, pairs: list[tuple[str, str]]) -> bool:
    """Whether the parameters are encoded as the specification has it, as those of nearly all clients are: quicker than a pattern."""
    rest = octets(query).translate(None, _IN_QUERY)
    if rest.count(b"%") != len(rest) or any(["=" in value for _, value in pairs]):
        return False
    return not rest or all([piece[:2] in _ESCAPES for piece in query.split("%")[1:]])


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


def string_to_sign(timestamp: str, scope: str, canonical: str) -> str:
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256(octets(canonical)).hexdigest()}"


def derive_key(secret: bytes, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, octets(part), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    return hmac.digest(key, octets(text), "sha256").hex()


class KeyCache:
    """Derived signing keys, most recently used. The secret enters the lookup only as its hash, so a changed secret misses.
    For the event loop's thread alone."""

    def __init__(self, size: int = _CACHED_KEYS) -> None:
        self._size = size
        self._keys: OrderedDict[tuple[str, str, str, str, bytes], bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, access_key: str, secret: bytes, date: str, region: str, service: str) -> bytes:
        slot = (access_key, date, region, service, sha256(secret).digest())
        key = self._keys.get(slot)
        if key is not None:
            self._keys.move_to_end(slot)
            return key
        key = self._keys[slot] = derive_key(secret, date, region, service)
        if len(self._keys) > self._size:
            self._keys.popitem(last=False)
        return key


KEYS = KeyCache()
