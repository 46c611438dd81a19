"""What commands print: JSON as radosgw-admin lays it out, and progress for whoever watches a terminal."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from rgw.core.dump.basics import moment, quota
from rgw.core.dump.bucket import bucket_stats, index_entry, usage
from rgw.core.dump.user import op_mask, user, user_id

__all__ = ["Progress", "bucket_stats", "index_entry", "moment", "op_mask", "quota", "show", "usage", "user", "user_id"]


def show(value: Any) -> None:
    """Prints JSON as radosgw-admin lays it out. What is no UTF-8 shows as a replacement character."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    click.echo(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


class Progress:
    """A line that tells how far a long job is: on a terminal only, and on standard error, so that a pipe gets JSON alone."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._width = 0

    def __call__(self, text: str) -> None:
        if self._on:
            click.echo("\r" + text.ljust(self._width), err=True, nl=False)
            self._width = len(text)

    def end(self) -> None:
        """Leaves the line."""
        if self._on and self._width:
            click.echo("", err=True)
            self._width = 0
