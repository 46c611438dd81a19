"""What commands print: JSON as radosgw-admin lays it out, and progress for whoever watches a terminal."""

from __future__ import annotations

import json
import sys
import time
from typing import IO, Any

import click

from rgw.core.dump.basics import moment, quota
from rgw.core.dump.bucket import bucket_stats, index_entry, usage
from rgw.core.dump.user import op_mask, user, user_id

__all__ = ["Progress", "bucket_stats", "index_entry", "moment", "op_mask", "quota", "show", "usage", "user", "user_id"]


def show(value: Any) -> None:
    """Prints JSON as radosgw-admin lays it out. What is no UTF-8 shows as a replacement character."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    click.echo(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


_RESUME = "rgw.resume"  # among the context's meta
_PAUSE = 0.1  # seconds between two lines of progress


class Progress:
    """A line that tells how far a long job is: on a terminal only, and on standard error, so that a pipe gets JSON alone.

    ``resume`` tells whoever breaks the job off how to go on. ``lines``: the job prints as it goes, hence no line of ours on the same terminal.
    """

    def __init__(self, resume: str = "run it again to go on", *, lines: bool = False) -> None:
        self._on = sys.stderr.isatty() and not (lines and sys.stdout.isatty())
        self._width = 0
        self._told = 0.0
        if (context := click.get_current_context(silent=True)) is not None:
            context.meta[_RESUME] = resume

    def __call__(self, text: str) -> None:
        if self._on and time.monotonic() - self._told >= _PAUSE:
            click.echo("\r" + text.ljust(self._width), err=True, nl=False)
            self._width, self._told = len(text), time.monotonic()

    def end(self) -> None:
        """Clears the line."""
        if self._on and self._width:
            click.echo("\r" + " " * self._width + "\r", err=True, nl=False)
            self._width = 0


class Interrupted(click.ClickException):
    """The command was broken off at the terminal. Whatever it held was given back."""

    exit_code = 130  # as shells tell of SIGINT

    def __init__(self) -> None:
        context = click.get_current_context(silent=True)
        resume = "" if context is None else context.meta.get(_RESUME, "")
        super().__init__(f"interrupted: {resume}" if resume else "interrupted")

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(("\n" if sys.stderr.isatty() else "") + self.message, err=True)
