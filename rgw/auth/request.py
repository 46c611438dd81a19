"""What of a request its signature covers, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestView:
    """``raw_path`` and ``raw_query`` as they came on the wire (still percent-encoded, no ``?``); header names in lower case,
    values decoded as UTF-8 with surrogateescape."""

    method: str
    raw_path: str
    raw_query: str
    headers: list[tuple[str, str]]

    def header_map(self) -> dict[str, str]:
        """Headers by name; the values of one sent several times are joined by commas, as signatures want it."""
        found: dict[str, str] = {}
        for name, value in self.headers:
            found[name] = f"{found[name]},{value}" if name in found else value
        return found


def octets(text: str) -> bytes:
    """The bytes that came on the wire. A lone surrogate that stands for no byte becomes ``?``: it then matches no signature."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
