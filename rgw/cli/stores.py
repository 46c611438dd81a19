"""Which store a command works on: `--data DIR` or `--conf FILE --name client.X`, before or after its subcommand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from rgw.cli import exit_codes
from rgw.cli.output import Interrupted
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.zone import NoSuchZone, ZoneError
from rgw.errors import S3Error
from rgw.store.errors import StoreError
from rgw.store.interface import Cluster

T = TypeVar("T")
DEFAULT_DATA = "rgw-data"


@dataclass
class StoreChoice:
    """What the command line and the environment say about the store."""

    data: str | None = None
    conf: str | None = None
    name: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    def settle(self) -> StoreChoice:
        """Fills in the environment and the defaults: an explicit flag wins over RGW_DATA, that over CEPH_CONF."""
        if self.data and self.conf:
            raise click.UsageError("--data and --conf name two stores; give one")
        if not self.data and not self.conf:
            self.data = os.environ.get("RGW_DATA")
            if not self.data:
                self.conf = os.environ.get("CEPH_CONF")
            if not self.data and not self.conf:
                self.data = DEFAULT_DATA
        if self.name is None:
            self.name = "client.admin"
        return self

    def load_options(self) -> Options:
        """RGW's options from ceph.conf's sections or DIR/rgw.conf, with `-o` on top. ClickException for what is none."""
        conf = Path(self.conf) if self.conf else Path(self.data or DEFAULT_DATA) / "rgw.conf"
        try:
            return Options.load(conf, self.name or "client.admin", self.options)
        except (OSError, ValueError) as e:
            raise click.ClickException(f"options of {conf} or -o: {e}") from e


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value:
        choice = ctx.find_root().ensure_object(StoreChoice)
        if param.name == "store_option":
            for item in value:
                name, equals, setting = item.partition("=")
                if not equals:
                    raise click.BadParameter(f"{item!r} is not NAME=VALUE")
                choice.options[name.strip().replace(" ", "_").replace("-", "_")] = setting
        else:
            setattr(choice, str(param.name).removeprefix("store_"), value)
    return value


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --data, --conf, --name and -o to a command or a group; `current()` gives what they add up to."""
    for decorate in (
        click.option("-o", "store_option", multiple=True, metavar="NAME=VALUE", expose_value=False, callback=_remember,
                     help="Sets any of RGW's options."),
        click.option("--name", "store_name", metavar="client.X", expose_value=False, callback=_remember, help="The Ceph user to connect as."),
        click.option("--conf", "store_conf", metavar="FILE", expose_value=False, callback=_remember, help="A ceph.conf: use that Ceph cluster (or CEPH_CONF)."),
        click.option("--data", "store_data", metavar="DIR", expose_value=False, callback=_remember,
                     help=f"The embedded store's folder (or RGW_DATA; default {DEFAULT_DATA})."),
    ):
        command = decorate(command)
    return command


def current() -> StoreChoice:
    """The store that the running command was told to use."""
    return click.get_current_context().find_root().ensure_object(StoreChoice).settle()


async def open_cluster(choice: StoreChoice, create: bool = False) -> Cluster:
    """Opens the chosen store. A folder that is not there is an error unless ``create``."""
    if choice.conf:
        from rgw.store.librados import connect

        if not Path(choice.conf).exists():
            raise click.ClickException(f"no such file: {choice.conf}")
        return await connect(choice.conf, choice.name or "client.admin")
    from rgw.store.embedded import open_store

    data = Path(choice.data or DEFAULT_DATA)
    if not create and not data.is_dir():
        raise click.ClickException(f"no store at {data} (start one with `rgw nano --data {data}`)")
    return await open_store(data)


@asynccontextmanager
async def gateway(choice: StoreChoice) -> AsyncIterator[Gateway]:
    """A gateway for one command: no background work, closed at the end."""
    cluster = await open_cluster(choice)
    try:
        gw = await Gateway.open(cluster, choice.load_options())
        try:
            yield gw
        finally:
            await gw.close()
    finally:
        await cluster.close()


def asynchronous(command: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """Runs a coroutine as a command; the store's and the gateway's refusals become its error message."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> T:
        try:
            return asyncio.run(command(*args, **kwargs))
        except S3Error as e:
            failure = click.ClickException(f"{e.code}: {e.message}")
            failure.exit_code = exit_codes.of_error(e.code)  # type: ignore[misc]
            raise failure from e
        except KeyboardInterrupt:  # asyncio.run has cancelled the command and let it clean up
            raise Interrupted from None
        except ZoneError as e:
            failure = click.ClickException(str(e))
            if isinstance(e, NoSuchZone):
                failure.exit_code = exit_codes.of_missing_zone()  # type: ignore[misc]
            raise failure from e
        except StoreError as e:
            raise click.ClickException(f"the store answered: {type(e).__name__}: {e}") from e

    return run
