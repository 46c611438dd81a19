"""Keeps docs/admin.md true: runs its commands on a fresh embedded store and writes what they print into the page.

Each ```console block holds commands (``$ rgw-admin ...``, ``... | jq -c PATH`` for a part of the JSON, ``... > FILE``) and their output. An HTML comment
``<!-- scene: NAME -->`` runs one of the functions below, which do what clients would have done by then. Ids, random names and times are replaced
by fixed ones of the same form. ``--check`` only tells whether the page is true.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner

from rgw.cli.main import rgw_admin
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.formats.acl import AccessControlPolicy
from rgw.store.embedded import open_store

PAGE = Path(__file__).resolve().parent.parent / "docs" / "admin.md"
_UUID = "6f2b8c1e-9a54-4d0e-8f37-2c5d1e7a9b40"
_LETTERS = "kq3VnXw8LZ0bTtYc5RmHs1DgJf7PeUaQ"
_STABLE = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", _UUID),
    (rf"{_UUID}\.\d+\.\d{{6,}}", f"{_UUID}.4121.7305186212906611521"),
    (rf"{_UUID}\.\d+\.\d{{1,5}}(?!\d)", f"{_UUID}.4121.1"),
    (r"2~[A-Za-z0-9]{31}", "2~" + _LETTERS[:31]),
    (r"\.[A-Za-z0-9_-]{31}_", f".{_LETTERS[:31]}_"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", "2026-03-14T15:09:26.535897"),
    (r'"tag":( ?)"_[A-Za-z0-9]{23}"', rf'"tag":\1"_{_LETTERS[:23]}"'),
    (r'"(pool)": \d+', r'"\1": 7'),
    (r'"(epoch)": \d+', r'"\1": 12'),
    (r'"(seconds_estimated\w*)": [\d.]+', r'"\1": 0.1'),
    (r"blocked for: [\d.]+ ms", "blocked for: 3.1 ms"),
    (r'"val": "Ag[A-Za-z0-9+/=]+"', '"val": "AgJ..."'),
]


def stable(text: str) -> str:
    """The text with everything that differs from run to run replaced."""
    for pattern, fixed in _STABLE:
        text = re.sub(pattern, fixed, text)
    return text


async def _gateway(data: str, work) -> None:  # type: ignore[no-untyped-def]
    cluster = await open_store(data)
    gw = await Gateway.open(cluster, Options({}))
    try:
        await work(gw)
    finally:
        await gw.close()
        await cluster.close()


async def _put(gw: Gateway, bucket, key: str, data: bytes, attrs: dict[str, bytes] | None = None) -> None:  # type: ignore[no-untyped-def]
    import hashlib

    writer = gw.objects.writer(bucket, key, owner=await gw.users.get("ada"), attrs=attrs or {}, size_hint=len(data))
    await writer.write(data)
    await writer.complete(hashlib.md5(data).hexdigest())


async def store(gw: Gateway) -> None:
    """The store itself: opening it has made the zone."""


async def photos(gw: Gateway) -> None:
    """Ada makes a bucket of three objects."""
    ada = await gw.users.get("ada")
    bucket, _ = await gw.buckets.create("photos", ada, AccessControlPolicy.private("ada", ada.display_name))
    await _put(gw, bucket, "cat.txt", b"meow\n", {"user.rgw.content_type": b"text/plain\0"})
    await _put(gw, bucket, "dog.txt", b"woof\n")
    await _put(gw, bucket, "large", b"x" * (5 << 20))


async def upload(gw: Gateway) -> None:
    """She begins an upload and does not come back."""
    import hashlib

    bucket = await gw.buckets.get("photos")
    upload_id = await gw.multipart.create(bucket, "film", owner=await gw.users.get("ada"), attrs={})
    writer = gw.multipart.part_writer(await gw.multipart.get(bucket, "film", upload_id), 1)
    await writer.write(b"f" * (5 << 20))
    await writer.complete(hashlib.md5(b"f" * (5 << 20)).hexdigest())


async def rules(gw: Gateway) -> None:
    """She lets drafts expire."""
    from rgw.formats.lifecycle import LcExpiration, LcFilter, LcRule, LifecycleConfiguration

    rule = LcRule(id="drafts", status="Enabled", filter=LcFilter(prefix="drafts/"), expiration=LcExpiration(days="30"))
    await gw.lifecycle.set_config(await gw.buckets.get("photos"), LifecycleConfiguration([("drafts", rule)]))


async def leak(gw: Gateway) -> None:
    """A gateway that died left a tail without a head."""
    from rgw.store.interface import WriteOp

    bucket = await gw.buckets.get("photos")
    ioctx = await gw.pool(gw.zone.data_pool(bucket.placement))
    await ioctx.write(f"{bucket.marker}__shadow_.{_LETTERS[:31]}_1", WriteOp(mtime=10**18).write_full(b"t" * (4 << 20)))


SCENES = {work.__name__: work for work in (store, photos, upload, rules, leak)}


def run(command: str, folder: str) -> str:
    """What a line of the page prints."""
    line, _, query = command.partition(" | jq -c ")
    line, _, file = line.partition(" > ")
    words = shlex.split(line)
    if words[0] != "rgw-admin":
        raise ValueError(f"not a command of this page: {command}")
    words = [re.sub(r"UPLOAD_ID", lambda _: _upload_id(folder), word) for word in words]
    done = CliRunner().invoke(rgw_admin, words[1:], env={"RGW_DATA": f"{folder}/data"}, prog_name="rgw-admin")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    text = done.output
    if file:
        Path(file).write_text(done.stdout, encoding="utf-8")
        text = done.stderr
    if query:
        value = json.loads(done.stdout)
        for part in query.strip().strip(".").split("."):
            value = value[int(part)] if part.isdigit() else value[part] if part else value
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return stable(text.replace(folder, "")).rstrip("\n")


def _upload_id(folder: str) -> str:
    listed = CliRunner().invoke(rgw_admin, ["multipart", "list", "--bucket", "photos"], env={"RGW_DATA": f"{folder}/data"})
    return str(json.loads(listed.stdout)[0]["upload_id"])


def made_true(page: str) -> str:
    """The page with the output that its commands have now."""
    out: list[str] = []
    block = skipping = False
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for line in page.splitlines():
                scene = re.fullmatch(r"<!-- scene: (\w+) -->", line)
                if scene:
                    asyncio.run(_gateway(f"{folder}/data", SCENES[scene[1]]))
                if line == "```console":
                    block = True
                elif line == "```" and block:
                    block = skipping = False
                if block and line.startswith("$ "):
                    out.append(line)
                    shown = run(line[2:], folder)
                    out += shown.split("\n") if shown else []
                    skipping = True
                elif not (block and skipping):
                    out.append(line)
        finally:
            os.chdir(here)
    return "\n".join(out) + "\n"


def main() -> int:
    old = PAGE.read_text(encoding="utf-8")
    new = made_true(old)
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
