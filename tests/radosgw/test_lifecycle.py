"""Lifecycle, quotas, sums and usage: each gateway's settings are the other's, and either carries out what the other was told."""

from __future__ import annotations

import datetime
import secrets
import time

from tests.radosgw import tools
from tests.radosgw.conftest import COLD, Ours, client

MIB = 1 << 20
RULES = [
    {"ID": "days", "Status": "Enabled", "Filter": {"Prefix": "gone/"}, "Expiration": {"Days": 1}},
    {"ID": "tags", "Status": "Enabled", "Expiration": {"Days": 1},
     "Filter": {"And": {"Prefix": "t", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}}},
    {"ID": "uploads", "Status": "Enabled", "Filter": {"Prefix": "up/"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    {"ID": "off", "Status": "Disabled", "Prefix": "off", "Expiration": {"Date": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)}},
    {"ID": "move", "Status": "Enabled", "Filter": {"Prefix": "cold/"}, "Transitions": [{"Days": 1, "StorageClass": COLD}]},
]


def keys(end, bucket: str) -> list[str]:
    return [row["Key"] for row in end.list_objects_v2(Bucket=bucket).get("Contents", [])]


def told(end, bucket: str) -> list[dict]:
    """A bucket's rules. Radosgw puts the prefix beside And, where S3 has it inside."""
    rules = end.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    for rule in rules:
        chosen = rule.get("Filter", {})
        if "And" in chosen and "Prefix" in chosen:
            chosen["And"]["Prefix"] = chosen.pop("Prefix")
    return sorted(rules, key=lambda r: r["ID"])


def process(crossed, done) -> None:
    """Has the side that checks carry out the rules, where a day is a second, until ``done``. Radosgw does one bucket of a queue at a time."""
    ours = crossed.check is crossed.ours
    for _ in range(10):
        if ours:
            crossed.pair.rgw_admin("-o", "rgw_lc_debug_interval=1", "lc", "process")
        else:
            crossed.pair.radosgw_admin("lc", "process", "--rgw-lc-debug-interval=1")
        if done():
            return
        time.sleep(0.5)


def test_rules(crossed):
    """What one was told the other tells, and does."""
    crossed.write.put_bucket_lifecycle_configuration(Bucket=crossed.bucket, LifecycleConfiguration={"Rules": RULES})
    for end in (crossed.ours, crossed.theirs):
        assert told(end, crossed.bucket) == sorted(RULES, key=lambda r: r["ID"])
    for arguments in (("lc", "get", "--bucket", crossed.bucket), ("lc", "list")):
        assert crossed.pair.rgw_admin(*arguments) == crossed.pair.radosgw_admin(*arguments)
    body = b"x" * (5 * MIB)
    stays = {"stays": body, "ta": b"1", "off": b"2"}
    for key, data in {**stays, "gone/1": body, "gone/2": b"", "tb": b"3", "cold/1": body, "cold/2": b"small"}.items():
        tagging = {"tb": "a=1&b=2&c=3", "ta": "a=1"}.get(key, "")
        crossed.write.put_object(Bucket=crossed.bucket, Key=key, Body=data, Tagging=tagging, Metadata={"m": "v"})
    upload = crossed.write.create_multipart_upload(Bucket=crossed.bucket, Key="up/1")["UploadId"]
    crossed.write.upload_part(Bucket=crossed.bucket, Key="up/1", UploadId=upload, PartNumber=1, Body=body)
    # radosgw 16 would move what was encrypted in parts too, but forget the parts
    parted, key = crossed.check is crossed.ours, {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_bytes(32)}
    cold = {"cold/1": body, "cold/2": b"small", **({"cold/3": body + b"end"} if parted else {})}
    if parted:
        place = {"Bucket": crossed.bucket, "Key": "cold/3"}
        place["UploadId"] = crossed.write.create_multipart_upload(Metadata={"m": "v"}, **place, **key)["UploadId"]
        parts = [{"PartNumber": n, "ETag": crossed.write.upload_part(PartNumber=n, Body=part, **place, **key)["ETag"]}
                 for n, part in ((1, cold["cold/3"][:-3]), (7, b"end"))]
        crossed.write.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
    before = {row["Key"]: row for row in crossed.write.list_objects_v2(Bucket=crossed.bucket)["Contents"]}
    time.sleep(1.5)
    left = sorted([*cold, "off", "stays", "ta"])

    def done() -> bool:
        return keys(crossed.write, crossed.bucket) == left and "Uploads" not in crossed.write.list_multipart_uploads(Bucket=crossed.bucket)

    process(crossed, done)
    for end in (crossed.write, crossed.check):
        assert keys(end, crossed.bucket) == left
        assert "Uploads" not in end.list_multipart_uploads(Bucket=crossed.bucket)
        rows = {row["Key"]: row for row in end.list_objects_v2(Bucket=crossed.bucket)["Contents"]}
        assert {name: row["StorageClass"] for name, row in rows.items()} == {name: COLD if name in cold else "STANDARD" for name in left}
        for name, data in cold.items():
            got = end.get_object(Bucket=crossed.bucket, Key=name, **(key if name == "cold/3" else {}))
            assert (got["Body"].read(), got["StorageClass"], got["Metadata"], got["ETag"]) == (data, COLD, {"m": "v"}, before[name]["ETag"])
            assert abs((got["LastModified"] - before[name]["LastModified"]).total_seconds()) < 1
    stats = [admin("bucket", "stats", "--bucket", crossed.bucket)["usage"]["rgw.main"] for admin in (crossed.pair.rgw_admin, crossed.pair.radosgw_admin)]
    assert stats[0] == stats[1] and stats[0]["num_objects"] == len(left)
    entry, = [row for row in crossed.pair.rgw_admin("lc", "list") if f":{crossed.bucket}:" in row["bucket"]]
    assert entry["status"] == "COMPLETE"
    crossed.settled()
    for key in keys(crossed.check, crossed.bucket):
        crossed.check.delete_object(Bucket=crossed.bucket, Key=key)
    crossed.check.delete_bucket_lifecycle(Bucket=crossed.bucket)
    assert tools.refused(crossed.write.get_bucket_lifecycle_configuration, Bucket=crossed.bucket) == "NoSuchLifecycleConfiguration"
    assert not [row for row in crossed.pair.radosgw_admin("lc", "list") if f":{crossed.bucket}:" in row["bucket"]]


def test_versions(crossed):
    """Old versions, delete markers that are left alone, and versions that move."""
    crossed.write.put_bucket_versioning(Bucket=crossed.bucket, VersioningConfiguration={"Status": "Enabled"})
    crossed.write.put_bucket_lifecycle_configuration(Bucket=crossed.bucket, LifecycleConfiguration={"Rules": [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"ID": "now", "Status": "Enabled", "Filter": {"Prefix": "now/"}, "Expiration": {"Days": 1}},
        {"ID": "alone", "Status": "Enabled", "Filter": {"Prefix": "alone/"}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"ID": "move", "Status": "Enabled", "Filter": {"Prefix": "move/"}, "NoncurrentVersionTransitions": [{"NoncurrentDays": 1, "StorageClass": COLD}]},
    ]})
    for key in ("old/k", "move/k"):
        for number in range(3):
            crossed.write.put_object(Bucket=crossed.bucket, Key=key, Body=b"%d" % number * 5 * MIB)
    crossed.write.put_object(Bucket=crossed.bucket, Key="now/k", Body=b"x")
    for key in ("alone/k", "old/deleted"):
        crossed.write.delete_object(Bucket=crossed.bucket, Key=key)
    time.sleep(1.5)

    def state(end) -> list[tuple]:
        page = end.list_object_versions(Bucket=crossed.bucket)
        rows = [(row["Key"], row["IsLatest"], row["StorageClass"], row["Size"]) for row in page.get("Versions", [])]
        return sorted(rows + [(row["Key"], row["IsLatest"], "marker", 0) for row in page.get("DeleteMarkers", [])])

    wanted = [("move/k", False, COLD, 5 * MIB)] * 2 + [
        ("move/k", True, "STANDARD", 5 * MIB), ("now/k", False, "STANDARD", 1), ("now/k", True, "marker", 0), ("old/deleted", True, "marker", 0),
        ("old/k", True, "STANDARD", 5 * MIB)]
    process(crossed, lambda: state(crossed.write) == wanted)
    assert state(crossed.write) == wanted and state(crossed.check) == wanted
    for end in (crossed.write, crossed.check):
        for row in end.list_object_versions(Bucket=crossed.bucket, Prefix="move/")["Versions"]:
            got = end.get_object(Bucket=crossed.bucket, Key="move/k", VersionId=row["VersionId"])["Body"].read()
            assert len(got) == 5 * MIB and len(set(got)) == 1
    assert tools.settled_versions(crossed.pair, crossed.bucket) == 5
    crossed.check.delete_bucket_lifecycle(Bucket=crossed.bucket)


def test_rules_that_radosgw_does_not_know(crossed):
    """A size or a number would be skipped by radosgw 16, and spare nothing: it has to refuse the rules, and leave the bucket alone."""
    rule = {"ID": "big", "Status": "Enabled", "Filter": {"ObjectSizeGreaterThan": 100}, "Expiration": {"Days": 1}}
    if crossed.write is crossed.theirs:
        move = {"NoncurrentDays": 1, "StorageClass": COLD, "NewerNoncurrentVersions": 3}
        rule |= {"Filter": {"Prefix": "big"}, "NoncurrentVersionTransitions": [move]}
    crossed.ours.put_bucket_lifecycle_configuration(Bucket=crossed.bucket, LifecycleConfiguration={"Rules": [rule]})
    assert crossed.ours.get_bucket_lifecycle_configuration(Bucket=crossed.bucket)["Rules"] == [rule]
    for key, size in (("big", 101), ("small", 100)):
        crossed.write.put_object(Bucket=crossed.bucket, Key=key, Body=b"x" * size)
    time.sleep(1.5)
    crossed.pair.radosgw_admin("lc", "process", "--rgw-lc-debug-interval=1")
    assert keys(crossed.check, crossed.bucket) == ["big", "small"]
    crossed.pair.rgw_admin("-o", "rgw_lc_debug_interval=1", "lc", "process", "--bucket", crossed.bucket)
    assert keys(crossed.check, crossed.bucket) == ["small"]
    crossed.ours.delete_bucket_lifecycle(Bucket=crossed.bucket)
    crossed.settled()


def test_quotas(crossed):
    """Set with one side's tool, kept by the other side's gateway."""
    ours = crossed.check is crossed.ours
    admin = crossed.pair.radosgw_admin if ours else crossed.pair.rgw_admin
    crossed.write.put_object(Bucket=crossed.bucket, Key="1", Body=b"x")
    admin("quota", "set", "--bucket", crossed.bucket, "--max-objects", "2")
    admin("quota", "enable", "--bucket", crossed.bucket)
    time.sleep(1)  # until the other has heard of it
    crossed.check.put_object(Bucket=crossed.bucket, Key="2", Body=b"x")
    assert tools.refused(crossed.check.put_object, Bucket=crossed.bucket, Key="3", Body=b"x") == "QuotaExceeded"
    admin("quota", "disable", "--bucket", crossed.bucket)
    admin("quota", "set", "--quota-scope", "user", "--uid", crossed.uid, "--max-size", "16384")
    admin("quota", "enable", "--quota-scope", "user", "--uid", crossed.uid)
    admin("user", "stats", "--uid", crossed.uid, "--sync-stats")
    time.sleep(1)
    assert tools.refused(crossed.check.put_object, Bucket=crossed.other, Key="big", Body=b"x" * 16384) == "QuotaExceeded"
    crossed.check.put_object(Bucket=crossed.other, Key="fits", Body=b"x" * 4096)
    admin("quota", "disable", "--quota-scope", "user", "--uid", crossed.uid)
    time.sleep(1)
    crossed.check.put_object(Bucket=crossed.other, Key="big", Body=b"x" * 16384)
    crossed.settled()


def test_users_sums(crossed):
    crossed.write.put_object(Bucket=crossed.bucket, Key="1", Body=b"x" * 5000)
    crossed.check.put_object(Bucket=crossed.other, Key="2", Body=b"x" * 3000)
    first = crossed.pair.rgw_admin("user", "stats", "--uid", crossed.uid, "--sync-stats")
    assert crossed.pair.radosgw_admin("user", "stats", "--uid", crossed.uid) == first
    assert first["stats"] == {"size": 8000, "size_actual": 12288, "size_kb": 8, "size_kb_actual": 12, "num_objects": 2}
    second = crossed.pair.radosgw_admin("user", "stats", "--uid", crossed.uid, "--sync-stats")
    assert second["stats"] == first["stats"] and crossed.pair.rgw_admin("user", "stats", "--uid", crossed.uid) == second
    crossed.settled()


def _use(end, bucket: str) -> None:
    """A bit of everything that both serve."""
    end.create_bucket(Bucket=bucket)
    end.put_object(Bucket=bucket, Key="k", Body=b"x" * 1000)
    end.get_object(Bucket=bucket, Key="k")["Body"].read()
    end.head_object(Bucket=bucket, Key="k")
    for call in ("list_objects_v2", "list_objects", "head_bucket", "list_multipart_uploads", "get_bucket_acl", "get_bucket_location",
                 "get_bucket_versioning"):
        getattr(end, call)(Bucket=bucket)
    end.put_bucket_acl(Bucket=bucket, ACL="private")
    end.get_object_acl(Bucket=bucket, Key="k")
    end.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    end.get_object_tagging(Bucket=bucket, Key="k")
    end.delete_object_tagging(Bucket=bucket, Key="k")
    end.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [RULES[0]]})
    end.get_bucket_lifecycle_configuration(Bucket=bucket)
    end.delete_bucket_lifecycle(Bucket=bucket)
    upload = end.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = end.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"y" * 100)
    end.list_parts(Bucket=bucket, Key="m", UploadId=upload)
    end.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    end.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"})
    end.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}]})
    assert tools.refused(end.get_object, Bucket=bucket, Key="none") == "NoSuchKey"
    assert tools.refused(end.get_object, Bucket=bucket + "-none", Key="none") == "NoSuchBucket"
    end.list_buckets()
    for key in ("k", "m"):
        end.delete_object(Bucket=bucket, Key=key)
    end.delete_bucket(Bucket=bucket)


def test_usage(pair):
    """The same requests count the same, and both tools print what either gateway wrote."""
    pair.cluster.run("ceph", "config", "set", "client.rgw.peer", "rgw_enable_usage_log", "true")
    ours = Ours(pair.cluster, ["rgw_enable_usage_log=true", "rgw_usage_log_tick_interval=1"])
    ours.start()
    try:
        found = {}
        for uid, endpoint in (("usageours", ours.endpoint), ("usagetheirs", pair.theirs)):
            key = pair.rgw_admin("user", "create", "--uid", uid, "--display-name", uid)["keys"][0]
            end = client(endpoint, key["access_key"], key["secret_key"])
            _use(end, uid)
            end.close()
            for _ in range(50):
                found[uid] = pair.rgw_admin("usage", "show", "--uid", uid)
                if any(row["category"] == "delete_bucket" for each in found[uid]["summary"] for row in each["categories"]):
                    break
                time.sleep(0.5)
            for arguments in (("--uid", uid), ("--uid", uid, "--bucket", uid, "--categories", "get_obj,put_obj")):
                assert pair.rgw_admin("usage", "show", *arguments) == pair.radosgw_admin("usage", "show", *arguments)
    finally:
        ours.stop()
        pair.cluster.run("ceph", "config", "set", "client.rgw.peer", "rgw_enable_usage_log", "false")

    def counts(uid: str) -> dict:
        return {(bucket["bucket"].replace(uid, "B"), row["category"]): (row["ops"], row["successful_ops"], row["bytes_received"])
                for each in found[uid]["entries"] for bucket in each["buckets"] for row in bucket["categories"]}

    assert counts("usageours") == counts("usagetheirs")
    for trim, show, uid in ((pair.rgw_admin, pair.radosgw_admin, "usagetheirs"), (pair.radosgw_admin, pair.rgw_admin, "usageours")):
        trim("usage", "trim", "--uid", uid)
        assert show("usage", "show", "--uid", uid)["entries"] == []


def test_rate_limits_of_buckets_stay(crossed):
    """Radosgw, which knows nothing of them, keeps them when it changes a bucket."""
    words = ["--ratelimit-scope", "bucket", "--bucket", crossed.bucket]
    crossed.pair.rgw_admin("ratelimit", "set", *words, "--max-read-ops", "7")
    crossed.theirs.put_bucket_acl(Bucket=crossed.bucket, ACL="public-read")
    crossed.pair.radosgw_admin("quota", "set", "--bucket", crossed.bucket, "--max-objects", "100")
    assert crossed.pair.rgw_admin("ratelimit", "get", *words)["bucket_ratelimit"]["max_read_ops"] == 7
