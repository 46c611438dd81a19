"""`rgw-admin realm` and `rgw-admin period`: a store that this gateway serves has neither, and is told so as by radosgw-admin.

One that has a realm is refused by its name when it is opened (``rgw.core.zone.load_zone``).
"""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.errors import S3Error


@click.group()
def realm() -> None:
    """Realms, which are for zones that are copied to each other: not supported."""


@realm.command("list")
@store_options
@asynchronous
async def realm_list() -> None:
    """Lists the realms: none."""
    async with gateway(current()):
        output.show({"default_info": "", "realms": []})


@realm.command("get-default")
@store_options
@asynchronous
async def realm_get_default() -> None:
    """Tells the default realm: none."""
    async with gateway(current()):
        click.echo("No default realm is set")
    raise S3Error("NoSuchKey", "there is no realm")


@realm.command("get")
@store_options
@click.option("--realm-id", help="Its id.")
@asynchronous
async def realm_get(realm_id: str | None) -> None:
    """Prints a realm; fails, since there is none."""
    await _none("realm")


@realm.command("list-periods")
@store_options
@click.option("--realm-id", help="Of this one.")
@asynchronous
async def realm_periods(realm_id: str | None) -> None:
    """Lists a realm's periods; fails, since there is none."""
    await _none("realm")


@click.group()
def period() -> None:
    """Periods, the states of a realm: not supported."""


@period.command("list")
@store_options
@asynchronous
async def period_list() -> None:
    """Lists the periods: none."""
    async with gateway(current()):
        output.show({"periods": []})


@period.command("get")
@store_options
@click.option("--period", help="Its id.")
@asynchronous
async def period_get(period: str | None) -> None:
    """Prints a period; fails, since there is none."""
    await _none("period")


@period.command("get-current")
@store_options
@click.option("--realm-id", help="Of this realm.")
@asynchronous
async def period_current(realm_id: str | None) -> None:
    """Prints the current period; fails, since there is none."""
    await _none("period")


async def _none(what: str) -> None:
    async with gateway(current()):
        raise S3Error("NoSuchKey", f"there is no {what}")
