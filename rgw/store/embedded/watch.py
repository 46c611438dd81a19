"""Watch and notify between the processes that share a store.

Each instance with a watch listens at a socket in ``DIR/watch``. A notification goes to every one of them, and is acknowledged when
the callbacks there have run. A socket that nobody listens at belonged to a process that died, and is removed.
Message: length (4, little endian), key length (1), the object's key, payload. Answer: one byte.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

from rgw.store.errors import TimedOut
from rgw.store.interface import Watch

log = logging.getLogger(__name__)

_HEAD = struct.Struct("<IB")
_CHECK_SECONDS = 2.0
_PATH_MAX = 100  # of a socket's address


class EmbeddedWatch(Watch):
    def __init__(self, hub: WatchHub, key: bytes, incarnation: int, on_notify: Callable[[bytes], None],
                 on_lost: Callable[[], None]) -> None:
        self._hub = hub
        self.key = key
        self.incarnation = incarnation  # the object's id: a new object under the same name is not watched
        self.on_notify = on_notify
        self.on_lost = on_lost

    async def close(self) -> None:
        self._hub.drop(self)


class WatchHub:
    """The watches of one instance. ``incarnation_of`` tells the id of the object at a key, None if there is none."""

    def __init__(self, folder: Path, instance_id: int, incarnation_of: Callable[[bytes], int | None]) -> None:
        self._folder = Path(os.path.abspath(folder))
        self._name = f"{instance_id}.sock"
        self._incarnation_of = incarnation_of
        self._watches: dict[bytes, list[EmbeddedWatch]] = {}
        self._server: asyncio.AbstractServer | None = None
        self._starting = asyncio.Lock()
        self._checker: asyncio.Task[None] | None = None
        self._peers: set[asyncio.StreamWriter] = set()
        folder.mkdir(exist_ok=True)
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _address(self, name: str) -> str:
        path = str(self._folder / name)
        return path if len(os.fsencode(path)) < _PATH_MAX else f"/proc/self/fd/{self._folder_fd}/{name}"

    async def add(self, watch: EmbeddedWatch) -> None:
        async with self._starting:
            if self._server is None:
                self._server = await asyncio.start_unix_server(self._serve, self._address(self._name))
                self._checker = asyncio.create_task(self._check())
        self._watches.setdefault(watch.key, []).append(watch)

    def drop(self, watch: EmbeddedWatch) -> None:
        watches = self._watches.get(watch.key, [])
        if watch in watches:
            watches.remove(watch)
            if not watches:
                del self._watches[watch.key]

    def _deliver(self, key: bytes, payload: bytes) -> None:
        for watch in list(self._watches.get(key, ())):
            try:
                watch.on_notify(payload)
            except Exception:
                log.exception("a watch's callback failed")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers.add(writer)
        try:
            length, key_length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
            message = await reader.readexactly(length)
            self._deliver(message[:key_length], message[key_length:])
            writer.write(b"\x01")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            log.info("a notifier went away in mid-message")
        finally:
            self._peers.discard(writer)
            writer.close()

    async def notify(self, key: bytes, payload: bytes, timeout: float) -> None:
        """TimedOut if a living process did not answer within ``timeout`` seconds."""
        self._deliver(key, payload)
        names = [n for n in await asyncio.to_thread(os.listdir, self._folder) if n.endswith(".sock") and n != self._name]
        if not names:
            return
        message = _HEAD.pack(len(key) + len(payload), len(key)) + key + payload
        answered = await asyncio.gather(*(self._tell(name, message, timeout) for name in names))
        if not all(answered):
            raise TimedOut("some watchers did not answer")

    async def _tell(self, name: str, message: bytes, timeout: float) -> bool:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_unix_connection(self._address(name))
                writer.write(message)
                await reader.readexactly(1)
            return True
        except TimeoutError:
            return False
        except ConnectionRefusedError:
            await asyncio.to_thread((self._folder / name).unlink, True)
            return True  # it is dead, and watches nothing
        except (asyncio.IncompleteReadError, ConnectionError, FileNotFoundError):
            return True  # it ended meanwhile
        finally:
            if writer is not None:
                writer.close()

    async def _check(self) -> None:
        """Tells watches that their object was removed, by whichever process."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for watches in list(self._watches.values()):
                incarnation = self._incarnation_of(watches[0].key)
                for watch in list(watches):
                    if watch.incarnation != incarnation:
                        self.drop(watch)
                        try:
                            watch.on_lost()
                        except Exception:
                            log.exception("a watch's callback failed")

    async def close(self) -> None:
        self._watches.clear()
        if self._checker is not None:
            self._checker.cancel()
        if self._server is not None:
            self._server.close()
            await asyncio.to_thread((self._folder / self._name).unlink, True)
        for writer in list(self._peers):
            writer.close()
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1
