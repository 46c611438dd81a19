"""The entry points `rgw` and `rgw-admin`."""

from __future__ import annotations

import click

import rgw as package
from rgw.cli.admin.bi import bi
from rgw.cli.admin.bucket import bucket
from rgw.cli.admin.caps import caps
from rgw.cli.admin.gc import gc
from rgw.cli.admin.key import key
from rgw.cli.admin.lc import lc
from rgw.cli.admin.metadata import metadata
from rgw.cli.admin.multipart import multipart
from rgw.cli.admin.object import object_, policy
from rgw.cli.admin.orphans import orphans
from rgw.cli.admin.quota import global_, quota
from rgw.cli.admin.ratelimit import ratelimit
from rgw.cli.admin.realm import period, realm
from rgw.cli.admin.reshard import reshard
from rgw.cli.admin.subuser import subuser
from rgw.cli.admin.unsupported import add_refusals
from rgw.cli.admin.usage import usage
from rgw.cli.admin.user import user
from rgw.cli.admin.zone import zone, zonegroup
from rgw.cli.copy import store
from rgw.cli.exit_codes import AdminGroup
from rgw.cli.rados import rados
from rgw.cli.serve import nano, serve
from rgw.cli.stores import store_options


@click.group(name="rgw", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package.__version__)
@store_options
def rgw() -> None:
    """An S3-compatible RADOS gateway, on an embedded store or on Ceph."""


@click.group(name="rgw-admin", cls=AdminGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package.__version__)
@store_options
def rgw_admin() -> None:
    """Manages users and buckets, with radosgw-admin's arguments and JSON."""


for command in (nano, serve, rados, store):
    rgw.add_command(command)
for command in (
    user, subuser, key, caps, quota, global_, bucket, reshard, object_, multipart, bi, policy,
    gc, orphans, lc, usage, ratelimit, metadata, zone, zonegroup, realm, period,
):
    rgw_admin.add_command(command)
add_refusals(rgw_admin)
