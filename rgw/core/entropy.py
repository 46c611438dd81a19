"""The system's random bytes, taken from it in blocks: each request needs a few, and each call of the system lets another thread in."""

from __future__ import annotations

import os
import string
import threading

_BLOCK = 4096
_ALNUM = (string.ascii_letters + string.digits).encode()
_LETTER = bytes(_ALNUM[byte % len(_ALNUM)] for byte in range(256))
_UNFAIR = bytes(range(256 // len(_ALNUM) * len(_ALNUM), 256))  # would make some letters likelier than others


class _Source:
    """Hands out each byte once."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bytes:
        with self._lock:
            if self._at + count > len(self._block):
                self._block, self._at = os.urandom(max(_BLOCK, count)), 0
            self._at += count
            return self._block[self._at - count:self._at]


random_bytes = _Source().take


def random_text(length: int) -> str:
    """Random letters and digits, fit for prefixes and upload ids."""
    text = b""
    while len(text) < length:  # one draw mostly
        text += random_bytes(length + 8).translate(_LETTER, _UNFAIR)
    return text[:length].decode()
