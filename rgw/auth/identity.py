"""Who sent a request, and how its body is to be checked. Each request makes these: tuples are made faster than frozen dataclasses."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from .secret import Secret

if TYPE_CHECKING:
    from rgw.formats.user import UserInfo

FULL_CONTROL = 15


class PayloadKind(StrEnum):
    UNSIGNED = "unsigned"
    SIGNED_SHA256 = "signed-sha256"
    STREAMING_SIGNED = "streaming-signed"
    STREAMING_SIGNED_TRAILER = "streaming-signed-trailer"
    STREAMING_UNSIGNED_TRAILER = "streaming-unsigned-trailer"


_WHOLE = (PayloadKind.UNSIGNED, PayloadKind.SIGNED_SHA256)


class PayloadPlan(NamedTuple):
    """How the body is encoded and verified.

    ``sha256``: hex digest that a SIGNED_SHA256 body must have. ``decoded_length``: bytes of payload in an aws-chunked body.
    ``timestamp``, ``scope``, ``seed_signature`` and ``signing_key`` start the chain of chunk signatures.
    ``trailers``: lower-case names announced in x-amz-trailer.
    """

    kind: PayloadKind = PayloadKind.UNSIGNED
    sha256: str = ""
    decoded_length: int | None = None
    seed_signature: str = ""
    timestamp: str = ""
    scope: str = ""
    signing_key: Secret | None = None
    trailers: tuple[str, ...] = ()

    @property
    def chunked(self) -> bool:
        """The body is aws-chunked and goes through a ChunkedDecoder."""
        return self.kind not in _WHOLE


class Identity(NamedTuple):
    """``perm_mask``: the most an ACL can grant here (a subuser's key may be limited), as RGW's permission bits."""

    user: UserInfo | None = None
    access_key: str = ""
    perm_mask: int = FULL_CONTROL
    payload: PayloadPlan = PayloadPlan()

    @property
    def anonymous(self) -> bool:
        return self.user is None
