"""multipart/form-data as browsers post it: the fields before the file, then the file piece by piece. Source: RFC 7578, RFC 2046."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote

from rgw.errors import S3Error

MAX_FIELDS = 20 << 10  # bytes of everything before the file, as with S3
FILE = "file"
_BOUNDARY = re.compile(r'(?i)multipart/form-data\s*;(?:.*;)?\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^";,\s]{1,70}))')
_PARAMETER = re.compile(r'(?i);\s*(name|filename)\s*=\s*(?:"((?:\\"|[^"])*)"|([^;"\s]+))')
_EXTENDED = re.compile(r"(?i);\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)")


class Form:
    """Reads a form from the pieces of a body. ``fields`` first, then ``file``; field names in lower case.

    S3Error MalformedPOSTRequest for what is no form, MaxPostPreDataLengthExceededError, InvalidArgument without a file.
    """

    def __init__(self, content_type: str, pieces: AsyncIterator[bytes]) -> None:
        """S3Error PreconditionFailed if the content type is another one."""
        found = _BOUNDARY.match(content_type)
        if found is None:
            raise S3Error("PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data",
                          Condition="Bucket POST must be of the enclosure-type multipart/form-data")
        self._delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "surrogateescape")
        self._pieces = pieces
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter is as the others
        self._taken = 0
        self.filename = ""

    async def _more(self) -> None:
        try:
            self._buffer += await anext(self._pieces)
        except StopAsyncIteration:
            raise S3Error("MalformedPOSTRequest") from None

    async def _until(self, mark: bytes) -> bytes:
        """What stands before the mark, which is taken too; of the fields only."""
        at = 0
        while (found := self._buffer.find(mark, at)) < 0:
            at = max(len(self._buffer) - len(mark) + 1, 0)
            if self._taken + len(self._buffer) > MAX_FIELDS:
                raise S3Error("MaxPostPreDataLengthExceededError")
            await self._more()
        self._taken += found
        if self._taken > MAX_FIELDS:
            raise S3Error("MaxPostPreDataLengthExceededError")
        data = bytes(self._buffer[:found])
        del self._buffer[:found + len(mark)]
        return data

    async def fields(self) -> dict[str, str]:
        """The fields before the file, which comes next; the first of several with one name counts."""
        found: dict[str, str] = {}
        await self._until(self._delimiter)
        while True:
            end = (await self._until(b"\r\n")).strip(b" \t")
            if end == b"--":
                raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file", ArgumentValue="0")
            if end:
                raise S3Error("MalformedPOSTRequest")
            self._buffer[:0] = b"\r\n"  # a part without headers has its blank line at once
            name, filename = _disposition(await self._until(b"\r\n\r\n"))
            if name == FILE:
                self.filename = re.split(r"[\\/]", filename)[-1]  # some browsers send a path
                return found
            found.setdefault(name, _text(await self._until(self._delimiter)))

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes. Afterwards the rest of the body has been read; what follows the file does not count."""
        delimiter, keep = self._delimiter, len(self._delimiter) - 1
        while (found := self._buffer.find(delimiter)) < 0:
            if len(self._buffer) > keep:
                piece = bytes(self._buffer[:-keep])
                del self._buffer[:-keep]
                yield piece
            await self._more()
        if found:
            yield bytes(self._buffer[:found])
        del self._buffer[:found + len(delimiter)]
        while len(self._buffer) < 2:
            await self._more()
        if self._buffer[:2] != b"--" and not self._buffer.lstrip(b" \t").startswith(b"\r\n"):
            raise S3Error("MalformedPOSTRequest")
        async for _ in self._pieces:
            pass


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("MalformedPOSTRequest", "A field is not UTF-8.") from None


def _disposition(headers: bytes) -> tuple[str, str]:
    """(name in lower case, file name) of a part. S3Error MalformedPOSTRequest."""
    for line in _text(headers).split("\r\n"):
        header, _, value = line.partition(":")
        if header.strip().lower() != "content-disposition":
            continue
        kind, semicolon, rest = value.strip().partition(";")
        found = {match[1].lower(): (match[2] or match[3] or "").replace('\\"', '"') for match in _PARAMETER.finditer(semicolon + rest)}
        if extended := _EXTENDED.search(semicolon + rest):
            found["filename"] = unquote(extended[1])
        if kind.strip().lower() == "form-data" and found.get("name"):
            return found["name"].lower(), found.get("filename", "")
    raise S3Error("MalformedPOSTRequest")
