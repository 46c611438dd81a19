"""Requests as bytes on a socket, for what no client library would send."""

import asyncio
import http.client
import io
import re
import socket
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class Reply:
    """A response; ``code`` is the error document's."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self.status = raw.status
        self.headers = {name.lower(): value for name, value in raw.getheaders()}
        self.body = raw.read()
        found = re.search(rb"<Code>(\w+)</Code>", self.body)
        self.code = found[1].decode() if found else ""


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode):
        return io.BytesIO(self._data)


def parse(data: bytes, method: str = "GET") -> Reply:
    raw = http.client.HTTPResponse(_Socket(data), method=method)
    raw.begin()
    return Reply(raw)


def signed(s3, method: str, target: str, headers: dict[str, str], payload: str = "UNSIGNED-PAYLOAD") -> dict[str, str]:
    """The headers with a V4 signature of them, for the raw target as it stands."""
    request = AWSRequest(method, s3.endpoint + target, headers={"X-Amz-Content-SHA256": payload, **headers})
    request.context["payload_signing_enabled"] = False
    signer = S3SigV4Auth(Credentials(s3.access_key, s3.secret_key), "s3", "us-east-1")
    signer.payload = lambda _request: payload
    signer.add_auth(request)
    return {"Host": s3.endpoint.removeprefix("http://")} | dict(request.headers.items())


def head(method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


def connect(s3) -> socket.socket:
    address, _, port = s3.endpoint.removeprefix("http://").rpartition(":")
    return socket.create_connection((address, int(port)), timeout=20)


def _talk(s3, data: bytes, finish: bool) -> bytes:
    with connect(s3) as sock:
        try:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end: the answer may be there to read
        out = b""
        try:
            while piece := sock.recv(1 << 16):
                out += piece
                if _whole(out):
                    break
        except ConnectionResetError:
            pass
        return out


def _whole(out: bytes) -> bool:
    """Whether a reply with a length is there to its end."""
    top, end, rest = out.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: (\d+)", top)
    return bool(end and found) and len(rest) >= int(found[1])


async def talk(s3, data: bytes, finish: bool = False) -> bytes:
    """Sends bytes and reads one reply, or until the server closes."""
    return await asyncio.to_thread(_talk, s3, data, finish)


async def ask(s3, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"", *, sign: bool = True,
              length: str | None = None, payload: str = "UNSIGNED-PAYLOAD", finish: bool = False) -> Reply:
    """One request. ``length`` replaces Content-Length; the connection is asked to close."""
    wanted = dict(headers or {})
    if length is not None:
        wanted["Content-Length"] = length
    elif body or method in ("PUT", "POST"):
        wanted["Content-Length"] = str(len(body))
    if sign:
        wanted = signed(s3, method, target, wanted, payload)
    else:
        wanted = {"Host": s3.endpoint.removeprefix("http://"), **wanted}
    wanted["Connection"] = "close"
    return parse(await talk(s3, head(method, target, wanted) + body, finish), method)


def path(s3, key: str) -> str:
    return f"/{s3.bucket}/{quote(key, safe='')}"
