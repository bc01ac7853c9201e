"""Several requests at the same time: the first failure ends the others and is told alone."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any


async def together(work: Mapping[str, Coroutine[Any, Any, object]]) -> None:
    """Run named coroutines at the same time; the names are those of their tasks.

    Raises:
        Exception: the first failure, as itself rather than as a group.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, one in work.items():
                tasks.create_task(one, name=name)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
