"""All declared structures, found in the package, and random values of each."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import fields, replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

import rgw.formats
from rgw.formats.basics import BucketName, PlacementRule, Pool
from rgw.formats.bucket import BucketInfo, IndexLayout
from rgw.formats.encoding import NS, Struct, Wire

_TEXT = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), st.sampled_from(["", "_b", "ü\0/", "x" * 300]))
OBJECT_LOCK = 0x20  # of a bucket's flags
_BITS = {"B": (0, 8), "H": (0, 16), "I": (0, 32), "Q": (0, 64), "i": (31, 31), "q": (63, 63)}  # below and above zero


def name_of(kind: type[Struct]) -> str:
    """The module and the name."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


@cache
def types() -> dict[str, type[Struct]]:
    """Every structure of the package, by ``name_of``."""
    modules = [importlib.import_module(f"rgw.formats.{found.name}") for found in pkgutil.iter_modules(rgw.formats.__path__)]
    kinds = [kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Struct) and kind is not Struct]
    return {name_of(kind): kind for kind in kinds}


def wires(kind: type[Struct]) -> dict[str, Wire]:
    """A structure's fields and their wire types."""
    return {field.name: field.metadata["wire"] for field in fields(kind) if "wire" in field.metadata}  # type: ignore[arg-type]


def held(kind: type[Struct]) -> set[type[Struct]]:
    """The structure and all that it may hold."""
    found: set[type[Struct]] = set()

    def walk(one: Wire) -> None:
        if isinstance(one.default, type) and issubclass(one.default, Struct):
            if one.default not in found:
                found.add(one.default)
                for inner in wires(one.default).values():
                    walk(inner)
        for inner in one.of:
            walk(inner)

    walk(Wire(kind._enc, kind._dec, kind))
    return found


def _as_written(value: Any) -> Any:
    """The value, less what its structure does not write beside its other fields."""
    if isinstance(value, BucketName) and not value.data_pool.name:
        return replace(value, data_pool=Pool(), data_extra_pool=Pool(), index_pool=Pool())
    if isinstance(value, PlacementRule):
        return PlacementRule.parse(value.text())
    if isinstance(value, IndexLayout) and value.type:
        return IndexLayout(value.type)
    if isinstance(value, BucketInfo):
        return replace(value, swift_ver_location=value.swift_ver_location if value.swift_versioning else "",
                       object_lock=value.object_lock if value.flags & OBJECT_LOCK else BucketInfo().object_lock)
    return value


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Random values of a wire type, or of a structure."""
    if not isinstance(kind, Wire):
        return st.builds(kind, **{name: values(one) for name, one in wires(kind).items()}).map(_as_written)
    if isinstance(kind.default, type) and issubclass(kind.default, Struct):
        return values(kind.default)
    if kind.fmt in _BITS:
        low, high = _BITS[kind.fmt]
        return st.integers(-(1 << low) if low else 0, (1 << high) - 1)
    of = [values(one) for one in kind.of]
    return {
        "fixed": st.booleans, "str": lambda: _TEXT, "blob": lambda: st.binary(max_size=12), "time": lambda: st.integers(0, (1 << 32) * NS - 1),
        "seconds": lambda: st.integers(0, 1 << 40).map(lambda seconds: seconds * NS), "packed": lambda: st.integers(0, (1 << 63) - 1),
        "list": lambda: st.lists(*of, max_size=2), "set": lambda: st.sets(*of, max_size=2), "map": lambda: st.dictionaries(*of, max_size=2),
        "multimap": lambda: st.lists(st.tuples(*of), max_size=2).map(lambda pairs: sorted(pairs, key=lambda pair: pair[0].encode())),
        "optional": lambda: st.none() | of[0], "": lambda: st.just(kind.default())}[kind.kind]()
