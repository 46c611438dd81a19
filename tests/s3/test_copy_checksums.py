"""Checksums of copies: CopyObject with x-amz-checksum-algorithm, UploadPartCopy into an upload that was made with it."""

import asyncio
import secrets

import pytest

from rgw.auth import checksums
from tests.s3.test_multipart import code


async def test_the_checksum_of_a_copy(s3):
    """The source's, or the one that is asked for: read from the source, but taken over from it where it has that of its whole content."""
    data = secrets.token_bytes(9 << 20)
    crc, sha = (checksums.Checksum(name) for name in ("crc32", "sha256"))
    for running in (crc, sha):
        running.update(data)
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=data, ChecksumAlgorithm="CRC32", Metadata={"a": "b"})
    before = await s3.objects()

    async def copied(key, **arguments):
        told = (await s3.run("copy_object", Bucket=s3.bucket, Key=key, CopySource={"Bucket": s3.bucket, "Key": "k"}, **arguments))["CopyObjectResult"]
        got = await s3.run("head_object", Bucket=s3.bucket, Key=key, ChecksumMode="ENABLED")
        found = {name: value for name, value in got.items() if name.startswith("Checksum")}
        assert found == {name: value for name, value in told.items() if name.startswith("Checksum")}
        return found | got["Metadata"]

    theirs = {"ChecksumCRC32": crc.base64(), "ChecksumType": "FULL_OBJECT"}
    assert await copied("plain") == theirs | {"a": "b"}
    assert await copied("sha", ChecksumAlgorithm="SHA256") == {"ChecksumSHA256": sha.base64(), "ChecksumType": "FULL_OBJECT", "a": "b"}
    assert await copied("new", ChecksumAlgorithm="SHA256", MetadataDirective="REPLACE") == {
        "ChecksumSHA256": sha.base64(), "ChecksumType": "FULL_OBJECT"}
    reads = []
    read, s3.gw.objects.read = s3.gw.objects.read, lambda *args: reads.append(args)
    assert await copied("same", ChecksumAlgorithm="CRC32") == theirs | {"a": "b"} and not reads
    s3.gw.objects.read = read
    assert len({name for _, _, name in await s3.objects() - before}) == 4  # heads: the tails are shared
    assert await code(s3.run("copy_object", Bucket=s3.bucket, Key="n", CopySource=f"{s3.bucket}/k", ChecksumAlgorithm="CRC99")) == "InvalidRequest"


async def test_the_checksum_of_a_copy_of_parts(s3):
    """A composite one is not that of the content."""
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m", ChecksumAlgorithm="SHA256"))["UploadId"]
    pieces, parts = [b"a" * (5 << 20), b"end"], []
    for number, piece in enumerate(pieces, 1):
        made = await s3.run("upload_part", Bucket=s3.bucket, Key="m", UploadId=upload, PartNumber=number, Body=piece, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumSHA256": made["ChecksumSHA256"]})
    done = await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    got = await s3.run("copy_object", Bucket=s3.bucket, Key="c", CopySource=f"{s3.bucket}/m", ChecksumAlgorithm="SHA256")
    running = checksums.Checksum("sha256")
    running.update(b"".join(pieces))
    assert got["CopyObjectResult"]["ChecksumSHA256"] == running.base64() != done["ChecksumSHA256"]
    assert got["CopyObjectResult"]["ChecksumType"] == "FULL_OBJECT" and got["CopyObjectResult"]["ETag"] == done["ETag"]


@pytest.mark.parametrize(("algorithm", "kind"), [("CRC32", "FULL_OBJECT"), ("SHA256", "COMPOSITE")])
async def test_copied_parts_of_an_upload_that_asks_for_checksums(s3, algorithm, kind):
    """They are read for it, but their tails are shared all the same."""
    data, name = secrets.token_bytes(18 << 20), f"Checksum{algorithm}"
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m", ChecksumAlgorithm=algorithm, ChecksumType=kind))["UploadId"]
    place = {"Bucket": s3.bucket, "Key": "m", "UploadId": upload}
    before, parts, pieces = await s3.objects(), [], [data, data[5 << 20:17 << 20], b"end"]
    for number, limits in ((1, {}), (2, {"CopySourceRange": f"bytes={5 << 20}-{(17 << 20) - 1}"})):
        made = (await s3.run("upload_part_copy", PartNumber=number, CopySource=f"{s3.bucket}/k", **limits, **place))["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": made["ETag"], name: made[name]})
    assert len(await s3.objects() - before) == 2
    made = await s3.run("upload_part", PartNumber=3, Body=pieces[2], ChecksumAlgorithm=algorithm, **place)
    parts.append({"PartNumber": 3, "ETag": made["ETag"], name: made[name]})
    sums = [checksums.Checksum(algorithm.lower()) for _ in pieces]
    for running, piece in zip(sums, pieces, strict=True):
        running.update(piece)
    assert [row[name] for row in parts] == [running.base64() for running in sums]
    listed = (await s3.run("list_parts", **place))["Parts"]
    assert [row[name] for row in listed] == [row[name] for row in parts]
    done = await s3.run("complete_multipart_upload", MultipartUpload={"Parts": parts}, **place)
    whole = checksums.Checksum("crc32")
    whole.update(b"".join(pieces))
    assert done[name] == (whole.base64() if kind == "FULL_OBJECT" else checksums.composite("sha256", [row[name] for row in parts]))
    got = await s3.run("get_object", Bucket=s3.bucket, Key="m", ChecksumMode="ENABLED")
    assert got[name] == done[name] and await asyncio.to_thread(got["Body"].read) == b"".join(pieces)
