"""How the C library keeps the memory that bodies pass through."""

from __future__ import annotations

import ctypes
import logging

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 64 << 20  # bytes at the heap's end that stay with the process; about what bodies of uploads take
_MAPPED = 32 << 20  # bytes from which on a block is mapped by itself, the most that glibc allows


def keep_freed_memory() -> None:
    """Stripes of some MiB come and go. As a rule each would be returned to the kernel and asked for again, which clears every page
    at the uploader's cost. Elsewhere than with glibc nothing is changed."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    if not (mallopt(_MMAP_THRESHOLD, _MAPPED) and mallopt(_TRIM_THRESHOLD, _KEPT)):
        logging.getLogger("rgw").warning("the C library refused its memory settings")
