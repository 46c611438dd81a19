"""Builds md5.c in place: ``python -m rgw.auth._md5_build``. Needs python3-dev and gcc; without it hashlib does the work."""

from __future__ import annotations

import sys
from pathlib import Path

from cffi import FFI

from rgw import extension

HERE = Path(__file__).parent

CDEF = """
struct md5 { ...; };
struct md5_job { struct md5 *sum; const unsigned char **pieces; const size_t *sizes; size_t count; };
void md5_init(struct md5 *);
void md5_update(struct md5_job *, size_t count);
void md5_digest(const struct md5 *, unsigned char *out);
"""


def build() -> Path:
    """Compiles md5.c; returns the extension's path."""
    ffi = FFI()
    ffi.cdef(CDEF)
    ffi.set_source("rgw.auth._md5", (HERE / "md5.c").read_text(), extra_compile_args=["-O2", "-Wall"])
    return extension.build(ffi, HERE)


if __name__ == "__main__":
    print(build(), file=sys.stderr)
