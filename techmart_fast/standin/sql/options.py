"""The clauses of DDL that DuckDB lacks, from the syntax tree: columns, partitions, OPTIONS.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from techmart_fast.standin.bqtypes import Field, Kind
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.resources import Partitioning, RangePartitioning
from techmart_fast.standin.sql.casts import kind_of_target
from techmart_fast.standin.sql.kinds import shown

_DAY_MS = 24 * 3600 * 1000
_PARTITION_UNITS = ("DAY", "MONTH", "YEAR")
_TRUNCATIONS = (exp.DateTrunc, exp.TimestampTrunc, exp.DatetimeTrunc)


@dataclass(slots=True, kw_only=True)
class Clauses:
    """What a CREATE or SET OPTIONS says beside columns and query.

    `details` are properties of the API's resource; None removes one. An `expiration_ms` of 0
    removes that of partitions. `needs_date` is set when PARTITION BY names nothing but a column.
    """

    partitioning: Partitioning | RangePartitioning | None = None
    clustering: tuple[str, ...] = ()
    needs_date: bool = False
    expiration_ms: int | None = None
    require_partition_filter: bool | None = None
    location: str | None = None
    details: dict[str, object] = field(default_factory=dict)

    def expiring(
        self, partitioning: Partitioning | RangePartitioning | None
    ) -> Partitioning | RangePartitioning | None:
        """The partitioning with the expiration that is said here, if any.

        Raises:
            ServiceError: an expiration without partitions, or of those that have no age.
        """
        if self.expiration_ms is None:
            return partitioning
        if not isinstance(partitioning, Partitioning):
            text = "The option partition_expiration_days needs a table partitioned by time."
            raise invalid_query(text)
        return replace(partitioning, expiration_ms=self.expiration_ms or None)


Evaluate = Callable[[exp.Expr], object]
"""Computes a constant expression, such as a point in time some hours from now."""


def clauses_of(properties: Iterable[exp.Expr], evaluate: Evaluate) -> Clauses:
    """The PARTITION BY, CLUSTER BY and OPTIONS of a statement.

    Raises:
        ServiceError: an option that the stand-in does not know.
    """
    found = Clauses()
    for one in properties:
        if isinstance(one, exp.PartitionedByProperty):
            found.partitioning = _partitioning(one.this)
            found.needs_date = isinstance(one.this, (exp.Column, exp.Identifier))
        elif isinstance(one, exp.ClusterProperty):
            found.clustering = tuple(column.name for column in one.expressions)
        elif isinstance(one, exp.LocationProperty):
            found.location = one.this.name
        elif type(one) is exp.Property:
            _option(found, one.name.lower(), one.args["value"], evaluate)
        else:
            raise not_implemented(f"this clause: {one.sql(dialect='bigquery')}")
    return found


def _partitioning(node: exp.Expr) -> Partitioning | RangePartitioning:
    """`d`, `DATE(ts)`, `DATE_TRUNC(d, MONTH)`, `TIMESTAMP_TRUNC(ts, MONTH)` or `RANGE_BUCKET`."""
    if isinstance(node, exp.RangeBucket):
        return _ranges(node)
    if isinstance(node, (exp.Column, exp.Identifier)):
        return Partitioning(column=node.name)
    if isinstance(node, exp.Date) and isinstance(node.this, exp.Column):
        return Partitioning(column=node.this.name)
    if isinstance(node, _TRUNCATIONS) and isinstance(node.this, exp.Column):
        unit = node.args["unit"].name.upper()
        if unit in _PARTITION_UNITS:
            return Partitioning(column=node.this.name, unit=unit)
    raise not_implemented(f"PARTITION BY {shown(node)}")


def _ranges(node: exp.RangeBucket) -> RangePartitioning:
    """`RANGE_BUCKET(n, GENERATE_ARRAY(start, end[, interval]))`."""
    series = node.expression
    if not isinstance(node.this, exp.Column) or not isinstance(series, exp.GenerateSeries):
        raise not_implemented(f"PARTITION BY {shown(node)}")
    step = series.args.get("step")
    return RangePartitioning(
        column=node.this.name,
        start=_whole(series.args["start"]),
        end=_whole(series.args["end"]),
        interval=1 if step is None else _whole(step),
    )


def _whole(node: exp.Expr) -> int:
    sign, inner = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if not isinstance(inner, exp.Literal) or inner.is_string or not inner.name.isdecimal():
        raise invalid_query(f"The bounds of RANGE_BUCKET are whole numbers, not {shown(node)}.")
    return sign * int(inner.name)


def _option(found: Clauses, name: str, value: exp.Expr, evaluate: Evaluate) -> None:
    match name:
        case "description" | "friendly_name":
            key = "friendlyName" if name == "friendly_name" else name
            found.details[key] = None if isinstance(value, exp.Null) else _text(value)
        case "labels":
            found.details["labels"] = None if isinstance(value, exp.Null) else _labels(value)
        case "expiration_timestamp":
            at = None if isinstance(value, exp.Null) else evaluate(value)
            found.details["expirationTime"] = None if at is None else str(at)
        case "partition_expiration_days":
            found.expiration_ms = round(_days(value) * _DAY_MS)
        case "require_partition_filter":
            found.require_partition_filter = _flag(value)
        case "location":
            found.location = _text(value)
        case _:
            raise not_implemented(f"the option {name}")


def _text(value: exp.Expr) -> str:
    if not (value.is_string or isinstance(value, exp.RawString)):
        raise invalid_query(f"The option must be a literal text: {shown(value)}")
    return value.name


def _days(value: exp.Expr) -> float:
    """A number of days; 0 for NULL."""
    if isinstance(value, exp.Null):
        return 0
    if not isinstance(value, exp.Literal) or value.is_string or float(value.name) <= 0:
        raise invalid_query(f"The option must be a positive number of days: {shown(value)}")
    return float(value.name)


def _flag(value: exp.Expr) -> bool:
    """TRUE or FALSE; NULL is the default, FALSE."""
    if not isinstance(value, (exp.Boolean, exp.Null)):
        raise invalid_query(f"The option must be TRUE or FALSE: {shown(value)}")
    return isinstance(value, exp.Boolean) and bool(value.this)


def _labels(value: exp.Expr) -> dict[str, str]:
    if not isinstance(value, exp.Array):
        raise invalid_query(f"The option labels must be an array of pairs: {shown(value)}")
    pairs = [one.expressions for one in value.expressions]
    return {_text(key): _text(text) for key, text in pairs}


def column_of(node: exp.Expr) -> Field:
    """A column definition of CREATE TABLE or ADD COLUMN.

    Raises:
        ServiceError: a type or constraint that the stand-in does not know.
    """
    if not isinstance(node, exp.ColumnDef) or node.kind is None:
        raise not_implemented(f"this part of a table's definition: {node.sql(dialect='bigquery')}")
    mode = "NULLABLE"
    details: dict[str, str] = {}
    for one in node.args.get("constraints") or ():
        inner = one.args["kind"]
        if isinstance(inner, exp.NotNullColumnConstraint) and not inner.args.get("allow_null"):
            mode = "REQUIRED"
        elif isinstance(inner, exp.Properties):
            details |= _column_options(inner)
        else:
            raise not_implemented(f"the column option {one.sql(dialect='bigquery')}")
    return typed_column(node.name, node.kind, mode=mode, details=details)


def _column_options(options: exp.Properties) -> dict[str, str]:
    found = {}
    for one in options.expressions:
        if one.name.lower() != "description":
            raise not_implemented(f"the column option {one.name}")
        found["description"] = _text(one.args["value"])
    return found


def typed_column(
    name: str, kind: exp.DataType, *, mode: str = "NULLABLE", details: Mapping[str, str]
) -> Field:
    """A field of a type as SQL writes it: arrays become REPEATED, structs have fields."""
    details = dict(details)
    if kind.this == exp.DType.ARRAY:
        inner = typed_column(name, kind.expressions[0], details=details)
        if inner.mode == "REPEATED":
            raise invalid_query(f"Column {name}: an array can't hold arrays.")
        if mode == "REQUIRED":
            raise invalid_query(f"Column {name}: NOT NULL can't be said of an array.")
        return Field(
            name=name, kind=inner.kind, mode="REPEATED", fields=inner.fields, details=inner.details
        )
    if kind.this == exp.DType.STRUCT:
        fields = tuple(column_of(one) for one in kind.expressions)
        return Field(name=name, kind=Kind.STRUCT, mode=mode, fields=fields, details=details)
    found = kind_of_target(kind).kind
    sizes = [one.name for one in kind.expressions]
    if sizes and found is Kind.NUMERIC:
        details |= {"precision": sizes[0]} | ({"scale": sizes[1]} if len(sizes) > 1 else {})
    elif sizes:
        raise not_implemented(f"the type {kind.sql(dialect='bigquery')}")
    return Field(name=name, kind=found, mode=mode, details=details)
