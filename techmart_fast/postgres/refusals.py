"""Finds the rows of a batch that PostgreSQL refuses, by halves: a batch never fails for one row."""

from collections.abc import Awaitable, Callable, Mapping

import numpy as np

from techmart_fast.errors import RefusedRowError
from techmart_fast.postgres.fold import Rows

MOST_REFUSED = 100
"""Of one batch. If there are more, it is not the rows: a rule of the database is another one."""

Try = Callable[[Rows], Awaitable[RefusedRowError | None]]
"""Writes some rows of a batch and takes them back; the error, if they are refused."""


async def find_refused(rows: int, attempt: Try) -> Mapping[int, RefusedRowError]:
    """The refused ones of a batch of so many rows, each with what refused it.

    A single one costs about as much as writing the batch twice more. Rows that are refused only
    together with others are not found.

    Raises:
        RefusedRowError: more than `MOST_REFUSED` are refused.
    """
    refused: dict[int, RefusedRowError] = {}
    waiting = [np.arange(rows)]
    while waiting:
        some = waiting.pop()
        error = await attempt(some)
        if error is None:
            continue
        if some.size > 1:
            half = some.size // 2
            waiting += [some[half:], some[:half]]
            continue
        refused[int(some[0])] = error
        if len(refused) > MOST_REFUSED:
            raise RefusedRowError(
                f"{error.args[0]} So are more than {MOST_REFUSED} others of the same batch.",
                hint="Look at the constraints and triggers of the table.",
                table=error.table,
            )
    return refused
