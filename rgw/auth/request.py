"""What of a request its signature covers, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from rgw.errors import S3Error

_KEYS = re.compile(r"^(x-amz-(?:copy-source-)?server-side-encryption-customer-key:).+$", re.MULTILINE)
_PORT = re.compile(r":\d+$")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


@dataclass(slots=True)
class RequestView:
    """``raw_path`` and ``raw_query`` as they came on the wire (still percent-encoded, no ``?``); header names in lower case,
    values decoded as UTF-8 with surrogateescape. ``header_map``: headers by name; the values of one sent several times are joined by
    commas, as signatures want it."""

    method: str
    raw_path: str
    raw_query: str
    headers: list[tuple[str, str]]
    header_map: dict[str, str] = field(init=False, repr=False)
    _parameters: dict[str, str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        found = dict(self.headers)
        self.header_map = found if len(found) == len(self.headers) else _joined(self.headers)

    @property
    def parameters(self) -> dict[str, str]:
        """The decoded query. S3Error InvalidURI."""
        if self._parameters is None:
            self._parameters = parse_query(self.raw_query)
        return self._parameters


def _joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


@lru_cache(16)
def gateway_domains(dns_name: str) -> tuple[str, ...]:
    """The domains of the option rgw_dns_name, in lower case, the longest first: it fits best."""
    return tuple(sorted(dns_name.lower().replace(",", " ").split(), key=len, reverse=True))


def bucket_of_host(host: str, domains: tuple[str, ...]) -> str:
    """The bucket that the Host header names in front of one of the domains; "" if none. S3Error InvalidURI for what is no host's name."""
    if not domains:
        return ""
    name = _PORT.sub("", host.lower())
    if name in domains:
        return ""
    for domain in domains:
        if name.endswith(f".{domain}"):
            bucket = name[:-len(domain) - 1]
            if "/" in bucket:
                raise S3Error("InvalidURI")
            return bucket
    return ""


def unquote(text: str, *, plus: bool = False) -> str:
    """Percent-decodes; S3Error InvalidURI for broken escapes and what is no UTF-8."""
    if plus and "+" in text:
        text = text.replace("+", " ")
    if "%" not in text and text.isascii():
        return text
    return _decoded(text)


@lru_cache(1024)  # a client's credential and signed headers are the same in all of its URLs
def _decoded(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise S3Error("InvalidURI")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise S3Error("InvalidURI") from None


def parse_query(raw: str) -> dict[str, str]:
    """Decoded parameters; the first of several with one name counts. S3Error InvalidURI."""
    query: dict[str, str] = {}
    for item in raw.split("&") if raw else ():
        if item:
            name, _, value = item.partition("=")
            if "%" in item or "+" in item or not item.isascii():
                name, value = unquote(name, plus=True), unquote(value, plus=True)
            if name not in query:
                query[name] = value
    return query


def without_keys(text: str) -> str:
    """A canonical request or string to sign without the encryption keys among its headers, to be shown."""
    return _KEYS.sub(r"\1(hidden)", text)


def octets(text: str) -> bytes:
    """The bytes that came on the wire. A lone surrogate that stands for no byte becomes ``?``: it then matches no signature."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
