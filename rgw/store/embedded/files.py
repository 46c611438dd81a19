"""Data files: large writes, each a file of its own that never changes once it is referenced.

A file's name is its id in hexadecimal: the instance that wrote it (32 bits) and a counter (32 bits). It is on the disk, its
folder too, before the transaction that refers to it commits. Blocking: for threads.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rgw.store.embedded.layout import Extent
from rgw.store.errors import NoSpace, Unavailable


class DataFiles:
    def __init__(self, folder: Path, instance_id: int) -> None:
        self._folder = folder
        self._instance = instance_id
        self._counter = itertools.count(1)
        self._synced: set[Path] = set()
        folder.mkdir(exist_ok=True)

    def path(self, file_id: int) -> Path:
        name = f"{file_id:016x}"
        return self._folder / f"{(file_id >> 10) & 0xff:02x}" / name

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Writes a new file, durably, and returns its id. NoSpace if the disk is full."""
        file_id = (self._instance & 0xffffffff) << 32 | next(self._counter)
        path = self.path(file_id)
        try:
            if path.parent not in self._synced:
                path.parent.mkdir(exist_ok=True)
                _sync_folder(self._folder)
                self._synced.add(path.parent)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                view = memoryview(data).cast("B")
                while view:
                    view = view[os.write(fd, view):]
                os.fsync(fd)
            finally:
                os.close(fd)
            _sync_folder(path.parent)
        except OSError as error:
            self.unlink(file_id)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(str(error)) from error
            raise Unavailable(f"cannot write a data file: {error}") from error
        return file_id

    def join(self, pieces: Iterable[bytes | Extent]) -> bytes:
        """The bytes of all pieces, those in files read from there; FileNotFoundError if one was freed meanwhile."""
        parts: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, bytes):
                parts.append(piece)
                continue
            fd = os.open(self.path(piece.source), os.O_RDONLY | os.O_CLOEXEC)
            try:
                parts.append(_read_at(fd, piece.length, piece.source_offset))
            finally:
                os.close(fd)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def unlink(self, file_id: int) -> None:
        try:
            os.unlink(self.path(file_id))
        except FileNotFoundError:
            pass  # whoever crashed or shares the folder was here first

    def of_instance(self, instance_id: int) -> Iterator[int]:
        """The ids of all files that an instance wrote."""
        start = f"{instance_id & 0xffffffff:08x}"
        for folder in os.scandir(self._folder):
            for entry in os.scandir(folder.path):
                if entry.name.startswith(start):
                    yield int(entry.name, 16)


def _read_at(fd: int, length: int, offset: int) -> bytes:
    data = os.pread(fd, length, offset)
    if len(data) == length:
        return data
    parts = [data]
    missing = length - len(data)
    while missing:  # a signal, or more than the kernel reads at once
        data = os.pread(fd, missing, offset + length - missing)
        if not data:
            raise Unavailable("a data file is shorter than its object")
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
