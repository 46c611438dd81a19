"""`rgw serve`: several workers, TLS, several addresses, an end that lets requests finish, two gateways on one store."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import missing_ceph
from tests.e2e.conftest import BIN, RunningGateway, free_port, start_serve
from tests.s3.wire import connect, head, parse, signed

Start = Callable[..., RunningGateway]


@pytest.fixture(params=["embedded", "ceph"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts gateways, all on the same store; ends them."""
    if request.param == "embedded":
        store = ["--data", str(tmp_path / "data")]
    else:
        if reason := missing_ceph():
            pytest.skip(reason)
        store = ["--conf", str(request.getfixturevalue("ceph_conf")), "--name", "client.admin"]
    running: list[RunningGateway] = []

    def run(*arguments: str, **more: str) -> RunningGateway:
        folder = tmp_path / f"gateway{len(running)}"
        folder.mkdir()
        running.append(start_serve(store, folder, *arguments, **more))
        return running[-1]
    yield run
    for each in running:
        if each.process.poll() is None:
            each.stop()


def _bucket(gateway: RunningGateway) -> str:
    name = f"serve-{time.monotonic_ns()}"
    gateway.client().create_bucket(Bucket=name)
    return name


def _workers(gateway: RunningGateway) -> list[int]:
    """The processes that the gateway's first process runs."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(gateway.process.pid)], capture_output=True, text=True)
    return sorted(int(pid) for pid in done.stdout.split())


def _listening(pid: int, port: int) -> bool:
    wanted = {line.split()[9] for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
              if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"}
    open_files = set()
    for item in Path(f"/proc/{pid}/fd").iterdir():
        try:
            open_files.add(os.readlink(item))
        except FileNotFoundError:
            continue
    return any(f"socket:[{inode}]" in open_files for inode in wanted)


def _until(what: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_workers_share_the_port_and_the_store(start: Start) -> None:
    gateway = start("--workers", "2")
    port = int(gateway.endpoint.rpartition(":")[2])
    _until(lambda: sum(_listening(pid, port) for pid in _workers(gateway)) == 2)
    bucket = _bucket(gateway)

    def put_and_read(number: int) -> bytes:
        body = b"%d" % number * (1 + number * 3000)
        gateway.client().put_object(Bucket=bucket, Key=f"k{number}", Body=body)  # a connection each: any worker may get it
        assert gateway.client().get_object(Bucket=bucket, Key=f"k{number}")["Body"].read() == body
        return body
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put_and_read, range(32)))
    assert len(gateway.client().list_objects_v2(Bucket=bucket)["Contents"]) == 32
    gateway.client().put_bucket_acl(Bucket=bucket, ACL="public-read")  # seen by both at once, cached or not
    assert {len(gateway.client().get_bucket_acl(Bucket=bucket)["Grants"]) for _ in range(16)} == {2}
    first, second = _workers(gateway)
    os.kill(second, signal.SIGKILL)
    _until(lambda: len(_workers(gateway)) == 2 and second not in _workers(gateway))
    _until(lambda: sum(_listening(pid, port) for pid in _workers(gateway)) == 2)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put_and_read, range(16)))
    assert gateway.stop() == 0
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (first, second)))
    with pytest.raises(ConnectionError):
        connect(gateway)


def _certificate(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
            .add_extension(names, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.mark.parametrize("start", ["embedded"], indirect=True)  # no matter of the store
def test_tls(start: Start, tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path)
    gateway = start("--tls-cert", cert, "--tls-key", key, scheme="https")
    assert "https://127.0.0.1" in gateway.log.read_text()
    s3 = boto3.client("s3", endpoint_url=gateway.endpoint, aws_access_key_id=gateway.access_key, aws_secret_access_key=gateway.secret_key,
                      region_name="us-east-1", verify=cert, config=Config(retries={"max_attempts": 1}))
    bucket = f"tls-{time.monotonic_ns()}"
    s3.create_bucket(Bucket=bucket)
    body = os.urandom(9 << 20)
    s3.put_object(Bucket=bucket, Key="k", Body=body)  # an unsigned payload with a trailer, as boto3 sends it over TLS
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    with connect(RunningGateway([], gateway.endpoint.replace("https", "http"), "", "", [], gateway.log, gateway.process)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP/1.1 200")


def test_tls_arguments_go_together(tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path)
    for arguments in (["--tls-cert", cert], ["--tls-key", key], ["--tls-cert", key, "--tls-key", cert]):
        done = subprocess.run([BIN / "rgw", "--data", tmp_path / "data", "serve", "--listen", "127.0.0.1:0", *arguments],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2) and "Error" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("start", ["embedded"], indirect=True)  # no matter of the store
def test_several_addresses(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("NO IPv6 HERE: --listen [::1]:PORT was not tested")
    port = free_port()
    gateway = start("--listen", f"[::1]:{port}", "--listen", f"127.0.0.1:{free_port()}")
    bucket = _bucket(gateway)
    gateway.client().put_object(Bucket=bucket, Key="k", Body=b"over v4")
    printed = gateway.log.read_text()
    assert f"http://[::1]:{port}" in printed and printed.count("http://127.0.0.1:") == 2
    for endpoint in printed.partition("serving on ")[2].splitlines()[0].split(", "):
        gateway.endpoint = endpoint
        assert gateway.client().get_object(Bucket=bucket, Key="k")["Body"].read() == b"over v4"


def test_requests_under_way_finish(start: Start) -> None:
    """SIGTERM: a slow PUT and a slow GET end well, nobody else gets in, and then the process ends."""
    gateway = start()
    gateway.bucket = _bucket(gateway)  # type: ignore[attr-defined]
    body = os.urandom(24 << 20)
    gateway.client().put_object(Bucket=gateway.bucket, Key="large", Body=body)  # type: ignore[attr-defined]
    target, half = f"/{gateway.bucket}/slow", len(body) // 2  # type: ignore[attr-defined]
    with connect(gateway) as put, connect(gateway) as get, connect(gateway) as idle:
        put.sendall(head("PUT", target, signed(gateway, "PUT", target, {"Content-Length": str(len(body))})) + body[:half])
        large = target.replace("slow", "large")
        get.sendall(head("GET", large, signed(gateway, "GET", large, {})))
        begun = get.recv(1000)
        idle.sendall(head("GET", "/", signed(gateway, "GET", "/", {})))
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        gateway.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                connect(gateway).close()
            except ConnectionError:
                return True
            return False
        _until(refused)
        assert gateway.process.poll() is None
        put.sendall(body[half:])
        reply = b""
        while b"\r\n\r\n" not in reply:
            piece = put.recv(1 << 16)
            assert piece, reply
            reply += piece
        assert parse(reply, "PUT").status == 200
        while piece := get.recv(1 << 20):
            begun += piece
            time.sleep(0.01)
        assert begun.partition(b"\r\n\r\n")[2] == body
        assert idle.recv(1000) == b""  # closed
    assert gateway.process.wait(20) == 0
    again = start()
    assert again.client().get_object(Bucket=gateway.bucket, Key="slow")["Body"].read() == body  # type: ignore[attr-defined]


def test_two_gateways_on_one_store(start: Start) -> None:
    one, two = start(), start()
    bucket = _bucket(one)
    for number in range(20):
        writer, reader = (one, two) if number % 2 else (two, one)
        body = b"%d" % number * (1 + number * 5000)
        writer.client().put_object(Bucket=bucket, Key="same", Body=body)
        assert reader.client().get_object(Bucket=bucket, Key="same")["Body"].read() == body
    two.client().put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert len(one.client().get_bucket_acl(Bucket=bucket)["Grants"]) == 2
    upload = one.client().create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    etag = two.client().upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    one.client().complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": etag}]})
    with pytest.raises(ClientError, match="NoSuchUpload"):
        two.client().abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    assert two.client().get_object(Bucket=bucket, Key="m")["Body"].read() == b"part"
    port = one.endpoint.rpartition(":")[2]
    done = subprocess.run([BIN / "rgw", *one.store_args, "serve", "--listen", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "cannot listen on" in done.stderr and "Traceback" not in done.stderr
