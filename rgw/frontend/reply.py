"""Replies: those that are complete when they are made, of which status line, headers and body leave in one write, and those in pieces."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from rgw.ops.attrs import CONTROL

_STATUS_LINES = {status.value: f" {status.value} {status.phrase}" for status in HTTPStatus} | {499: " 499 Client Closed Request"}
_BODILESS = (204, 304)
_COPIED = 64 << 10  # bytes of body that are cheaper to join to the headers than to write by themselves


class Reply:
    """What aiohttp's connections ask of a response, and no more. ``headers`` without Content-Length and Connection; ``length``: what a HEAD
    request is told in the body's place, in bytes. ValueError for control characters in a header."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes = b"", length: int | None = None) -> None:
        self.status = status
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if status not in _BODILESS:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        text = "".join(lines)
        if not text.isprintable() and CONTROL.search(text):  # the first question is the quick one
            raise ValueError("control characters in a header of a reply")
        self._lines = lines
        self._whole = body
        self._closes = False
        self.keep_alive = False

    @property
    def body_length(self) -> int:
        return len(self._whole)

    def force_close(self) -> None:
        self._closes = True
        self.keep_alive = False  # it may have been prepared

    def _head(self, request: web.BaseRequest) -> bytes:
        old = request.version < HttpVersion11
        self.keep_alive = request.keep_alive and not self._closes
        if self.keep_alive == old:  # not what the protocol's version takes for granted
            self._lines.append(f"Connection: {'keep-alive' if self.keep_alive else 'close'}")
        version = "HTTP/1.0" if request.version == HttpVersion10 else "HTTP/1.1"
        head = "\r\n".join([version + _STATUS_LINES[self.status], *self._lines, "\r\n"])
        return head.encode("utf-8", "surrogateescape")

    async def prepare(self, request: web.BaseRequest) -> None:
        data = self._head(request)
        if len(self._whole) > _COPIED:
            await request.writer.write(data)
            await request.writer.write_eof(self._whole)
        else:
            await request.writer.write_eof(data + self._whole)

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything is on its way since ``prepare``."""


class StreamedReply(Reply):
    """One whose body of ``length`` bytes follows in pieces, by ``write``."""

    def __init__(self, status: int, headers: dict[str, str], length: int) -> None:
        super().__init__(status, headers, length=length)
        self._length = length
        self._writer: AbstractStreamWriter | None = None

    async def prepare(self, request: web.BaseRequest) -> None:
        if self._writer is None:
            self._writer = request.writer
            await self._writer.write(self._head(request))
            self._writer.length = self._length  # no more may follow: the next reply would begin in it

    async def write(self, data: bytes) -> None:
        assert self._writer is not None
        await self._writer.write(data)

    async def write_eof(self, data: bytes = b"") -> None:
        assert self._writer is not None
        await self._writer.write_eof()
