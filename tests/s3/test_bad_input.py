"""Input that no client should send: S3's own refusal, or the key works; never a 500, never a trace in the store."""

import asyncio
import hashlib
import socket
import time

import pytest

from rgw.frontend import server
from rgw.ops import attrs
from tests.s3.wire import ask, connect, head, parse, path, signed, talk


async def settled(s3, before):
    """The store holds the objects of ``before`` again, soon: a refused body is cleaned up after the client is gone."""
    for _ in range(40):
        after = await s3.objects()
        if after == before:
            return
        await asyncio.sleep(0.05)
    assert after == before


@pytest.fixture
async def untouched(s3):
    """The service, which must hold the same objects afterwards."""
    before = await s3.objects()
    yield s3
    await settled(s3, before)


@pytest.fixture(params=["PutObject", "UploadPart"])
async def target(request, s3):
    """Where bodies go that are all refused: an object, or a part of an upload. The store must hold the same objects afterwards."""
    upload = {"Bucket": s3.bucket, "Key": "k"}
    if request.param == "UploadPart":
        upload["UploadId"] = (await s3.run("create_multipart_upload", **upload))["UploadId"]
    before = await s3.objects()
    yield path(s3, "k") + (f"?partNumber=1&uploadId={upload['UploadId']}" if "UploadId" in upload else "")
    await settled(s3, before)
    assert "UploadId" not in upload or "Parts" not in await s3.run("list_parts", **upload)


async def test_short_body(s3, target):
    for size in (10, 5 << 20, 9 << 20):
        headers = signed(s3, "PUT", target, {"Content-Length": str(size)})
        raw = await talk(s3, head("PUT", target, headers) + b"x" * (size - 1), finish=True)
        assert raw == b"" or parse(raw).code == "IncompleteBody"


async def test_longer_body_than_declared(s3):
    """What follows the declared length is no part of the object, and no request that is served."""
    data = signed(s3, "PUT", path(s3, "k"), {"Content-Length": "5"})
    raw = await talk(s3, head("PUT", path(s3, "k"), data) + b"12345GARBAGE\r\n\r\n")
    got = await ask(s3, "GET", path(s3, "k"))
    assert (parse(raw).status, got.status, got.body) == (200, 200, b"12345") or (parse(raw).status, got.status) == (400, 404)


async def test_absurd_lengths(s3, target):
    for value in ("-1", "1e3", "99999999999999999999999", "0x10", "1_0", "+5", "", " ", "5, 5", "٣"):
        headers = signed(s3, "PUT", target, {})
        headers.pop("Content-Length", None)
        raw = await talk(s3, head("PUT", target, headers | {"Content-Length": value, "Connection": "close"}))
        assert parse(raw).status in (400, 411), value


async def test_length_too_large_or_missing(s3, target):
    reply = await ask(s3, "PUT", target, length=str(6 << 30))  # refused before the body
    assert (reply.status, reply.code) == (400, "EntityTooLarge")
    headers = signed(s3, "PUT", target, {"Connection": "close"})
    headers.pop("Content-Length", None)
    raw = await talk(s3, head("PUT", target, headers))
    assert (parse(raw).status, parse(raw).code) == (411, "MissingContentLength")


async def test_chunked_body_without_its_end(s3, target):
    for sent in (b"1\r\nx\r\n", b"5\r\nx", b"zz\r\n", b""):
        headers = signed(s3, "PUT", target, {"Transfer-Encoding": "chunked", "Connection": "close"})
        headers.pop("Content-Length", None)
        raw = await talk(s3, head("PUT", target, headers) + sent, finish=True)
        assert raw == b"" or 400 <= parse(raw).status < 500, sent
    headers = signed(s3, "PUT", target, {"Transfer-Encoding": "gzip, chunked", "Connection": "close"})
    headers.pop("Content-Length", None)
    assert parse(await talk(s3, head("PUT", target, headers) + b"1\r\nx\r\n0\r\n\r\n")).code == "NotImplemented"


WRONG = [("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==", "BadDigest"), ("Content-MD5", "x", "InvalidDigest"),
         ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"), ("x-amz-checksum-sha256", "x", "InvalidRequest"),
         ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", "BadDigest"), ("x-amz-sdk-checksum-algorithm", "CRC99", "InvalidRequest")]


async def test_wrong_digests(s3, target):
    """Of a body that fits into a head, and of one that does not."""
    for size in (5, 9 << 20):
        for name, value, code in WRONG:
            assert (await ask(s3, "PUT", target, {name: value}, b"x" * size)).code == code, (name, size)
        reply = await ask(s3, "PUT", target, body=b"x" * size, payload=hashlib.sha256(b"y").hexdigest())
        assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")


async def test_unsigned_header(s3, target):
    headers = signed(s3, "PUT", target, {"Content-Length": "1"}) | {"Connection": "close", "x-amz-meta-b": "1"}
    assert parse(await talk(s3, head("PUT", target, headers) + b"1")).code == "AccessDenied"


async def test_chunked_body(s3):
    """Of no announced length, as radosgw takes it."""
    headers = signed(s3, "PUT", path(s3, "k"), {"Transfer-Encoding": "chunked", "Connection": "close"})
    headers.pop("Content-Length", None)
    raw = await talk(s3, head("PUT", path(s3, "k"), headers) + (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 5 + b"1\r\ny\r\n0\r\n\r\n")
    assert parse(raw).status == 200
    got = await s3.run("get_object", Bucket=s3.bucket, Key="k")
    assert await asyncio.to_thread(got["Body"].read) == b"x" * (5 << 20) + b"y"


TRAILING = {"Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32"}


async def test_bad_decoded_length(s3, target):
    for declared in ("-1", "x", "99999999999999999999999999"):
        reply = await ask(s3, "PUT", target, {"x-amz-decoded-content-length": declared} | TRAILING, b"0\r\n\r\n",
                          payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        assert reply.status in (400, 411) and reply.code, declared


CHUNKS = [
    b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",        # a wrong checksum
    b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n",               # none at all
    b"5\r\nhello\r\n0\r\nx-amz-checksum-sha1:NhCmhg==\r\n\r\n",          # not the announced one
    b"5\r\nhello\r\n0\r\n\r\n",                                         # missing
    b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32\r\n\r\n",
    b"5\r\nhello\r\n0\r\n" + b"a" * 100_000,
    b"5\r\nhello\r\n",                                                 # no end
    b"5\r\nhel",
    b"6\r\nhello!\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",        # more than announced
    b"4\r\nhell\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"\r\n\r\n", b"\0" * 20, b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\r\nhello", b"",
    b"5\r\nhelloXX0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
    b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\nmore",
]


async def test_bad_chunks_and_trailers(s3, target):
    for body in CHUNKS:
        reply = await ask(s3, "PUT", target, {"x-amz-decoded-content-length": "5"} | TRAILING, body, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        assert 400 <= reply.status < 500 and reply.code, (body, reply.body)


async def test_good_trailer(s3):
    reply = await ask(
        s3, "PUT", path(s3, "k"), {"x-amz-decoded-content-length": "5"} | TRAILING,
        b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert reply.status == 200 and reply.headers["x-amz-checksum-crc32"] == "NhCmhg=="
    got = await s3.run("get_object", Bucket=s3.bucket, Key="k", ChecksumMode="ENABLED")
    assert await asyncio.to_thread(got["Body"].read) == b"hello" and got["ChecksumCRC32"] == "NhCmhg==" and not got.get("ContentEncoding")


async def test_stall(s3, target):
    s3.gw.options.rgw_body_stall_timeout = 1
    data = signed(s3, "PUT", target, {"Content-Length": "100"})
    started = time.monotonic()
    raw = await talk(s3, head("PUT", target, data) + b"some")
    assert parse(raw).code == "RequestTimeout" and time.monotonic() - started < 10


async def test_slow_headers(s3, monkeypatch):
    """Who sends nothing, or half a header, is not waited for; who is slow with a body is, and his connection then serves on."""
    monkeypatch.setattr(server, "_IDLE", 0.5)
    first, second = [head("PUT", path(s3, "slow"), signed(s3, "PUT", path(s3, "slow"), {"Content-Length": "4"})) for _ in range(2)]

    def received(*pieces):
        with connect(s3) as sock:
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(0.3)
            data = b""
            while more := sock.recv(65536):
                data += more
            return data
    for pieces, answers in (((b"", ), 0), ((first[:50], ), 0), ((first, b"1", b"2", b"34", second, b"5678"), 2)):
        assert (await asyncio.to_thread(received, *pieces)).count(b"HTTP/1.1 200") == answers


async def test_hang_up(s3, target):
    def leave(sent):
        with connect(s3) as sock:
            headers = signed(s3, "PUT", target, {"Content-Length": str(20 << 20)})
            sock.sendall(head("PUT", target, headers) + b"x" * sent)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
    for sent in (0, 1, 5 << 20, 12 << 20):
        await asyncio.to_thread(leave, sent)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    f'<!ENTITY a{n} "{"&a" + str(n - 1 if n else "") + ";" }{"&a" + str(n - 1 if n else "") + ";"}">'.encode() for n in range(1, 30)) + \
    b"]><Delete>&a29;</Delete>"
DOCUMENTS = [b"<", b"x", b"<a>", b"<Delete/>", b"<Delete><Object/></Delete>", b"\xff\xfe", b"<?xml version='1.0'?>", BOMB,
             b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>', b"<Delete>" * 100, b"<a>" * 1000 + b"</a>" * 1000,
             b"<Delete><Object><Key>\0</Key></Object></Delete>", b"<Other/>", b"<?xml version='1.0' encoding='UTF-7'?><Delete/>",
             b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><Delete><Object><Key>&e;</Key></Object></Delete>"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
async def test_bad_xml(untouched, document):
    upload = await ask(untouched, "POST", f"/{untouched.bucket}/k?uploads")
    assert upload.status == 200
    upload_id = upload.body.decode().split("<UploadId>")[1].split("</UploadId>")[0]
    md5 = {"x-amz-checksum-algorithm": "CRC32"}
    for method, target in (("POST", "?delete"), ("POST", f"/k?uploadId={upload_id}"), ("PUT", "?acl")):
        reply = await ask(untouched, method, f"/{untouched.bucket}{target}", md5, document)
        assert reply.status == 400 and reply.code in ("MalformedXML", "MalformedACLError"), (target, reply.body)
    assert (await ask(untouched, "DELETE", f"/{untouched.bucket}/k?uploadId={upload_id}")).status == 204


@pytest.mark.parametrize("declared", [True, False])
async def test_huge_xml(untouched, declared):
    """100 MiB for Complete: refused without reading it all, whether announced or not."""
    reply = await ask(untouched, "POST", f"/{untouched.bucket}/k?uploadId=2~x", body=b"<a>", length=str(100 << 20)) if declared else None
    if reply is None:
        headers = signed(untouched, "POST", f"/{untouched.bucket}/k?uploadId=2~x", {"Transfer-Encoding": "chunked", "Connection": "close"})
        headers.pop("Content-Length", None)
        chunk = b"100000\r\n" + b"<" * (1 << 20) + b"\r\n"
        reply = parse(await talk(untouched, head("POST", f"/{untouched.bucket}/k?uploadId=2~x", headers) + chunk * 100))
    assert (reply.status, reply.code) == (400, "MaxMessageLengthExceeded")


async def test_expect_refused_before_the_body(untouched):
    for target, extra, code in ((f"/no-{untouched.bucket}/k", {}, "NoSuchBucket"), (path(untouched, "k" * 1025), {}, "KeyTooLongError"),
                                (path(untouched, "k"), {"Content-MD5": "x"}, "InvalidDigest"),
                                (path(untouched, "k"), {"x-amz-acl": "nonsense"}, "InvalidArgument")):
        headers = signed(untouched, "PUT", target, {"Content-Length": str(1 << 30), **extra})
        raw = await talk(untouched, head("PUT", target, headers | {"Expect": "100-continue"}))
        assert not raw.startswith(b"HTTP/1.1 100") and parse(raw).code == code
        assert parse(raw).headers["connection"] == "close"  # whether the body will come is not known
    headers = signed(untouched, "PUT", path(untouched, "k"), {"Content-Length": "1"}) | {"Expect": "100-continue"}
    headers["Authorization"] = headers["Authorization"][:-4] + "0000"
    raw = await talk(untouched, head("PUT", path(untouched, "k"), headers))
    assert parse(raw).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("size", [5, 0])
async def test_expect_accepted(s3, size):
    def put():
        with connect(s3) as sock:
            headers = signed(s3, "PUT", path(s3, "k"), {"Content-Length": str(size)}) | {"Expect": "100-continue", "Connection": "close"}
            sock.sendall(head("PUT", path(s3, "k"), headers))
            first = sock.recv(25)
            sock.sendall(b"x" * size)
            rest = b""
            while piece := sock.recv(1 << 16):
                rest += piece
            return first, rest
    first, rest = await asyncio.to_thread(put)
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n" and parse(rest).status == 200
    assert (await s3.run("head_object", Bucket=s3.bucket, Key="k"))["ContentLength"] == size


KEYS = ["%2F", "a%2Fb", "/", "//", "a//b", "a/", "..", "../..", "./a", "a/../b", "+", "a+b", "a b", "?", "#", "&", "%", "%%", "=", "~", "\\", "'",
        "\x01", "\x1f", "\x7f", "\t", "\n", "\r\n", "é", "e\u0301", "\u2028", "\ufffe", "\uffff", "_", "__a", "_multipart_x", ".", "a\x80", "\u200b",
        *(chr(plane << 16 | 0x1234) for plane in range(17)), "\U0010ffff", "k" * 1024, "\U0001f600" * 256]


async def test_awkward_keys(s3):
    """Every key, encoded whole: kept apart byte for byte, listed, deleted."""
    before = await s3.objects()
    for number, key in enumerate(KEYS):
        assert (await ask(s3, "PUT", path(s3, key), body=str(number).encode())).status == 200, key
    for number, key in enumerate(KEYS):
        assert (await ask(s3, "GET", path(s3, key))).body == str(number).encode(), key
    listed = await s3.run("list_objects_v2", Bucket=s3.bucket)
    assert [row["Key"] for row in listed["Contents"]] == sorted(KEYS, key=str.encode)
    for key in KEYS:
        assert (await ask(s3, "DELETE", path(s3, key))).status == 204, key
    assert await s3.objects() == before


@pytest.mark.parametrize("raw", ["a//b", "..", "../x", "./x", "a/../b", "a+b", "a;b", "a:b", "a@b", "a=b", "a,b", "$", "!", "(", "*", "'"])
async def test_raw_keys(s3, raw):
    """Sent as they are: no path is tidied up, a plus is a plus."""
    assert (await ask(s3, "PUT", f"/{s3.bucket}/{raw}", body=b"1")).status == 200
    listed = await s3.run("list_objects_v2", Bucket=s3.bucket)
    assert [row["Key"] for row in listed["Contents"]] == [raw]
    got = await s3.run("get_object", Bucket=s3.bucket, Key=raw)
    assert await asyncio.to_thread(got["Body"].read) == b"1"


@pytest.mark.parametrize("raw", ["%", "%zz", "%2", "%ff", "%c3", "%ed%a0%80", "%00", "a%00b", "k" * 1025, "%C3%A9" * 513])
async def test_impossible_keys(untouched, raw):
    for method in ("PUT", "GET", "DELETE"):
        reply = await ask(untouched, method, f"/{untouched.bucket}/{raw}", body=b"1" if method == "PUT" else b"")
        assert reply.status == 400 and reply.code in ("InvalidURI", "KeyTooLongError", "InvalidArgument")


@pytest.mark.parametrize("lines", [
    b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"GET /b/k HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
])
async def test_no_http(untouched, lines):
    raw = await talk(untouched, lines, finish=True)  # what is cut off needs no answer
    reply = parse(raw) if raw else None
    assert reply is None or (400 <= reply.status < 500 and reply.code), raw


async def test_where_a_request_ends(s3):
    """A body that hides a request: never served as one. HTTP/1.0 knows no chunks, hence nothing that follows them is taken."""
    hidden = f"GET /{s3.bucket}/hidden HTTP/1.1\r\nHost: x\r\n\r\n"

    def send(version: str, headers: str, body: str) -> bytes:
        with connect(s3) as sock:
            sock.settimeout(1)
            sock.sendall(f"PUT /{s3.bucket}/k {version}\r\nHost: x\r\n{headers}\r\n\r\n{body}".encode())
            out = b""
            try:
                while piece := sock.recv(1 << 16):
                    out += piece
            except TimeoutError:
                pass  # the connection was kept
            return out
    for version, headers, body in (
            ("HTTP/1.0", "Transfer-Encoding: chunked\r\nConnection: keep-alive", "0\r\n\r\n" + hidden),
            ("HTTP/1.1", f"Content-Length: {len(hidden)}", hidden), ("HTTP/1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden),
            ("HTTP/1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n" + hidden),
            ("HTTP/1.1", "Content-Length: 0\r\nContent-Length: 0", hidden), ("HTTP/1.1", "Transfer-Encoding : chunked", "0\r\n\r\n" + hidden),
            ("HTTP/1.1", "Transfer-Encoding: chunked", "0 \r\n\r\n" + hidden[:10]), ("HTTP/1.1", "Content-Length: 0\r\n Transfer-Encoding: chunked", hidden)):
        out = await asyncio.to_thread(send, version, headers, body)
        assert out.count(b"<Error>") == 1 and b"/hidden" not in out, (headers, out)


@pytest.mark.parametrize(("lines", "code"), [
    (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", "BadRequest"), (b"\0\0\0\0\r\n\r\n", "BadRequest"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n", "RequestHeaderSectionTooLarge")])
async def test_no_http_is_told_and_the_connection_closed(s3, lines, code):
    def send():
        with connect(s3) as sock:
            sock.sendall(lines)
            out = b""
            while piece := sock.recv(1 << 16):  # to the end
                out += piece
            return out
    reply = parse(await asyncio.to_thread(send))
    assert (reply.status, reply.code, reply.headers["content-type"]) == (400, code, "application/xml")


async def test_metadata(s3):
    many = {f"x-amz-meta-{n}": "v" for n in range(400)}  # as many as fit into 2 KiB
    assert (await ask(s3, "PUT", path(s3, "k"), many)).status == 200
    stored = (await s3.gw.objects.get(await s3.gw.buckets.get(s3.bucket), "k")).attrs
    assert sum(name.startswith("user.rgw.x-amz-meta-") for name in stored) == 400
    for size, headers in ((2048, 1), (7000, 20)):
        refused = await ask(s3, "PUT", path(s3, "k"), {f"x-amz-meta-{n}": "v" * size for n in range(headers)}, b"1")
        assert refused.code == "MetadataTooLarge"
    assert (await ask(s3, "PUT", path(s3, "k"), {"x-amz-meta-a": "v" * 2000, "Cache-Control": "max-age=1"}, b"1")).status == 200
    assert (await ask(s3, "PUT", path(s3, "k"), {"x-amz-meta-word": "=?UTF-8?B?w6k=?="}, b"1")).status == 200
    assert (await ask(s3, "HEAD", path(s3, "k"))).headers["x-amz-meta-word"].encode("latin-1").decode() == "é"


@pytest.mark.parametrize("word", ["=?utf-8?q?a=01b?=", "=?utf-8?q?a=00b?=", "=?utf-8?q?a=0D=0AX-Other:_1?=", "=?utf-8?q?=7F?=", "=?utf-7?q?+2AA-?=",
                                  "=?unicode_escape?q?=5Cud800?=", "=?utf-8?b?A?=", "=?utf-16?b?AA==?=", "=?zlib?b?AAAA?="])
async def test_metadata_that_no_header_can_hold(s3, word):
    """An encoded word of control characters, or of none at all, stays as it came."""
    for method, target in (("PUT", path(s3, "k")), ("POST", f"{path(s3, 'k')}?uploads")):
        assert (await ask(s3, method, target, {"x-amz-meta-word": word})).status == 200
    for method in ("GET", "HEAD"):
        reply = await ask(s3, method, path(s3, "k"))
        assert reply.status == 200 and "x-other" not in reply.headers
        assert reply.headers["x-amz-meta-word"] == word


async def test_control_characters_in_what_is_stored(s3):
    """By another gateway: they come as blanks."""
    await ask(s3, "PUT", path(s3, "k"), body=b"1")
    state = await s3.gw.objects.head(await s3.gw.buckets.get(s3.bucket), "k")
    await s3.gw.objects.set_attrs(state, {"user.rgw.x-amz-meta-a": b"1\r\nX-Other: 2\x01\0", "user.rgw.content_type": b"a\nb\x7f\0"})
    for method in ("GET", "HEAD"):
        reply = await ask(s3, method, path(s3, "k"))
        assert reply.status == 200 and "x-other" not in reply.headers
        assert (reply.headers["x-amz-meta-a"], reply.headers["content-type"]) == ("1  X-Other: 2 ", "a b ")


def test_metadata_that_takes_long():
    """Every beginning of a word without an end cost the rest of the value: seconds for a request's headers."""
    started = time.process_time()
    for value in ("?=" + "=?a?q?a " * 900, "=?a?q?" * 1200 + "?=", "=?utf-8?q?" + "=41" * 2600 + "?=", "=?utf-8?q?a?=x" * 560):
        assert attrs._meta_value(value)
    assert time.process_time() - started < 0.15
    assert attrs._meta_value("=?utf-8?q?=C3=A9_a?= =?ISO-8859-1?B?6Q==?= b") == "é aé b"


@pytest.mark.parametrize("size", [1, 5 << 20])
async def test_metadata_that_is_no_utf_8(s3, size):
    """By another gateway: its bytes come as they are, beside a body of any size."""
    await ask(s3, "PUT", path(s3, "k"), body=b"1" * size)
    state = await s3.gw.objects.head(await s3.gw.buckets.get(s3.bucket), "k")
    await s3.gw.objects.set_attrs(state, {"user.rgw.x-amz-meta-a": b"\xff\xe9\0"})
    for method in ("GET", "HEAD"):
        reply = await ask(s3, method, path(s3, "k"))
        assert (reply.status, reply.headers["x-amz-meta-a"], len(reply.body)) == (200, "\xff\xe9", size if method == "GET" else 0)
