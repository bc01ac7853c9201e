"""Datasets, tables and views: what is remembered of them, and their API resources."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import orjson

from techmart_fast.standin.bqtypes import Field, Kind, check_names, schema_from_api
from techmart_fast.standin.failure import ServiceError, not_implemented
from techmart_fast.standin.labels import check_labels
from techmart_fast.standin.parts import Part
from techmart_fast.standin.refs import DatasetRef, TableRef, table_ref

_KEPT_DATASET = (
    "access",
    "defaultPartitionExpirationMs",
    "defaultTableExpirationMs",
    "description",
    "friendlyName",
    "isCaseInsensitive",
    "labels",
    "maxTimeTravelHours",
    "storageBillingModel",
)
_KEPT_TABLE = ("description", "expirationTime", "friendlyName", "labels", "tableConstraints")

Body = Mapping[str, object]
_NEVER = 1 << 62
_MOST_PARTITIONS = 10_000
"""https://cloud.google.com/bigquery/quotas#partitioned_tables"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioning:
    """Time partitioning: by a DATE or TIMESTAMP column, in units of `unit`."""

    column: str
    unit: str = "DAY"
    expiration_ms: int | None = None

    def to_api(self) -> dict[str, object]:
        """The API's `TimePartitioning`."""
        body: dict[str, object] = {"type": self.unit, "field": self.column}
        if self.expiration_ms is not None:
            body["expirationMs"] = str(self.expiration_ms)
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class RangePartitioning:
    """Partitioning by an INT64 column: `[start, start + interval)` and so on, up to before `end`.

    All other values share a partition, and so do nulls.
    https://cloud.google.com/bigquery/docs/partitioned-tables#integer_range
    """

    column: str
    start: int
    end: int
    interval: int = 1

    def to_api(self) -> dict[str, object]:
        """The API's `RangePartitioning`."""
        bounds = {"start": self.start, "end": self.end, "interval": self.interval}
        return {"field": self.column, "range": {name: str(one) for name, one in bounds.items()}}

    def check(self) -> None:
        """Refuse what makes no partitions, or too many of them.

        Raises:
            ServiceError: `invalid`.
        """
        if self.interval <= 0 or self.end <= self.start:
            raise ServiceError("invalid", "Integer ranges need an end after their start.")
        if -(-(self.end - self.start) // self.interval) > _MOST_PARTITIONS:
            text = f"A table has {_MOST_PARTITIONS} partitions at most."
            raise ServiceError("invalid", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset."""

    ref: DatasetRef
    location: str
    created_ms: int
    modified_ms: int
    details: Body = field(default_factory=dict)

    def to_api(self) -> dict[str, object]:
        """The API's `Dataset`."""
        body: dict[str, object] = {
            "kind": "bigquery#dataset",
            "id": str(self.ref),
            "datasetReference": {"projectId": self.ref.project, "datasetId": self.ref.dataset},
            "location": self.location,
            "creationTime": str(self.created_ms),
            "lastModifiedTime": str(self.modified_ms),
            "type": "DEFAULT",
            **self.details,
        }
        return body | {"etag": _etag(body)}

    @staticmethod
    def from_api(body: Body) -> "Dataset":
        """A dataset from what `to_api` gave."""
        ref = cast("Mapping[str, str]", body["datasetReference"])
        return Dataset(
            ref=DatasetRef(ref["projectId"], ref["datasetId"]),
            location=str(body["location"]),
            created_ms=int(str(body["creationTime"])),
            modified_ms=int(str(body["lastModifiedTime"])),
            details=kept_dataset_details(body),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, or a view when `view_query` is set."""

    ref: TableRef
    schema: tuple[Field, ...]
    created_ms: int
    modified_ms: int
    view_query: str | None = None
    partitioning: Partitioning | RangePartitioning | None = None
    clustering: tuple[str, ...] = ()
    require_partition_filter: bool = False
    details: Body = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    def has_expired(self, now_ms: int) -> bool:
        """Whether its expiration time has come: it is as good as dropped."""
        return now_ms >= int(str(self.details.get("expirationTime") or _NEVER))

    def column(self, name: str) -> Field | None:
        """The column of that name; case does not count."""
        wanted = name.lower()
        return next((one for one in self.schema if one.name.lower() == wanted), None)

    def modified(self, now_ms: int) -> "Table":
        """The same table, changed now."""
        return replace(self, modified_ms=max(now_ms, self.modified_ms + 1))

    def to_api(self) -> dict[str, object]:
        """The API's `Table`, without what only the data tell (rows, bytes)."""
        body: dict[str, object] = {
            "kind": "bigquery#table",
            "id": str(self.ref),
            "tableReference": self.ref.body(),
            "schema": {"fields": [one.to_api() for one in self.schema]},
            "type": "TABLE" if self.view_query is None else "VIEW",
            "creationTime": str(self.created_ms),
            "lastModifiedTime": str(self.modified_ms),
            **self.details,
        }
        if self.view_query is not None:
            body["view"] = {"query": self.view_query, "useLegacySql": False}
        if self.partitioning is not None:
            by_time = isinstance(self.partitioning, Partitioning)
            kind = "timePartitioning" if by_time else "rangePartitioning"
            body[kind] = self.partitioning.to_api()
            body["requirePartitionFilter"] = self.require_partition_filter
        if self.clustering:
            body["clustering"] = {"fields": list(self.clustering)}
        return body | {"etag": _etag(body)}

    def saved(self) -> dict[str, object]:
        """Everything of the table that is kept."""
        return self.to_api() | {"parts": [[one.file, one.columns] for one in self.parts]}

    @staticmethod
    def restored(body: Body) -> "Table":
        """A table from what `saved` gave."""
        ref = table_ref(body["tableReference"], project="")
        view = body.get("view")
        return Table(
            ref=ref,
            schema=schema_from_api(body["schema"]),
            created_ms=int(str(body["creationTime"])),
            modified_ms=int(str(body["lastModifiedTime"])),
            view_query=str(view["query"]) if isinstance(view, Mapping) else None,
            partitioning=partitioning_from_api(body),
            clustering=clustering_from_api(body),
            require_partition_filter=bool(body.get("requirePartitionFilter")),
            details=kept_table_details(body),
            parts=tuple(Part(*one) for one in cast("list[list[str]]", body["parts"])),
        )


def partitioning_from_api(body: Body) -> Partitioning | RangePartitioning | None:
    """The partitioning that a table's resource asks for.

    Raises:
        ServiceError: a kind of partitioning that the stand-in does not have.
    """
    if isinstance(ranges := body.get("rangePartitioning"), Mapping):
        return _ranges_from_api(ranges)
    wanted = body.get("timePartitioning")
    if not isinstance(wanted, Mapping):
        return None
    if not wanted.get("field"):
        raise not_implemented("partitioning by ingestion time")
    unit = str(wanted.get("type") or "DAY")
    if unit not in ("DAY", "MONTH", "YEAR"):
        raise not_implemented(f"partitioning by {unit}")
    expiration = wanted.get("expirationMs")
    return Partitioning(
        column=str(wanted["field"]),
        unit=unit,
        expiration_ms=None if expiration in (None, "") else int(str(expiration)),
    )


def _ranges_from_api(body: Body) -> RangePartitioning:
    bounds = body.get("range")
    if not body.get("field") or not isinstance(bounds, Mapping):
        raise ServiceError("invalid", "rangePartitioning needs a field and a range.")
    try:
        start, end, interval = (int(str(bounds[name])) for name in ("start", "end", "interval"))
    except (KeyError, ValueError):
        text = "The range of rangePartitioning needs whole numbers: start, end, interval."
        raise ServiceError("invalid", text) from None
    return RangePartitioning(column=str(body["field"]), start=start, end=end, interval=interval)


def clustering_from_api(body: Body) -> tuple[str, ...]:
    """The clustering columns that a resource asks for."""
    wanted = body.get("clustering")
    return tuple(wanted.get("fields") or ()) if isinstance(wanted, Mapping) else ()


def requires_filter(body: Body) -> bool:
    """Whether a resource asks for a filter on the partition column."""
    partitioning = body.get("timePartitioning")
    inner = isinstance(partitioning, Mapping) and partitioning.get("requirePartitionFilter")
    return bool(body.get("requirePartitionFilter") or inner)


def check_layout(table: Table) -> Table:
    """The table itself, if its columns differ, and partitioning and clustering fit them.

    Raises:
        ServiceError: a column is missing or of a type that can't serve.
    """
    if table.partitioning is not None:
        column = table.column(table.partitioning.column)
        kinds: tuple[str, ...] = _TIME_KINDS
        if isinstance(table.partitioning, RangePartitioning):
            table.partitioning.check()
            kinds = ("INT64",)
        if column is None or column.mode == "REPEATED" or column.kind not in kinds:
            raise ServiceError(
                "invalid",
                f"The field specified for partitioning, {table.partitioning.column}, must be a "
                f"top-level column of type {' or '.join(kinds)}.",
            )
    elif table.require_partition_filter:
        raise ServiceError("invalid", "require_partition_filter needs a partitioned table.")
    check_names(table.schema)
    _check_enforced(table.schema)
    if len(table.clustering) > 4:
        raise ServiceError("invalid", "A table can be clustered by four columns at most.")
    for name in table.clustering:
        found = table.column(name)
        if found is None or found.mode == "REPEATED" or found.kind not in _CLUSTER_KINDS:
            raise ServiceError("invalid", f"The table can't be clustered by {name}.")
    return table


_TIME_KINDS = ("DATE", "DATETIME", "TIMESTAMP")
_CLUSTER_KINDS = (*_TIME_KINDS, "BIGNUMERIC", "BOOL", "INT64", "NUMERIC", "STRING")
_ROUNDING = (None, "ROUNDING_MODE_UNSPECIFIED", "ROUND_HALF_AWAY_FROM_ZERO")


def _check_enforced(schema: Sequence[Field]) -> None:
    """Refuse what a column must hold to when the stand-in would not see to it."""
    for one in schema:
        if "maxLength" in one.details:
            raise not_implemented(f"the maximum length of the column {one.name}")
        if "precision" in one.details and one.kind is not Kind.NUMERIC:
            raise not_implemented(f"the precision of the {one.kind} column {one.name}")
        if one.details.get("roundingMode") not in _ROUNDING:
            raise not_implemented(f"the rounding mode of the column {one.name}")
        _check_enforced(one.fields)


def kept_dataset_details(body: Body) -> dict[str, object]:
    """The properties of a dataset that are kept as they are."""
    check_labels(body.get("labels"))
    return {key: body[key] for key in _KEPT_DATASET if body.get(key) is not None}


def kept_table_details(body: Body) -> dict[str, object]:
    """The properties of a table that are kept as they are."""
    check_labels(body.get("labels"))
    return {key: body[key] for key in _KEPT_TABLE if body.get(key) is not None}


def patched_details(details: Body, patch: Body, kept: tuple[str, ...]) -> dict[str, object]:
    """Properties after a patch: null removes one, labels are merged key by key."""
    check_labels(patch.get("labels"))
    result = dict(details)
    for key in kept:
        if key not in patch:
            continue
        value = patch[key]
        if key == "labels" and isinstance(value, Mapping):
            before = cast("Mapping[str, object]", result.get("labels") or {})
            merged = {**before, **value}
            value = {name: text for name, text in merged.items() if text is not None}
        if value is None or value == {}:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def patched_dataset(details: Body, patch: Body) -> dict[str, object]:
    """A dataset's properties after a patch."""
    return patched_details(details, patch, _KEPT_DATASET)


def patched_table(details: Body, patch: Body) -> dict[str, object]:
    """A table's properties after a patch."""
    return patched_details(details, patch, _KEPT_TABLE)


def _etag(body: Body) -> str:
    packed = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=12).hexdigest()
