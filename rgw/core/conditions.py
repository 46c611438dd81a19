"""If-Match and If-None-Match of writes."""

from __future__ import annotations

from dataclasses import dataclass

from rgw.errors import S3Error


@dataclass(frozen=True, slots=True)
class Conditions:
    """The raw header values of a conditional write; None where the header is absent. ``idtag``: the state that a delete is meant for."""

    if_match: str | None = None
    if_none_match: str | None = None
    idtag: bytes | None = None

    @property
    def any(self) -> bool:
        return self.if_match is not None or self.if_none_match is not None

    def check(self, etag: str | None) -> None:
        """Raises S3Error unless the conditions hold. ``etag`` is the existing object's, None where there is no object."""
        if self.if_match is not None:
            if etag is None:
                raise S3Error("NoSuchKey")
            if not _matches(self.if_match, etag):
                raise S3Error("PreconditionFailed")
        if self.if_none_match is not None and etag is not None and _matches(self.if_none_match, etag):
            raise S3Error("PreconditionFailed")


def _matches(header: str, etag: str) -> bool:
    for item in header.split(","):
        value = item.strip()
        if value == "*":
            return True
        value = value.removeprefix("W/").strip('"')
        if value == etag:
            return True
    return False


def check(conditions: Conditions | None, etag: str | None) -> None:
    """As ``Conditions.check``; no conditions always hold."""
    if conditions is not None:
        conditions.check(etag)
