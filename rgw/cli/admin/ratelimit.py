"""`rgw-admin ratelimit`: as in radosgw-admin of newer releases; 16.2 has no such command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rgw.cli import output
from rgw.cli.admin.common import find_bucket, full_uid, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.formats.ratelimit import RateLimitInfo

_LIMITS = ("max_read_ops", "max_write_ops", "max_read_bytes", "max_write_bytes")


def whose_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--bucket", "name"), tenant_option, click.option("--uid"),
        click.option("--ratelimit-scope", "scope", type=click.Choice(["user", "bucket"]), required=True),
    ):
        command = option(command)
    return command


async def change(scope: str, uid: str | None, tenant: str | None, name: str | None, **changes: Any) -> None:
    """Changes the limits of a user or a bucket, if there is anything to change, and prints them."""
    async with gateway(current()) as gw:
        if scope == "user" and uid:
            user = await gw.users.get(full_uid(uid, tenant))
            info = await gw.rate_limits.of_user(user)
        elif scope == "bucket" and name:
            bucket = await find_bucket(gw, name, tenant)
            info = gw.rate_limits.of_bucket(bucket)
        else:
            raise click.UsageError("give --uid with the scope user, --bucket with the scope bucket")
        for field, value in changes.items():
            setattr(info, field, value)
        if changes and scope == "user":
            await gw.rate_limits.set_user(user, info)
        elif changes:
            await gw.rate_limits.set_bucket(bucket, info)
        else:
            output.show({f"{scope}_ratelimit": _shown(info)})


def _shown(info: RateLimitInfo) -> dict[str, Any]:
    return {**{field: getattr(info, field) for field in _LIMITS}, "enabled": info.enabled}


@click.group()
def ratelimit() -> None:
    """How much a gateway process serves a user or a bucket in a minute."""


@ratelimit.command("get")
@store_options
@whose_options
@asynchronous
async def ratelimit_get(scope: str, uid: str | None, tenant: str | None, name: str | None) -> None:
    """Prints the limits."""
    await change(scope, uid, tenant, name)


@ratelimit.command("set")
@store_options
@whose_options
@click.option("--max-read-ops", type=click.IntRange(0), help="Requests in a minute; 0: no limit.")
@click.option("--max-write-ops", type=click.IntRange(0))
@click.option("--max-read-bytes", type=click.IntRange(0), help="Bytes in a minute; 0: no limit.")
@click.option("--max-write-bytes", type=click.IntRange(0))
@asynchronous
async def ratelimit_set(scope: str, uid: str | None, tenant: str | None, name: str | None, **limits: int | None) -> None:
    """Sets the limits that are given; `ratelimit enable` makes them count."""
    changes = {field: value for field, value in limits.items() if value is not None}
    if not changes:
        raise click.UsageError("no limit is given")
    await change(scope, uid, tenant, name, **changes)


@ratelimit.command("enable")
@store_options
@whose_options
@asynchronous
async def ratelimit_enable(scope: str, uid: str | None, tenant: str | None, name: str | None) -> None:
    """Makes the limits count."""
    await change(scope, uid, tenant, name, enabled=True)


@ratelimit.command("disable")
@store_options
@whose_options
@asynchronous
async def ratelimit_disable(scope: str, uid: str | None, tenant: str | None, name: str | None) -> None:
    """Keeps the limits, without effect."""
    await change(scope, uid, tenant, name, enabled=False)
