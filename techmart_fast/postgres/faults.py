"""Turns what asyncpg and the network raise into the sink's errors: one line, and what to do."""

import re
import ssl
from collections.abc import Callable

import asyncpg

from techmart_fast.errors import RefusedRowError, SinkAccessError, SinkError

CONNECT_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError)
"""What opening a connection may raise."""

SESSION_FAULTS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)
"""What a statement may raise on an open connection."""

_CONFLICTS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    asyncpg.ForeignKeyViolationError,
)
_TRANSIENT = (
    *_CONFLICTS,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.OutOfMemoryError,
)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)
_KEPT = "Run again: committed batches are kept."

_COPY_PLACE = re.compile(r"COPY (?P<table>\w+), line \d+(?:, column (?P<column>\w+))?")


def connect_error(error: BaseException, server: str, sslmode: str) -> SinkError:
    """The error for a connection that could not be opened."""
    if isinstance(error, ssl.SSLError) or "rejected SSL" in str(error):
        return _tls(error, server, sslmode)
    for kinds, build in _AT_CONNECT:
        if isinstance(error, kinds):
            return build(error, server)
    return SinkError(
        f"Can't reach PostgreSQL ({server}): {_network_reason(error)}.",
        hint="Check that it runs, and POSTGRES_HOST and POSTGRES_PORT.",
        transient=True,
    )


def statement_error(error: BaseException, doing: str) -> SinkError:
    """The error for a statement or COPY that failed; `doing` says what, e.g. `writing users`."""
    for kinds, build in _AT_STATEMENT:
        if isinstance(error, kinds):
            return build(error, doing)
    return SinkError(
        f"PostgreSQL failed {doing}: {_first_line(error)}.", transient=isinstance(error, _TRANSIENT)
    )


def deadline_error(doing: str, seconds: float) -> SinkError:
    """The error for an operation that outlived its deadline; its connection is gone."""
    return SinkError(
        f"PostgreSQL did not answer within {seconds:g} s ({doing}).",
        hint="Look for a lock or a stopped server; see POSTGRES_COMMAND_TIMEOUT_SECONDS.",
        transient=True,
    )


def is_conflict(error: SinkError) -> bool:
    """Whether two transactions were in each other's way: the same one may be repeated at once.

    A key that is taken, or a parent that is gone, was written or deleted by another application
    between the look and the write; a second look sees it.
    """
    return isinstance(error.__cause__, _CONFLICTS)


def _credentials(_error: BaseException, server: str) -> SinkError:
    return SinkAccessError(
        f"PostgreSQL refused the role or its password ({server}).",
        hint="Check POSTGRES_USER and POSTGRES_PASSWORD.",
    )


def _no_database(_error: BaseException, server: str) -> SinkError:
    return SinkAccessError(
        f"PostgreSQL has no such database ({server}).", hint="Create it, or check POSTGRES_DB."
    )


def _tls(error: BaseException, server: str, sslmode: str) -> SinkError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return SinkAccessError(
            f"The server's certificate was not accepted ({server}): {reason}.",
            hint=f"POSTGRES_SSLMODE is {sslmode}; fix the certificate rather than the mode.",
        )
    return SinkAccessError(
        f"The server does not offer the TLS that sslmode {sslmode} asks for ({server}).",
        hint="Turn on TLS in the server, or set POSTGRES_SSLMODE for a network you trust.",
    )


def _no_answer(_error: BaseException, server: str) -> SinkError:
    return SinkError(
        f"PostgreSQL did not answer in time ({server}).",
        hint="Check the server, and POSTGRES_CONNECT_TIMEOUT_SECONDS.",
        transient=True,
    )


def _not_now(error: BaseException, server: str) -> SinkError:
    return SinkError(
        f"PostgreSQL takes no connection now ({server}): {_first_line(error)}.",
        hint="Try again in a moment.",
        transient=True,
    )


def _impossible(_error: BaseException, server: str) -> SinkError:
    return SinkAccessError(
        f"The connection settings do not fit together ({server}).",
        hint="Check POSTGRES_HOST, POSTGRES_PASSWORD and POSTGRES_SSLMODE.",
    )


def _privilege(error: BaseException, _where: str) -> SinkError:
    return SinkAccessError(
        f"The PostgreSQL role lacks a privilege: {_first_line(error)}.",
        hint="The loader's role should own the database, or be granted this.",
    )


def _disk_full(_error: BaseException, doing: str) -> SinkError:
    return SinkError(
        f"The disk of the PostgreSQL server is full ({doing}).", hint=f"Free space there. {_KEPT}"
    )


def _read_only(_error: BaseException, doing: str) -> SinkError:
    return SinkAccessError(
        f"The PostgreSQL server is read only ({doing}).",
        hint="POSTGRES_HOST must name the primary.",
    )


def _not_empty(error: BaseException, _doing: str) -> SinkError:
    return SinkError(
        f"The database is not empty: {_first_line(error)}.", hint="Load into an empty database."
    )


def _other_schema(error: BaseException, doing: str) -> SinkError:
    return SinkError(
        f"The schema of the database is not the loader's ({doing}): {_first_line(error)}.",
        hint="Apply schemas/postgres_schema.sql.",
    )


def _taken(error: BaseException, doing: str) -> SinkError:
    # Another application wrote the key, or deleted the parent, between the look and the write.
    return SinkError(f"{_of_rule(error, doing)}.", transient=True, table=_table(error))


def _refused_row(error: BaseException, doing: str) -> SinkError:
    return RefusedRowError(f"{_of_rule(error, doing)}.", table=_table(error))


def _refused_by_trigger(error: BaseException, doing: str) -> SinkError:
    # The trigger's own words may quote the row.
    return RefusedRowError(f"A trigger refused a row ({doing}).", table=_table(error))


def _of_rule(error: BaseException, doing: str) -> str:
    rule = getattr(error, "constraint_name", None) or getattr(error, "column_name", None)
    return f"PostgreSQL refused a row of {_table(error)} ({rule}, {doing})"


def _table(error: BaseException) -> str | None:
    return getattr(error, "table_name", None)


def _refused_value(error: BaseException, doing: str) -> SinkError:
    # The server's own text may quote the value, so only the place is taken from it.
    found = _COPY_PLACE.search(str(getattr(error, "context", None) or ""))
    table = found["table"] if found else _table(error)
    column = (found["column"] if found else None) or getattr(error, "column_name", None)
    code = getattr(error, "sqlstate", None)
    return RefusedRowError(
        f"PostgreSQL refused a value of {table or 'a table'}, column {column or 'unknown'} "
        f"({code}, {doing}).",
        table=table,
    )


def _connection_lost(_error: BaseException, doing: str) -> SinkError:
    return SinkError(
        f"The connection to PostgreSQL was lost ({doing}).", hint=_KEPT, transient=True
    )


_Builder = Callable[[BaseException, str], SinkError]
_Rules = tuple[tuple[tuple[type[BaseException], ...], _Builder], ...]

_AT_CONNECT: _Rules = (
    ((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError), _credentials),
    ((asyncpg.InvalidCatalogNameError,), _no_database),
    ((TimeoutError,), _no_answer),
    ((asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError), _not_now),
    ((asyncpg.InsufficientPrivilegeError,), _privilege),
    ((ValueError, asyncpg.ClientConfigurationError), _impossible),
)
_AT_STATEMENT: _Rules = (
    ((asyncpg.InsufficientPrivilegeError,), _privilege),
    ((asyncpg.DiskFullError,), _disk_full),
    ((asyncpg.ReadOnlySQLTransactionError,), _read_only),
    ((asyncpg.DuplicateTableError,), _not_empty),
    ((asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError), _other_schema),
    ((asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError), _taken),
    ((asyncpg.IntegrityConstraintViolationError,), _refused_row),
    ((asyncpg.RaiseError,), _refused_by_trigger),
    ((asyncpg.DataError,), _refused_value),
    (_LOST, _connection_lost),
)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _network_reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _first_line(error)
