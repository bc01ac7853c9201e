"""Where an exception came from, told without its message: messages may quote values of records."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from techmart_fast.errors import TechmartError

_PACKAGE = Path(__file__).resolve().parent.parent


def describe(error: BaseException) -> str:
    """The whole chain of `error`: types and frames, and messages of the project's own errors only.

    Members of exception groups, causes and contexts are told too, each once.
    """
    return "\n".join(_lines(error, seen=set(), indent=""))


def first_leaf(error: BaseException) -> BaseException:
    """The first error within a group that is no group itself; `error` if it is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def origin(error: BaseException) -> str:
    """The innermost frame of this package, like `pipeline/run.py:42 run`; the last one if none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not frames:
        return "unknown place"
    frame = (own or frames)[-1]
    return f"{_short(frame.filename)}:{frame.lineno} {frame.name}"


def _lines(error: BaseException, *, seen: set[int], indent: str) -> Iterator[str]:
    if id(error) in seen:
        return
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines(before, seen=seen, indent=indent)
        yield f"{indent}which led to"
    message = f": {error}" if isinstance(error, TechmartError) else ""
    yield f"{indent}{type(error).__module__}.{type(error).__qualname__}{message}"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"{indent}  {_short(frame.filename)}:{frame.lineno} {frame.name}"
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield f"{indent}  with"
            yield from _lines(member, seen=seen, indent=f"{indent}    ")


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_PACKAGE)) if path.is_relative_to(_PACKAGE) else filename
