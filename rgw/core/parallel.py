"""Doing the same to many things, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from rgw.errors import S3Error

T = TypeVar("T")
R = TypeVar("R")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[R]], limit: int, *, go_on: bool = False) -> list[R]:
    """Runs ``work`` on every item, ``limit`` at a time; the results in the items' order.

    A failure is raised as it is, after those under way have ended: the first one, and no more are begun then. With ``go_on`` all others
    are done all the same, and a failure after which something may still be under way (no S3Error) is raised before refusals.
    """
    todo = list(items)
    waiting = iter(enumerate(todo))
    results: dict[int, Any] = {}
    failures: list[BaseException] = []

    async def run() -> None:
        for number, item in waiting:
            if failures and not go_on:
                return
            try:
                results[number] = await work(item)
            except BaseException as error:
                failures.append(error)
                if not go_on or not isinstance(error, Exception):
                    raise

    outcomes = await asyncio.gather(*(run() for _ in range(min(limit, len(todo)))), return_exceptions=True)
    if failures:
        raise next((error for error in failures if go_on and not isinstance(error, S3Error)), failures[0])
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [results[number] for number in range(len(results))]
