"""What the warehouse is asked to load, and what it answers: parts, load groups, results."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from techmart_fast.records import SpooledFile

_PARTS_OF_ONE_SIZE = 300
_GROUP_ID = re.compile(r"[a-z0-9_]{1,64}")
_JOB_ID = re.compile(
    r"techmart_load_(?P<table>users|products|transactions|rejected_transactions)"
    r"_(?P<group>[a-z0-9_]{1,64})_(?P<attempt>[0-9]+)_(?P<part>[0-9]+)"
)


class LoadTable(StrEnum):
    """Tables that rows are loaded into; a spooled file names one of them."""

    USERS = "users"
    PRODUCTS = "products"
    TRANSACTIONS = "transactions"
    REJECTED_TRANSACTIONS = "rejected_transactions"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPart:
    """What one load job carries: some spooled files of one table, into its group's staging table.

    `group_id` (lower case letters, digits, `_`; at most 64) with `attempt` names the staging table;
    both with `part` name the job. Store the part before loading it: the same four values must
    always stand for the same members.
    """

    group_id: str
    table: LoadTable
    part: int
    members: tuple[SpooledFile, ...]
    attempt: int = 1

    def __post_init__(self) -> None:
        if not _GROUP_ID.fullmatch(self.group_id):
            raise ValueError(f"not a load group id: {self.group_id!r}")
        if not self.members or any(member.table != self.table for member in self.members):
            raise ValueError(f"a load part of {self.table} needs members of that table")

    @property
    def rows(self) -> int:
        """Rows of all members."""
        return sum(member.rows for member in self.members)

    @property
    def size_bytes(self) -> int:
        """Parquet bytes of all members."""
        return sum(member.size_bytes for member in self.members)

    @property
    def staging_table(self) -> str:
        """Staging table of the part's group and attempt."""
        return f"staging_{self.table}_{self.group_id}_{self.attempt}"

    @property
    def job_id(self) -> str:
        """The load job's id, the same whenever the same part is loaded."""
        return f"techmart_load_{self.table}_{self.group_id}_{self.attempt}_{self.part}"

    @classmethod
    def of_job(cls, job_id: str, members: tuple[SpooledFile, ...]) -> "LoadPart":
        """The part that a stored job id names.

        Raises:
            ValueError: it is no id of a load job, or of other members.
        """
        job = _JOB_ID.fullmatch(job_id)
        if job is None:
            raise ValueError(f"not the id of a load job: {job_id!r}")
        return cls(
            group_id=job["group"],
            table=LoadTable(job["table"]),
            part=int(job["part"]),
            attempt=int(job["attempt"]),
            members=members,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadGroup:
    """A sealed group: every part of it is loaded, and it is merged as one.

    `other_dates` are the dates at which rows of this group stood in the warehouse before (the
    outbox entries know them, as PostgreSQL saw the rows move). Without them a moved row would be
    inserted a second time. With the dates of *all* open groups of its table, a group may be merged
    in any order, and again.
    """

    parts: tuple[LoadPart, ...]
    other_dates: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if len({(part.table, part.group_id, part.attempt) for part in self.parts}) != 1:
            raise ValueError("a load group needs parts, all of one table, group and attempt")
        if len({part.part for part in self.parts}) != len(self.parts):
            raise ValueError("two parts of a load group have the same number")

    @property
    def group_id(self) -> str:
        """The id that all parts share."""
        return self.parts[0].group_id

    @property
    def table(self) -> LoadTable:
        """The table that all parts share."""
        return self.parts[0].table

    @property
    def attempt(self) -> int:
        """The attempt that all parts share."""
        return self.parts[0].attempt

    @property
    def staging_table(self) -> str:
        """The staging table that all parts share."""
        return self.parts[0].staging_table

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def dates(self) -> frozenset[date]:
        """Every date at which a row of the group stands or stood; empty for the dimensions."""
        own = (day for part in self.parts for member in part.members for day in member.dates)
        return frozenset(own) | self.other_dates


def split_parts(
    members: Iterable[SpooledFile], *, load_job_bytes: int
) -> tuple[tuple[SpooledFile, ...], ...]:
    """Cut files, in their order, into runs of about `load_job_bytes`: one load job's share each.

    A file that is larger alone makes a share of its own.
    """
    shares: list[tuple[SpooledFile, ...]] = []
    share: list[SpooledFile] = []
    size = 0
    for member in members:
        if share and size + member.size_bytes > load_job_bytes:
            shares.append(tuple(share))
            share, size = [], 0
        share.append(member)
        size += member.size_bytes
    if share:
        shares.append(tuple(share))
    return tuple(shares)


def part_bytes(part: int, load_job_bytes: int) -> int:
    """Parquet bytes of a group's part number `part`: twice as many after every 300 parts.

    BigQuery takes 1,500 load jobs a day into one table, failed ones too. Every attempt of a run's
    group has a staging table of its own, so only one run's parts count: at 16 MiB, 1,500 of them
    carry 150 GB, which is thousands of millions of transactions.
    https://cloud.google.com/bigquery/quotas#load_jobs
    """
    return load_job_bytes << part // _PARTS_OF_ONE_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCost:
    """What a number of jobs took. `bytes_billed` counts queries only: load jobs are free."""

    jobs: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    bytes_loaded: int = 0

    def __add__(self, other: "JobCost") -> "JobCost":
        return JobCost(
            jobs=self.jobs + other.jobs,
            bytes_processed=self.bytes_processed + other.bytes_processed,
            bytes_billed=self.bytes_billed + other.bytes_billed,
            bytes_loaded=self.bytes_loaded + other.bytes_loaded,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The PostgreSQL database that a dataset belongs to.

    `has_published`: some warehouse was told of rows of it, be it this dataset or another.
    """

    database_id: UUID
    has_published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensured:
    """What `ensure` had to do: names of tables and views made, and of those changed."""

    created: tuple[str, ...] = ()
    migrated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPart:
    """A part whose job ended well. `repeated`: it had been loaded before, and was only verified."""

    job_id: str
    rows: int
    repeated: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedGroup:
    """A merged group. `written` counts rows inserted or replaced (0: all were there, or newer)."""

    group_id: str
    table: LoadTable
    rows: int
    written: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh recomputed: `dates` of the partials, `days` of the daily rollups, periods.

    `as_of` is the newest transaction date of any status, None without transactions. `expired`
    counts days that were touched and could not be recomputed, as their facts are gone.
    """

    as_of: date | None
    dates: int
    days: int
    periods: int
    seconds: float
    expired: int = 0
