"""Turns what asyncpg and the network raise into the sink's errors: one line, and what to do."""

import re
import ssl

import asyncpg

from techmart_fast.errors import SinkAccessError, SinkError

_COPY_PLACE = re.compile(r"COPY (?P<table>\w+), line \d+(?:, column (?P<column>\w+))?")

_TRANSIENT = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.OutOfMemoryError,
    # Someone else wrote the same key, or deleted a parent, between the check and the write.
    asyncpg.UniqueViolationError,
    asyncpg.ForeignKeyViolationError,
)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)
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


def connect_error(error: BaseException, server: str, sslmode: str) -> SinkError:
    """The error for a connection that could not be opened."""
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return SinkAccessError(
            f"PostgreSQL refused the role or its password ({server}).",
            hint="Check POSTGRES_USER and POSTGRES_PASSWORD.",
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return SinkAccessError(
            f"PostgreSQL has no such database ({server}).",
            hint="Create it, or check POSTGRES_DB.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return SinkAccessError(
            f"The server's certificate was not accepted ({server}): {error.verify_message}.",
            hint=f"POSTGRES_SSLMODE is {sslmode}; fix the certificate rather than the mode.",
        )
    if isinstance(error, ssl.SSLError) or "rejected SSL" in str(error):
        return SinkAccessError(
            f"The server does not offer the TLS that sslmode {sslmode} asks for ({server}).",
            hint="Turn on TLS in the server, or set POSTGRES_SSLMODE for a network you trust.",
        )
    if isinstance(error, TimeoutError):
        return SinkError(
            f"PostgreSQL did not answer in time ({server}).",
            hint="Check the server, and POSTGRES_CONNECT_TIMEOUT_SECONDS.",
            transient=True,
        )
    if isinstance(error, asyncpg.CannotConnectNowError | asyncpg.TooManyConnectionsError):
        return SinkError(
            f"PostgreSQL takes no connection now ({server}): {_first_line(error)}.",
            hint="Try again in a moment.",
            transient=True,
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return _privilege(error)
    if isinstance(error, ValueError):
        return SinkAccessError(
            f"The connection settings do not fit together ({server}).",
            hint="Check POSTGRES_HOST, POSTGRES_PASSWORD and POSTGRES_SSLMODE.",
        )
    return SinkError(
        f"Can't reach PostgreSQL ({server}): {_network_reason(error)}.",
        hint="Check that it runs, and POSTGRES_HOST and POSTGRES_PORT.",
        transient=True,
    )


def statement_error(error: BaseException, doing: str) -> SinkError:
    """The error for a statement or COPY that failed; `doing` says what, e.g. `writing users`."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return _privilege(error)
    if isinstance(error, asyncpg.DiskFullError):
        return SinkError(
            f"The disk of the PostgreSQL server is full ({doing}).",
            hint="Free space there and run again: committed batches are kept.",
        )
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return SinkAccessError(
            "The PostgreSQL server is read only.", hint="POSTGRES_HOST must name the primary."
        )
    if isinstance(error, asyncpg.DuplicateTableError):
        return SinkError(
            f"The database is not empty: {_first_line(error)}.", hint=f"{error.hint or ''}".strip()
        )
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return SinkError(
            f"The schema of the database is not the loader's ({doing}): {_first_line(error)}.",
            hint="Apply schemas/postgres_schema.sql.",
        )
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return SinkError(
            f"PostgreSQL refused a row of {error.table_name} "
            f"({error.constraint_name or error.column_name}, {doing}).",
            transient=isinstance(error, _TRANSIENT),
            table=error.table_name,
        )
    if isinstance(error, asyncpg.DataError):
        return _refused_value(error, doing)
    if isinstance(error, _LOST):
        return SinkError(
            f"The connection to PostgreSQL was lost ({doing}).",
            hint="Run again: committed batches are kept.",
            transient=True,
        )
    return SinkError(
        f"PostgreSQL failed {doing}: {_first_line(error)}.", transient=isinstance(error, _TRANSIENT)
    )


def is_conflict(error: SinkError) -> bool:
    """Whether two transactions were in each other's way: the same one may be repeated at once."""
    return isinstance(
        error.__cause__, asyncpg.DeadlockDetectedError | asyncpg.SerializationError
    )


def deadline_error(doing: str, seconds: float) -> SinkError:
    """The error for an operation that outlived its deadline; its connection is gone."""
    return SinkError(
        f"PostgreSQL did not answer within {seconds:g} s ({doing}).",
        hint="Look for a lock or a stopped server; see POSTGRES_COMMAND_TIMEOUT_SECONDS.",
        transient=True,
    )


def _refused_value(error: asyncpg.PostgresError, doing: str) -> SinkError:
    # The server's own text may quote the value, so only the place is taken from it.
    found = _COPY_PLACE.search(str(getattr(error, "context", "") or ""))
    table = found["table"] if found else getattr(error, "table_name", None)
    column = (found["column"] if found else None) or getattr(error, "column_name", None)
    place = f"{table or 'a table'}, column {column or 'unknown'}"
    return SinkError(
        f"PostgreSQL refused a value of {place} ({error.sqlstate}, {doing}).", table=table
    )


def _privilege(error: asyncpg.PostgresError) -> SinkAccessError:
    return SinkAccessError(
        f"The PostgreSQL role lacks a privilege: {_first_line(error)}.",
        hint="The loader's role should own the database, or be granted this.",
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _network_reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _first_line(error)
