"""DuckDB's errors in the service's words."""

import logging

import duckdb

from techmart_fast.standin.bignumeric import BEYOND
from techmart_fast.standin.bqtypes import DUCKDB_NAME, Kind
from techmart_fast.standin.failure import ServiceError, invalid_query, not_implemented

log = logging.getLogger(__name__)

_OVERLOADED = (duckdb.OutOfMemoryException,)
_INVALID = (
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidInputException,
    duckdb.ConstraintException,
)

_BIGNUMERIC = f" {DUCKDB_NAME[Kind.BIGNUMERIC]}"
_REFUSED_TOO = ("WHERE clause cannot contain aggregates", "same number of result columns")
_UNTRANSLATED = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.NotImplementedException,
    duckdb.ParserException,
)


def of_duckdb(error: duckdb.Error, *, cancelled: bool) -> ServiceError:
    """The service's error for one that DuckDB raised while a job ran."""
    first = str(error).partition("\n")[0]
    text = first.split(": ", 1)[-1] if " Error: " in first else first
    if cancelled or isinstance(error, duckdb.InterruptException):
        return ServiceError("stopped", "Job execution was cancelled.")
    if isinstance(error, _OVERLOADED):
        return ServiceError("resourcesExceeded", f"Resources exceeded during execution: {text}")
    if "more than once" in text and "MERGE" in text:
        text = "UPDATE/MERGE must match at most one source row for each target row"
    if isinstance(error, _INVALID) or any(one in text for one in _REFUSED_TOO):
        is_beyond = BEYOND in str(error) or _BIGNUMERIC in text
        return not_implemented(BEYOND) if is_beyond else invalid_query(text)
    if isinstance(error, duckdb.TransactionException):
        return ServiceError(
            "invalidQuery", f"Transaction is aborted due to concurrent update: {text}"
        )
    if isinstance(error, _UNTRANSLATED):
        log.warning("DuckDB refused a translated statement: %s", error)
        return ServiceError(
            "notImplemented",
            f"The BigQuery stand-in can't run this statement; its engine says: {text}",
            location="query",
        )
    log.error("DuckDB failed: %s", error)
    return ServiceError("internalError", f"The stand-in's engine failed: {text}")
