"""Encryption with clients' keys (SSE-C) through HTTP: headers, replies, and that keys are shown to nobody."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import logging
import secrets
import socket
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from rgw.core.options import Options
from rgw.frontend.server import Server
from tests.s3.wire import ask, head, parse, path, signed, talk

MIB = 1 << 20
CUSTOMER, SOURCE = "x-amz-server-side-encryption-customer-", "x-amz-copy-source-server-side-encryption-customer-"


@pytest.fixture(autouse=True)
def without_https(s3):
    s3.gw.options._values["rgw_crypt_require_ssl"] = False


def new_key() -> dict[str, object]:
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_bytes(32)}


def as_source(key: dict[str, object]) -> dict[str, object]:
    return {f"CopySource{name}": value for name, value in key.items()}


def key_headers(key: bytes, prefix: str = CUSTOMER) -> dict[str, str]:
    return {f"{prefix}algorithm": "AES256", f"{prefix}key": base64.b64encode(key).decode(),
            f"{prefix}key-MD5": base64.b64encode(hashlib.md5(key).digest()).decode()}


async def body(s3, **arguments) -> tuple[bytes, dict[str, object]]:
    """An object's bytes and reply."""
    reply = await s3.run("get_object", **arguments)
    return await asyncio.to_thread(reply["Body"].read), reply


async def refusal(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as refused:
        await call
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


async def test_put_get_head_copy(s3):
    key, other, data = new_key(), new_key(), secrets.token_bytes(5 * MIB + 77)
    place = {"Bucket": s3.bucket, "Key": "k"}
    put = await s3.run("put_object", Body=data, ChecksumAlgorithm="SHA256", Metadata={"a": "b"}, **place, **key)
    md5 = hashlib.md5(data).hexdigest()
    assert put["ETag"] == f'"{md5}"' and put["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert put["SSECustomerAlgorithm"] == "AES256"
    assert put["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(key["SSECustomerKey"]).digest()).decode()
    read, got = await body(s3, ChecksumMode="ENABLED", **place, **key)  # the client compares the checksum
    assert read == data and got["SSECustomerKeyMD5"] == put["SSECustomerKeyMD5"] and got["ETag"] == put["ETag"]
    read, got = await body(s3, Range="bytes=4194300-4194400", **place, **key)
    assert read == data[4194300:4194401] and got["ContentRange"] == f"bytes 4194300-4194400/{len(data)}"
    shown = await s3.run("head_object", **place, **key)
    assert (shown["ContentLength"], shown["Metadata"], shown["SSECustomerAlgorithm"]) == (len(data), {"a": "b"}, "AES256")
    for call in ("get_object", "head_object"):
        for wrong in ({}, other):
            assert (await refusal(s3.run(call, **place, **wrong)))[0] == 400
        assert (await refusal(s3.run(call, IfNoneMatch=put["ETag"], **place)))[0] == 304  # as radosgw: no key is needed for that
    copied = await s3.run("copy_object", Bucket=s3.bucket, Key="copy", CopySource=place, **as_source(key), **other)
    assert copied["SSECustomerKeyMD5"] and copied["CopyObjectResult"]["ETag"] == put["ETag"]
    read, got = await body(s3, Bucket=s3.bucket, Key="copy", ChecksumMode="ENABLED", **other)
    assert read == data and got["Metadata"] == {"a": "b"}
    assert await refusal(s3.run("copy_object", Bucket=s3.bucket, Key="copy", CopySource=place, **other)) == (400, "InvalidArgument")
    assert (await refusal(s3.run("copy_object", CopySource=place, **place)))[0] == 400
    await s3.run("copy_object", CopySource=place, **place, **as_source(key), **other)
    assert (await body(s3, **place, **other))[0] == data


async def test_multipart(s3):
    key, other = new_key(), new_key()
    parts = [secrets.token_bytes(5 * MIB + 3), secrets.token_bytes(5 * MIB + 4096), b"end"]
    place = {"Bucket": s3.bucket, "Key": "m"}
    await s3.run("put_object", Bucket=s3.bucket, Key="source", Body=parts[1], **other)
    created = await s3.run("create_multipart_upload", **place, **key)
    assert created["SSECustomerAlgorithm"] == "AES256" and created["SSECustomerKeyMD5"]
    upload = {**place, "UploadId": created["UploadId"]}
    for wrong in ({}, other):
        assert await refusal(s3.run("upload_part", PartNumber=1, Body=b"x", **upload, **wrong)) == (400, "InvalidArgument")
        source = {"CopySource": {"Bucket": s3.bucket, "Key": "source"}, **as_source(other)}
        assert await refusal(s3.run("upload_part_copy", PartNumber=1, **source, **upload, **wrong)) == (400, "InvalidArgument")
    first = await s3.run("upload_part", PartNumber=1, Body=parts[0], **upload, **key)
    second = await s3.run("upload_part_copy", PartNumber=2, **source, **upload, **key)
    third = await s3.run("upload_part", PartNumber=3, Body=parts[2], **upload, **key)
    assert first["SSECustomerKeyMD5"] == second["SSECustomerKeyMD5"] == created["SSECustomerKeyMD5"]
    etags = [first["ETag"], second["CopyPartResult"]["ETag"], third["ETag"]]
    assert etags == [f'"{hashlib.md5(data).hexdigest()}"' for data in parts]
    named = {"Parts": [{"PartNumber": i, "ETag": e} for i, e in enumerate(etags, 1)]}
    assert await refusal(s3.run("complete_multipart_upload", MultipartUpload=named, **upload, **other)) == (400, "InvalidArgument")
    await s3.run("complete_multipart_upload", MultipartUpload=named, **upload)
    assert (await body(s3, **place, **key))[0] == b"".join(parts)
    for number, data in enumerate(parts, 1):
        read, got = await body(s3, PartNumber=number, **place, **key)
        assert read == data and got["PartsCount"] == 3
    plain = {**place, "UploadId": (await s3.run("create_multipart_upload", **place))["UploadId"]}
    assert await refusal(s3.run("upload_part", PartNumber=1, Body=b"x", **plain, **key)) == (400, "InvalidRequest")
    await s3.run("abort_multipart_upload", **plain)


async def test_presigned(s3):
    """A URL that demands a key: whoever uses it sends it as headers."""
    key, data = secrets.token_bytes(32), secrets.token_bytes(100)
    place = {"Bucket": s3.bucket, "Key": "k"}
    for call, method, sent in (("put_object", "PUT", data), ("get_object", "GET", b"")):
        url = s3.client.generate_presigned_url(call, {**place, "SSECustomerAlgorithm": "AES256", "SSECustomerKey": key})
        target = url.removeprefix(s3.endpoint)
        assert base64.b64encode(key).decode() not in target and urlsplit(url).query
        headers = {"Host": s3.endpoint.removeprefix("http://"), "Connection": "close", "Content-Length": str(len(sent)), **key_headers(key)}
        reply = parse(await talk(s3, head(method, target, headers) + sent), method)
        assert reply.status == 200, reply.body
    assert reply.body == data


NONE: dict[str, str | None] = dict.fromkeys((f"{CUSTOMER}algorithm", f"{CUSTOMER}key", f"{CUSTOMER}key-MD5"))
BAD = [
    ({f"{CUSTOMER}algorithm": None}, "InvalidArgument"), ({f"{CUSTOMER}algorithm": "AES128"}, "InvalidEncryptionAlgorithmError"),
    ({f"{CUSTOMER}key": None}, "InvalidArgument"), ({f"{CUSTOMER}key": "c2hvcnQ="}, "InvalidArgument"), ({f"{CUSTOMER}key": "*"}, "InvalidArgument"),
    ({f"{CUSTOMER}key-MD5": None}, "InvalidArgument"), ({f"{CUSTOMER}key-MD5": "c2hvcnQ="}, "InvalidArgument"),
    ({f"{CUSTOMER}key-MD5": "A" * 22 + "=="}, "InvalidArgument"),
    ({"x-amz-server-side-encryption": "aws:kms"}, "InvalidArgument"), ({"x-amz-server-side-encryption": "AES256"}, "InvalidArgument"),
    (NONE | {"x-amz-server-side-encryption": "aws:kms"}, "NotImplemented"), (NONE | {"x-amz-server-side-encryption": "AES256"}, "NotImplemented"),
    (NONE | {"x-amz-server-side-encryption": "AES256", "x-amz-server-side-encryption-aws-kms-key-id": "x"}, "InvalidArgument"),
    ({"x-amz-server-side-encryption": "x"}, "InvalidArgument"), ({"x-amz-server-side-encryption-aws-kms-key-id": "x"}, "InvalidArgument"),
]


@pytest.mark.parametrize(("changes", "code"), BAD, ids=range(len(BAD)))
async def test_bad_headers(s3, changes, code):
    headers = {name: value for name, value in (key_headers(bytes(32)) | changes).items() if value is not None}
    before = await s3.objects()
    for method, target in (("PUT", path(s3, "k")), ("POST", path(s3, "k") + "?uploads=")):
        reply = await ask(s3, method, target, headers, b"data" if method == "PUT" else b"")
        assert reply.code == code
        assert headers.get(f"{CUSTOMER}key", "none").encode() not in reply.body
    assert await s3.objects() == before


@pytest.mark.parametrize(("options", "headers", "status"), [
    ({}, {}, 400), ({}, {"X-Forwarded-Proto": "https"}, 400),
    ({"rgw_trust_forwarded_https": True}, {}, 400), ({"rgw_trust_forwarded_https": True}, {"X-Forwarded-Proto": "http"}, 400),
    ({"rgw_trust_forwarded_https": True}, {"X-Forwarded-Proto": "https"}, 200),
    ({"rgw_trust_forwarded_https": True}, {"Forwarded": "for=192.0.2.7;proto=https;by=x"}, 200),
], ids=range(6))
async def test_keys_come_through_https(s3, options, headers, status):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"data", **new_key())
    s3.gw.options._values |= {"rgw_crypt_require_ssl": Options().rgw_crypt_require_ssl, **options}
    for method, sent in (("PUT", b"data"), ("GET", b"")) if status == 200 else (("GET", b""), ("PUT", b"data")):
        reply = await ask(s3, method, path(s3, "k"), headers | key_headers(bytes(32)), sent)
        assert reply.status == status and reply.code == ("" if status == 200 else "InvalidRequest")


async def test_a_key_is_shown_to_nobody(s3, caplog, monkeypatch):
    """Neither logs, even those of a failure, nor error documents hold a key; V4's canonical request and V2's string to sign do, but not as shown."""
    caplog.set_level(logging.DEBUG)
    key = secrets.token_bytes(32)
    forms = [base64.b64encode(key).decode(), key.hex(), repr(key), base64.b64encode(key).decode().encode().hex(" ")]
    headers = key_headers(key) | key_headers(key, SOURCE)
    bodies = []
    wanted = signed(s3, "PUT", path(s3, "k"), headers)
    wanted["Authorization"] = wanted["Authorization"][:-4] + "0000"
    bodies.append(parse(await talk(s3, head("PUT", path(s3, "k"), wanted | {"Content-Length": "0", "Connection": "close"})), "PUT"))
    assert bodies[-1].code == "SignatureDoesNotMatch" and f"{CUSTOMER}key:(hidden)".encode() in bodies[-1].body
    old = {"Authorization": f"AWS {s3.access_key}:x", "Date": http.client.email.utils.formatdate(usegmt=True), **headers}
    bodies.append(await ask(s3, "PUT", path(s3, "k"), old, sign=False))
    assert bodies[-1].code == "SignatureDoesNotMatch" and f"{CUSTOMER}key:(hidden)".encode() in bodies[-1].body
    bodies.append(await ask(s3, "PUT", path(s3, "k"), headers, b"data"))
    assert bodies[-1].status == 200
    bodies.append(await ask(s3, "GET", path(s3, "k"), key_headers(bytes(32))))

    async def fail(*arguments):
        raise RuntimeError(f"{arguments}")

    failing = Server(s3.gw)
    monkeypatch.setattr(failing._handler, "_render", fail)
    sock = socket.create_server(("127.0.0.1", 0))
    await failing.start([sock])
    bodies.append(await ask(replace(s3, endpoint=f"http://127.0.0.1:{sock.getsockname()[1]}"), "GET", path(s3, "k"), headers))
    await failing.stop(1)
    assert bodies[-1].status == 500
    logged = "".join(f"{record.getMessage()} {record.exc_info}" for record in caplog.records if record.name.startswith("rgw"))
    everything = logged + "".join(f"{reply.headers}{reply.body.decode()}" for reply in bodies)
    assert "RuntimeError" in logged
    for form in forms:
        assert form not in everything


async def test_versions_have_keys_of_their_own(s3):
    await s3.run("put_bucket_versioning", Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    place = {"Bucket": s3.bucket, "Key": "k"}
    keys = [new_key(), {}, new_key()]
    ids = [(await s3.run("put_object", Body=b"version %d" % i, **place, **key))["VersionId"] for i, key in enumerate(keys)]
    for i, (version, key) in enumerate(zip(ids, keys, strict=True)):
        assert (await body(s3, VersionId=version, **place, **key))[0] == b"version %d" % i
    assert await refusal(s3.run("get_object", VersionId=ids[0], **place, **keys[2])) == (400, "InvalidArgument")
    source = {"CopySource": {**place, "VersionId": ids[0]}, **as_source(keys[0])}
    copied = await s3.run("copy_object", **source, **place, **keys[2])
    got, reply = await body(s3, **place, **keys[2])
    assert got == b"version 0" and reply["VersionId"] == copied["VersionId"] not in ids
