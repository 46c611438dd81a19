"""The walks that users take with real clients, on both stores."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rgw.formats.names import bucket_shard
from tests.e2e.conftest import BIN, RunningGateway, need

MIB = 1 << 20
AWKWARD_NAMES = ["plain.txt", "with space.txt", "a+b.txt", "percent%20.txt", "ümlaut.txt", "quote'd.txt", "semi;colon&.txt",
                 "deep/er/file.bin", "_underscore", "日本語/ファイル"]


def payload(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("parts", [1, 3, 16])
def test_parts_from_threads(gateway: RunningGateway, bucket: str, parts: int) -> None:
    data = payload(200 * MIB, parts)
    step = -(-len(data) // parts)
    s3 = gateway.client()
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]

    def send(number: int) -> dict[str, object]:
        body = data[(number - 1) * step:number * step]
        answer = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body)
        assert answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        return {"PartNumber": number, "ETag": answer["ETag"]}

    with ThreadPoolExecutor(parts) as pool:
        etags = list(pool.map(send, range(1, parts + 1)))
    done = s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": etags})
    assert done["ETag"].endswith(f'-{parts}"')
    got = s3.get_object(Bucket=bucket, Key="big")["Body"].read()
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def aws(gateway: RunningGateway, *arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run([BIN / "aws", *arguments], capture_output=True, env=gateway.environment(), cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_aws_cp_and_what_lies_in_the_pools(gateway: RunningGateway, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "testfile").write_bytes(payload(20 * MIB))
    aws(gateway, "s3", "cp", "testfile", f"s3://{bucket}", "--endpoint-url", gateway.endpoint, cwd=tmp_path)
    stats = gateway.admin("bucket", "stats", "--bucket", bucket)
    marker, bucket_id = stats["marker"], stats["id"]  # type: ignore[index]
    objects = gateway.rgw("rados", "ls", "-p", "default.rgw.buckets.data").splitlines()
    assert any(o.startswith(f"{marker}__multipart_testfile.2~") and o.endswith(".1") for o in objects)
    assert not [o for o in gateway.rgw("rados", "ls", "-p", "default.rgw.buckets.non-ec").splitlines() if o.startswith(marker)]
    shard = bucket_shard("testfile", stats["num_shards"])  # type: ignore[index]
    assert gateway.rgw("rados", "listomapkeys", "-p", "default.rgw.buckets.index", f".dir.{bucket_id}.{shard}").split() == ["testfile"]
    _overwritten_and_collected(gateway, bucket, marker, tmp_path)
    upload = gateway.client().create_multipart_upload(Bucket=bucket, Key="pending")["UploadId"]
    assert upload in aws(gateway, "s3api", "list-multipart-uploads", "--bucket", bucket)
    metas = gateway.rgw("rados", "ls", "-p", "default.rgw.buckets.non-ec").splitlines()
    assert f"{marker}__multipart_pending.{upload}.meta" in metas
    gateway.client().abort_multipart_upload(Bucket=bucket, Key="pending", UploadId=upload)
    assert f"{marker}__multipart_pending.{upload}.meta" not in gateway.rgw("rados", "ls", "-p", "default.rgw.buckets.non-ec")


def _overwritten_and_collected(gateway: RunningGateway, bucket: str, marker: str, folder: Path) -> None:
    """What an overwrite leaves waits, is shown, and goes when it is told to; the data pool is back to its size."""
    def data() -> set[str]:
        return {oid for oid in gateway.rgw("rados", "ls", "-p", "default.rgw.buckets.data").splitlines() if oid.startswith(marker)}

    def queued(*which: str) -> set[str]:
        return {obj["oid"] for row in gateway.admin("gc", "list", *which) for obj in row["objs"] if obj["oid"].startswith(marker)}  # type: ignore

    before, stats = data(), gateway.admin("bucket", "stats", "--bucket", bucket)
    (folder / "testfile").write_bytes(payload(20 * MIB, 1))
    aws(gateway, "s3", "cp", "testfile", f"s3://{bucket}", "--endpoint-url", gateway.endpoint, cwd=folder)
    assert gateway.admin("bucket", "stats", "--bucket", bucket)["usage"] == stats["usage"]  # type: ignore[index]
    assert queued() == set() and len(data()) > len(before)
    gone = queued("--include-all")
    assert gone and gone < before
    gateway.admin("gc", "process", "--include-all")
    assert queued("--include-all") == set()
    assert len(data()) == len(before) and not data() & gone


def make_tree(folder: Path) -> dict[str, bytes]:
    files = {name: payload(i * 1000 + 1, i) for i, name in enumerate(AWKWARD_NAMES)}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_aws_sync_both_ways(gateway: RunningGateway, bucket: str, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "up")
    aws(gateway, "s3", "sync", "up", f"s3://{bucket}/tree", cwd=tmp_path)
    aws(gateway, "s3", "sync", f"s3://{bucket}/tree", "down", cwd=tmp_path)
    assert read_tree(tmp_path / "down") == files


def test_rclone_both_ways(gateway: RunningGateway, bucket: str, tmp_path: Path) -> None:
    rclone = need("rclone")
    files = make_tree(tmp_path / "up")
    remote = f":s3,provider=Ceph,env_auth=true,endpoint='{gateway.endpoint}':{bucket}/tree"
    for source, target in (("up", remote), (remote, "down")):
        done = subprocess.run([rclone, "sync", source, target, "--retries", "1", "--config", os.devnull], capture_output=True, cwd=tmp_path,
                              env=gateway.environment(), timeout=120)
        assert done.returncode == 0, done.stderr.decode()
    assert read_tree(tmp_path / "down") == files


def test_s3cmd(gateway: RunningGateway, tmp_path: Path) -> None:
    s3cmd = need("s3cmd")
    host = gateway.endpoint.removeprefix("http://")
    (tmp_path / "s3cfg").write_text(f"[default]\naccess_key = {gateway.access_key}\nsecret_key = {gateway.secret_key}\nhost_base = {host}\n"
                                    f"host_bucket = {host}\nuse_https = False\nbucket_location = us-east-1\nmultipart_chunk_size_mb = 5\n")

    def run(*arguments: str) -> str:
        done = subprocess.run([s3cmd, "-c", str(tmp_path / "s3cfg"), *arguments], capture_output=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    data = payload(12 * MIB)
    (tmp_path / "file").write_bytes(data)
    run("mb", "s3://s3cmd-walk")
    run("put", "file", "s3://s3cmd-walk/large")
    (tmp_path / "small").write_bytes(b"small")
    run("put", "small", "s3://s3cmd-walk/small")
    assert "s3://s3cmd-walk/large" in run("ls", "s3://s3cmd-walk")
    run("get", "s3://s3cmd-walk/large", "back")
    assert (tmp_path / "back").read_bytes() == data
    run("del", "s3://s3cmd-walk/large", "s3://s3cmd-walk/small")
    run("rb", "s3://s3cmd-walk")
    assert "s3cmd-walk" not in run("ls")


def test_part_copy_outlives_its_source(gateway: RunningGateway, bucket: str) -> None:
    """UploadPartCopy of 1 GiB in ranges; the source deleted and collected; the copy reads right to the last byte."""
    # The source may come unsigned and unsummed: other walks see to that, and a GiB costs seconds.
    s3 = gateway.client(request_checksum_calculation="when_required", response_checksum_validation="when_required", s3={"payload_signing_enabled": False})
    block = payload(64 * MIB)
    size = 1024 * MIB
    upload = s3.create_multipart_upload(Bucket=bucket, Key="source")["UploadId"]
    parts = []
    for number in range(1, size // len(block) + 1):
        body = number.to_bytes(8, "big") + block[8:]
        answer = s3.upload_part(Bucket=bucket, Key="source", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="source", UploadId=upload, MultipartUpload={"Parts": parts})
    other = bucket + "-copy"
    s3.create_bucket(Bucket=other)
    upload = s3.create_multipart_upload(Bucket=other, Key="copy")["UploadId"]
    cuts = [0, 5 * MIB + 1, 300 * MIB, 777 * MIB + 12345, size]
    copied = []
    for number, (start, end) in enumerate(zip(cuts, cuts[1:], strict=False), 1):
        answer = s3.upload_part_copy(Bucket=other, Key="copy", UploadId=upload, PartNumber=number,
                                     CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange=f"bytes={start}-{end - 1}")
        copied.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(Bucket=other, Key="copy", UploadId=upload, MultipartUpload={"Parts": copied})
    s3.delete_object(Bucket=bucket, Key="source")
    gateway.admin("gc", "process", "--include-all")
    assert gateway.admin("gc", "list", "--include-all") == []
    body = s3.get_object(Bucket=other, Key="copy")["Body"]
    for number in range(1, size // len(block) + 1):
        assert body.read(len(block)) == number.to_bytes(8, "big") + block[8:], f"64 MiB block {number}"
    assert body.read() == b""
    s3.delete_object(Bucket=other, Key="copy")
    gateway.admin("gc", "process", "--include-all")
    marker = gateway.admin("bucket", "stats", "--bucket", bucket)["marker"]  # type: ignore[index]
    assert not [o for o in gateway.rgw("rados", "ls", "-p", "default.rgw.buckets.data").splitlines() if o.startswith(marker)]
