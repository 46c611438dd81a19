"""Bodies in signed chunks over the wire, signed here by the published rules: what holds is stored, anything else leaves nothing."""

import asyncio
import base64
import hmac
import random
import zlib
from hashlib import sha256

import pytest

from tests.s3.test_bad_input import untouched  # noqa: F401
from tests.s3.wire import head, parse, path, signed, talk

SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER = (
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
NOTHING = sha256(b"").hexdigest()
CHUNK = 64 << 10


class Upload:
    """A PUT of ``data``; ``spoil`` names what is made wrong."""

    def __init__(self, s3, target, data, mode, spoil=""):
        self.mode, self.data, self.spoil, self.target = mode, data, spoil, target
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        self.trailer = "" if mode == SIGNED else f"x-amz-checksum-crc32:{crc if spoil != 'checksum' else 'AAAAAA=='}"
        if spoil == "other trailer":
            self.trailer = "x-amz-checksum-sha1:AAAAAA=="
        headers = {"x-amz-decoded-content-length": str(len(data)), "Content-Encoding": "aws-chunked", "Content-Length": "0"}
        if self.trailer:
            headers["x-amz-trailer"] = "x-amz-checksum-crc32"
        length = len(self._body("0" * 64, b"", "", ""))
        self.headers = signed(s3, "PUT", target, headers | {"Content-Length": str(length)}, mode)
        seed = self.headers["Authorization"].rpartition("Signature=")[2]
        date = self.headers["X-Amz-Date"]
        key = b"AWS4" + s3.secret_key.encode()
        for part in (date[:8], "us-east-1", "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self.body = self._body(seed, key, date, f"{date[:8]}/us-east-1/s3/aws4_request")
        assert len(self.body) == length

    def _body(self, previous, key, date, scope):
        pieces = [self.data[at:at + CHUNK] for at in range(0, len(self.data), CHUNK)] + [b""]
        out = b""
        for number, piece in enumerate(pieces):
            if self.mode == UNSIGNED_TRAILER:
                out += b"%x\r\n%s" % (len(piece), piece + b"\r\n" if piece else b"")
                continue
            text = f"AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{NOTHING}\n{sha256(piece).hexdigest()}"
            previous = hmac.digest(key, text.encode(), "sha256").hex()
            shown = previous
            if (self.spoil, number) in (("first", 0), ("second", 1), ("last", len(pieces) - 1)):
                shown = "f" * 64
            if self.spoil == "data" and number == 1:
                piece = b"!" + piece[1:]
            if self.spoil == "order" and number in (0, 1):
                piece = pieces[1 - number]
            out += b"%x;chunk-signature=%s\r\n%s" % (len(piece), shown.encode(), piece + b"\r\n" if piece or self.mode == SIGNED else b"")
        if self.trailer:
            text = f"AWS4-HMAC-SHA256-TRAILER\n{date}\n{scope}\n{previous}\n{sha256((self.trailer + chr(10)).encode()).hexdigest()}"
            shown = "0" * 64 if self.spoil == "trailer signature" else hmac.digest(key or b"k", text.encode(), "sha256").hex()
            out += self.trailer.encode() + b"\r\n"
            if self.mode == SIGNED_TRAILER:
                out += b"x-amz-trailer-signature:%s\r\n" % shown.encode()
            out += b"\r\n"
        return out

    async def send(self, s3):
        return parse(await talk(s3, head("PUT", self.target, self.headers | {"Connection": "close"}) + self.body))


DATA = random.Random(1).randbytes(4 * CHUNK)


@pytest.mark.parametrize("size", [len(DATA), 1, 0, (5 << 20) + 1])
@pytest.mark.parametrize("mode", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
async def test_good_chunks(s3, mode, size):
    data = (DATA * 21)[:size]
    reply = await Upload(s3, path(s3, "k"), data, mode).send(s3)
    assert reply.status == 200, reply.body
    got = await s3.run("get_object", Bucket=s3.bucket, Key="k", ChecksumMode="ENABLED")
    assert await asyncio.to_thread(got["Body"].read) == data and got.get("ContentEncoding") is None
    assert ("ChecksumCRC32" in got) == (mode != SIGNED)


@pytest.mark.parametrize(("mode", "spoil", "code"), [
    *((mode, spoil, "SignatureDoesNotMatch") for mode in (SIGNED, SIGNED_TRAILER) for spoil in ("first", "second", "last", "data", "order")),
    (SIGNED_TRAILER, "trailer signature", "SignatureDoesNotMatch"), (SIGNED_TRAILER, "checksum", "BadDigest"),
    (UNSIGNED_TRAILER, "checksum", "BadDigest"), (SIGNED_TRAILER, "other trailer", "InvalidRequest"),
    (UNSIGNED_TRAILER, "other trailer", "InvalidRequest"),
])
async def test_bad_chunks_leave_nothing(untouched, mode, spoil, code):  # noqa: F811
    assert (await Upload(untouched, path(untouched, "k"), DATA, mode, spoil).send(untouched)).code == code
    large = DATA * 36  # 9 MiB: tails would be written before the end is known
    assert (await Upload(untouched, path(untouched, "k"), large, mode, spoil).send(untouched)).code == code


@pytest.mark.parametrize("mode", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
async def test_bad_parts_leave_nothing(s3, mode):
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m"))["UploadId"]
    before, target = await s3.objects(), f"{path(s3, 'm')}?partNumber=1&uploadId={upload}"
    for spoil in ("second", "last", "checksum", "trailer signature") if mode == SIGNED_TRAILER else ("second", "last") if mode == SIGNED else ("checksum",):
        reply = await Upload(s3, target, DATA * 20, mode, spoil).send(s3)
        assert reply.code in ("SignatureDoesNotMatch", "BadDigest"), reply.body
        assert await s3.objects() == before
    assert (await Upload(s3, target, DATA, mode).send(s3)).status == 200
    assert len(await s3.objects()) == len(before) + 1
