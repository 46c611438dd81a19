"""Uploads in parts: the same requests to both gateways get the same answers, and radosgw ends uploads in the midst of our part copies."""

from __future__ import annotations

import asyncio
import http.client
import itertools
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.errors import S3Error
from rgw.store.librados import connect
from tests.core.test_part_copy_ends import POINTS, pauser
from tests.radosgw import tools

MIB = 1 << 20


def answer(call: Any, **arguments: Any) -> tuple[int, str]:
    """Status and code of an answer."""
    try:
        return call(**arguments)["ResponseMetadata"]["HTTPStatusCode"], ""
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


class Story:
    """What one client sees of an upload's life."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket

    def begin(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": key, "UploadId": self.client.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]}

    def part(self, place: dict[str, str], number: int, data: bytes) -> dict[str, Any]:
        return {"PartNumber": number, "ETag": self.client.upload_part(PartNumber=number, Body=data, **place)["ETag"]}

    def complete(self, place: dict[str, str], *parts: dict[str, Any]) -> tuple[int, str]:
        return answer(self.client.complete_multipart_upload, MultipartUpload={"Parts": list(parts)}, **place)

    def body(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def overlapped(self, place: dict[str, str], data: bytes, meanwhile: Any) -> str:
        """Sends part 1, and does something before its last byte goes; the ETag."""
        url = urlsplit(self.client.generate_presigned_url("upload_part", Params={**place, "PartNumber": 1}))
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
        connection.putrequest("PUT", f"{url.path}?{url.query}")
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data[:-1])
        meanwhile()
        connection.send(data[-1:])
        reply = connection.getresponse()
        reply.read()
        connection.close()
        assert reply.status == 200
        return str(reply.headers["ETag"])

    def tell(self) -> list[Any]:
        """The same on both."""
        said: list[Any] = []
        place = self.begin("again")
        first, second = self.part(place, 1, b"first"), self.part(place, 1, b"second")
        said += [self.complete(place, first), self.client.list_parts(**place)["Parts"][0]["ETag"] == second["ETag"]]
        said += [self.complete(place, second), self.body("again"), self.complete(place, second)]  # a retry: its answer was lost
        said.append(answer(self.client.abort_multipart_upload, **place))
        place = self.begin("overlapped")
        last = self.overlapped(place, b"a" * (5 * MIB), lambda: self.part(place, 1, b"b" * MIB))
        said += [self.complete(place, {"PartNumber": 1, "ETag": last}), self.body("overlapped")[:1]]
        return said

    def retries(self) -> list[Any]:
        """A Complete once more, when the object is another or gone, and with other parts."""
        place = self.begin("k")
        other, named = self.part(place, 1, b"first"), self.part(place, 1, b"second")
        assert self.complete(place, named) == (200, "")
        said = [self.complete(place, other)]
        self.client.put_object(Bucket=self.bucket, Key="k", Body=b"new")
        said += [self.complete(place, named), self.body("k")]
        self.client.delete_object(Bucket=self.bucket, Key="k")
        said += [self.complete(place, named), answer(self.client.head_object, Bucket=self.bucket, Key="k")]
        return said


def pages(client: Any, most: int, **arguments: Any) -> list[Any]:
    """A listing of uploads, page by page."""
    found, markers = [], {}
    while True:
        page = client.list_multipart_uploads(MaxUploads=most, **arguments, **markers)
        found.append(([(row["Key"], row["UploadId"]) for row in page.get("Uploads", [])], [row["Prefix"] for row in page.get("CommonPrefixes", [])]))
        if not page["IsTruncated"] or len(found) > 30:
            return found
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def test_answers(crossed):
    if crossed.write is crossed.theirs:
        pytest.skip("once is enough")
    ours, theirs = Story(crossed.ours, crossed.bucket), Story(crossed.theirs, crossed.other)
    said = ours.tell()
    assert said == theirs.tell()
    assert said == [(400, "InvalidPart"), True, (200, ""), b"second", (200, ""), (404, "NoSuchUpload"), (200, ""), b"a"]
    gone = (404, "NoSuchUpload")
    assert ours.retries() == [gone, gone, b"new", gone, (404, "404")]
    assert theirs.retries() == [(500, "InternalError"), (500, "InternalError"), b"new", (500, "InternalError"), (404, "404")]
    for one, two in ((ours, theirs), (theirs, ours)):  # the answer is lost, and the retry comes to the other gateway
        other = Story(two.client, one.bucket)
        place = one.begin("retried")
        parts = [one.part(place, 1, b"x" * (5 * MIB)), one.part(place, 2, b"last")]
        assert one.complete(place, *parts) == other.complete(place, *parts) == (200, "")
        other.client.delete_object(Bucket=one.bucket, Key="retried")
        assert other.complete(place, *parts)[0] in (404, 500)
    for key in ("a b/1", "a b/1", "a+b", "a&/", "ü/x", "z", "z"):
        crossed.ours.create_multipart_upload(Bucket=crossed.bucket, Key=key)
    for most in (1, 2, 3):
        for prefix in ("", "a"):
            one, two = (pages(client, most, Bucket=crossed.bucket, Prefix=prefix) for client in (crossed.ours, crossed.theirs))
            assert one == two and sum(len(found) for found, _ in one) == (4 if prefix else 7)


@pytest.mark.parametrize("end", ["abort", "complete"])
def test_part_numbers_with_gaps(crossed, end):
    """radosgw reads every key of an upload's omap then, ours too."""
    if crossed.write is crossed.theirs:
        pytest.skip("once is enough")
    crossed.ours.put_object(Bucket=crossed.other, Key="src", Body=b"s" * (6 * MIB))
    one, two = Story(crossed.ours, crossed.bucket), Story(crossed.theirs, crossed.bucket)
    place = one.begin("k")
    for data in (b"former", b"x" * (5 * MIB))[end == "complete":]:  # radosgw's Complete leaves a replaced part's index entry
        parts = [one.part(place, 2, data)]
    parts += [two.part(place, 5, b"y" * (5 * MIB)), one.part(place, 7, b"z")]
    if end == "abort":
        crossed.ours.upload_part_copy(PartNumber=9, CopySource={"Bucket": crossed.other, "Key": "src"}, **place)
    lists = [client.list_parts(**place)["Parts"] for client in (crossed.ours, crossed.theirs)]
    for row in lists[0] + lists[1]:
        row["LastModified"] = None
    assert lists[0] == lists[1] and len(lists[0]) == (4 if end == "abort" else 3)
    if end == "abort":
        assert answer(crossed.theirs.abort_multipart_upload, **place) == (204, "")
    else:
        assert two.complete(place, *parts) == (200, "")
        assert one.body("k") == b"x" * (5 * MIB) + b"y" * (5 * MIB) + b"z"
    tools.collect(crossed.pair)
    crossed.settled()


async def test_radosgw_ends_uploads_while_we_copy_a_part(crossed, pair, monkeypatch):
    """At each step of a copy that is only slow; what comes of it when it is killed is up to recovery (tests/core)."""
    if crossed.write is crossed.theirs:
        pytest.skip("once is enough")
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({"rgw_gc_obj_min_wait": 0}))
    bucket, theirs = await gateway.buckets.get(crossed.bucket), Story(crossed.theirs, crossed.bucket)
    data, slow = b"x" * (9 * MIB), []
    for end, (point, (step, after)) in itertools.product(("abort", "complete"), POINTS.items()):
        key = f"{end}-{point}"
        await asyncio.to_thread(crossed.theirs.put_object, Bucket=crossed.bucket, Key=f"src-{key}", Body=data)
        source = await gateway.objects.head(bucket, f"src-{key}")
        place = await asyncio.to_thread(theirs.begin, key)
        upload = await gateway.multipart.get(bucket, key, place["UploadId"])
        if end == "abort":  # refers to the same tails; radosgw would not complete it
            await gateway.multipart.copy_part(upload, 1, source, 0, len(data))
        part = await asyncio.to_thread(theirs.part, place, 3, b"last")
        with monkeypatch.context() as patch:
            there, go_on = pauser(patch, step, after=after)
            copying = asyncio.ensure_future(gateway.multipart.copy_part(upload, 2, source, 0, len(data)))
            await there.wait()
        if end == "abort":
            assert await asyncio.to_thread(answer, crossed.theirs.abort_multipart_upload, **place) == (204, "")
        else:
            assert await asyncio.to_thread(theirs.complete, place, part) == ((200, "") if point != "recorded" else (400, "InvalidPart"))
        slow.append((key, upload, copying, go_on))
    await asyncio.to_thread(tools.collect, pair)
    for key, upload, copying, go_on in slow:
        go_on.set()
        if key.endswith("recorded"):
            await copying
        else:
            with pytest.raises(S3Error, match="NoSuchUpload"):
                await copying
        if key == "complete-recorded":
            await gateway.multipart.abort(bucket, key, upload.upload_id)
    await asyncio.to_thread(tools.collect, pair)
    for key, *_ in slow:
        assert await asyncio.to_thread(theirs.body, f"src-{key}") == data, key
        await asyncio.to_thread(crossed.theirs.delete_object, Bucket=crossed.bucket, Key=f"src-{key}")
        await asyncio.to_thread(crossed.theirs.delete_object, Bucket=crossed.bucket, Key=key)
    await asyncio.to_thread(tools.collect, pair)
    assert tools.rados_objects(pair, bucket.marker) == set()
    await gateway.close()
    await cluster.close()
    await asyncio.to_thread(crossed.settled)
