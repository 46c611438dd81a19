"""Builds rows.c in place: ``python -m rgw.frontend._rows_build``. Needs python3-dev and gcc; without it xml.py's Python does the work."""

from __future__ import annotations

import sys
from pathlib import Path

from rgw import extension


def build() -> Path:
    """Compiles rows.c; returns the extension's path."""
    return extension.build_module("rgw.frontend._rows", Path(__file__).with_name("rows.c"))


if __name__ == "__main__":
    print(build(), file=sys.stderr)
