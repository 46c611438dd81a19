"""rgw-admin ends with radosgw-admin's exit codes, for scripts that were written for the one."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess

import pytest
from click.testing import CliRunner

from rgw.cli.main import rgw_admin
from tests.radosgw.conftest import client

# U and V are users (V has an access key VKEY and an e-mail address), B a bucket of U's with an object k, W one with versions
COMMANDS = """
user create --uid U --display-name x
user create --uid none --display-name x --access-key VKEY --secret s
user create --uid none --display-name x --email V@example.com
user create --uid none
user create --uid none --display-name x --placement-id none
user info
user info --uid none
user info --access-key none
user modify --uid none --display-name x
user modify --uid U --email V@example.com
user modify --uid U --access-key VKEY --secret s
user rm --uid none
user rm --uid U
user suspend --uid none
user stats --uid none
user stats
user stats --uid U --bucket none
user stats --uid U --bucket none --sync-stats
user stats --uid U --bucket B --reset-stats
key create --uid none
key create --uid U --access-key VKEY --secret s
key rm --uid U --access-key none
subuser create --uid none --subuser none:s
subuser create --uid U --subuser U:x --access nonsense
subuser modify --uid U --subuser U:none --access read
subuser rm --uid U --subuser U:none
caps add --uid none --caps users=read
caps add --uid U --caps nonsense=read
caps rm --uid none --caps users=read
bucket list --bucket none
bucket list --uid none
bucket stats --bucket none
bucket stats --bucket-id none
bucket rm --bucket B --inconsistent-index
bucket check --check-head-obj-locator --bucket B
bucket link --bucket none --uid U
bucket link --bucket B --uid none
bucket unlink --bucket none --uid U
bucket unlink --bucket B
bucket chown --bucket none --uid U
bucket reshard --bucket none --num-shards 3
bucket reshard --bucket B --num-shards 3
bucket reshard --bucket B --num-shards 70000
bucket radoslist --bucket none
reshard add --bucket none --num-shards 3
reshard add --bucket B --num-shards 3
reshard status --bucket none
reshard cancel --bucket none
reshard cancel --bucket B
object stat --bucket B --object none
object stat --bucket none --object k
object rm --bucket B --object none
object rm --bucket none --object k
object rm --bucket W --object none --object-version none
object rm --bucket W --object k
object unlink --bucket B --object none
bi get --bucket B --object none
bi list --bucket none
bi list
policy --bucket none
policy --bucket B --object none
lc get --bucket none
lc get --bucket B
quota set --uid none --quota-scope user --max-objects 3
quota set --uid U --quota-scope nonsense --max-objects 3
quota set --uid U --quota-scope user --max-size xyz
quota enable
usage trim
usage trim --uid U --start-date none
usage show --end-date none
lc list --max-entries none
lc list --max-entries 0
lc list --max-entries 2 --marker none
reshard stale-instances list
reshard stale-instances delete
realm list
realm get
realm get-default
realm list-periods
period list
period get
period get --period none
period get-current
zone get --rgw-zone none
zone get --zone-id none
zonegroup get --rgw-zonegroup none
zonegroup get --zonegroup-id none
bucket list --rgw-zone none
bucket list --rgw-zonegroup none
metadata list none
metadata get user:none
metadata get none:x
metadata rm bucket:none
user nonsense
nonsense
user info --nonsense
"""


@pytest.fixture(scope="module")
def names(pair):
    """What the words of the commands stand for."""
    uid, other, bucket = (f"{letter}{secrets.token_hex(4)}" for letter in "uvb")
    key = pair.radosgw_admin("user", "create", "--uid", uid, "--display-name", "x")["keys"][0]
    pair.radosgw_admin("user", "create", "--uid", other, "--display-name", "x", "--email", f"{other}@example.com", "--access-key", other.upper(),
                       "--secret", "s")
    s3 = client(pair.theirs, key["access_key"], key["secret_key"])
    for name in (bucket, bucket + "w"):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=bucket + "w", VersioningConfiguration={"Status": "Enabled"})
    for name in (bucket, bucket + "w"):
        s3.put_object(Bucket=name, Key="k", Body=b"x")
    s3.close()
    return {"U": uid, "V": other, "VKEY": other.upper(), "B": bucket, "W": bucket + "w", "none": f"none{secrets.token_hex(4)}"}


def test_exit_codes(pair, names):
    wrong = []
    for line in COMMANDS.split("\n"):
        words = []
        for word in shlex.split(line):
            head, colon, rest = word.partition(":")
            head = head.replace("V@", names["V"] + "@")
            words.append(names.get(head, head) + colon + names.get(rest, rest))
        if not words:
            continue
        theirs = subprocess.run(["radosgw-admin", "-n", "client.admin", *words], capture_output=True, timeout=60,
                                env=os.environ | {"CEPH_CONF": str(pair.cluster.conf)}).returncode
        ours = CliRunner().invoke(rgw_admin, ["--conf", str(pair.cluster.conf), "--name", "client.admin", *words])
        if ours.exit_code != theirs:
            wrong.append(f"{line}: ours {ours.exit_code}, radosgw-admin's {theirs}; {ours.output.strip()[-100:]} {ours.exception!r}")
    assert not wrong, "\n".join(wrong)
