"""Names of datasets and tables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from techmart_fast.standin.failure import ServiceError

DATASET_NAME = re.compile(r"[A-Za-z0-9_]{1,1024}")
TABLE_NAME = re.compile(r"[\w\- ]{1,1024}")


@dataclass(frozen=True, slots=True, order=True)
class DatasetRef:
    """Name of a dataset."""

    project: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}"

    @property
    def schema(self) -> str:
        """The DuckDB schema that holds the dataset's tables."""
        return f"{self.project}.{self.dataset}"


@dataclass(frozen=True, slots=True, order=True)
class TableRef:
    """Name of a table or view."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"

    @property
    def parent(self) -> DatasetRef:
        """The dataset that it is in."""
        return DatasetRef(self.project, self.dataset)

    def body(self) -> dict[str, str]:
        """The API's `TableReference`."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}


def table_ref(body: object, *, project: str) -> TableRef:
    """A `TableReference` of the API.

    Raises:
        ServiceError: a part of the name is missing or impossible.
    """
    parts = body if isinstance(body, Mapping) else {}
    ref = TableRef(
        str(parts.get("projectId") or project),
        str(parts.get("datasetId") or ""),
        str(parts.get("tableId") or ""),
    )
    if not DATASET_NAME.fullmatch(ref.dataset):
        raise ServiceError("invalid", f'Invalid dataset ID "{ref.dataset}".')
    return ref


def checked_table_name(ref: TableRef) -> TableRef:
    """The name itself, if a table may bear it."""
    if not TABLE_NAME.fullmatch(ref.table):
        raise ServiceError("invalid", f'Invalid table ID "{ref.table}".')
    return ref
