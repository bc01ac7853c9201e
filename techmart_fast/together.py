"""Work at the same time: the first failure ends the rest and is told alone, not as a group."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_First = TypeVar("_First")
_Second = TypeVar("_Second")
_Result = TypeVar("_Result")


async def together(work: Mapping[str, Coroutine[Any, Any, object]]) -> None:
    """Run named coroutines at the same time; the names are those of their tasks.

    Raises:
        Exception: the first failure, as itself rather than as a group.
    """
    async with _tasks() as tasks:
        for name, one in work.items():
            tasks.create_task(one, name=name)


async def both(
    names: tuple[str, str], first: Awaitable[_First], second: Awaitable[_Second]
) -> tuple[_First, _Second]:
    """The results of two awaitables; `names` are those of their tasks.

    Raises:
        Exception: the first failure, as itself rather than as a group.
    """
    async with _tasks() as tasks:
        one = tasks.create_task(_result(first), name=names[0])
        two = tasks.create_task(_result(second), name=names[1])
    return one.result(), two.result()


@asynccontextmanager
async def _tasks() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__


async def _result(awaitable: Awaitable[_Result]) -> _Result:
    return await awaitable
