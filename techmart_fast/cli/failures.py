"""Turns whatever ended a command into one clear line, an exit code and, if asked for, JSON."""

import os
import platform
import select
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from techmart_fast.cli.framework import PROGRAM
from techmart_fast.cli.invocation import Invocation
from techmart_fast.cli.output import forget, write_err, write_out
from techmart_fast.cli.runner import StoppedBySignalError
from techmart_fast.errors import ExitCode, TechmartError
from techmart_fast.version import VERSION

_STOPPED = "Stopped by a signal."
_TRACE_HEADER = (
    "An unexpected error. Messages are left out: they may quote values of records\n"
    "(repeat the command with --debug to see them).\n"
)


def report_failure(error: BaseException, invocation: Invocation, *, as_json: bool) -> int:
    """Tell people (standard error) and scripts (JSON on standard output) what went wrong.

    Returns the exit code. Unexpected errors leave their trace in a file below the home folder.
    """
    if isinstance(error, BrokenPipeError) and _reader_left():
        forget(sys.stdout)
        return ExitCode.FAILED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        write_err(error.format_message())
        return ExitCode.USAGE
    message, hint, code = _explain(error, invocation)
    if as_json:
        status = "stopped" if code >= ExitCode.INTERRUPTED else "failed"
        said = {"error": message, "hint": hint, "exit_code": int(code)}
        write_out_json({"status": status} | _nothing_done() | said)
    write_err(f"error: {message}{f' {hint}' if hint else ''}")
    return code


def _nothing_done() -> dict[str, object]:
    """The keys that scripts rely on, for a run that could not begin."""
    counts = dict.fromkeys(("read", "loaded", "rejected", "held", "duplicate"), 0)
    return {
        "run_id": None,
        "seconds": 0.0,
        "rows_per_second": 0.0,
        "quality": {},
        "feeds": {
            feed: {**counts, "rejected_by_reason": {}}
            for feed in ("users", "products", "transactions")
        },
    }


def write_out_json(value: object) -> None:
    """Write one JSON object on one line."""
    from techmart_fast.cli.output import to_json

    write_out(to_json(value))


def _explain(error: BaseException, invocation: Invocation) -> tuple[str, str, ExitCode]:
    match next(_expected(error), error):
        case TechmartError() as known:
            return str(known.args[0]), known.hint, known.exit_code
        case StoppedBySignalError() as known:
            return _STOPPED, "", known.exit_code
        case KeyboardInterrupt() | click.Abort():
            return _STOPPED, "", ExitCode.INTERRUPTED
        case click.ClickException() as known:
            context = known.ctx if isinstance(known, click.UsageError) else None
            path = context.command_path if context else PROGRAM
            return known.format_message(), f"See {path} --help.", ExitCode.USAGE
        case MemoryError():
            hint = "Try smaller blocks: run --block-bytes 4MiB."
            return "The memory is used up.", hint, ExitCode.FAILED
        case _:
            return _unexpected(error, invocation)


def _expected(error: BaseException) -> Iterator[BaseException]:
    """The errors with a message for people that `error` is or, as a group, holds."""
    if isinstance(error, TechmartError | StoppedBySignalError | click.ClickException):
        yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _expected(member)


def _unexpected(error: BaseException, invocation: Invocation) -> tuple[str, str, ExitCode]:
    from techmart_fast.monitoring.traces import describe, first_leaf, origin

    if invocation.debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    leaf = first_leaf(error)
    message = f"Unexpected {type(leaf).__name__} at {origin(leaf)}."
    try:
        path = _write_trace(invocation.home_folder / "logs", describe(error))
    except OSError as failure:
        hint = f"Its trace can't be written ({failure.strerror}); --debug shows it."
    else:
        hint = f"Its trace is in {path}; --debug shows more."
    return message, hint, ExitCode.FAILED


def _write_trace(folder: Path, trace: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    now = datetime.now(UTC)
    path = folder / f"error-{now:%Y%m%dT%H%M%S.%f}-{os.getpid()}.txt"
    facts = f"{PROGRAM} {VERSION}, Python {platform.python_version()}, {platform.platform()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{_TRACE_HEADER}\n{now.isoformat()}\n{facts}\n\n{trace}\n")
    return path


def _reader_left() -> bool:
    """Whether it is standard output whose reader went away."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)
        return bool(watch.poll(0))
    except (OSError, ValueError):
        return True
