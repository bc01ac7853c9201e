"""The short form of a test with many cases: what is left out of it is run by `make torture`."""

from collections.abc import Container, Iterable

import pytest


def long_form(cases: Iterable[object], *, short: Container[object]) -> list[object]:
    """All cases as parameters; those that are not in `short` are marked as torture."""
    return [
        case if case in short else _torture(case if isinstance(case, tuple) else (case,))
        for case in cases
    ]


def _torture(values: tuple[object, ...]) -> object:
    return pytest.param(*values, marks=pytest.mark.torture)
