"""Builds C extensions in place, for ``python -m`` of the modules that declare them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cffi import FFI


def build(ffi: FFI, folder: Path) -> Path:
    """Compiles an extension into ``folder``; its path there."""
    with tempfile.TemporaryDirectory() as work:
        built = Path(ffi.compile(tmpdir=work, verbose=False))
        target = folder / built.name
        staged = target.with_suffix(".new")
        shutil.copy(built, staged)
        staged.replace(target)  # in one step: a running gateway keeps the file it has mapped
    return target
