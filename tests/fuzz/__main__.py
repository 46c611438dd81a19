"""``python -m tests.fuzz PARSER|all [libFuzzer's options]``: feeds a parser with inputs that reach ever more of its code."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["rgw"]):
    from rgw.errors import S3Error
    from tests.fuzz.parsers import PARSERS, SEEDS, everything


def main() -> None:
    name, *options = sys.argv[1:]
    parser = everything if name == "all" else PARSERS[name]
    seeds = SEEDS.get(name) or [bytes([number]) + seed for number, each in enumerate(PARSERS) for seed in SEEDS[each]]

    def one(data: bytes) -> None:
        try:
            parser(data)
        except S3Error:
            pass

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
