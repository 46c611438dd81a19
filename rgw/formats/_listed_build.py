"""Builds listed.c in place: ``python -m rgw.formats._listed_build``. Needs python3-dev and gcc; without it listed.py's Python does the work."""

from __future__ import annotations

import sys
from pathlib import Path

from rgw import extension


def build() -> Path:
    """Compiles listed.c; returns the extension's path."""
    return extension.build_module("rgw.formats._listed", Path(__file__).with_name("listed.c"))


if __name__ == "__main__":
    print(build(), file=sys.stderr)
