"""Parsing BigQuery's SQL."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from techmart_fast.standin.failure import invalid_query, not_implemented


@contextmanager
def sql_errors() -> Iterator[None]:
    """Turn sqlglot's errors into the service's."""
    try:
        yield
    except SqlglotError as error:
        first = str(error).strip().partition("\n")[0]
        raise invalid_query(f"Syntax error: {first}") from None
    except RecursionError:
        raise invalid_query("The statement is nested too deeply.") from None


def parse_script(sql: str) -> list[exp.Expr]:
    """The statements of a script.

    Raises:
        ServiceError: `invalidQuery`, it can't be parsed, or there is none.
    """
    with sql_errors():
        statements = [one for one in sqlglot.parse(sql, dialect="bigquery") if one is not None]
    statements = [one for one in statements if not isinstance(one, exp.Semicolon)]
    if not statements:
        raise invalid_query("Syntax error: Unexpected end of script")
    for one in statements:
        if isinstance(one, exp.Command):
            raise not_implemented(f"the statement {one.sql(dialect='bigquery')[:80]}")
    return statements


def parse_query(sql: str) -> exp.Query:
    """A single query (of a view).

    Raises:
        ServiceError: `invalidQuery`, it is anything else.
    """
    statements = parse_script(sql)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise invalid_query("A view needs exactly one query.")
    return statements[0]
