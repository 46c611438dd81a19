"""Doing the same to many things, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[R]], limit: int) -> list[R]:
    """Runs ``work`` on every item, ``limit`` at a time; the results in the items' order.

    The first failure is raised as it is, after those under way have ended; no more are begun then.
    """
    waiting = iter(enumerate(items))
    results: dict[int, Any] = {}
    failures: list[BaseException] = []

    async def run() -> None:
        for number, item in waiting:
            if failures:
                return
            try:
                results[number] = await work(item)
            except BaseException as error:
                failures.append(error)
                raise

    outcomes = await asyncio.gather(*(run() for _ in range(limit)), return_exceptions=True)
    if failures:
        raise failures[0]
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [results[number] for number in range(len(results))]
