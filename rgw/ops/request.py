"""What an operation is given and what it returns; no HTTP library, no XML text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from rgw.auth.identity import Identity
from rgw.core.restrictions import require_served
from rgw.errors import S3Error
from rgw.formats.user import UserInfo

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway


MAX_KEY = 1024  # bytes of UTF-8


def require_key(key: str) -> None:
    """S3Error KeyTooLongError, InvalidURI unless an object may bear the key."""
    size = len(key.encode())
    if size > MAX_KEY:
        raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(MAX_KEY))
    if "\0" in key:
        raise S3Error("InvalidURI")


class Body(Protocol):
    """A request's body, verified piece by piece; ``finish`` raises unless length, signature and digests all hold.

    ``length``: bytes of payload, None for a chunked body; ``announced``: the request tells that it has a body, of 0 bytes perhaps.
    ``algorithm``: of the checksum that the request names, in lower case, None without; ``checksums`` has its value, at the end.
    """

    length: int | None
    announced: bool
    algorithm: str | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def finish(self) -> None: ...

    @property
    def md5(self) -> str: ...

    @property
    def checksums(self) -> dict[str, str]: ...


@dataclass(slots=True)
class Request:
    """A decoded request. ``query`` values are decoded; ``headers`` names are lower case. ``xml()`` parses the body, ``xml(data)`` data.

    ``secure``: it came through HTTPS. ``virtual``: the host names the bucket.
    """

    gw: Gateway
    method: str
    bucket_name: str
    key: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)  # perhaps with a key
    identity: Identity
    body: Body
    xml: Callable[..., Awaitable[Any]]
    bucket: Bucket | None = None
    secure: bool = False
    virtual: bool = False

    @property
    def object_url(self) -> str:
        """The object's address where the client reached the gateway."""
        place = f"{'https' if self.secure else 'http'}://{self.headers.get('host', '')}"
        return f"{place}/{quote(self.key)}" if self.virtual else f"{place}/{quote(self.bucket_name)}/{quote(self.key)}"

    @property
    def the_bucket(self) -> Bucket:
        assert self.bucket is not None
        return self.bucket

    @property
    def user(self) -> UserInfo:
        """The caller. S3Error AccessDenied for the anonymous."""
        if self.identity.user is None:
            raise S3Error("AccessDenied")
        return self.identity.user

    async def find_bucket(self, name: str) -> Bucket:
        """The bucket that a client means by ``name`` (of the caller's own tenant) or ``tenant:name``. S3Error NoSuchBucket; see ``require_served``."""
        tenant, colon, bare = name.rpartition(":")
        if not colon and self.identity.user is not None:
            tenant = self.identity.user.tenant
        bucket = self.gw.buckets.cached(bare, tenant) or await self.gw.buckets.get(bare, tenant)
        require_served(bucket, self.identity.user)
        return bucket

    def integer(self, name: str, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
        """A query parameter; S3Error InvalidArgument unless it is a number in the range."""
        return self._integer(name, self.query.get(name, ""), default, low, high)

    def integer_header(self, name: str, default: int) -> int:
        """The same of a header."""
        return self._integer(name, self.headers.get(name, ""), default, 0, 2**31 - 1)

    @staticmethod
    def _integer(name: str, value: str, default: int, low: int, high: int) -> int:
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and len(value) < 11 and low <= int(value) <= high):
            raise S3Error("InvalidArgument", f"{name} must be an integer between {low} and {high}",
                          ArgumentName=name, ArgumentValue=value)
        return int(value)


@dataclass(slots=True)
class Rows:
    """Many elements of one form, as in a listing. ``form`` is a tree with a place for an item of each column: ``%s`` for texts and numbers,
    ``%t`` for times in ns."""

    form: list[tuple[str, Any]]
    columns: list[list[Any]]


@dataclass(slots=True)
class Result:
    """A reply. ``data`` is a body that is there already, ``stream`` one of ``length`` bytes, ``xml`` a tree of (name, text or children or Rows).

    ``sent`` tells how much of ``stream`` went out. ``later`` makes a slow reply: 200 at once if need be, the tree when it is there;
    headers that it adds are sent if it was fast enough. ``namespace``: whether the document is in S3's namespace; most are.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    xml: tuple[str, Any] | None = None
    namespace: bool = True
    data: bytes = b""
    stream: AsyncGenerator[bytes, None] | None = None
    length: int = 0
    later: Awaitable[tuple[str, Any]] | None = None
    sent: int = 0
