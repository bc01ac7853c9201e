"""What is remembered of a page that is stored: a line of the fetch folder's journal."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from techmart_fast.sources.api.shape import Shape


class Entry(BaseModel):
    """One stored page.

    Attributes:
        page: its number, from 1.
        offset, size_bytes, sha256: where its lines are in the spool, and what they are.
        records, total_records, total_pages, newest, shape: see `PageContent`.
        following: the cursor or the absolute address of the next page.
        etag, last_modified: validators of the answer.
        ends: the service said that this is the last page.
        absent: the service said that there is no such page.
        served_at: when the service answered, by its own clock, to the second.
        like: in the journal, the page whose shape this one has, too; `shape` is empty then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: int
    offset: int
    size_bytes: int
    sha256: str
    records: int
    total_records: int | None
    total_pages: int | None
    following: str | None
    newest: datetime | None
    shape: Shape
    etag: str | None
    last_modified: str | None
    ends: bool
    absent: bool = False
    served_at: datetime | None = None
    like: int | None = None
