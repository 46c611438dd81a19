"""Decoder of aws-chunked bodies, without I/O: bytes in, verified payload out.

Source: the S3 API reference, "Signature Calculations: Transferring Payload in Multiple Chunks" and "... Including Trailing Headers".
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from rgw.errors import S3Error

from .identity import PayloadKind, PayloadPlan
from .request import octets

MAX_CHUNK = 16 << 20  # bytes of one signed chunk: it is held back until its signature is checked
MAX_LINE = 1024
MAX_TRAILERS = 16
_SMALL, _JOINED = 4096, 65536
_EMPTY = sha256(b"").hexdigest()
_HEADER = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_SIGNATURE = "x-amz-trailer-signature"
_HEAD, _DATA, _CRLF, _TRAILER, _END = range(5)


class ChunkedDecoder:
    """``feed`` gives payload that may be used: a signed chunk only once its signature was checked, an unsigned one at once.

    Memory: one signed chunk (MAX_CHUNK) and one line. S3Error: SignatureDoesNotMatch, IncompleteBody (lengths), InvalidRequest (framing).
    After an error the decoder is not to be used.
    """

    def __init__(self, plan: PayloadPlan) -> None:
        if not plan.chunked:
            raise ValueError("not an aws-chunked body")
        self._plan = plan
        self._signed = plan.kind is not PayloadKind.STREAMING_UNSIGNED_TRAILER
        self._with_trailer = plan.kind is not PayloadKind.STREAMING_SIGNED
        self._key = plan.signing_key.reveal() if plan.signing_key else b""
        if self._signed and not self._key:
            raise ValueError("signed chunks need a signing key")
        self._previous = plan.seed_signature
        self._state = _HEAD
        self._line = bytearray()
        self._left = 0
        self._claimed = ""
        self._hash = sha256()
        self._held: list[bytes] = []
        self._small = bytearray()
        self._total = 0
        self._trailers: dict[str, str] = {}
        self._signature = ""
        self._closed = False

    def feed(self, data: bytes) -> list[bytes]:
        """Decodes the next bytes of the body, of any length."""
        out: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if self._state == _DATA:
                take = min(self._left, end - at)
                piece = data if take == end else data[at:at + take]
                at += take
                self._left -= take
                if self._signed:
                    self._hash.update(piece)
                    self._hold(piece)
                else:
                    out.append(piece)
                if not self._left:
                    if self._signed:
                        self._check_chunk()
                        self._hold(b"", flush=True)
                        out += self._held
                        self._held = []
                    self._state = _CRLF
            elif self._state == _END:
                raise S3Error("IncompleteBody", "The body is longer than its chunks say.")
            else:
                stop = data.find(b"\n", at)
                self._line += data[at:stop + 1] if stop >= 0 else data[at:]
                if len(self._line) > MAX_LINE:
                    raise S3Error("InvalidRequest", "A line of the chunked body is too long.")
                if stop < 0:
                    break
                at = stop + 1
                line = bytes(self._line)
                self._line.clear()
                self._take_line(line)
        return out

    def finish(self) -> dict[str, str]:
        """At the body's end: the trailers, by lower-case name. IncompleteBody if the body stopped early."""
        if self._state == _TRAILER and not self._line and self._signed and self._signature:
            self._end()  # some clients leave out the last empty line
        if self._state != _END:
            raise S3Error("IncompleteBody")
        return dict(self._trailers)

    def _hold(self, piece: bytes, flush: bool = False) -> None:
        """Keeps a piece of the chunk. Small ones are joined: a client that sends byte by byte costs no object each."""
        if flush or len(piece) >= _SMALL or len(self._small) >= _JOINED:
            if self._small:
                self._held.append(bytes(self._small))
                self._small.clear()
        if len(piece) >= _SMALL:
            self._held.append(piece)
        else:
            self._small += piece

    def _take_line(self, line: bytes) -> None:
        if self._state == _CRLF:
            if line != b"\r\n":
                raise S3Error("InvalidRequest", "A chunk is not as long as it says.")
            self._state = _HEAD
        elif self._state == _HEAD:
            self._take_header(line)
        else:
            self._take_trailer(line)

    def _take_header(self, line: bytes) -> None:
        match = _HEADER.fullmatch(line[:-2]) if line.endswith(b"\r\n") else None
        if match is None or (self._signed and match[2] is None):
            raise S3Error("InvalidRequest", "The header of a chunk is malformed.")
        size = int(match[1], 16)
        self._claimed = match[2].decode() if match[2] else ""
        self._total += size
        declared = self._plan.decoded_length
        if declared is not None and (self._total > declared or (not size and self._total != declared)):
            raise S3Error("IncompleteBody", "The body is not as long as x-amz-decoded-content-length says.")
        if self._signed and size > MAX_CHUNK:
            raise S3Error("InvalidRequest", f"A signed chunk may have at most {MAX_CHUNK} bytes.")
        self._hash = sha256()
        self._left = size
        if size:
            self._state = _DATA
            return
        if self._signed:
            self._check_chunk()
        self._state = _TRAILER

    def _take_trailer(self, line: bytes) -> None:
        text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        if not text:
            # S3's own example puts an empty line between the trailers and their signature.
            if self._signed and self._with_trailer and self._trailers and not self._signature and not self._closed:
                self._closed = True
                return
            self._end()
            return
        name, colon, value = text.partition(":")
        name = name.strip().lower()
        if not colon or not self._with_trailer or self._signature:
            raise S3Error("InvalidRequest", "The trailer of the body is malformed.")
        if name == _SIGNATURE:
            self._signature = value.strip()
            return
        if self._closed or name in self._trailers or len(self._trailers) >= MAX_TRAILERS or name not in self._plan.trailers:
            raise S3Error("InvalidRequest", "The trailer of the body is not what x-amz-trailer announced.")
        self._trailers[name] = value.strip()

    def _end(self) -> None:
        missing = [name for name in self._plan.trailers if name not in self._trailers]
        if missing:
            raise S3Error("InvalidRequest", "A trailer that x-amz-trailer announced is missing.")
        if self._signed and self._with_trailer and (self._trailers or self._signature):
            lines = "".join(f"{name}:{value}\n" for name, value in self._trailers.items())
            self._compare("AWS4-HMAC-SHA256-TRAILER", sha256(octets(lines)).hexdigest(), self._signature)
        self._state = _END

    def _check_chunk(self) -> None:
        self._compare("AWS4-HMAC-SHA256-PAYLOAD", f"{_EMPTY}\n{self._hash.hexdigest()}", self._claimed)
        self._previous = self._claimed

    def _compare(self, algorithm: str, digest: str, claimed: str) -> None:
        text = f"{algorithm}\n{self._plan.timestamp}\n{self._plan.scope}\n{self._previous}\n{digest}"
        ours = hmac.digest(self._key, octets(text), "sha256").hex()
        if not hmac.compare_digest(ours.encode(), octets(claimed)):
            raise S3Error("SignatureDoesNotMatch", StringToSign=text, SignatureProvided=claimed)
