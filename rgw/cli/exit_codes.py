"""The exit codes of `rgw-admin`: radosgw-admin's, which are errno numbers, or its negative or larger error numbers modulo 256.

Source: what radosgw-admin 16.2.15 was seen to return. Where it says 0 although it failed (`bucket rm`, `bucket check` and `quota set` of a bucket that
does not exist, `bucket rm` of one that is not empty, `user check` of no user) this tells the error.
"""

from __future__ import annotations

import click

from rgw.cli.admin.grammar import ordered

FAILED = 1  # what has no code of its own
USAGE = 22  # EINVAL
NO_ZONE = 5  # EIO

_CODES = {
    "NoSuchBucket": 2, "NoSuchKey": 2, "NoSuchLifecycleConfiguration": 254, "NoSuchTagSet": 2, "NoSuchUpload": 2, "NoSuchUser": 2, "NoSuchVersion": 2,
    "AccessDenied": 13, "BucketAlreadyExists": 17, "UserAlreadyExists": 17, "BucketNotEmpty": 39,
    "InvalidArgument": 22, "InvalidBucketName": 22, "InvalidRequest": 22, "InvalidStorageClass": 22, "MalformedXML": 22,
    "OperationAborted": 125, "NotImplemented": 1, "ServiceUnavailable": 110, "SlowDown": 11,
    "InvalidAccessKeyId": 236, "EmailExists": 240, "KeyExists": 241, "InvalidCapability": 244, "NoSuchSubUser": 251,
}

# commands that return something else of their own
_OWN = {
    ("bucket list", "NoSuchUser"): 254,
    ("bucket reshard", "InvalidArgument"): 234, ("bucket reshard", "NoSuchBucket"): 254,
    ("bucket stats", "NoSuchBucket"): 210, ("bucket stats", "NoSuchKey"): 254,
    ("caps add", "NoSuchUser"): 22, ("caps rm", "NoSuchUser"): 22,
    ("key create", "NoSuchUser"): 22, ("key rm", "NoSuchUser"): 22,
    ("object stat", "NoSuchKey"): 1, ("object stat", "NoSuchVersion"): 1,
    ("reshard add", "InvalidArgument"): 234, ("reshard add", "NoSuchBucket"): 254,
    ("subuser create", "NoSuchUser"): 22, ("subuser modify", "NoSuchUser"): 22, ("subuser rm", "NoSuchUser"): 22,
    ("user info", "InvalidAccessKeyId"): 13, ("user info", "NoSuchUser"): 22,
    ("user rm", "BucketNotEmpty"): 17,
}


def of_error(code: str) -> int:
    """What the running command returns for an S3 error code."""
    return _OWN.get((_running(), code), _CODES.get(code, FAILED))


def of_missing_zone() -> int:
    """What the running command returns where the zone or zonegroup that it is to work in does not exist."""
    return _CODES["NoSuchKey"] if _running() in ("zone get", "zonegroup get") else NO_ZONE


def _running() -> str:
    """The words of the running command."""
    context = click.get_current_context(silent=True)
    return "" if context is None else context.command_path.partition(" ")[2]


class AdminGroup(click.Group):
    """A group whose arguments stand as radosgw-admin wants them, and whose usage errors return what its do: a command that is not known 1,
    all others EINVAL."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ordered(self, args))

    def make_context(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _as_radosgw(error) from None

    def invoke(self, ctx: click.Context):  # type: ignore[no-untyped-def]
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _as_radosgw(error) from None


def _as_radosgw(error: click.UsageError) -> click.UsageError:
    no_command = isinstance(error, click.exceptions.NoArgsIsHelpError) or error.message.startswith("No such command")
    error.exit_code = FAILED if no_command else USAGE  # type: ignore[misc]
    return error
