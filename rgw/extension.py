"""Builds C extensions in place, for ``python -m`` of the modules that declare them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cffi import FFI


def build(ffi: FFI, folder: Path) -> Path:
    """Compiles an extension into ``folder``; its path there."""
    with tempfile.TemporaryDirectory() as work:
        return _install(Path(ffi.compile(tmpdir=work, verbose=False)), folder)


def build_module(name: str, source: Path) -> Path:
    """Compiles a module that is written for Python's own C API, beside its source; its path there."""
    from setuptools import Distribution, Extension

    with tempfile.TemporaryDirectory() as work:
        extension = Extension(name, [str(source)], extra_compile_args=["-O3", "-Wall"])
        command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
        command.build_lib = command.build_temp = work
        command.ensure_finalized()
        command.run()
        return _install(Path(command.get_ext_fullpath(name)), source.parent)


def _install(built: Path, folder: Path) -> Path:
    target = folder / built.name
    staged = target.with_suffix(".new")
    shutil.copy(built, staged)
    staged.replace(target)  # in one step: a running gateway keeps the file it has mapped
    return target
