"""Parsing BigQuery's SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from techmart_fast.standin.failure import ServiceError, invalid_query, not_implemented

VIEW_TEXT = "view_text"
"""Key of a CREATE VIEW's notes: the text of its query."""

_LONGEST = 1 << 20
"""Characters. https://cloud.google.com/bigquery/quotas#query_jobs"""

_LEAST = str(1 << 63)


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
        ServiceError: `invalidQuery`, it can't be parsed, or there is none; `invalid`, it is longer
            than a query may be.
    """
    if len(sql) > _LONGEST:
        raise ServiceError(
            "invalid",
            "The query is too large. The maximum standard SQL query length is 1024.00K characters, "
            "including comments and white space characters.",
        )
    with sql_errors():
        statements = [one for one in sqlglot.parse(sql, dialect="bigquery") if one is not None]
    statements = [one for one in statements if not isinstance(one, exp.Semicolon)]
    if not statements:
        raise invalid_query("Syntax error: Unexpected end of script")
    _note_view_texts(sql, statements)
    statements = [one.transform(_as_meant, copy=False) for one in statements]
    for one in statements:
        if isinstance(one, exp.Command):
            raise not_implemented(f"the statement {one.sql(dialect='bigquery')[:80]}")
    return statements


def _as_meant(node: exp.Expr) -> exp.Expr:
    """A node that sqlglot reads otherwise than BigQuery, mended."""
    # The smallest INT64 is one literal: without its sign it is none.
    if isinstance(node, exp.Neg) and node.this == exp.Literal.number(_LEAST):
        return exp.Literal(this=f"-{_LEAST}", is_string=False)
    if isinstance(node, exp.Command) and node.sql().strip().upper() == "BEGIN":
        return exp.Transaction()
    if isinstance(node, exp.Select) and not node.expressions:
        raise invalid_query("Syntax error: SELECT list must not be empty")
    if isinstance(node, exp.Delete) and not node.this and len(node.args.get("tables") or ()) == 1:
        # DELETE without FROM.
        node.set("this", node.args["tables"][0])
        node.set("tables", None)
    if isinstance(node, exp.Insert) and isinstance(node.this, exp.Tuple) and not node.expression:
        # INSERT VALUES (…) of a MERGE, without names of columns.
        (values,) = node.this.expressions
        node.set("expression", exp.Tuple(expressions=values.expressions))
        node.set("this", None)
    return node


def _note_view_texts(sql: str, statements: list[exp.Expr]) -> None:
    """Note the text of every view's query as it was written: that is what a view keeps."""
    if not any(isinstance(one, exp.Create) and one.kind == "VIEW" for one in statements):
        return
    pieces: list[list[Token]] = [[]]
    for token in BigQuery().tokenize(sql):
        if token.token_type == TokenType.SEMICOLON:
            pieces.append([])
        else:
            pieces[-1].append(token)
    pieces = [piece for piece in pieces if piece]
    if len(pieces) != len(statements):
        raise not_implemented("CREATE VIEW in such a script")
    for piece, statement in zip(pieces, statements, strict=True):
        if isinstance(statement, exp.Create) and statement.kind == "VIEW":
            statement.meta[VIEW_TEXT] = sql[_query_start(piece) : piece[-1].end + 1]


def _query_start(tokens: list[Token]) -> int:
    """Where the query of CREATE VIEW … AS query begins."""
    depth = 0
    for token, following in pairwise(tokens):
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
        elif token.token_type == TokenType.ALIAS and not depth:
            return following.start
    raise invalid_query("Syntax error: a view needs a query")


def parse_query(sql: str) -> exp.Query:
    """A single query (of a view).

    Raises:
        ServiceError: `invalidQuery`, it is anything else.
    """
    statements = parse_script(sql)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise invalid_query("A view needs exactly one query.")
    return statements[0]
