"""The declared tables and views of `schemas/bigquery_schema.sql`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from techmart_fast.bundled import bundled

SCHEMA_DATASET = "techmart"
"""The dataset that the bodies of the views name in the file."""

VERSION_LABEL = "schema_version"
APP_LABEL = "app"
APP = "techmart"
"""Label of everything that this project made, and its value."""

DATABASE_LABEL = "database"
"""Label of `users`: id of the PostgreSQL database whose rows the dataset holds."""

EXPIRY_LABEL = "expires_days"
"""Label of a table of facts: after how many days its partitions go; without it they stay."""

_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_NAME = re.compile(r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) (\w+)")
_VERSION = re.compile(rf'\("{VERSION_LABEL}", "(\d+)"\)')
_COLUMN = re.compile(r"^  (\w+) (.+?)(?:,)?$", re.MULTILINE)
_OPTIONS = re.compile(r"\s+OPTIONS \(description = .*\)$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A declared column: `type` is SQL, e.g. `NUMERIC(12, 2)`; `options` a clause, or empty."""

    name: str
    type: str
    required: bool
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A declared table or view. `columns` is empty for views."""

    name: str
    sql: str
    version: int
    is_view: bool
    columns: tuple[Column, ...] = ()

    @property
    def requires_partition_filter(self) -> bool:
        """Whether a query must say which partitions it reads."""
        return "require_partition_filter = TRUE" in self.sql

    def create(self, dataset: str) -> str:
        """The statement that makes it, for a job with the default dataset `dataset`."""
        # The default dataset does not reach into the body of a view.
        # https://cloud.google.com/bigquery/docs/views#view_limitations
        return re.sub(rf"\b{SCHEMA_DATASET}\.(?=\w)", f"`{dataset}`.", self.sql)

    def expire(self, days: int | None) -> str:
        """The statement that lets a day's partition go after `days`, or never."""
        wanted = "NULL" if days is None else str(days)
        return f"ALTER TABLE {self.name} SET OPTIONS (partition_expiration_days = {wanted})"

    def migrate(self, present: frozenset[str]) -> Iterator[str]:
        """The statements that make of an older table, with columns `present`, the declared one.

        Raises:
            ValueError: a missing column is required: it can't be added to rows that exist.
        """
        missing = [column for column in self.columns if column.name not in present]
        if blocked := [column.name for column in missing if column.required]:
            raise ValueError(f"{self.name}.{blocked[0]} is required and missing")
        if missing:
            clauses = ", ".join(
                f"ADD COLUMN IF NOT EXISTS {column.name} {column.type} {column.options}".rstrip()
                for column in missing
            )
            yield f"ALTER TABLE {self.name} {clauses}"
        if self.requires_partition_filter:
            yield f"ALTER TABLE {self.name} SET OPTIONS (require_partition_filter = TRUE)"


@cache
def declared() -> Mapping[str, Relation]:
    """All tables, then all views, by name, in the order of the file."""
    text = bundled("schemas", "bigquery_schema.sql").read_text(encoding="utf-8")
    return {relation.name: relation for relation in _relations(text)}


def _relations(text: str) -> Iterator[Relation]:
    for part in _STATEMENT_END.split(_COMMENT.sub("", text)):
        if not (sql := part.strip()):
            continue
        name, version = _NAME.match(sql), _VERSION.search(sql)
        if name is None or version is None:
            raise ValueError(f"not a declaration with a {VERSION_LABEL}: {sql[:60]!r}")
        is_view = "VIEW" in name[0]
        yield Relation(
            name=name[1],
            sql=sql,
            version=int(version[1]),
            is_view=is_view,
            columns=() if is_view else tuple(_columns(sql)),
        )


def _columns(sql: str) -> Iterator[Column]:
    body = sql[sql.index("(\n") + 2 : sql.index("\n)")]
    # An option may stand on a line of its own, below its column.
    for name, rest in _COLUMN.findall(body.replace("\n    OPTIONS", " OPTIONS")):
        options = _OPTIONS.search(rest)
        declaration = _OPTIONS.sub("", rest)
        required = declaration.endswith(" NOT NULL")
        yield Column(
            name=name,
            type=declaration.removesuffix(" NOT NULL"),
            required=required,
            options=options[0].strip() if options else "",
        )
