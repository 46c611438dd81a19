"""aws-chunked bodies: what is let through, and what never is."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgw.auth import ChunkedDecoder, PayloadKind, PayloadPlan
from rgw.auth.chunked import MAX_CHUNK
from rgw.auth.secret import Secret
from rgw.auth.sigv4 import sign
from rgw.errors import S3Error

KEY = b"k" * 32
PLAN = PayloadPlan(PayloadKind.STREAMING_SIGNED, "", 0, "0" * 64, "20130524T000000Z", "20130524/r/s3/aws4_request", Secret(KEY))
UNSIGNED = PayloadPlan(PayloadKind.STREAMING_UNSIGNED_TRAILER, "", 0, trailers=("x-amz-checksum-crc32",))
NOTHING = sha256(b"").hexdigest()


def encode(chunks: list[bytes]) -> bytes:
    previous, out = PLAN.seed_signature, b""
    for chunk in [*chunks, b""]:
        digest = sha256(chunk).hexdigest()
        previous = sign(KEY, f"AWS4-HMAC-SHA256-PAYLOAD\n{PLAN.timestamp}\n{PLAN.scope}\n{previous}\n{NOTHING}\n{digest}")
        out += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), previous.encode(), chunk)
    return out


def run(plan: PayloadPlan, body: bytes, step: int) -> bytes:
    decoder, out = ChunkedDecoder(plan), []
    for at in range(0, len(body), step):
        out += decoder.feed(body[at:at + step])
    decoder.finish()
    return b"".join(out)


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=4)


@given(chunks=CHUNKS, step=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_round_trip(chunks: list[bytes], step: int) -> None:
    payload = b"".join(chunks)
    assert run(PLAN._replace(decoded_length=len(payload)), encode(chunks), step) == payload
    loose = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert run(UNSIGNED._replace(decoded_length=len(payload)), loose, step) == payload


@given(chunks=CHUNKS, data=st.data(), step=st.integers(1, 100))
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_lets_nothing_wrong_through(chunks: list[bytes], data: st.DataObject, step: int) -> None:
    payload, body = b"".join(chunks), bytearray(encode(chunks))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    decoder = ChunkedDecoder(PLAN._replace(decoded_length=len(payload)))
    out = b""
    try:
        for at in range(0, len(body), step):
            out += b"".join(decoder.feed(bytes(body[at:at + step])))
        decoder.finish()
        assert out == payload  # only the case of a hexadecimal digit may differ
    except S3Error:
        assert payload.startswith(out)


@pytest.mark.parametrize("cut", range(1, 100, 7))
def test_a_short_body(cut: int) -> None:
    with pytest.raises(S3Error) as caught:
        run(PLAN._replace(decoded_length=50), encode([b"x" * 50])[:-cut], 1000)
    assert caught.value.code == "IncompleteBody"


def test_lengths() -> None:
    for declared in (9, 11):
        with pytest.raises(S3Error, match="IncompleteBody"):
            run(PLAN._replace(decoded_length=declared), encode([b"x" * 10]), 1000)
    with pytest.raises(S3Error, match="IncompleteBody"):
        run(PLAN._replace(decoded_length=1), encode([b"x"]) + b"more", 1000)
    with pytest.raises(S3Error, match="InvalidRequest"):
        run(PLAN._replace(decoded_length=1 << 40), b"%x;chunk-signature=%s\r\n" % (MAX_CHUNK + 1, b"0" * 64), 1000)
    with pytest.raises(S3Error, match="InvalidRequest"):
        run(PLAN._replace(decoded_length=1), b"1" * 2000, 100)


@pytest.mark.parametrize("end", [b"\r\n", b"x-amz-checksum-sha1:AA==\r\n\r\n", b"nonsense\r\n\r\n",
                                 b"x-amz-checksum-crc32:A\r\nx-amz-checksum-crc32:B\r\n\r\n"])
def test_wrong_trailers(end: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        run(UNSIGNED._replace(decoded_length=1), b"1\r\nx\r\n0\r\n" + end, 1000)


@given(body=st.binary(max_size=200), step=st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_nonsense(body: bytes, step: int) -> None:
    for plan in (PLAN, UNSIGNED, PLAN._replace(kind=PayloadKind.STREAMING_SIGNED_TRAILER)):
        with pytest.raises(S3Error):
            run(plan._replace(decoded_length=5), body, step)


def test_byte_by_byte_is_joined() -> None:
    payload = bytes(range(256)) * 600
    body, decoder = encode([payload]), ChunkedDecoder(PLAN._replace(decoded_length=len(payload)))
    out = [piece for at in range(len(body)) for piece in decoder.feed(body[at:at + 1])]
    assert b"".join(out) == payload and len(out) <= 3
    decoder.finish()
    mixed = ChunkedDecoder(PLAN._replace(decoded_length=len(payload)))
    cuts = [0, 90, 100, 9000, 9001, 9002, 90000, len(body)]
    assert b"".join(b"".join(mixed.feed(body[a:b])) for a, b in zip(cuts, cuts[1:], strict=False)) == payload
