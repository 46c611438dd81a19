"""Runs every load on ours and its peer in turn, on each store, and prints figures and ratios as a table."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from botocore.exceptions import ClientError

from benchmarks.loads import LOADS, Figure
from benchmarks.peers import Peer, ceph_peers, embedded_peers

SUITES: dict[str, Callable[[Path, int], AbstractContextManager[tuple[Peer, Peer | None]]]] = {"embedded": embedded_peers, "ceph": ceph_peers}


def show(figure: Figure) -> str:
    text = f"{figure.value:.3f} {figure.unit}" if figure.unit == "s" else f"{figure.value:,.0f} {figure.unit}"
    if figure.cpu_us is not None:
        text += f" ({figure.cpu_us:.0f} us CPU)"
    if figure.peak_mib is not None:
        text += f" (peak {figure.peak_mib:.0f} MiB)"
    return text


def run(suite: str, workers: int) -> None:
    with tempfile.TemporaryDirectory() as name, SUITES[suite](Path(name), workers) as (ours, peer):
        servers = [ours] + ([peer] if peer else [])
        for server in servers:
            server.client().create_bucket(Bucket=f"bench{server.pids[0]}")
        print(f"\nOurs with {workers} worker{'s' * (workers > 1)}:\n")
        print(f"| load | {' | '.join(s.name for s in servers)} | ratio |\n|---|{'---|' * (len(servers) + 1)}", flush=True)
        for title, (load, less_is_better) in LOADS.items():
            figures: list[Figure | None] = []
            for server in servers:
                try:
                    figures.append(load(server, f"bench{server.pids[0]}", Path(name)))
                except ClientError as e:
                    if server is ours:
                        raise
                    print(f"{server.name}: {title}: {e}", file=sys.stderr)
                    figures.append(None)
            ratio = "-"
            if len(figures) == 2 and figures[0] and figures[1]:
                ratio = f"{figures[1].value / figures[0].value if less_is_better else figures[0].value / figures[1].value:.2f}"
            print(f"| {title} | {' | '.join(show(f) if f else 'refused' for f in figures)} | {ratio} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], default=[])
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}),
                        help="processes of ours; each number is a run of its own (default: one, and one per core)")
    for tool in ("wrk", "curl"):
        if shutil.which(tool) is None:
            sys.exit(f"make bench needs {tool}")
    arguments = parser.parse_args()
    for suite in arguments.suites or list(SUITES):
        for workers in arguments.workers:
            run(suite, workers)


main()
