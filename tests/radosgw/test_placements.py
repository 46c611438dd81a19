"""Pools that are not the default ones, storage classes, compressed objects, buckets of other shard counts, tails that are shared."""

from __future__ import annotations

import asyncio
import itertools
import secrets

import pytest
from botocore.exceptions import ClientError

from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.formats.acl import AccessControlPolicy
from rgw.store.librados import connect
from tests.radosgw.conftest import COLD, COMPRESSED, SECOND, client
from tests.radosgw.test_crossed import MIB, code, combined, data_of, keys, md5, upload
from tests.radosgw.test_versions import status, versions
from tests.radosgw.tools import collect, settled, settled_versions


def test_placement_of_its_own(crossed):
    """Heads, tails, uploads and index lie where the bucket's placement says, by both."""
    name = f"p{secrets.token_hex(4)}"
    crossed.write.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": f"default:{SECOND}"})
    data, parts = data_of(5 * MIB), [data_of(5 * MIB), data_of(6 * MIB)]
    crossed.write.put_object(Bucket=name, Key="_k", Body=data)
    upload([crossed.check, crossed.write], name, "m", parts)
    for end in (crossed.check, crossed.write):
        assert end.get_object(Bucket=name, Key="_k")["Body"].read() == data
        assert end.get_object(Bucket=name, Key="m")["Body"].read() == b"".join(parts)
        end.copy_object(Bucket=crossed.other, Key=f"copy{id(end)}", CopySource={"Bucket": name, "Key": "m"})  # of another pool
    marker = crossed.pair.radosgw_admin("bucket", "stats", "--bucket", name)["marker"]
    inside = crossed.pair.cluster.run("rados", "-n", "client.admin", "-p", "default.rgw.buckets.data", "-N", SECOND, "ls").split("\n")
    assert len([line for line in inside if line.startswith(marker)]) == 7  # both heads, five tails and part heads
    crossed.settled()
    crossed.check.delete_object(Bucket=name, Key="m")
    collect(crossed.pair)
    for end in (crossed.check, crossed.write):
        for other in keys(end, crossed.other):
            assert end.get_object(Bucket=crossed.other, Key=other)["Body"].read() == b"".join(parts)
    crossed.settled()
    with pytest.raises(ClientError) as refusal:
        crossed.ours.create_bucket(Bucket=name + "x", CreateBucketConfiguration={"LocationConstraint": "default:nowhere"})
    assert code(refusal) == "InvalidLocationConstraint"


def test_storage_class(crossed):
    """Whoever writes, all bytes lie where the class has them, under manifests that tell the same; copies to another class take them along."""
    data = {"large": data_of(9 * MIB), "small": b"small", "empty": b""}
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_bytes(32)}
    ends, marker = {"ours": crossed.ours, "theirs": crossed.theirs}, crossed.pair.radosgw_admin("bucket", "stats", "--bucket", crossed.bucket)["marker"]
    for by, end in ends.items():
        for name, body in data.items():
            end.put_object(Bucket=crossed.bucket, Key=f"{name} {by}", Body=body, StorageClass=COLD)
        end.put_object(Bucket=crossed.bucket, Key=f"secret {by}", Body=data["large"], StorageClass=COLD, **key)
    inside, outside = (set(crossed.pair.cluster.run("rados", "-n", "client.admin", "-p", "default.rgw.buckets.data", "-N", where, "ls").split("\n"))
                       for where in ("cold", ""))
    assert [len([name for name in found if name.startswith(marker)]) for found in (inside, outside)] == [2 * 7, 2 * 4]
    for name in (*data, "secret"):
        told = [crossed.pair.radosgw_admin("object", "stat", "--bucket", crossed.bucket, "--object", f"{name} {by}")["manifest"] for by in ends]
        for manifest in told:
            assert manifest.pop("prefix") and manifest["head_size"] == manifest["max_head_size"] == 0
            for border in ("begin_iter", "end_iter"):
                manifest[border].pop("location")
        assert told[0] == told[1], name
    for by in ends:
        for end in ends.values():
            for name, body in data.items():
                assert crossed.body(f"{name} {by}", end) == (body, md5(body))
            assert crossed.body(f"large {by}", end, Range=f"bytes={4 * MIB - 1}-{4 * MIB}")[0] == data["large"][4 * MIB - 1:4 * MIB + 1]
            assert crossed.body(f"secret {by}", end, **key)[0] == data["large"]
            assert end.head_object(Bucket=crossed.bucket, Key=f"large {by}")["StorageClass"] == COLD
            assert {row["StorageClass"] for row in end.list_objects_v2(Bucket=crossed.bucket)["Contents"]} == {COLD}
        for name in ("large", "small"):
            for target, wanted in (("warm", "STANDARD"), ("cold", COLD)):
                crossed.check.copy_object(Bucket=crossed.other, Key=f"{name} {by} {target}", CopySource={"Bucket": crossed.bucket, "Key": f"{name} {by}"},
                                          StorageClass=wanted, MetadataDirective="REPLACE")
            crossed.check.copy_object(Bucket=crossed.other, Key=f"{name} {by} bare", CopySource={"Bucket": crossed.bucket, "Key": f"{name} {by}"})
    for end in ends.values():
        rows = {row["Key"]: row["StorageClass"] for row in end.list_objects_v2(Bucket=crossed.other)["Contents"]}
        assert rows == {f"{name} {by} {target}": wanted for name in ("large", "small") for by in ends
                        for target, wanted in (("warm", "STANDARD"), ("cold", COLD), ("bare", "STANDARD"))}
    for by in ends:
        for name in (*data, "secret"):
            crossed.check.delete_object(Bucket=crossed.bucket, Key=f"{name} {by}")
    collect(crossed.pair)
    for by, name, target in itertools.product(ends, ("large", "small"), ("warm", "cold", "bare")):
        assert crossed.write.get_object(Bucket=crossed.other, Key=f"{name} {by} {target}")["Body"].read() == data[name]
    crossed.settled()


def test_default_class_of_a_user(pair):
    """Buckets of such a user have the class for their own: their heads lie in its pool, whatever class an object has."""
    uid, data = f"u{secrets.token_hex(4)}", data_of(5 * MIB)
    pair.radosgw_admin("user", "create", "--uid", uid, "--display-name", "Cold")
    pair.radosgw_admin("user", "modify", "--uid", uid, "--placement-id", "default-placement", "--storage-class", COLD)
    key = pair.rgw_admin("user", "info", "--uid", uid)["keys"][0]
    ends = {by: client(endpoint, key["access_key"], key["secret_key"]) for by, endpoint in (("ours", pair.ours), ("theirs", pair.theirs))}
    buckets = {by: f"{by}{secrets.token_hex(4)}" for by in ends}
    for maker, bucket in buckets.items():
        ends[maker].create_bucket(Bucket=bucket)
        for by, end in ends.items():
            for name, arguments in (("own", {}), ("STANDARD", {"StorageClass": "STANDARD"})):
                end.put_object(Bucket=bucket, Key=f"{name} {by}", Body=data, **arguments)
            upload(list(ends.values()), bucket, f"parts {by}", [data, b"end"])
            end.copy_object(Bucket=bucket, Key=f"copy {by}", CopySource={"Bucket": bucket, "Key": f"own {by}"})
        rows = [{row["Key"]: row["StorageClass"] for row in end.list_objects_v2(Bucket=bucket)["Contents"]} for end in ends.values()]
        assert rows[0] == rows[1] == {f"{name} {by}": "STANDARD" if name == "STANDARD" else COLD
                                      for name in ("own", "STANDARD", "parts", "copy") for by in ends}
        for found in rows[0]:
            end = ends["theirs" if found.endswith("ours") else "ours"]
            assert end.get_object(Bucket=bucket, Key=found)["Body"].read() == data + (b"end" if found.startswith("parts") else b""), found
        for name in ("own", "STANDARD"):
            told = [pair.radosgw_admin("object", "stat", "--bucket", bucket, "--object", f"{name} {by}") for by in ends]
            assert len({row["manifest"]["head_size"] for row in told}) == len({row["manifest"]["tail_placement"]["placement_rule"] for row in told}) == 1
            assert told[0]["attrs"]["user.rgw.storage_class"] == told[1]["attrs"]["user.rgw.storage_class"]
    for end, bucket in zip(ends.values(), reversed(buckets.values()), strict=True):
        for row in end.list_objects_v2(Bucket=bucket)["Contents"]:
            if not row["Key"].startswith("copy"):
                end.delete_object(Bucket=bucket, Key=row["Key"])
    collect(pair)
    settled(pair, uid, list(buckets.values()), list(ends.values()))
    for end in ends.values():
        end.close()


@pytest.mark.parametrize("crossed", ["radosgw-to-ours"], indirect=True)  # ours does not compress
def test_compressed_by_radosgw(crossed):
    """Read whole and in ranges by us; copied, copied into parts, overwritten and deleted by either."""
    data = b"".join(bytes([i % 251]) * 10_007 + secrets.token_bytes(3000) for i in range(900))  # 11.7 MB that compress somewhat
    for storage_class in COMPRESSED:
        _compressed(crossed, storage_class, data)
    crossed.settled()
    for key in [f"{name}{storage_class}" for storage_class in COMPRESSED for name in "km"]:
        assert crossed.body(key, crossed.theirs)[0] == data
        crossed.theirs.delete_object(Bucket=crossed.bucket, Key=key)
    collect(crossed.pair)
    for end, storage_class in itertools.product((crossed.ours, crossed.theirs), COMPRESSED):
        for key in ("k", "m", "plaink", "plainm"):
            assert end.get_object(Bucket=crossed.other, Key=key + storage_class)["Body"].read() == data
        assert end.get_object(Bucket=crossed.other, Key="part" + storage_class)["Body"].read() == data[7:6 * MIB + 1]
    crossed.settled()


def _compressed(crossed, storage_class: str, data: bytes) -> None:
    """An object and an upload of the class by radosgw, read and copied by us."""
    names = [f"k{storage_class}", f"m{storage_class}"]
    place, multi = ({"Bucket": crossed.bucket, "Key": name} for name in names)
    crossed.theirs.put_object(Body=data, StorageClass=storage_class, **place)
    assert crossed.body(names[0], crossed.ours) == (data, md5(data))
    heads = [end.head_object(**place) for end in (crossed.ours, crossed.theirs)]
    assert heads[0]["ContentLength"] == heads[1]["ContentLength"] == len(data)
    for first, last in [(0, 0), (4 * MIB - 2, 4 * MIB + 2), (5 * MIB, 9 * MIB), (len(data) - 7, len(data) - 1)]:
        assert crossed.body(names[0], crossed.ours, Range=f"bytes={first}-{last}")[0] == data[first:last + 1]
    parts = [data[:5 * MIB], data[5 * MIB:]]
    multi["UploadId"] = crossed.theirs.create_multipart_upload(StorageClass=storage_class, **multi)["UploadId"]
    done = [{"PartNumber": n, "ETag": crossed.theirs.upload_part(PartNumber=n, Body=part, **multi)["ETag"]} for n, part in enumerate(parts, 1)]
    assert [row["Size"] for row in crossed.ours.list_parts(**multi)["Parts"]] == [len(part) for part in parts]
    crossed.ours.complete_multipart_upload(MultipartUpload={"Parts": done}, **multi)
    for end in (crossed.ours, crossed.theirs):
        assert crossed.body(names[1], end) == (data, combined(parts))
        assert crossed.body(names[1], end, Range=f"bytes={5 * MIB - 3}-{9 * MIB}")[0] == data[5 * MIB - 3:9 * MIB + 1]
    for key in names:
        source = {"Bucket": crossed.bucket, "Key": key}
        crossed.ours.copy_object(Bucket=crossed.other, Key=key, CopySource=source)
        crossed.ours.copy_object(Bucket=crossed.bucket, Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"},
                                 StorageClass=storage_class)
        crossed.ours.copy_object(Bucket=crossed.other, Key=f"plain{key}", CopySource=source, StorageClass="STANDARD", MetadataDirective="REPLACE")
    part = {"Bucket": crossed.other, "Key": f"part{storage_class}"}
    part["UploadId"] = crossed.ours.create_multipart_upload(**part)["UploadId"]
    reply = crossed.ours.upload_part_copy(PartNumber=1, CopySource=place, CopySourceRange=f"bytes=7-{6 * MIB}", **part)
    crossed.ours.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": reply["CopyPartResult"]["ETag"]}]}, **part)


async def _unsharded(pair, uid: str, name: str, shards: int) -> None:
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({"rgw_override_bucket_index_max_shards": shards}))
    try:
        gateway.zone.group.zones[gateway.zone.id].bucket_index_max_shards = shards  # as in zonegroups of older releases
        owner = await gateway.users.get(uid)
        await gateway.buckets.create(name, owner, AccessControlPolicy.private(uid, owner.display_name))
    finally:
        await gateway.close()
        await cluster.close()


def test_shards(crossed):
    """Buckets whose index has no shards, or one, without and with versions."""
    names, parts = sorted(["_a", "b", "dir/c", "dir/d", "ü"], key=str.encode), [data_of(5 * MIB), data_of(5 * MIB + 1)]
    buckets = {shards: f"s{shards}{secrets.token_hex(4)}" for shards in (0, 1)}
    for shards, name in buckets.items():
        asyncio.run(_unsharded(crossed.pair, crossed.uid, name, shards))
        assert crossed.pair.radosgw_admin("bucket", "stats", "--bucket", name)["num_shards"] == shards
        for key in names:
            crossed.write.put_object(Bucket=name, Key=key, Body=key.encode())
        upload([crossed.write, crossed.check], name, "m", parts)
        crossed.check.copy_object(Bucket=name, Key="z", CopySource={"Bucket": name, "Key": "m"})
        for end in (crossed.write, crossed.check):
            assert keys(end, name) == sorted([*names, "m", "z"], key=str.encode)
            assert end.get_object(Bucket=name, Key="_a")["Body"].read() == b"_a"
            assert end.get_object(Bucket=name, Key="z")["Body"].read() == b"".join(parts)
    crossed.settled()
    for name in buckets.values():
        for key in [*names, "m", "z"]:
            crossed.check.delete_object(Bucket=name, Key=key)
    crossed.settled()
    for name in buckets.values():
        status(crossed.check, name, "Enabled")
        made = []
        for end, other in ((crossed.write, crossed.check), (crossed.check, crossed.write)):
            made.append(end.put_object(Bucket=name, Key="b", Body=b"1")["VersionId"])
            made.append(other.delete_object(Bucket=name, Key="b")["VersionId"])
        rows = versions(crossed.write, name)
        assert rows == versions(crossed.check, name) and {row[1] for row in rows} == set(made)
        assert settled_versions(crossed.pair, name) == 2
        for version, end in zip(reversed(made), (crossed.write, crossed.check) * 2, strict=True):  # newest first: see docs/radosgw.md
            end.delete_object(Bucket=name, Key="b", VersionId=version)
        assert settled_versions(crossed.pair, name) == 0
        crossed.check.delete_bucket(Bucket=name)


_ACTS = ["delete the source", "overwrite the source", "copy the copy", "overwrite the copy", "delete the copy"]


@pytest.mark.parametrize("form", ["copy", "part copy"])
def test_shared_tails_in_any_order(crossed, form):
    """Every order of what may happen to an object and to what shares its tail, by turns through both gateways."""
    data, expected = data_of(4 * MIB + 100_000), {}
    for number, order in enumerate(itertools.permutations(_ACTS, 3)):
        ends = itertools.cycle([crossed.check, crossed.write])
        source, copied = {"Bucket": crossed.bucket, "Key": f"s{number}"}, {"Bucket": (crossed.bucket, crossed.other)[number % 2], "Key": f"c{number}"}
        crossed.check.put_object(Body=data, **source)
        if form == "copy":
            crossed.write.copy_object(CopySource=source, **copied)
        else:
            place = {**copied, "UploadId": crossed.write.create_multipart_upload(**copied)["UploadId"]}
            reply = crossed.ours.upload_part_copy(PartNumber=1, CopySource=source, **place)["CopyPartResult"]
            crossed.ours.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": reply["ETag"]}]}, **place)
        held = {(source["Bucket"], source["Key"]): data, (copied["Bucket"], copied["Key"]): data}
        for act in order:
            end, target = next(ends), source if act.endswith("source") else copied
            place = (target["Bucket"], target["Key"])
            if act.startswith("delete"):
                end.delete_object(**target)
                held.pop(place, None)
            elif act.startswith("overwrite"):
                end.put_object(Body=b"new", **target)
                held[place] = b"new"
            elif place in held:
                end.copy_object(CopySource=copied, Bucket=crossed.other, Key=f"cc{number}")
                held[crossed.other, f"cc{number}"] = held[place]
        expected |= held
    collect(crossed.pair)
    for end in (crossed.write, crossed.check):
        for (bucket, key), body in expected.items():
            assert end.get_object(Bucket=bucket, Key=key)["Body"].read() == body, (bucket, key)
    crossed.settled()
