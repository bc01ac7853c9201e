"""Every exception the project raises on purpose, on one page, with the exit code each one means.

Bad rows are values (a rejection with reason, source and offset), never exceptions. A message says
what happened, where, and what to do next; it never holds a secret or a value from a record.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes, as users' scripts read them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    QUALITY_FAIL = 3
    LIMIT = 4
    SINKS_DIFFER = 5
    LEASE_HELD = 6
    INTERRUPTED = 130
    TERMINATED = 143


class TechmartError(Exception):
    """Base of all errors a user can meet.

    Attributes:
        transient: the same call may succeed later without any change by the user.
        exit_code: what the command line returns for it.
        hint: what to do next, one sentence, or an empty string.
    """

    transient: bool = False
    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", transient: bool | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if transient is not None:
            self.transient = transient

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message} {self.hint}" if self.hint else message


class ConfigError(TechmartError):
    """A setting, a flag or the data contract is wrong or missing."""

    exit_code = ExitCode.USAGE


class MissingExtraError(ConfigError):
    """An optional part of the installation is needed and absent."""


class OutputError(TechmartError):
    """What a command has to say can't be written."""


class SourceError(TechmartError):
    """A source can't be found, opened or read."""


class SourceNotFoundError(SourceError):
    """A path on the command line names nothing that can be read."""

    exit_code = ExitCode.USAGE


class SourceChangedError(SourceError):
    """A source was truncated or replaced while it was read."""


class ChangedFileError(SourceError):
    """A file was loaded before with another content, and the contract refuses such files."""

    exit_code = ExitCode.USAGE


class SourceAccessError(SourceError):
    """A service refused the credentials, or an address that must not be asked was named."""

    exit_code = ExitCode.USAGE


class SourceUnavailableError(SourceError):
    """A service is down, too slow or too busy: the next run carries on where this one stopped."""

    transient = True


class SourceAnswerError(SourceError):
    """A service answered what can't be read: another type, no JSON, too much, pages in a circle."""


class SourceDriftError(SourceAnswerError):
    """The records or answers of a service have another shape than before.

    Attributes:
        changes: each with what was before and what is now, as sentences without values.
    """

    def __init__(self, message: str, *, hint: str = "", changes: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.changes = changes


class DecodeError(TechmartError):
    """A source is not in a format the project reads (one damaged record is not this error)."""


class LocalError(TechmartError):
    """An embedded part (server or stand-in) can't be started, reached or stopped."""


class WrongHomeError(LocalError):
    """TECHMART_HOME names a folder that can't be used."""

    exit_code = ExitCode.USAGE


class SpoolError(TechmartError):
    """A spool file can't be written durably, or is not what was written."""


class SpoolDamagedError(SpoolError):
    """A spool file is gone, can't be read, or is not what was written."""


class SinkError(TechmartError):
    """PostgreSQL refused, failed or went away.

    Attributes:
        table, batch: where it happened, when known.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        transient: bool | None = None,
        table: str | None = None,
        batch: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.table = table
        self.batch = batch


class RefusedRowError(SinkError):
    """PostgreSQL refuses a row of a batch, for its type, a constraint or a trigger."""


class SinkAccessError(SinkError):
    """The server refused the credentials, the database or a privilege."""

    exit_code = ExitCode.USAGE


class CommitUnknownError(SinkError):
    """The answer to a COMMIT was lost, and PostgreSQL could not be asked what became of it.

    So it must not be repeated in this run; the next one finds the batch, or writes it.
    """

    transient = True


class LeaseHeldError(SinkError):
    """Another run holds the lease, or took it over while this one was paused."""

    exit_code = ExitCode.LEASE_HELD


class WarehouseError(TechmartError):
    """BigQuery (or its stand-in) refused or failed.

    Attributes:
        reason: the service's reason word (`rateLimitExceeded`, `notFound`, …) or an empty string.
        job_id: the job it belongs to, when there is one.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        transient: bool | None = None,
        reason: str = "",
        job_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.reason = reason
        self.job_id = job_id


class WarehouseAccessError(WarehouseError):
    """The warehouse refused the credentials, the project or a permission."""

    exit_code = ExitCode.USAGE


class WrongWarehouseError(WarehouseError):
    """The warehouse is not the one that this database's rows were published to."""

    exit_code = ExitCode.SINKS_DIFFER


class WarehouseBehindError(WarehouseError):
    """PostgreSQL is committed, the warehouse is not yet: the next run carries on."""

    exit_code = ExitCode.SINKS_DIFFER


class SinksDifferError(WarehouseError):
    """The warehouse does not hold what PostgreSQL holds, though it was sent it."""

    exit_code = ExitCode.SINKS_DIFFER


class LimitReachedError(TechmartError):
    """A limit that the user set stopped the run, cleanly."""

    exit_code = ExitCode.LIMIT
