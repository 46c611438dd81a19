"""Objects posted as browsers' forms: what the policy allows is stored, and nothing of what it does not."""

import asyncio
import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from rgw.errors import S3Error
from rgw.ops.form import Form
from tests.s3.wire import ask, path

BOUNDARY = "----form"
EMPTY = base64.b64encode(hmac.digest(b"", b"", "sha1")).decode()


def form(fields, data=b"bar", filename="some/dir\\name.txt", end=f"\r\n--{BOUNDARY}--\r\n") -> bytes:
    """The body; ``fields`` may be pairs, ``data`` None for no file."""
    out = b""
    for name, value in fields.items() if isinstance(fields, dict) else fields:
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    if data is not None:
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: x/y\r\n\r\n'.encode() + data
        return out + end.encode()
    return out + f"--{BOUNDARY}--\r\n".encode()


def policy(s3, *conditions, expires=600, **document):
    ends = (datetime.now(UTC) + timedelta(seconds=expires)).strftime("%Y-%m-%dT%H:%M:%SZ")
    whole = {"expiration": ends, "conditions": [{"bucket": s3.bucket}, ["starts-with", "$key", "foo"], *conditions], **document}
    return base64.b64encode(json.dumps({name: value for name, value in whole.items() if value is not None}).encode()).decode()


def signed_form(s3, *conditions, fields=None, **document) -> dict[str, str]:
    """Fields with a policy signed by Version 2."""
    text = policy(s3, *conditions, **document)
    signature = base64.b64encode(hmac.digest(s3.secret_key.encode(), text.encode(), "sha1")).decode()
    return {"key": "foo.txt", "AWSAccessKeyId": s3.access_key, "policy": text, "signature": signature, **(fields or {})}


async def post(s3, fields, data=b"bar", content_type=f"multipart/form-data; boundary={BOUNDARY}", body=None, **options):
    return await ask(s3, "POST", f"/{s3.bucket}", {"Content-Type": content_type}, body or form(fields, data, **options), sign=False)


async def stored(s3, key):
    got = await s3.run("get_object", Bucket=s3.bucket, Key=key)
    return got, await asyncio.to_thread(got["Body"].read)


@pytest.mark.parametrize("size", [3, 0, (9 << 20) + 7])
async def test_version_4(s3, size):
    """As boto3 makes the form, with everything that it may hold."""
    made = s3.client.generate_presigned_post(
        s3.bucket, "foo/${filename}", {"acl": "public-read", "Content-Type": "text/plain", "x-amz-meta-word": "é", "success_action_status": "201"},
        [{"acl": "public-read"}, ["starts-with", "$content-type", "text/"], ["eq", "$x-amz-meta-word", "é"], ["starts-with", "$tagging", ""],
         {"success_action_status": "201"}, ["content-length-range", size, size]])
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1 2</Value></Tag></TagSet></Tagging>"
    data = (b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r") * (size // 12 + 1)  # nearly the end, again and again
    reply = await post(s3, made["fields"] | {"tagging": tags, "x-ignore-this": "1"}, data[:size])
    assert reply.status == 201, reply.body
    assert b"<PostResponse><Location>" in reply.body and b"<Key>foo/name.txt</Key>" in reply.body
    assert urlsplit(reply.headers["location"]).path == f"/{s3.bucket}/foo/name.txt"
    got, found = await stored(s3, "foo/name.txt")
    assert found == data[:size] and got["ContentType"] == "text/plain" and got["ETag"] == reply.headers["etag"]
    assert (await ask(s3, "HEAD", path(s3, "foo/name.txt"), sign=False)).headers["x-amz-meta-word"].encode("latin-1").decode() == "é"
    assert (await s3.run("get_object_tagging", Bucket=s3.bucket, Key="foo/name.txt"))["TagSet"] == [{"Key": "a", "Value": "1 2"}]


async def test_version_2_and_answers(s3):
    reply = await post(s3, signed_form(s3, ["starts-with", "$Success_Action_Status", ""], fields={"success_action_status": "404"}))
    assert (reply.status, reply.body) == (204, b"")
    assert (await post(s3, signed_form(s3, {"success_action_status": "200"}, fields={"success_action_status": "200"}))).status == 200
    where = "http://app.example/done?x=1"
    reply = await post(s3, signed_form(s3, ["eq", "$success_action_redirect", where], fields={"success_action_redirect": where}))
    etag = reply.headers["etag"].strip('"')
    assert (reply.status, reply.headers["location"]) == (303, f"{where}&bucket={s3.bucket}&key=foo.txt&etag=%22{etag}%22")
    for bad in ("javascript:x", "//x", "http://a\r\nSet-Cookie: b", "nonsense", "http://[", "http://é"):
        reply = await post(s3, signed_form(s3, ["starts-with", "$success_action_redirect", ""], fields={"success_action_redirect": bad}))
        assert reply.status == 204 and "set-cookie" not in reply.headers


async def test_checksum(s3):
    reply = await post(s3, signed_form(s3, fields={"x-amz-checksum-crc32": "NhCmhg=="}), b"hello")
    assert reply.status == 204, reply.body
    got = await s3.run("head_object", Bucket=s3.bucket, Key="foo.txt", ChecksumMode="ENABLED")
    assert got["ChecksumCRC32"] == "NhCmhg=="


async def test_anonymous(s3):
    assert (await post(s3, {"key": "k"})).code == "AccessDenied"
    await s3.run("put_bucket_acl", Bucket=s3.bucket, ACL="public-read-write")
    assert (await post(s3, {"key": "k"})).status == 204
    assert (await post(s3, {"key": "a${filename}"}, filename="é.txt")).status == 204
    assert (await stored(s3, "aé.txt"))[1] == b"bar"


def _with(**fields):
    return lambda s3: signed_form(s3) | {name.replace("_", "-"): value for name, value in fields.items()}


def _without(name):
    return lambda s3: {key: value for key, value in signed_form(s3).items() if key != name}


@pytest.mark.parametrize(("made", "code"), [
    (lambda s3: signed_form(s3, expires=-1), "AccessDenied"),
    (lambda s3: signed_form(s3, expiration="tomorrow"), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, expiration=None, EXPIRATION="2040-01-01T00:00:00Z"), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, conditions=None), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, {}), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, ["regex", "$key", "."]), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, ["content-length-range", 0]), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, ["content-length-range", -1, 5]), "InvalidPolicyDocument"),
    (lambda s3: signed_form(s3, ["content-length-range", 0, 2]), "EntityTooLarge"),
    (lambda s3: signed_form(s3, ["content-length-range", 4, 9]), "EntityTooSmall"),
    (lambda s3: signed_form(s3, ["eq", "$x-amz-meta-a", "b"]), "AccessDenied"),                                     # lacking
    (lambda s3: signed_form(s3, ["eq", "$x-amz-meta-a", "b"], fields={"x-amz-meta-a": "c"}), "AccessDenied"),        # another
    (lambda s3: signed_form(s3, ["starts-with", "$Content-Type", "image/"], fields={"Content-Type": "image/a,text/b"}), "AccessDenied"),
    (lambda s3: signed_form(s3, conditions=[["starts-with", "$key", ""]]), "AccessDenied"),                         # for any bucket
    (lambda s3: signed_form(s3, conditions=[{"bucket": "other"}, ["starts-with", "$key", ""]], fields={"bucket": "other"}), "AccessDenied"),
    (_with(x_amz_meta_a="not listed"), "AccessDenied"), (_with(acl="public-read"), "AccessDenied"), (_with(key="bar"), "AccessDenied"),
    (_with(signature=EMPTY), "SignatureDoesNotMatch"), (_with(signature="é"), "SignatureDoesNotMatch"),
    (_with(AWSAccessKeyId="nobody"), "InvalidAccessKeyId"), (_with(policy="e30="), "SignatureDoesNotMatch"),
    (_with(x_amz_algorithm="AWS4-HMAC-SHA256"), "InvalidArgument"),
    (_without("signature"), "InvalidArgument"), (_without("policy"), "InvalidArgument"), (_without("key"), "InvalidArgument"),
    (_without("AWSAccessKeyId"), "InvalidArgument"), (_with(key=""), "InvalidArgument"), (_with(key="foo" * 400), "KeyTooLongError"),
    (_with(key="foo\0"), "InvalidURI"),
    (_with(x_amz_checksum_crc32="AAAAAA=="), "BadDigest"), (_with(x_amz_checksum_crc32="x"), "InvalidRequest"),
    (lambda s3: signed_form(s3, {"acl": "x"}, fields={"acl": "x"}), "InvalidArgument"),
    (lambda s3: signed_form(s3, {"tagging": "<x"}, fields={"tagging": "<x"}), "MalformedXML"),
    (lambda s3: signed_form(s3, {"content-type": "a\nb"}, fields={"content-type": "a\nb"}), "InvalidArgument"),
    (lambda s3: signed_form(s3, {"x-amz-meta-a b": "c"}, fields={"x-amz-meta-a b": "c"}), "InvalidArgument"),
    (lambda s3: signed_form(s3, ["starts-with", "$x-amz-meta-a", ""], fields={"x-amz-meta-a": "v" * 2049}), "MetadataTooLarge"),
])
async def test_refused(s3, made, code):
    """Small and with tails that would be written before the end is known."""
    reply = await post(s3, made(s3))
    assert reply.code == code, reply.body
    if code in ("EntityTooLarge", "BadDigest"):
        assert (await post(s3, made(s3), b"x" * (9 << 20))).code == code


async def test_a_hung_up_form_leaves_nothing(s3):
    whole = form(signed_form(s3), b"x" * (9 << 20))
    for size in (len(whole) - 40, len(whole) // 2, 300, 10):
        reply = await ask(s3, "POST", f"/{s3.bucket}", {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, whole[:size], sign=False)
        assert reply.code == "MalformedPOSTRequest"


@pytest.mark.parametrize(("content_type", "body", "code"), [
    ("text/plain", b"x", "PreconditionFailed"), ("multipart/form-data", b"x", "PreconditionFailed"), ("", b"", "PreconditionFailed"),
    ("multipart/mixed; boundary=a", b"x", "PreconditionFailed"), (None, b"", "MalformedPOSTRequest"), (None, b"nothing", "MalformedPOSTRequest"),
    (None, form({"key": "k"}, None), "InvalidArgument"), (None, f"--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--".encode(), "MalformedPOSTRequest"),
    (None, f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--".encode(), "MalformedPOSTRequest"),
    (None, form({"key": "k", "x-ignore-a": "a" * 20_480}), "MaxPostPreDataLengthExceededError"), (None, b"a" * 30_000, "MaxPostPreDataLengthExceededError"),
    (None, form({"key": "k"}).replace(b'"key"', b'"\xff"'), "MalformedPOSTRequest"), (None, f"--{BOUNDARY}--".encode(), "MalformedPOSTRequest"),
    (None, form({"key": "k"}, end=f"\r\n--{BOUNDARY}xy"), "MalformedPOSTRequest"),
])
async def test_no_form(s3, content_type, body, code):
    await s3.run("put_bucket_acl", Bucket=s3.bucket, ACL="public-read-write")
    headers = {"Content-Type": content_type if content_type is not None else f"multipart/form-data; boundary={BOUNDARY}"}
    assert (await ask(s3, "POST", f"/{s3.bucket}", headers, body, sign=False)).code == code


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_pieces_of_any_size(size):
    """However the body comes in."""
    data = b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n\r\n-" * 3
    whole = b"preamble\r\n" + form([("Key", "a\r\nb"), ("empty", ""), ("key", "second")], data) + b"epilogue"

    async def pieces():
        for at in range(0, len(whole), size):
            yield whole[at:at + size]

    reader = Form(f'multipart/form-data; charset=x; boundary="{BOUNDARY}"', pieces())
    assert await reader.fields() == {"key": "a\r\nb", "empty": ""} and reader.filename == "name.txt"
    assert b"".join([piece async for piece in reader.file()]) == data
    for end in range(len(whole) - len(b"--\r\nepilogue")):
        async def cut(end=end):
            yield whole[:end]
        reader = Form(f"multipart/form-data; boundary={BOUNDARY}", cut())
        with pytest.raises(S3Error):
            await reader.fields()
            async for _ in reader.file():
                pass
        if size != 1000:
            break
