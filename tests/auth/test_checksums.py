"""Checksums against their published check values, and against each other."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgw.auth.checksums import (
    ALGORITHMS,
    Checksum,
    checksum_type,
    combine,
    composite,
    content_md5,
    expected,
    full_object,
    verify,
)
from rgw.errors import S3Error

CRCS = ("crc32", "crc32c", "crc64nvme")


@pytest.mark.parametrize(("algorithm", "value"), [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")])
def test_check_values(algorithm: str, value: str) -> None:
    running = Checksum(algorithm)
    running.update(b"1234")
    running.update(b"56789")
    assert running.digest().hex() == value


def of(algorithm: str, data: bytes) -> Checksum:
    running = Checksum(algorithm)
    running.update(data)
    return running


@pytest.mark.parametrize("algorithm", CRCS)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_combined_is_the_whole(algorithm: str, parts: list[bytes]) -> None:
    whole = of(algorithm, b"".join(parts))
    assert full_object(algorithm, [(of(algorithm, part).base64(), len(part)) for part in parts]) == whole.base64()
    total, length = of(algorithm, parts[0]).digest(), 0
    for part in parts[1:]:
        total, length = combine(algorithm, total, of(algorithm, part).digest(), len(part)), length + len(part)
    assert total == whole.digest()


def test_composite() -> None:
    digests = [hashlib.sha256(part).digest() for part in (b"a", b"b")]
    value = composite("sha256", [base64.b64encode(digest).decode() for digest in digests])
    assert value == base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode() + "-2"


def test_headers() -> None:
    found = expected({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-sdk-checksum-algorithm": "CRC32"})
    assert found is not None and (found.algorithm, found.value, found.trailer) == ("crc32", "y/Q5Jg==", False)
    found = expected({"x-amz-trailer": "x-amz-checksum-crc64nvme"})
    assert found is not None and found.trailer and found.algorithm == "crc64nvme"
    assert expected({"content-type": "x", "x-amz-checksum-mode": "ENABLED"}) is None
    for bad in ({"x-amz-checksum-crc32": "y/Q5"}, {"x-amz-checksum-crc32": "bad"}, {"x-amz-checksum-crc32": ""},
                {"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-trailer": "x-amz-checksum-sha1"},
                {"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-sdk-checksum-algorithm": "SHA1"}, {"x-amz-sdk-checksum-algorithm": "MD4"},
                {"x-amz-checksum-md4": "y/Q5Jg=="}, {"x-amz-trailer": "x-amz-meta-a"}, {"x-amz-trailer": "x-amz-checksum-md4"}):
        with pytest.raises(S3Error, match="InvalidRequest"):
            expected(bad)
    with pytest.raises(S3Error, match="InvalidDigest"):
        content_md5({"content-md5": "abc"})
    assert content_md5({"content-md5": base64.b64encode(bytes(16)).decode()}) == bytes(16)
    with pytest.raises(S3Error, match="BadDigest"):
        verify(of("crc32", b"x"), "y/Q5Jg==")
    verify(of("crc32", b"123456789"), "y/Q5Jg==")


def test_types() -> None:
    assert [checksum_type({}, name) for name in ("crc32", "crc64nvme")] == ["COMPOSITE", "FULL_OBJECT"]
    for kind, name in (("COMPOSITE", "crc64nvme"), ("FULL_OBJECT", "sha1"), ("OTHER", "crc32")):
        with pytest.raises(S3Error, match="InvalidRequest"):
            checksum_type({"x-amz-checksum-type": kind}, name)


@given(st.dictionaries(st.sampled_from([*(f"x-amz-checksum-{name}" for name in ALGORITHMS), "x-amz-trailer", "content-md5",
                                        "x-amz-sdk-checksum-algorithm"]), st.text(max_size=20)))
def test_nonsense(headers: dict[str, str]) -> None:
    for parse in (expected, content_md5):
        try:
            parse(headers)
        except S3Error as error:
            assert error.status == 400
