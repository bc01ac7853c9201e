"""Structured logs: an event name plus keys, through the standard library's loggers.

Modules ask for a logger with `get_logger`. As a library the project configures nothing: events
reach whatever handlers the application has (the keys are in the record's `techmart` attribute).
The command line wraps its work in `logging_to_stderr`.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from techmart_fast.monitoring.traces import describe

PRIVATE_KEYS = frozenset(
    {"email", "name", "password", "raw", "record", "record_key", "secret", "token", "values"}
)
"""Keys whose values are never written: they could hold a secret or a person's data."""

_HIDDEN = "(hidden)"
_FIELDS = "techmart"


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event name and keys: `log.info("batch_committed", rows=9)`."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[structlog.stdlib.filter_by_level, _to_record],
            wrapper_class=structlog.stdlib.BoundLogger,
        ),
    )


@contextmanager
def logging_to_stderr(*, level: int, json_lines: bool, colors: bool = False) -> Iterator[None]:
    """Write the log of this process to standard error: JSON lines, or lines for people.

    `level` (of `logging`) applies to the project's own events; other libraries are heard from
    WARNING on. Leaving it restores what was before.
    """
    renderer: Processor
    if json_lines:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)
    handler = _CurrentStderr()
    handler.addFilter(_is_news)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                _from_record,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso" if json_lines else "%H:%M:%S", utc=True),
            ],
            processors=[
                _tell_exception,
                hide_private,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root, own = logging.getLogger(), logging.getLogger("techmart_fast")
    levels = root.level, own.level
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    own.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        own.setLevel(levels[1])


class _CurrentStderr(logging.Handler):
    """Writes to what `sys.stderr` is at the moment: a progress display replaces it for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except OSError:
            # Nobody reads standard error any more; the run itself goes on.
            return


def _is_news(record: logging.LogRecord) -> bool:
    """Not what asyncpg leaves behind of a COPY that has failed as its connection was lost."""
    error = record.exc_info[1] if record.exc_info else None
    return not (record.name == "asyncio" and type(error).__module__.startswith("asyncpg."))


def hide_private(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of private keys, at any depth of plain dictionaries."""
    return {
        key: _HIDDEN
        if key in PRIVATE_KEYS
        else hide_private(_, __, value)
        if isinstance(value, dict)
        else value
        for key, value in event.items()
    }


def _to_record(_: WrappedLogger, __: str, event: EventDict) -> tuple[tuple[str], dict[str, object]]:
    """Arguments for `logging`: the event is the message, its keys travel in one attribute.

    As attributes of their own they could collide with those that every log record has.
    """
    exc_info = event.pop("exc_info", None)
    name = str(event.pop("event", ""))
    return (name,), {"exc_info": exc_info, "extra": {_FIELDS: event}}


def _from_record(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event["_record"]
    fields = getattr(record, _FIELDS, {})
    return {**fields, **event}


def _tell_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    if isinstance(error, BaseException):
        event["exception"] = describe(error)
    return event
