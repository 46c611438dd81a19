"""Resharding beside radosgw: its reshard while ours writes, ours while it writes, each other's queue and tools."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.radosgw import tools
from tests.radosgw.conftest import client


@pytest.fixture
def bucket(pair):
    """A bucket of one index shard with some objects in it, and a client of each gateway."""
    uid = f"u{secrets.token_hex(4)}"
    key = pair.rgw_admin("user", "create", "--uid", uid, "--display-name", "Reshards")["keys"][0]
    ours, theirs = (client(end, key["access_key"], key["secret_key"]) for end in (pair.ours, pair.theirs))
    name = f"b{secrets.token_hex(4)}"
    ours.create_bucket(Bucket=name)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ours.put_object(Bucket=name, Key=f"k{i:04d}", Body=b"%d" % i), range(400)))
    made = Made(pair, name, uid, key, ours, theirs)
    yield made
    ours.close()
    theirs.close()


class Made:
    def __init__(self, pair, name, uid, key, ours, theirs) -> None:
        self.pair, self.name, self.uid, self.ours, self.theirs = pair, name, uid, ours, theirs
        self._key = key
        self.ids: set[str] = set()  # of all instances that were seen
        self.expected = {f"k{i:04d}": b"%d" % i for i in range(400)}

    def writer(self, endpoint: str, prefix: str, stop: threading.Event) -> Writer:
        return Writer(client(endpoint, self._key["access_key"], self._key["secret_key"]), self.name, prefix, stop, endpoint == self.pair.theirs)

    def stats(self) -> dict:
        found = self.pair.radosgw_admin("bucket", "stats", "--bucket", self.name)
        self.ids.add(found["id"])
        return found

    def settled(self, writers: list[Writer]) -> None:
        """Both gateways list the same, exactly what was acknowledged; radosgw finds nothing to mend; nothing of the old index is left."""
        made: dict[tuple[str, str], bytes | None] = {}
        for writer in writers:
            self.expected |= writer.expected
            made |= writer.versions
        refused = [key for writer in writers for key in writer.refused]
        stored = self.settled_versions(made, refused) if made else len(self.expected)
        for end in (self.ours, self.theirs):
            pages = end.get_paginator("list_objects_v2").paginate(Bucket=self.name)
            assert {row["Key"] for page in pages for row in page.get("Contents", [])} ^ self.expected.keys() <= set(refused)
        for key in [key for key in self.expected if not key.startswith("k") and key not in refused][:30]:
            for end in (self.ours, self.theirs):
                assert end.get_object(Bucket=self.name, Key=key)["Body"].read() == self.expected[key]
        checked = self.pair.radosgw_admin("bucket", "check", "--bucket", self.name)
        existing, counted = (tools.counts(checked["check_result"][which]) for which in ("existing_header", "calculated_header"))
        assert (existing == counted or refused) and checked["invalid_multipart_entries"] == []
        stats = self.stats()
        assert stats["usage"]["rgw.main"]["num_objects"] == stored or refused  # versions that radosgw did not link count
        index = self.pair.cluster.run("rados", "-n", "client.admin", "-p", "default.rgw.buckets.index", "ls").split()
        mine = {oid for oid in index for bucket_id in (*self.ids, stats["id"]) if oid.startswith(f".dir.{bucket_id}.")}
        assert mine == {f".dir.{stats['id']}.{number}" for number in range(stats["num_shards"])}
        assert stats == self.pair.rgw_admin("bucket", "stats", "--bucket", self.name)


    def settled_versions(self, made: dict[tuple[str, str], bytes | None], refused: list[str]) -> int:
        """Both gateways list every version and marker that was acknowledged, and besides only null versions; how many are no markers."""
        found = []
        for end in (self.ours, self.theirs):
            pages = list(end.get_paginator("list_object_versions").paginate(Bucket=self.name))
            found.append([{(row["Key"], row["VersionId"]) for page in pages for row in page.get(kind, [])} for kind in ("Versions", "DeleteMarkers")])
        assert found[0] == found[1]
        held, markers = found[0]
        more = {place for place in held if place[1] != "null"} ^ {place for place, body in made.items() if body is not None}
        assert more <= held and len(more) <= len(refused) and {place[0] for place in more} <= set(refused)
        known = {place for place, body in made.items() if body is None}
        assert known <= markers and {place[0] for place in markers - known} <= set(refused)
        for (key, version), body in list(made.items())[::max(len(made) // 30, 1)]:
            for end in (self.ours, self.theirs):
                if body is not None:
                    assert end.get_object(Bucket=self.name, Key=key, VersionId=version)["Body"].read() == body
        assert self.pair.rgw_admin("bucket", "check", "--bucket", self.name, "--check-objects")["differences"] == []
        return len(held)


class Writer(threading.Thread):
    """Puts, overwrites and deletes until it is stopped. ``expected`` is what was acknowledged, ``slowest`` in seconds.

    ``versions``: what was acknowledged as a version of its own, by key and version; None for a delete marker. ``refused``: keys of
    writes that radosgw answered with NoSuchKey, made or not; so it does where a reshard, its own too, ends between writing and linking a version;
    a delete it even acknowledges.
    """

    def __init__(self, s3, bucket: str, prefix: str, stop: threading.Event, refusing: bool) -> None:
        super().__init__()
        self._refusing = refusing
        self._s3, self._bucket, self._prefix, self._stop_event = s3, bucket, prefix, stop
        self.expected: dict[str, bytes] = {}
        self.versions: dict[tuple[str, str], bytes | None] = {}
        self.slowest = 0.0
        self.count = 0
        self.refused: list[str] = []
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stop_event.is_set():
                name, body = f"{self._prefix}{self.count % 50}", b"%d" % self.count
                started = time.monotonic()
                self.count += 1
                if self.count % 5 == 4 and name in self.expected:
                    done, written = self._s3.delete_object(Bucket=self._bucket, Key=name), None
                    del self.expected[name]
                else:
                    try:
                        done, written = self._s3.put_object(Bucket=self._bucket, Key=name, Body=body), body
                    except self._s3.exceptions.NoSuchKey:
                        assert self._refusing
                        self.refused.append(name)
                        continue
                    self.expected[name] = body
                if "VersionId" in done:
                    self.versions[name, done["VersionId"]] = written
                elif self.versions and self._refusing:  # radosgw answers a delete as if it were done, then
                    self.refused.append(name)
                self.slowest = max(self.slowest, time.monotonic() - started)
        except Exception as error:  # looked at by the test
            self.problem = error
        finally:
            self._s3.close()


def test_radosgw_reshards_while_ours_writes(bucket):
    stop = threading.Event()
    writers = [bucket.writer(bucket.pair.ours, f"w{n}-", stop) for n in range(3)]
    for writer in writers:
        writer.start()
    try:
        for shards in (17, 5):
            before = bucket.stats()
            bucket.pair.radosgw_admin("bucket", "reshard", "--bucket", bucket.name, "--num-shards", str(shards), "--yes-i-really-mean-it")
            after = bucket.stats()
            assert after["num_shards"] == shards and after["id"] != before["id"] and after["marker"] == before["marker"]
            counts = [writer.count for writer in writers]
            time.sleep(1)
            assert all(writer.count > count for writer, count in zip(writers, counts, strict=True)), "a writer does not go on"
            bucket.theirs.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})  # for the next reshard
    finally:
        stop.set()
        for writer in writers:
            writer.join(90)
    assert not [writer.problem for writer in writers if writer.problem]
    bucket.settled(writers)


def test_ours_reshards_while_both_write(bucket):
    stop = threading.Event()
    ours = [bucket.writer(bucket.pair.ours, f"o{n}-", stop) for n in range(2)]
    theirs = [bucket.writer(bucket.pair.theirs, f"t{n}-", stop) for n in range(2)]
    for writer in ours + theirs:
        writer.start()
    try:
        time.sleep(0.5)
        for shards in (13, 19):
            before = bucket.stats()
            bucket.pair.rgw_admin("bucket", "reshard", "--bucket", bucket.name, "--num-shards", str(shards))
            after = bucket.stats()
            assert after["num_shards"] == shards and after["id"] != before["id"] and after["marker"] == before["marker"]
            counts = [writer.count for writer in ours + theirs]
            deadline = time.monotonic() + 30  # radosgw looks every 5 seconds whether a reshard is over
            while not all(writer.count > count for writer, count in zip(ours + theirs, counts, strict=True)):
                assert time.monotonic() < deadline, f"a writer does not go on: {[(writer.count, writer.problem) for writer in ours + theirs]}"
                time.sleep(0.1)
            if shards == 13:
                bucket.ours.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
                time.sleep(0.5)
    finally:
        stop.set()
        for writer in ours + theirs:
            writer.join(90)
    assert not [writer.problem for writer in ours + theirs if writer.problem]
    print(f"slowest request: ours {max(w.slowest for w in ours):.3f} s, radosgw's {max(w.slowest for w in theirs):.3f} s")
    assert max(writer.slowest for writer in ours) < 5
    bucket.settled(ours + theirs)


class Upload:
    """An upload that changes hands: begun by one gateway, a part from each, to be ended by either."""

    def __init__(self, name: str, key: str, one, other) -> None:
        self.one, self.other, self.parts = one, other, [secrets.token_bytes(5 << 20), key.encode()]
        self.place = {"Bucket": name, "Key": key}
        self.place["UploadId"] = one.create_multipart_upload(**self.place)["UploadId"]
        self._done: list[dict] = []

    def send(self, end) -> None:
        number = len(self._done) + 1
        self._done.append({"PartNumber": number, "ETag": end.upload_part(PartNumber=number, Body=self.parts[number - 1], **self.place)["ETag"]})

    def listed(self, end) -> bool:
        return [{name: row[name] for name in ("PartNumber", "ETag")} for row in end.list_parts(**self.place)["Parts"]] == self._done

    def complete(self, end) -> None:
        end.complete_multipart_upload(MultipartUpload={"Parts": self._done}, **self.place)

    def abort(self, end) -> None:
        end.abort_multipart_upload(**self.place)


class Uploader(threading.Thread):
    """Makes one upload after the other until it is stopped: completes, aborts, or leaves it open. ``slowest`` in seconds."""

    def __init__(self, bucket: Made, prefix: str, stop: threading.Event, ours_first: bool) -> None:
        super().__init__()
        key = bucket._key
        self._ends = [client(end, key["access_key"], key["secret_key"]) for end in (bucket.pair.ours, bucket.pair.theirs)][::1 if ours_first else -1]
        self._name, self._prefix, self._stop_event = bucket.name, prefix, stop
        self.expected: dict[str, bytes] = {}
        self.open: list[Upload] = []
        self.count, self.slowest = 0, 0.0
        self.problem: Exception | None = None

    def run(self) -> None:
        one, other = self._ends
        try:
            while not self._stop_event.is_set():
                started = time.monotonic()
                upload = Upload(self._name, f"{self._prefix}{self.count}", one, other)
                upload.send(other)
                upload.send(one)
                assert upload.listed(other)
                if self.count % 3 == 0:
                    upload.complete(other)
                    self.expected[upload.place["Key"]] = b"".join(upload.parts)
                elif self.count % 3 == 1:
                    upload.abort(other)
                else:
                    self.open.append(upload)
                self.count += 1
                self.slowest = max(self.slowest, time.monotonic() - started)
        except Exception as error:  # looked at by the test
            self.problem = error
        finally:
            for end in self._ends:
                end.close()


def test_uploads_change_hands_while_it_reshards(bucket):
    """Uploads begun before and during radosgw's reshard and ours: both gateways list them afterwards, and the other completes or aborts each."""
    pair, ends, stop = bucket.pair, (bucket.ours, bucket.theirs), threading.Event()
    before = [Upload(bucket.name, f"_before/{number}", *ends[::1 if number % 2 else -1]) for number in range(8)]
    for upload in before:
        upload.send(upload.other)
    uploaders = [Uploader(bucket, f"during{number}-", stop, bool(number)) for number in range(2)]
    for uploader in uploaders:
        uploader.start()
    try:
        for tool, shards in ((pair.radosgw_admin, 7), (pair.rgw_admin, 3)):
            time.sleep(0.5)
            tool("bucket", "reshard", "--bucket", bucket.name, "--num-shards", str(shards), "--yes-i-really-mean-it")
            assert bucket.stats()["num_shards"] == shards
            for upload in before[shards == 3::2]:
                upload.send(upload.one)
    finally:
        stop.set()
        for uploader in uploaders:
            uploader.join(90)
    print(f"uploads {[u.count for u in uploaders]}, slowest {[round(u.slowest, 1) for u in uploaders]}")
    assert not [uploader.problem for uploader in uploaders if uploader.problem]
    left = before + [upload for uploader in uploaders for upload in uploader.open]
    for end in ends:
        pages = end.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, PaginationConfig={"PageSize": 5})
        listed = {(row["Key"], row["UploadId"]) for page in pages for row in page.get("Uploads", [])}
        assert listed == {(upload.place["Key"], upload.place["UploadId"]) for upload in left}
        assert all(upload.listed(end) for upload in left)
    for uploader in uploaders:
        bucket.expected |= uploader.expected
    for number, upload in enumerate(left):
        if number % 4 < 2:
            upload.complete(upload.other)
            bucket.expected[upload.place["Key"]] = b"".join(upload.parts)
        else:
            upload.abort(upload.other)
    assert all("Uploads" not in end.list_multipart_uploads(Bucket=bucket.name) for end in ends)
    tools.collect(pair)
    tools.settled(pair, bucket.uid, [bucket.name], list(ends))
    bucket.settled([])


def test_one_queue_for_both(bucket):
    """What one's tool adds the other's shows in the same words, takes out, and processes."""
    pair, name = bucket.pair, bucket.name

    def rows(tool) -> list[dict]:
        return [row for row in tool("reshard", "list") if row["bucket_name"] == name]

    pair.rgw_admin("reshard", "add", "--bucket", name, "--num-shards", "19")
    assert len(rows(pair.radosgw_admin)) == 1 and rows(pair.radosgw_admin) == rows(pair.rgw_admin)
    assert rows(pair.rgw_admin)[0]["tentative_new_num_shards"] == 19
    pair.radosgw_admin("reshard", "cancel", "--bucket", name)
    assert not rows(pair.rgw_admin)
    pair.radosgw_admin("reshard", "add", "--bucket", name, "--num-shards", "23")
    assert len(rows(pair.rgw_admin)) == 1 and rows(pair.radosgw_admin) == rows(pair.rgw_admin)
    pair.rgw_admin("reshard", "process")
    assert bucket.stats()["num_shards"] == 23 and not rows(pair.radosgw_admin)
    pair.rgw_admin("reshard", "add", "--bucket", name, "--num-shards", "29")
    pair.radosgw_admin("reshard", "process")
    assert bucket.stats()["num_shards"] == 29 and not rows(pair.rgw_admin)
    status = pair.radosgw_admin("reshard", "status", "--bucket", name)
    assert status == pair.rgw_admin("reshard", "status", "--bucket", name) and len(status) == 29
    bucket.settled([])


def test_the_same_limits(bucket):
    def row(tool) -> dict:
        user = next(user for user in tool("bucket", "limit", "check") if user["user_id"] == bucket.uid)
        return next(row for row in user["buckets"] if row["bucket"] == bucket.name)

    assert row(bucket.pair.radosgw_admin) == row(bucket.pair.rgw_admin)
    assert row(bucket.pair.rgw_admin)["fill_status"] == "OK"
