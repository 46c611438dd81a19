"""A store's folder: the mark that tells it from others, and the instances that use it. Blocking."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from rgw.store.errors import InvalidArgument, NotFound

log = logging.getLogger(__name__)

MARK = "rgw-store.json"
FORMAT = "pyrgw embedded store"
VERSION = 1


def claim(folder: Path, create: bool) -> str:
    """Checks that ``folder`` is a store, makes it one if it is new or empty, and returns the store's fsid.

    NotFound if there is none and ``create`` is false; InvalidArgument if the folder holds other things or a newer format.
    """
    mark = folder / MARK
    if not mark.exists():
        others = [n for n in os.listdir(folder) if n not in ("rgw.conf", "lost+found") and not n.startswith(".rgw-store")] \
            if folder.exists() else []
        if others and not mark.exists():
            raise InvalidArgument(f"{folder} is not an rgw store, and holds other things ({others[0]}, ...): give an empty or new folder")
        if not create:
            raise NotFound(f"no rgw store in {folder}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # users' secret keys will lie in it
        draft = folder / f".rgw-store-{uuid.uuid4()}"
        with open(draft, "w", encoding="utf-8") as out:
            json.dump({"format": FORMAT, "version": VERSION, "fsid": str(uuid.uuid4())}, out)
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, mark)
        except FileExistsError:
            log.info("another process has just made the store in %s", folder)
        finally:
            os.unlink(draft)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        known = content["format"] == FORMAT
        version, fsid = int(content["version"]), str(content["fsid"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(f"{mark} is damaged: {error}") from error
    if not known or version > VERSION:
        raise InvalidArgument(f"{folder} is a store of format {content['format']!r} {version}; "
                              f"this program knows {FORMAT!r} up to {VERSION}")
    return fsid


class InstanceLock:
    """A file that is locked as long as its instance lives; the kernel lets go of it however the process ends."""

    def __init__(self, folder: Path, instance_id: int) -> None:
        folder.mkdir(exist_ok=True)
        self._path = folder / str(instance_id)
        draft = folder / f".{instance_id}"
        self._fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.rename(draft, self._path)  # seen by others only when it is locked

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def dead_instances(folder: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """Instances that ended without closing, each with the call that strikes it off; no other process looks after it meanwhile."""
    for name in os.listdir(folder):
        if not name.isdigit():
            continue
        path = folder / name
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # it lives
        else:
            yield int(name), lambda path=path: path.unlink(missing_ok=True)  # type: ignore[misc]
        finally:
            os.close(fd)
