"""Connections that are cut off at a chosen statement, before or after the server did it."""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from inspect import iscoroutine
from typing import TypeVar

import pytest

from techmart_fast.errors import SinkError
from techmart_fast.postgres.session import Session

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CutOff:
    """At statement number `at` (from 0). `reaches`: the server does it, and the answer is lost.

    `twice`: the next statement is cut off as well, the look-up of a lost COMMIT, say.
    """

    at: int
    reaches: bool
    twice: bool


class Wire:
    """The wire between all sessions and the server; it breaks as the armed `CutOff` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._armed: CutOff | None = None
        self._seen = 0
        self.broke = False
        watched = Session._watched

        async def breaking(
            session: Session, operation: Awaitable[_Result], doing: str, *more: float | None
        ) -> _Result:
            cut = self._due()
            if cut is None:
                return await watched(session, operation, doing, *more)
            if cut.reaches:
                with suppress(SinkError):
                    await watched(session, operation, doing, *more)
            elif iscoroutine(operation):
                operation.close()
            session.terminate()
            raise SinkError(f"The wire was cut ({doing}).", transient=True)

        monkeypatch.setattr(Session, "_watched", breaking)

    def arm(self, cut: CutOff | None) -> None:
        """Break at this point from now on; `None` mends the wire."""
        self._armed, self._seen, self.broke = cut, 0, False

    def mend(self, error: SinkError) -> None:
        """Mend the wire; raises the error if it was not the wire's."""
        if not (self.broke and error.transient):
            raise error
        self.arm(None)

    def _due(self) -> CutOff | None:
        cut, number = self._armed, self._seen
        self._seen += 1
        if cut is None or not cut.at <= number <= cut.at + cut.twice:
            return None
        self.broke = True
        return cut
