"""Object class calls as values: which class and method, with which request, and how its reply reads.

A store that runs Ceph's own classes sends the encoding; one that runs them in Python hands the request over as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class ClassMethod:
    """A method of an object class. ``request`` and ``reply`` are format types, or None for empty bytes."""

    cls: str
    name: str
    request: Any = None
    reply: Any = None
    writes: bool = True

    def __call__(self, request: Any = None) -> ClassCall:
        if (request is None) != (self.request is None):
            raise TypeError(f"{self.cls}.{self.name} takes {self.request}")
        return ClassCall(self, request)


@dataclass(slots=True)
class ClassCall:
    """One call of a class method, a step of a compound operation."""

    method: ClassMethod
    request: Any
    encoded: bytes | None = field(default=None, compare=False)

    def constant(self) -> ClassCall:
        """The same call, to be used often: its request is encoded once."""
        return replace(self, encoded=self.encode())

    def encode(self) -> bytes:
        if self.encoded is not None:
            return self.encoded
        return b"" if self.request is None else self.request.encode()

    def decode_reply(self, data: bytes) -> Any:
        return data if self.method.reply is None else self.method.reply.decode(data)
