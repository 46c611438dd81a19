"""`rgw-admin usage`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from rgw.cli import output
from rgw.cli.admin.common import full_uid, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.dump.usage import usage as dumped
from rgw.core.usage import END

_NO_DATES = "usage trim without user, date or bucket removes the data of all users; say --yes-i-really-mean-it if you do"


class Moment(click.ParamType):
    """A date, with a time of day or not, in UTC; as seconds."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return int(datetime.fromisoformat(value.strip()).replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise click.ClickException(f"{value!r} is not YYYY-MM-DD[ HH:MM:SS]") from None  # no usage error, as with radosgw-admin


def range_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whose usage, of which bucket, from when until when."""
    for option in (
        click.option("--end-date", "end", type=Moment(), help="Not included.", metavar="'YYYY-MM-DD[ HH:MM:SS]'"),
        click.option("--start-date", "start", type=Moment(), metavar="'YYYY-MM-DD[ HH:MM:SS]'"),
        click.option("--bucket", "bucket", default=""), tenant_option, click.option("--uid", default=""),
    ):
        command = option(command)
    return command


@click.group()
def usage() -> None:
    """The usage log, which gateways write with rgw_enable_usage_log."""


@usage.command("show")
@store_options
@range_options
@click.option("--categories", default="", help="Of these only, separated by commas.")
@click.option("--show-log-entries", type=bool, default=True, show_default=True)
@click.option("--show-log-sum", type=bool, default=True, show_default=True)
@asynchronous
async def usage_show(uid: str, tenant: str | None, bucket: str, start: int | None, end: int | None, categories: str, show_log_entries: bool,
                     show_log_sum: bool) -> None:
    """Prints the usage by user and bucket, and its sums."""
    async with gateway(current()) as gw:
        found = await gw.usage.read(full_uid(uid, tenant), bucket, start or 0, END if end is None else end)
        wanted = frozenset(name.strip() for name in categories.split(",") if name.strip())
        output.show(dumped(found, entries=show_log_entries, summary=show_log_sum, categories=wanted))


@usage.command("trim")
@store_options
@range_options
@click.option("--yes-i-really-mean-it", "sure", is_flag=True)
@asynchronous
async def usage_trim(uid: str, tenant: str | None, bucket: str, start: int | None, end: int | None, sure: bool) -> None:
    """Removes entries from the log."""
    if not (uid or bucket or start is not None or end is not None or sure):
        raise click.ClickException(_NO_DATES)
    async with gateway(current()) as gw:
        await gw.usage.trim(full_uid(uid, tenant), bucket, start or 0, END if end is None else end)


@usage.command("clear")
@store_options
@click.option("--yes-i-really-mean-it", "sure", is_flag=True)
@asynchronous
async def usage_clear(sure: bool) -> None:
    """Removes the whole log."""
    if not sure:
        raise click.ClickException("usage clear removes the data of all users; say --yes-i-really-mean-it if you do")
    async with gateway(current()) as gw:
        await gw.usage.clear()
