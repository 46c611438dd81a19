"""The table of object class methods that run in Python, filled by ``@implements``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rgw.store.classcall import ClassMethod
from rgw.store.embedded.context import ObjectContext

Function = Callable[[ObjectContext, Any], Any]

REGISTRY: dict[tuple[str, str], Function] = {}


def implements(method: ClassMethod) -> Callable[[Function], Function]:
    """Enters the decorated function as ``method``. It takes the context and the request (None if the method has none)."""

    def enter(function: Function) -> Function:
        key = method.cls, method.name
        if key in REGISTRY:
            raise TypeError(f"{method.cls}.{method.name} is implemented twice")
        REGISTRY[key] = function
        return function

    return enter
