"""An ObjectContext over dicts, and a runner of class calls that undoes failed ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rgw.store.classcall import ClassCall
from rgw.store.errors import NoData, NotFound


class MemoryObject:
    """One object; ``clock`` is its store's time."""

    def __init__(self) -> None:
        self.exists = False
        self.mtime = 0
        self.version = 1
        self.clock = 1_700_000_000_000_000_000
        self._clear()

    def _clear(self) -> None:
        self.data = b""
        self._xattrs: dict[str, bytes] = {}
        self.omap: dict[bytes, bytes] = {}
        self._header = b""

    @property
    def size(self) -> int:
        return len(self.data)

    def now(self) -> int:
        return self.clock

    def create(self) -> None:
        self.exists = True

    def remove(self) -> None:
        if not self.exists:
            raise NotFound("no such object")
        self.exists = False
        self._clear()

    def get_xattr(self, name: str) -> bytes | None:
        return self._xattrs.get(name)

    def set_xattr(self, name: str, value: bytes) -> None:
        self.exists = True
        self._xattrs[name] = value

    def rm_xattr(self, name: str) -> None:
        if name not in self._xattrs:
            raise NoData(name)
        del self._xattrs[name]

    def xattrs(self) -> dict[str, bytes]:
        return dict(self._xattrs)

    def omap_get(self, key: bytes) -> bytes | None:
        return self.omap.get(key)

    def omap_set(self, key: bytes, value: bytes) -> None:
        self.exists = True
        self.omap[key] = value

    def omap_rm(self, key: bytes) -> None:
        self.omap.pop(key, None)

    def omap_iter(self, start_after: bytes = b"", prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.omap):
            if (key >= start if start is not None else key > start_after) and key.startswith(prefix):
                yield key, self.omap[key]

    def omap_page(self, start_after: bytes, prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
        return list(islice(self.omap_iter(start_after, prefix), count))

    def omap_header(self) -> bytes:
        return self._header

    def set_omap_header(self, data: bytes) -> None:
        self.exists = True
        self._header = data

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset:offset + length] if length else self.data[offset:]

    def write(self, offset: int, data: bytes) -> None:
        self.exists = True
        self.data = self.data[:offset].ljust(offset, b"\0") + data + self.data[offset + len(data):]

    def write_full(self, data: bytes) -> None:
        self.exists = True
        self.data = data

    def truncate(self, size: int) -> None:
        self.data = self.data[:size].ljust(size, b"\0")

    def call(self, call: ClassCall) -> Any:
        """Runs the call through its encoding, as a store would; a failed one leaves no trace."""
        from rgw.store.embedded.classes import REGISTRY

        before = copy.deepcopy(self.__dict__)
        method = call.method
        request = None if method.request is None else method.request.decode(call.encode())
        try:
            reply = REGISTRY[method.cls, method.name](self, request)
        except Exception:
            self.__dict__ = before
            raise
        self.version += 1
        return None if reply is None else method.reply.decode(reply.encode())
