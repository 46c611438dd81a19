"""The commands of radosgw-admin that are not built: each answers by its name that it is not implemented."""

from __future__ import annotations

import click

# every command that the help of radosgw-admin 16.2 lists, by its family
COMMANDS: dict[str, str] = {
    "user": "create modify info rename rm suspend enable check stats list",
    "caps": "add rm",
    "subuser": "create modify rm",
    "key": "create rm",
    "bucket": "list link unlink stats rm check chown reshard rewrite radoslist",
    "bucket limit": "check",
    "bucket check": "olh unlinked",
    "bucket sync": "checkpoint disable enable",
    "bi": "get put list purge",
    "object": "rm put stat unlink rewrite",
    "objects": "expire",
    "objects expire-stale": "list rm",
    "period": "rm get get-current pull push list update commit",
    "quota": "set enable disable",
    "global quota": "get set enable disable",
    "realm": "create rm get get-default list list-periods rename set default pull",
    "zonegroup": "add create default delete get modify set rm rename list",
    "zonegroup placement": "list get add modify rm default",
    "zone": "create rm get modify set list rename",
    "zone placement": "list get add modify rm",
    "metadata sync": "status init run",
    "data sync": "status init run",
    "pool": "add rm",
    "pools": "list",
    "": "policy",
    "log": "list show rm",
    "usage": "show trim clear",
    "gc": "list process",
    "lc": "list get process",
    "lc reshard": "fix",
    "metadata": "get put rm list",
    "mdlog": "list trim status",
    "bilog": "list trim status",
    "datalog": "list trim status type",
    "orphans": "find finish list-jobs",
    "role": "create rm get list modify",
    "role-policy": "put list get rm",
    "reshard": "add list status process cancel",
    "reshard stale-instances": "list rm",
    "sync error": "list trim",
    "mfa": "create list get remove check resync",
    "topic": "list get rm",
    "subscription": "get rm pull ack",
    "script": "put get rm",
    "script-package": "add rm list",
}


def _refusal(name: str) -> click.Command:
    def refuse() -> None:
        raise click.ClickException(f"{name} is not implemented")

    command = click.Command(name.rpartition(" ")[2], callback=refuse, hidden=True, help=f"{name}: not implemented.",
                            context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    command.allow_extra_args = True
    return command


def add_refusals(root: click.Group) -> None:
    """Fills in what ``root`` lacks of radosgw-admin's commands; called when all families are in it."""
    for family, words in COMMANDS.items():
        group = _group(root, family)
        for word in words.split() if group is not None else ():
            if group is not None and word not in group.commands:
                group.add_command(_refusal(f"{family} {word}".strip()))


def _group(root: click.Group, family: str) -> click.Group | None:
    """The family's group, made where there is none; None below a command that has arguments of its own (`bucket check olh`)."""
    group = root
    for word in family.split():
        found = group.commands.get(word)
        if found is None:
            found = click.Group(word, hidden=True, help="Not implemented.")
            group.add_command(found)
        if not isinstance(found, click.Group):
            return None
        group = found
    return group
