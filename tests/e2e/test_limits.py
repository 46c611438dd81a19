"""`rgw-admin lc`, `usage` and `ratelimit`, on each store."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest
from click.testing import CliRunner

from rgw.cli.main import rgw_admin
from rgw.cli.stores import StoreChoice, gateway
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.lifecycle import LcExpiration, LcRule, LifecycleConfiguration
from tests.conftest import missing_ceph


class Admin:
    def __init__(self, choice: StoreChoice) -> None:
        self.choice = choice
        self.store = ["--data", choice.data] if choice.data else ["--conf", choice.conf, "--name", "client.admin"]

    def __call__(self, *words: str, fails: bool = False) -> Any:
        """Runs a command: its JSON, or what it says where it fails."""
        done = CliRunner().invoke(rgw_admin, [*self.store, *words])
        assert (done.exit_code != 0) == fails, done.output
        return done.output if fails else json.loads(done.stdout) if done.stdout else None


@pytest.fixture(params=["embedded", "ceph"])
def admin(request, tmp_path) -> Admin:
    if request.param == "embedded":
        (tmp_path / "store").mkdir()
        return Admin(StoreChoice(data=str(tmp_path / "store")))
    if reason := missing_ceph():
        pytest.skip(reason)
    return Admin(StoreChoice(conf=str(request.getfixturevalue("ceph_conf")), name="client.admin"))


async def prepare(choice: StoreChoice, uid: str, bucket: str) -> None:
    """A user's bucket with a rule, and some usage."""
    async with gateway(choice) as gw:
        user = await gw.users.create(uid, "A user")
        made, _ = await gw.buckets.create(bucket, user, AccessControlPolicy.private(uid, "A user"))
        rule = LcRule(id="r", status="Enabled", prefix="x", expiration=LcExpiration(days="1"))
        await gw.lifecycle.set_config(made, LifecycleConfiguration([("r", rule)]))
        gw.usage.count(uid, bucket, "get_obj", 10, 0, True)
        gw.usage.count(uid, bucket, "put_obj", 0, 20, False)
        await gw.usage.flush()


def test_commands(admin):
    uid, bucket = f"u{secrets.token_hex(4)}", f"b{secrets.token_hex(4)}"
    asyncio.run(prepare(admin.choice, uid, bucket))

    def state() -> str:
        found, = [row["status"] for row in admin("lc", "list") if f":{bucket}:" in row["bucket"]]
        return found

    assert state() == "UNINITIAL"
    assert admin("lc", "get", "--bucket", bucket)["rule_map"][0]["rule"]["prefix"] == "x"
    admin("lc", "process", "--bucket", bucket)
    assert state() == "COMPLETE"
    assert "NoSuchBucket" in admin("lc", "get", "--bucket", bucket + "x", fails=True)

    shown = admin("usage", "show", "--uid", uid, "--categories", "put_obj")
    assert shown["summary"][0]["total"] == {"bytes_sent": 0, "bytes_received": 20, "ops": 1, "successful_ops": 0}
    assert shown["entries"][0]["buckets"][0]["bucket"] == bucket
    assert admin("usage", "show", "--uid", uid, "--start-date", "2100-01-01", "--show-log-sum", "false") == {"entries": []}
    assert "YYYY" in admin("usage", "show", "--start-date", "soon", fails=True)
    assert "--yes-i-really-mean-it" in admin("usage", "trim", fails=True)
    admin("usage", "trim", "--uid", uid, "--end-date", "2020-01-01 10:00:00")
    assert len(admin("usage", "show", "--uid", uid)["entries"]) == 1
    admin("usage", "trim", "--uid", uid)
    assert admin("usage", "show", "--uid", uid) == {"entries": [], "summary": []}

    for scope, whose in (("user", ["--uid", uid]), ("bucket", ["--bucket", bucket])):
        words = ["--ratelimit-scope", scope, *whose]
        admin("ratelimit", "set", *words, "--max-read-ops", "5", "--max-write-bytes", "1000")
        admin("ratelimit", "enable" if scope == "user" else "disable", *words)
        limits = {"max_read_ops": 5, "max_write_ops": 0, "max_read_bytes": 0, "max_write_bytes": 1000, "enabled": scope == "user"}
        assert admin("ratelimit", "get", *words) == {f"{scope}_ratelimit": limits}
    assert "--bucket" in admin("ratelimit", "get", "--ratelimit-scope", "bucket", "--uid", uid, fails=True)
    assert "no limit" in admin("ratelimit", "set", *words, fails=True)
