"""What radosgw 16.2 leaves behind is found, with its bucket and cause; what it serves is not."""

from __future__ import annotations

import secrets

from tests.radosgw.conftest import client

MIB = 1 << 20


def test_what_radosgw_leaks_is_found_and_removed(pair, tmp_path):
    """A part that radosgw uploads again leaves the former one; an index entry that is lost leaves an object that is no orphan."""
    uid, bucket = f"u{secrets.token_hex(4)}", f"b{secrets.token_hex(4)}"
    key = pair.radosgw_admin("user", "create", "--uid", uid, "--display-name", "x")["keys"][0]
    theirs = client(pair.theirs, key["access_key"], key["secret_key"])
    theirs.create_bucket(Bucket=bucket)
    theirs.put_object(Bucket=bucket, Key="_kept", Body=b"k" * (9 * MIB))
    theirs.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "_kept"})
    theirs.delete_object(Bucket=bucket, Key="_kept")
    place = {"Bucket": bucket, "Key": "m"}
    place["UploadId"] = theirs.create_multipart_upload(**place)["UploadId"]
    etags = [theirs.upload_part(Body=bytes([n]) * (5 * MIB), PartNumber=1, **place)["ETag"] for n in (1, 2)]
    theirs.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etags[1]}]}, **place)
    theirs.put_object(Bucket=bucket, Key="unlisted", Body=b"u" * (5 * MIB))
    pair.rgw_admin("object", "unlink", "--bucket", bucket, "--object", "unlisted")
    search = ("orphans", "find", "--job-id", "j", "--job-dir", str(tmp_path), "--orphan-stale-secs", "0", "--pool", "default.rgw.buckets.data")
    found = pair.rgw_admin(*search)
    mine = [row for row in found["causes"] if row["bucket"] == bucket]
    assert [(row["objects"], row["bytes"]) for row in mine] == [(2, 5 * MIB)] and "uploaded again" in mine[0]["cause"]
    assert {"bucket": bucket, "key": "unlisted"} in found["unlisted_objects"]
    oids = {row["oid"] for row in found["orphans"] if row["bucket"] == bucket}
    assert oids == {oid for oid in oids if f"__multipart_m.{place['UploadId']}.1" in oid or f"__shadow_m.{place['UploadId']}.1_1" in oid}
    pair.rgw_admin(*search, "--yes-i-really-mean-it")
    for name, size in (("copy", 9 * MIB), ("m", 5 * MIB), ("unlisted", 5 * MIB)):
        assert len(theirs.get_object(Bucket=bucket, Key=name)["Body"].read()) == size
    pair.rgw_admin("bucket", "check", "--bucket", bucket, "--check-objects", "--fix")
    assert [row["Key"] for row in theirs.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy", "m", "unlisted"]
    checked = pair.radosgw_admin("bucket", "check", "--bucket", bucket)
    headers = checked["check_result"]
    assert checked["invalid_multipart_entries"] == [] and headers["existing_header"] == headers["calculated_header"]
    theirs.close()
