"""What an object class sees of the object it works on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class ObjectContext(Protocol):
    """One object inside a compound operation. What is written is seen by later reads of the same operation, and becomes
    durable when the whole operation succeeds; any exception undoes all of it. Times are nanoseconds since the epoch.
    """

    @property
    def exists(self) -> bool: ...

    @property
    def size(self) -> int: ...

    @property
    def mtime(self) -> int: ...

    @property
    def version(self) -> int:
        """In a write: the version the object will have if this operation changes it. In a read: the one it has."""
        ...

    def now(self) -> int:
        """The store's clock, the same during the whole operation."""
        ...

    def create(self) -> None:
        """Makes sure that the object exists."""
        ...

    def remove(self) -> None:
        """Removes the object with everything in it; NotFound if there is none."""
        ...

    def get_xattr(self, name: str) -> bytes | None: ...

    def set_xattr(self, name: str, value: bytes) -> None: ...

    def rm_xattr(self, name: str) -> None:
        """No error if it is not set."""
        ...

    def xattrs(self) -> dict[str, bytes]: ...

    def omap_get(self, key: bytes) -> bytes | None: ...

    def omap_set(self, key: bytes, value: bytes) -> None: ...

    def omap_rm(self, key: bytes) -> None:
        """No error if the key is not there."""
        ...

    def omap_iter(self, start_after: bytes = b"", prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Entries in byte order of their keys: after ``start_after``, or from ``start`` on where it is given; with ``prefix`` only."""
        ...

    def omap_page(self, start_after: bytes, prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """The first ``count`` of these entries."""
        ...

    def omap_header(self) -> bytes: ...

    def set_omap_header(self, data: bytes) -> None: ...

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes come back where the object ends; length 0 reads to the end."""
        ...

    def write(self, offset: int, data: bytes) -> None: ...

    def write_full(self, data: bytes) -> None: ...

    def truncate(self, size: int) -> None: ...
