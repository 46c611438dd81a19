"""`rgw nano` and `rgw serve`: runs the gateway, in one process or several that share its ports."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import uvloop

from rgw.cli.malloc import keep_freed_memory
from rgw.cli.stores import StoreChoice, current, open_cluster, store_options
from rgw.core.gateway import Gateway
from rgw.errors import S3Error
from rgw.formats.user import UserInfo
from rgw.frontend.server import Server
from rgw.store.errors import StoreError

NANO_USER = "nano"
DEFAULT_LISTEN = "127.0.0.1:8000"
DRAIN_SECONDS = 30.0
# Net new objects after which the collector of cycles looks at the young ones. Python's 700 cost an eighth of a small PUT; far more would let
# what fails in cycles (tracebacks with their frames) keep pieces of bodies in memory.
GC_YOUNG = 5_000


@dataclass(frozen=True)
class Listener:
    """An address to serve on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listener:
        """`HOST:PORT`, `[V6]:PORT` or `:PORT`."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise click.BadParameter(f"{text!r} is not HOST:PORT", param_hint="--listen")
        if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
            raise click.BadParameter(f"{text!r}: an IPv6 address stands in brackets", param_hint="--listen")
        return cls(host.strip("[]") or "0.0.0.0", int(port))

    def bind(self, shared: bool) -> socket.socket:
        """A bound socket, not yet listening. ``shared``: other processes may bind the same port."""
        try:
            family, kind, proto, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            sock = socket.socket(family, kind, proto)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
        except OSError as e:
            raise click.ClickException(f"cannot listen on {self.host}:{self.port}: {e.strerror or e}") from e
        return sock


def url(sock: socket.socket, tls: bool) -> str:
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if not cert and not key:
        return None
    if not cert or not key:
        raise click.UsageError("--tls-cert and --tls-key go together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as e:
        raise click.ClickException(f"cannot use {cert} and {key}: {e}") from e
    return context


async def first_user(gw: Gateway) -> UserInfo:
    """The newcomer's user: made at first start, found again at every later one."""
    try:
        return await gw.users.get(NANO_USER)
    except S3Error as e:
        if e.code != "NoSuchUser":
            raise
    try:
        return await gw.users.create(NANO_USER, "First user")
    except S3Error:
        return await gw.users.get(NANO_USER)  # another process was faster


async def run(choice: StoreChoice, sockets: list[socket.socket], tls: ssl.SSLContext | None, greet: bool) -> None:
    """Serves until SIGTERM or SIGINT, then lets the requests under way finish."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    options = choice.load_options()  # before anything is made
    cluster = await open_cluster(choice, create=True)
    try:
        gw = await Gateway.open(cluster, options)
        try:
            gw.start_workers()
            server = Server(gw)
            await server.start(sockets, tls)
            gc.freeze()  # what a serving gateway consists of is there to stay
            gc.set_threshold(GC_YOUNG, 20, 20)
            try:
                endpoints = ", ".join(url(sock, tls is not None) for sock in sockets)
                if greet:
                    user = await first_user(gw)
                    key = next(iter(user.access_keys.values()))
                    click.echo(f"endpoint:          {endpoints}\naccess key:        {key.id}\nsecret key:        {key.key}\n"
                               f"working directory: {Path(choice.data or '').resolve()}")
                else:
                    click.echo(f"serving on {endpoints}")
                sys.stdout.flush()
                await stop.wait()
            finally:
                await server.stop(DRAIN_SECONDS)
        finally:
            await gw.close()
    finally:
        await cluster.close()


def run_here(choice: StoreChoice, sockets: list[socket.socket], tls: ssl.SSLContext | None, greet: bool) -> None:
    keep_freed_memory()
    try:
        uvloop.run(run(choice, sockets, tls, greet))
    except S3Error as e:
        raise click.ClickException(f"{e.code}: {e.message}") from e
    except StoreError as e:
        raise click.ClickException(str(e) or type(e).__name__) from e


def supervise(workers: int) -> int:
    """Runs the same command as ``workers`` processes and ends them together. A worker that dies is replaced."""
    environment = dict(os.environ, RGW_WORKER="1")
    command = [sys.executable, "-m", "rgw.cli.worker", *sys.argv[1:]]
    # The first worker creates what an empty store lacks; the others start when it serves.
    processes = [subprocess.Popen(command, env=environment)]
    processes += [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(workers - 1)]
    stopping = False

    def end(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return 0
        for i, process in enumerate(processes):
            if process.pid == pid:
                code = process.returncode = os.waitstatus_to_exitcode(status)
                if stopping:
                    break
                if code == 1:  # refused to start, and said why
                    end()
                    return 1
                logging.getLogger("rgw").error("worker %d ended with %d; starting another", pid, code)
                processes[i] = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


@click.command()
@store_options
@click.option("--listen", multiple=True, metavar="HOST:PORT", help=f"Where to serve; repeatable (default {DEFAULT_LISTEN}).")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, PEM.")
@click.option("--tls-key", metavar="FILE", help="Its private key, PEM.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the port.")
def serve(listen: tuple[str, ...], tls_cert: str | None, tls_key: str | None, workers: int) -> None:
    """Serves S3 from a store."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    choice = current()
    tls = tls_context(tls_cert, tls_key)
    listeners = [Listener.parse(text) for text in listen or (DEFAULT_LISTEN,)]
    worker = "RGW_WORKER" in os.environ
    if workers > 1 and any(listener.port == 0 for listener in listeners):
        raise click.UsageError("--workers needs a fixed port")
    sockets = [listener.bind(shared=workers > 1) for listener in listeners]
    if workers > 1 and not worker:
        # The bound sockets stay open here and keep the ports, but only the workers listen.
        raise SystemExit(supervise(workers))
    run_here(choice, sockets, tls, greet=False)


@click.command()
@store_options
@click.option("--listen", multiple=True, metavar="HOST:PORT", help=f"Where to serve (default {DEFAULT_LISTEN}).")
def nano(listen: tuple[str, ...]) -> None:
    """One command, one folder: a gateway on the embedded store with a first user."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    choice = current()
    if choice.conf:
        raise click.UsageError("nano runs on the embedded store; `rgw serve --conf ...` serves Ceph")
    sockets = [Listener.parse(text).bind(shared=False) for text in listen or (DEFAULT_LISTEN,)]
    run_here(choice, sockets, None, greet=True)
