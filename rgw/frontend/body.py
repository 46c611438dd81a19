"""A request's body: bounded, timed, decoded, and verified before anybody may call it complete."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from rgw.auth import checksums, md5
from rgw.auth.chunked import ChunkedDecoder
from rgw.auth.identity import PayloadKind, PayloadPlan
from rgw.errors import S3Error

_OFF_LOOP = 64 * 1024  # hashing more bytes than this at once goes to a thread
_MD5, _SHA256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()  # copied: OpenSSL 3 takes several times as long to begin a sum
_BATCH = 128 << 10  # bytes that are hashed at once


class BodyReader:
    """Iterates over the payload; ``finish`` verifies what can only be known at the end. ``length``: bytes of payload, None if unknown."""

    def __init__(self, request: web.BaseRequest, headers: dict[str, str], plan: PayloadPlan, limit: int, stall: float = 60.0) -> None:
        self._request = request
        self._plan = plan
        self._limit = limit
        self._stall = stall  # seconds
        self.wire_length = _content_length(headers)
        coding = headers.get("transfer-encoding", "").strip().lower()
        if coding not in ("", "chunked"):  # what is packed on the way would be stored packed
            raise S3Error("NotImplemented", "No transfer coding but chunked is implemented.")
        aws_chunked = plan.chunked
        self.length = plan.decoded_length if aws_chunked else self.wire_length
        self.announced = self.length is not None or coding == "chunked"
        if not self.announced:
            self.length = 0
        if self.length is not None and self.length > limit:
            raise S3Error("EntityTooLarge", ProposedSize=str(self.length), MaxSizeAllowed=str(limit))
        self._decoder = ChunkedDecoder(plan) if aws_chunked else None
        self._md5_wanted = checksums.content_md5(headers) if self.announced else None
        self._expected = checksums.expected(headers) if self.announced else None
        small = self.length is not None and self.length <= _OFF_LOOP
        self._md5 = _MD5.copy() if small else md5.new()
        self._sha256 = _SHA256.copy() if plan.kind is PayloadKind.SIGNED_SHA256 else None
        self.algorithm = self._expected.algorithm if self._expected else None
        self._checksum = checksums.Checksum(self.algorithm) if self.algorithm else None
        self._expect = headers.get("expect", "").lower() == "100-continue"
        self._unhashed: list[bytes] = []
        self._unhashed_size = 0
        self._hashing: asyncio.Future[Any] | None = None  # the batch before
        self._seen = 0
        self._wire_seen = 0

    @property
    def started(self) -> bool:
        """Whether the client was told to send, or sends without being told."""
        return not self._expect

    @property
    def received(self) -> int:
        """Bytes that came so far, as they were sent."""
        return self._wire_seen

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    @property
    def checksums(self) -> dict[str, str]:
        """The payload's checksum by algorithm, if the request names one."""
        return {self._checksum.algorithm: self._checksum.base64()} if self._checksum else {}

    async def go_ahead(self) -> None:
        """Answers ``Expect: 100-continue``, once."""
        if self._expect:
            self._expect = False
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self.go_ahead()
        content = self._request.content
        while True:
            try:
                data = content.read_nowait()
                if not data:
                    if content.is_eof():
                        break
                    data = await asyncio.wait_for(content.readany(), self._stall)
            except TimeoutError:
                raise S3Error("RequestTimeout") from None
            except (ClientError, HttpProcessingError, ConnectionError, EOFError) as error:
                raise S3Error("IncompleteBody") from error
            if not data:
                break
            self._wire_seen += len(data)
            for piece in self._decoder.feed(data) if self._decoder else (data,):
                self._seen += len(piece)
                if self._seen > self._limit:
                    raise S3Error("EntityTooLarge", MaxSizeAllowed=str(self._limit))
                self._unhashed.append(piece)
                self._unhashed_size += len(piece)
                if self._unhashed_size >= _BATCH:
                    await self._hash()
                yield piece

    async def _hash(self) -> None:
        """Takes the pieces that wait: few at once, many in a thread, while more of the body comes."""
        if self._hashing is not None:
            await self._hashing
            self._hashing = None
        pieces, size = self._unhashed, self._unhashed_size
        self._unhashed, self._unhashed_size = [], 0
        if size > _OFF_LOOP:
            self._hashing = md5.update(self._md5, pieces)
            if self._sha256 is not None or self._checksum is not None:
                self._hashing = asyncio.gather(self._hashing, asyncio.get_running_loop().run_in_executor(None, self._update, pieces))
        else:
            for piece in pieces:
                self._md5.update(piece)
            self._update(pieces)

    def _update(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            if self._sha256 is not None:
                self._sha256.update(piece)
            if self._checksum is not None:
                self._checksum.update(piece)

    async def finish(self) -> None:
        """S3Error unless length, payload hash, Content-MD5, checksum and trailer hold. To be called after the last piece."""
        await self._hash()
        if self._hashing is not None:
            await self._hashing
        trailers = self._decoder.finish() if self._decoder else {}
        short = self.length is not None and self._seen != self.length
        if short or (self.wire_length is not None and self._wire_seen != self.wire_length):
            raise S3Error("IncompleteBody")
        if self._sha256 is not None and self._sha256.hexdigest() != self._plan.sha256:
            raise S3Error("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=self._plan.sha256,
                          S3ComputedContentSHA256=self._sha256.hexdigest())
        if self._md5_wanted is not None and self._md5_wanted != self._md5.digest():
            raise S3Error("BadDigest")
        if self._expected is not None and self._checksum is not None:
            value = trailers.get(checksums.PREFIX + self._expected.algorithm) if self._expected.trailer else self._expected.value
            if value is not None:
                checksums.verify(self._checksum, value)

    async def read(self, limit: int) -> bytes:
        """The whole body, verified. S3Error MaxMessageLengthExceeded above ``limit`` bytes, before they are read where possible."""
        if self.length is not None and self.length > limit:
            raise S3Error("MaxMessageLengthExceeded")
        out = bytearray()
        async for piece in self:
            out += piece
            if len(out) > limit:
                raise S3Error("MaxMessageLengthExceeded")
        await self.finish()
        return bytes(out)


def _content_length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise S3Error("InvalidArgument", "Content-Length is not a length")
    return int(text)
