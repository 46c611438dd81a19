"""A secret that cannot print itself."""

from __future__ import annotations


class Secret:
    """Wraps a key's bytes; ``reveal()`` is the one way to them. Neither str, repr, format nor pickle shows them."""

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
