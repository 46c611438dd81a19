"""The compiled binding, and what it needs said when it is not there."""

from __future__ import annotations

from typing import Any

from rgw.store.errors import Unavailable, from_code

try:
    from rgw.store.librados._rados import ffi, lib  # type: ignore[import-not-found]

    problem: str = ""
except ImportError as e:  # not built, or built for another Python or without librados2 installed
    ffi = lib = None
    problem = str(e)


def require() -> tuple[Any, Any]:
    """cffi's ``ffi`` and ``lib``. Unavailable, with what to install, if the extension cannot be loaded."""
    if lib is None:
        raise Unavailable(
            f"the binding to librados is not built ({problem}). Install librados-dev, python3-dev and gcc "
            "(Debian: apt-get install librados-dev python3-dev gcc), then run: python -m rgw.store.librados._build"
        )
    return ffi, lib


def check(code: int, what: str) -> int:
    """``code`` if it is no error; else raises the error it stands for."""
    if code < 0:
        raise from_code(code, f"{what}: librados answered {code}")
    return code


def text(value: str, what: str = "a name") -> bytes:
    """UTF-8 for a C string. InvalidArgument for a NUL, which librados' C API would cut at."""
    data = value.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise from_code(-22, f"{what} must not hold a NUL")
    return data
