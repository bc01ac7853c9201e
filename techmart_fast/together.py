"""Work at the same time: the first failure ends the rest and is told alone, not as a group."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

_First = TypeVar("_First")
_Second = TypeVar("_Second")
_Result = TypeVar("_Result")


async def together(work: Mapping[str, Coroutine[Any, Any, object]]) -> None:
    """Run named coroutines at the same time; the names are those of their tasks.

    Raises:
        Exception: the first failure, as itself rather than as a group.
    """
    async with task_group() as tasks:
        for name, one in work.items():
            tasks.create_task(one, name=name)


async def both(
    names: tuple[str, str], first: Awaitable[_First], second: Awaitable[_Second]
) -> tuple[_First, _Second]:
    """The results of two awaitables; `names` are those of their tasks.

    Raises:
        Exception: the first failure, as itself rather than as a group.
    """
    async with task_group() as tasks:
        one = tasks.create_task(_result(first), name=names[0])
        two = tasks.create_task(_result(second), name=names[1])
    return one.result(), two.result()


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that ends with its first failure as itself, rather than as a group."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__


async def to_its_end(
    work: "asyncio.Future[_Result]", *, on_cancel: Callable[[], object] | None = None
) -> _Result:
    """Wait for work, and see it end even when cancelled: a thread's state, a COMMIT's answer.

    `on_cancel` may ask it to end sooner.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await asyncio.wait([work])
        with suppress(BaseException):
            work.result()  # nobody else asks for its failure
        raise


async def _result(awaitable: Awaitable[_Result]) -> _Result:
    return await awaitable
