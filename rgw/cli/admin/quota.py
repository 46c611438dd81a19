"""`rgw-admin quota`: stores the quotas; the gateway enforces them."""

from __future__ import annotations

from collections.abc import Iterable

import click

from rgw.cli import output
from rgw.cli.admin.common import find_bucket, full_uid, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import quotas
from rgw.formats.zone import PeriodConfig

scope_option = click.option("--quota-scope", "scope", type=click.Choice(["user", "bucket"]),
                            help="The user's own quota, or that of each bucket of the user; not needed with --bucket.")


@click.group()
def quota() -> None:
    """Quotas of users and buckets."""


async def change(uid: str | None, tenant: str | None, name: str | None, scope: str | None, **changes: object) -> None:
    if scope == "user" and name:
        raise click.UsageError("a bucket has no quota of the scope user")
    async with gateway(current()) as gw:
        if name:
            await quotas.set_of_bucket(gw, await find_bucket(gw, name, tenant), **changes)  # type: ignore[arg-type]
        elif uid and scope:
            await quotas.set_of_user(gw, full_uid(uid, tenant), scope, **changes)  # type: ignore[arg-type]
        else:
            raise click.UsageError("give --uid and --quota-scope, or --bucket")


@quota.command("set")
@store_options
@click.option("--uid")
@tenant_option
@click.option("--bucket", "name")
@scope_option
@click.option("--max-size", help="With B, K, M, G or T; negative: no limit.")
@click.option("--max-objects", type=int, help="Negative: no limit.")
@asynchronous
async def set_(uid: str | None, tenant: str | None, name: str | None, scope: str | None, max_size: str | None, max_objects: int | None) -> None:
    """Sets the limits; `quota enable` makes them count."""
    size = None if max_size is None else quotas.parse_size(max_size)
    await change(uid, tenant, name, scope, max_size=size, max_objects=max_objects)


@quota.command("enable")
@store_options
@click.option("--uid")
@tenant_option
@click.option("--bucket", "name")
@scope_option
@asynchronous
async def enable(uid: str | None, tenant: str | None, name: str | None, scope: str | None) -> None:
    """Makes a quota count."""
    await change(uid, tenant, name, scope, enabled=True)


@quota.command("disable")
@store_options
@click.option("--uid")
@tenant_option
@click.option("--bucket", "name")
@scope_option
@asynchronous
async def disable(uid: str | None, tenant: str | None, name: str | None, scope: str | None) -> None:
    """Keeps a quota's limits, but does not apply them."""
    await change(uid, tenant, name, scope, enabled=False)


@click.group("global")
def global_() -> None:
    """What holds for whoever has no setting of their own."""


@global_.group("quota")
def global_quota() -> None:
    """Quotas of users and buckets that have none. Gateways heed a change when they start again."""


global_scope = click.option("--quota-scope", "scope", type=click.Choice(["user", "bucket"]), required=True)


def show_global(config: PeriodConfig, scopes: Iterable[str]) -> None:
    output.show({f"{scope} quota": output.quota(getattr(config, f"{scope}_quota")) for scope in scopes})


async def change_global(scope: str, **changes: object) -> None:
    async with gateway(current()) as gw:
        config = await quotas.set_global(gw, scope, **changes)  # type: ignore[arg-type]
    click.echo("saved; gateways heed it when they start again", err=True)
    show_global(config, [scope])


@global_quota.command("get")
@store_options
@click.option("--quota-scope", "scope", type=click.Choice(["user", "bucket"]))
@asynchronous
async def global_get(scope: str | None) -> None:
    """Prints the global quotas, or one of them."""
    async with gateway(current()) as gw:
        show_global(gw.zone.period, [scope] if scope else ["bucket", "user"])


@global_quota.command("set")
@store_options
@global_scope
@click.option("--max-size", help="With B, K, M, G or T; negative: no limit.")
@click.option("--max-objects", type=int, help="Negative: no limit.")
@asynchronous
async def global_set(scope: str, max_size: str | None, max_objects: int | None) -> None:
    """Sets the limits; `global quota enable` makes them count."""
    await change_global(scope, max_size=None if max_size is None else quotas.parse_size(max_size), max_objects=max_objects)


@global_quota.command("enable")
@store_options
@global_scope
@asynchronous
async def global_enable(scope: str) -> None:
    """Makes a global quota count."""
    await change_global(scope, enabled=True)


@global_quota.command("disable")
@store_options
@global_scope
@asynchronous
async def global_disable(scope: str) -> None:
    """Keeps a global quota's limits, but does not apply them."""
    await change_global(scope, enabled=False)
