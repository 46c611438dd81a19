"""The loads: each takes a server and a bucket and returns a figure, with the client's cost kept low (wrk, curl, pre-signed URLs)."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peer

MIB = 1 << 20
SECONDS = 5
CONNECTIONS = 32
TOLERATED = 0.01  # of the requests, refused by a peer: some of rclone's PUTs are, where two of one key meet


@dataclass(frozen=True)
class Figure:
    """``value`` in ``unit``; CPU microseconds a request where requests were counted."""

    value: float
    unit: str
    cpu_us: float | None = None
    peak_mib: float | None = None


def sign(peer: Peer, operation: str, **parameters: object) -> str:
    return str(peer.client().generate_presigned_url(operation, Params=parameters, ExpiresIn=7200))


def wrk(peer: Peer, folder: Path, urls: list[str], method: str = "GET", body_size: int = 0) -> Figure:
    """Requests a second over keep-alive connections, going round the URLs."""
    host = peer.endpoint
    paths = ",\n".join(f'"{u[len(host):]}"' for u in urls)
    script = folder / "load.lua"
    script.write_text(f"""
local paths = {{ {paths} }}
local i = 0
local body = string.rep("x", {body_size})
request = function()
  i = i % #paths + 1
  return wrk.format("{method}", paths[i], nil, {'body' if body_size else 'nil'})
end
""")
    before = peer.cpu_seconds()
    out = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), host], check=True, capture_output=True, text=True).stdout
    cpu = peer.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", out):
        if int(refused[1]) > requests * TOLERATED or peer.name.startswith("pyrgw"):
            raise RuntimeError(f"{peer.name} refused requests:\n{out}")
        print(f"{peer.name} refused {refused[1]} of {requests} requests", file=sys.stderr)
    return Figure(float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), "requests/s", cpu / requests * 1e6)  # type: ignore[index]


def small_get(peer: Peer, bucket: str, folder: Path) -> Figure:
    s3 = peer.client()
    keys = [f"small/{i}" for i in range(64)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * 4096)
    return wrk(peer, folder, [sign(peer, "get_object", Bucket=bucket, Key=key) for key in keys])


def small_put(peer: Peer, bucket: str, folder: Path) -> Figure:
    return wrk(peer, folder, [sign(peer, "put_object", Bucket=bucket, Key=f"put/{i}") for i in range(512)], "PUT", 4096)


def list_1000(peer: Peer, bucket: str, folder: Path) -> Figure:
    s3 = peer.client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: s3.put_object(Bucket=bucket, Key=f"list/{i:05d}", Body=b""), range(1000)))
    return wrk(peer, folder, [sign(peer, "list_objects_v2", Bucket=bucket, Prefix="list/", MaxKeys=1000)])


def curl(arguments: list[str]) -> None:
    subprocess.run(["curl", "-sSf", *arguments], check=True, capture_output=True)


def multipart_put(peer: Peer, bucket: str, folder: Path) -> Figure:
    """1 GiB as 64 parts of 16 MiB, 8 at a time."""
    part = folder / "part"
    part.write_bytes(b"0123456789abcdef" * MIB)
    s3 = peer.client()
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    urls = [sign(peer, "upload_part", Bucket=bucket, Key="large", UploadId=upload, PartNumber=n) for n in range(1, 65)]
    peer.reset_peak()
    before = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda url: curl(["-T", str(part), url]), urls))
    elapsed = time.monotonic() - before
    parts = s3.list_parts(Bucket=bucket, Key="large", UploadId=upload)["Parts"]
    s3.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in parts]})
    return Figure(1024 / elapsed, "MiB/s", peak_mib=peer.peak_mib())


def large_get(peer: Peer, bucket: str, folder: Path) -> Figure:
    url = sign(peer, "get_object", Bucket=bucket, Key="large")
    times = []
    for _ in range(3):
        before = time.monotonic()
        curl(["-o", "/dev/null", url])
        times.append(time.monotonic() - before)
    return Figure(1024 / sorted(times)[1], "MiB/s")


def part_copy(peer: Peer, bucket: str, folder: Path) -> Figure:
    """UploadPartCopy of the whole 1 GiB object, in seconds."""
    s3 = peer.client()
    times = []
    for i in range(3):
        upload = s3.create_multipart_upload(Bucket=bucket, Key=f"copy{i}")["UploadId"]
        before = time.monotonic()
        s3.upload_part_copy(Bucket=bucket, Key=f"copy{i}", UploadId=upload, PartNumber=1, CopySource={"Bucket": bucket, "Key": "large"})
        times.append(time.monotonic() - before)
        s3.abort_multipart_upload(Bucket=bucket, Key=f"copy{i}", UploadId=upload)
    return Figure(sorted(times)[1], "s")


Load = Callable[[Peer, str, Path], Figure]
LOADS: dict[str, tuple[Load, bool]] = {  # name: (load, less is better)
    "4 KiB GET, 32 connections": (small_get, False),
    "4 KiB PUT, 32 connections": (small_put, False),
    "list of 1,000 keys": (list_1000, False),
    "multipart PUT, 64 x 16 MiB": (multipart_put, False),
    "GET of 1 GiB": (large_get, False),
    "UploadPartCopy of 1 GiB": (part_copy, True),
}
