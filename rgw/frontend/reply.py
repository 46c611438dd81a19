"""Replies that are complete when they are made: status line, headers and body leave in one write."""

from __future__ import annotations

import re
from http import HTTPStatus

from aiohttp import HttpVersion10, web

_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # in a header: it would end the header, or hide something in it
_STATUS_LINES = {status.value: f" {status.value} {status.phrase}" for status in HTTPStatus} | {499: " 499 Client Closed Request"}
_BODILESS = (204, 304)
_COPIED = 64 << 10  # bytes of body that are cheaper to join to the headers than to write by themselves


class Reply(web.StreamResponse):
    """``headers`` without Content-Length and Connection; ``length``: what a HEAD request is told in the body's place, in bytes.
    ValueError for control characters in a header."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes = b"", length: int | None = None) -> None:
        super().__init__(status=status)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if status not in _BODILESS:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        if _FORBIDDEN.search("".join(lines)):
            raise ValueError("control characters in a header of a reply")
        self._lines = lines
        self._whole = body
        self._body_length = len(body)
        self._closes = False
        self._keeps = False

    @property
    def keep_alive(self) -> bool:
        return self._keeps

    @property
    def body_length(self) -> int:
        return len(self._whole)

    def force_close(self) -> None:
        self._closes = True

    async def prepare(self, request: web.BaseRequest) -> None:  # type: ignore[override]
        old = request.version < (1, 1)
        self._keeps = request.keep_alive and not self._closes
        if self._keeps == old:  # not what the protocol's version takes for granted
            self._lines.append(f"Connection: {'keep-alive' if self._keeps else 'close'}")
        version = "HTTP/1.0" if request.version == HttpVersion10 else "HTTP/1.1"
        head = "\r\n".join([version + _STATUS_LINES[self.status], *self._lines, "\r\n"])
        data = head.encode("utf-8", "surrogateescape")
        if len(self._whole) > _COPIED:
            await request.writer.write(data)
            await request.writer.write_eof(self._whole)
        else:
            await request.writer.write_eof(data + self._whole)

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything is on its way since ``prepare``."""
