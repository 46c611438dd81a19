"""/admin/usage: what users used, by bucket and hour."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rgw.core.dump.usage import usage as dumped
from rgw.core.usage import END
from rgw.errors import S3Error
from rgw.ops.admin.request import AdminRequest


def _seconds(req: AdminRequest, name: str, default: int) -> int:
    """A date `YYYY-MM-DD[ HH:MM:SS]` in UTC as seconds since the epoch."""
    value = req.args.get(name, "")
    if not value:
        return default
    try:
        return int(datetime.fromisoformat(value.strip()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise S3Error("InvalidArgument", f"{name}={value} is not YYYY-MM-DD[ HH:MM:SS]") from None


def _range(req: AdminRequest) -> tuple[str, str, int, int]:
    uid = req.uid() if req.args.get("uid") else ""
    return uid, req.args.get("bucket", ""), _seconds(req, "start", 0), _seconds(req, "end", END)


async def show(req: AdminRequest) -> Any:
    categories = frozenset(name.strip() for name in req.args.get("categories", "").split(",") if name.strip())
    return dumped(await req.gw.usage.read(*_range(req)), entries=req.flag("show-entries", True), summary=req.flag("show-summary", True),
                  categories=categories)


async def trim(req: AdminRequest) -> None:
    wanted = _range(req)
    if wanted == ("", "", 0, END) and not req.flag("remove-all"):
        raise S3Error("InvalidArgument", "without uid, bucket or dates this removes everybody's log: say remove-all=true")
    await req.gw.usage.trim(*wanted)
