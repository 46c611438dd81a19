"""radosgw-admin's grammar: options may stand anywhere, with dashes or underscores; some commands have second names.

Source: radosgw-admin(8), and what radosgw-admin 16.2.15 was seen to accept.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from rgw.core.options import OPTIONS, normalise

_WORDS = {"buckets": "bucket", "zones": "zone", "zonegroups": "zonegroup", "remove": "rm"}
_COMMANDS = {("reshard", "bucket"): ["bucket", "reshard"], ("bucket", "rados", "list"): ["bucket", "radoslist"],
             ("orphans", "list", "jobs"): ["orphans", "list-jobs"],
             ("reshard", "stale-instances", "delete"): ["reshard", "stale-instances", "rm"]}
_SHORT = {"-c": "--conf", "-n": "--name"}
_TRUTH = ("true", "false", "1", "0")


def ordered(root: click.Group, arguments: list[str]) -> list[str]:
    """The arguments with the words of the command first, as click wants them, and all names as ours are.

    ``--rgw-NAME VALUE``, for an option of the gateway, becomes ``-o rgw_NAME=VALUE``, ``--id X`` ``--name client.X``. ``--format json`` goes
    without saying, and nothing is logged that ``--debug-NAME`` could tell of. A flag may have a value (``--fix=true``). What is not known stays
    as it is.
    """
    options, plain = _split(arguments, _valued(root))
    words, command, left = _command(root, plain)
    if isinstance(command, click.Group):  # no command, or none that is known: click tells which there are
        return words + left + [option for option in options if option in ("-h", "--help")] if plain else arguments
    options, plain = _split(arguments, _valued(root) | _valued(command))  # an option may be a flag of one command and not of another
    return words + options + _command(root, plain)[2]


def _options(command: click.Command) -> Iterator[click.Option]:
    """The options of a command and of all below it."""
    yield from (parameter for parameter in command.params if isinstance(parameter, click.Option))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _options(below)


def _valued(command: click.Command) -> dict[str, bool | None]:
    """By name, whether an option takes a value; None: it may, a truth value."""
    return {name: None if option.type is click.BOOL and not option.is_flag else not option.is_flag
            for option in _options(command) for name in option.opts}


def _split(arguments: list[str], valued: dict[str, bool | None]) -> tuple[list[str], list[str]]:
    """Options with their values, and all else."""
    options: list[str] = []
    plain: list[str] = []
    waiting = list(reversed(arguments))
    while waiting:
        token = waiting.pop()
        name, equals, value = token.partition("=")
        if not name.startswith("-") or token == "-":
            plain.append(token)
            continue
        name = _SHORT.get(name, name)
        dashed = name.replace("_", "-")
        known = dashed if dashed in valued else name
        takes = valued.get(known, False)
        if known not in valued and (dashed in ("--format", "--pretty-format", "--id") or dashed.startswith(("--debug-", "--rgw-"))):
            setting = normalise(name.lstrip("-"))
            if dashed == "--pretty-format":
                continue
            if not dashed.startswith("--rgw-") or setting in OPTIONS:
                wanted = value if equals else waiting.pop() if waiting else ""
                options += _of_every_command(dashed, setting, wanted)
                continue
        if takes is None or equals and known in valued and not takes:
            if not equals:
                value = waiting.pop() if waiting and waiting[-1] in _TRUTH else "true"
            if value not in _TRUTH:
                raise click.UsageError(f"{known}={value} is not true or false")
            options += [known, value] if takes is None else [known] if value in ("true", "1") else []
            continue
        options.append(known + equals + value)
        if takes and not equals and waiting:
            options.append(waiting.pop())
    return options, plain


def _of_every_command(name: str, setting: str, value: str) -> list[str]:
    """What an option that stands for another one becomes."""
    if name == "--format" and value != "json":
        raise click.UsageError(f"--format {value} is not implemented: all output is json")
    if name == "--id":
        return ["--name", f"client.{value}"]
    return ["-o", f"{setting}={value}"] if name.startswith("--rgw-") else []


def _command(root: click.Group, plain: list[str]) -> tuple[list[str], click.Command, list[str]]:
    """The words of the command that is meant, the command, and what is left."""
    for names, ours in _COMMANDS.items():
        if tuple(plain[:len(names)]) == names:
            plain = ours + plain[len(names):]
    words: list[str] = []
    here: click.Command = root
    while isinstance(here, click.Group) and len(words) < len(plain):
        token = plain[len(words)]
        word = token if token in here.commands else _WORDS.get(token, token)
        if word not in here.commands:
            break
        words.append(word)
        here = here.commands[word]
    return words, here, plain[len(words):]
