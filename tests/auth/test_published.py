"""The examples of the S3 API reference, figure for figure."""

from __future__ import annotations

from calendar import timegm

import pytest

from rgw.auth import ChunkedDecoder, PayloadKind, PayloadPlan, RequestView, times
from rgw.auth.secret import Secret
from rgw.auth.sigv4 import canonical_query, canonical_request, derive_key, sign, string_to_sign
from rgw.errors import S3Error
from tests.auth.signing import ACCESS, SECOND, SECRET, check

MAY_24 = timegm((2013, 5, 24, 0, 0, 0)) * SECOND
HOST = "examplebucket.s3.amazonaws.com"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def v4(method: str, path: str, query: str, headers: dict[str, str], signature: str) -> RequestView:
    headers = {"host": HOST, **headers, "x-amz-date": headers.get("x-amz-date", "20130524T000000Z")}
    names = ";".join(sorted(headers))
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/20130524/us-east-1/s3/aws4_request,SignedHeaders={names},Signature={signature}")
    return RequestView(method, path, query, list(headers.items()))


V4_EXAMPLES = {
    "get object": v4("GET", "/test.txt", "", {"range": "bytes=0-9", "x-amz-content-sha256": EMPTY},
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    "put object": v4("PUT", "/test%24file.text", "", {
        "date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
    "get lifecycle": v4("GET", "/", "lifecycle", {"x-amz-content-sha256": EMPTY},
                        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    "list": v4("GET", "/", "max-keys=2&prefix=J", {"x-amz-content-sha256": EMPTY},
               "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
}


@pytest.mark.parametrize("name", V4_EXAMPLES)
async def test_v4_header_examples(name: str) -> None:
    identity = await check(V4_EXAMPLES[name], MAY_24)
    assert identity.access_key == ACCESS and identity.payload.kind is PayloadKind.SIGNED_SHA256


async def test_put_with_unencoded_path() -> None:
    """The example's signature is of %24; a client that sends ``$`` on the wire has signed the encoded form."""
    view = V4_EXAMPLES["put object"]
    identity = await check(RequestView("PUT", "/test$file.text", "", view.headers), MAY_24)
    assert not identity.anonymous


PRESIGNED = ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
             "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
             "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


async def test_v4_presigned_example() -> None:
    view = RequestView("GET", "/test.txt", PRESIGNED, [("host", HOST)])
    identity = await check(view, MAY_24 + 86400 * SECOND)
    assert identity.payload.kind is PayloadKind.UNSIGNED
    with pytest.raises(S3Error) as caught:
        await check(view, MAY_24 + 86401 * SECOND)
    assert caught.value.code == "AccessDenied" and caught.value.message == "Request has expired"


CHUNKS = [(65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
          (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
          (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")]


async def test_chunked_example() -> None:
    view = v4("PUT", "/examplebucket/chunkObject.txt", "", {
        "x-amz-storage-class": "REDUCED_REDUNDANCY", "content-encoding": "aws-chunked", "content-length": "66824",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-decoded-content-length": "66560", "host": "s3.amazonaws.com",
    }, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
    identity = await check(view, MAY_24)
    body = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (size, text.encode(), b"a" * size) for size, text in CHUNKS)
    assert len(body) == 66824
    for step in (1, 7, 1000, len(body)):
        decoder = ChunkedDecoder(identity.payload)
        out = [piece for at in range(0, len(body), step) for piece in decoder.feed(body[at:at + step])]
        assert b"".join(out) == b"a" * 66560 and decoder.finish() == {}
    tampered = bytearray(body)
    tampered[500] ^= 1
    decoder = ChunkedDecoder(identity.payload)
    assert decoder.feed(bytes(tampered[:60000])) == []
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        decoder.feed(bytes(tampered[60000:]))


def test_trailer_example() -> None:
    date, scope = "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"
    key = derive_key(SECRET.encode(), "20130524", "us-east-1", "s3")
    plan = PayloadPlan(PayloadKind.STREAMING_SIGNED_TRAILER, "", 66560, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
                       date, scope, Secret(key), ("x-amz-checksum-crc32c",))
    signatures = ["b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                  "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                  "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"]
    body = b"".join(b"%x;chunk-signature=%s\r\n" % (size, text.encode()) + (b"a" * size + b"\r\n" if size else b"")
                    for (size, _), text in zip(CHUNKS, signatures, strict=True))
    end = b"x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:%s\r\n\r\n"
    good = b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    decoder = ChunkedDecoder(plan)
    assert b"".join(decoder.feed(body + end % good)) == b"a" * 66560
    assert decoder.finish() == {"x-amz-checksum-crc32c": "sOO8/Q=="}
    for wrong in (end % (b"0" * 64), (end % good).replace(b"sOO8", b"sOO9"), b"\r\n", b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n\r\n"):
        with pytest.raises(S3Error):
            decoder = ChunkedDecoder(plan)
            decoder.feed(body + wrong)
            decoder.finish()


def test_aws_vector_vanilla_query_order() -> None:
    """get-vanilla-query-order-key-case of the AWS Signature V4 suite."""
    canonical = canonical_request(
        "GET", "/", canonical_query("Param2=value2&Param1=value1"), {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"},
        ("host", "x-amz-date"), EMPTY)
    text = string_to_sign("20150830T123600Z", "20150830/us-east-1/service/aws4_request", canonical)
    key = derive_key(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "service")
    assert sign(key, text) == "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"


@pytest.mark.parametrize(("method", "path", "query", "headers", "signature"), [
    ("GET", "/photos/puppy.jpg", "", {"date": "Tue, 27 Mar 2007 19:36:42 +0000"}, "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="),
    ("PUT", "/photos/puppy.jpg", "", {"content-type": "image/jpeg", "content-length": "94328", "date": "Tue, 27 Mar 2007 21:15:45 +0000"},
     "iqRzw+ileNPu1fhspnRs8nOjjIA="),
    ("GET", "/", "prefix=photos&max-keys=50&marker=puppy", {"date": "Tue, 27 Mar 2007 19:42:41 +0000"}, "m0WP8eCtspQl5Ahe6L1SozdX9YA="),
    ("GET", "/", "acl", {"date": "Tue, 27 Mar 2007 19:44:46 +0000"}, "82ZHiFIjc+WbcwFKGUVEQspPn+0="),
])
async def test_v2_examples(method: str, path: str, query: str, headers: dict[str, str], signature: str) -> None:
    now = times.parse_any(headers["date"])
    assert now is not None
    pairs = [("host", "awsexamplebucket1.us-west-1.s3.amazonaws.com"), *headers.items(), ("authorization", f"AWS {ACCESS}:{signature}")]
    assert not (await check(RequestView(method, path, query, pairs), now)).anonymous
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        await check(RequestView(method, path + "x", query, pairs), now)
