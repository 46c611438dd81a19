"""What an administrative operation is given."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rgw.auth.identity import Identity
from rgw.errors import S3Error

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway
    from rgw.formats.user import UserInfo

_YES, _NO = ("true", "1", "yes", "on", ""), ("false", "0", "no", "off")


@dataclass(slots=True)
class AdminRequest:
    """A decoded request. ``path`` is what follows the resource; of several parameters with one name the last counts."""

    gw: Gateway
    identity: Identity
    path: str
    args: dict[str, str]
    body: Callable[[], Awaitable[bytes]]

    def text(self, name: str) -> str:
        """A parameter that must be there. S3Error InvalidArgument."""
        found = self.args.get(name, "")
        if not found:
            raise S3Error("InvalidArgument", f"the parameter {name} is missing")
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        """S3Error InvalidArgument unless the parameter is a truth value."""
        found = self.optional_flag(name)
        return default if found is None else found

    def optional_flag(self, name: str) -> bool | None:
        value = self.args.get(name)
        if value is None:
            return None
        if value.lower() in _YES:
            return True
        if value.lower() in _NO:
            return False
        raise S3Error("InvalidArgument", f"{name}={value} is not true or false")

    def number(self, name: str, low: int = -2**63, high: int = 2**63 - 1) -> int | None:
        """S3Error InvalidArgument unless the parameter is a number in the range."""
        value = self.args.get(name)
        if value is None:
            return None
        try:
            number = int(value)
        except ValueError:
            raise S3Error("InvalidArgument", f"{name}={value} is not a number") from None
        if not low <= number <= high:
            raise S3Error("InvalidArgument", f"{name} must be a number from {low} to {high}")
        return number

    async def json(self) -> dict[str, Any]:
        """The body's JSON object; {} for no body. S3Error InvalidArgument."""
        data = await self.body()
        if not data:
            return {}
        try:
            document = json.loads(data)
        except ValueError as error:
            raise S3Error("InvalidArgument", f"the body is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise S3Error("InvalidArgument", "the body is no JSON object")
        return document

    async def user(self) -> UserInfo:
        """The user of the parameter uid. S3Error NoSuchUser, InvalidArgument."""
        return await self.gw.users.get(self.uid())

    def uid(self) -> str:
        """The parameter uid, with the tenant of the parameter tenant if it names none."""
        uid, tenant = self.text("uid"), self.args.get("tenant", "")
        return f"{tenant}${uid}" if tenant and "$" not in uid else uid

    def bucket_name(self) -> tuple[str, str]:
        """(tenant, name) of the parameter bucket, `name` or `tenant/name`."""
        tenant, slash, name = self.text("bucket").partition("/")
        return (tenant, name) if slash else (self.args.get("tenant", ""), tenant)

    async def bucket(self) -> Bucket:
        """The bucket of the parameter bucket. S3Error NoSuchBucket, InvalidArgument."""
        tenant, name = self.bucket_name()
        return await self.gw.buckets.get(name, tenant)
