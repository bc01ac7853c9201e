"""What the sink knows of each feed's table: its columns and its parents, once for all feeds."""

from collections.abc import Mapping
from dataclasses import dataclass

from techmart_fast.records import CANDIDATES, FIELDS, KEY_FIELD, Feed

POSITION = ("source_ordinal", "source_offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A table that rows refer to by `column`. A `created` parent is inserted when it is new."""

    column: str
    table: str
    created: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How candidates of a feed become rows of `public.{feed}`.

    `content` decides whether two versions are equal. `derived` follows from the content, and is
    written with it; where `refreshes`, a change of a derived column alone is a change of the row,
    though the record still counts as a duplicate. `kept` is decided when a row is first loaded.
    `unstored` columns are not in the table, but candidates and held rows have them. `held`: rows
    without their parents are set aside (`techmart_loader.held_{feed}`).
    """

    feed: Feed
    content: tuple[str, ...]
    derived: tuple[str, ...]
    parents: tuple[Parent, ...]
    kept: str | None = None
    unstored: tuple[str, ...] = ()
    refreshes: bool = False
    held: bool = False
    date: str | None = None
    flag: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The table's name in schema `public`, and the warehouse's name of it."""
        return self.feed.value

    @property
    def key(self) -> str:
        """The primary key."""
        return KEY_FIELD[self.feed]

    @property
    def _kept(self) -> tuple[str, ...]:
        return (self.kept,) if self.kept else ()

    @property
    def stored(self) -> tuple[str, ...]:
        """Columns that come from a candidate, position included."""
        return (self.key, *self.content, *self.derived, *self._kept, *POSITION)

    @property
    def staged(self) -> tuple[str, ...]:
        """Columns of the staging table, after its row number and its marks."""
        return (*self.stored, *self.unstored)


def _rest(feed: Feed, *taken: str) -> tuple[str, ...]:
    """Columns of the feed's candidates that are neither fields, nor position, nor `taken`."""
    known = {*FIELDS[feed], *POSITION, *taken}
    return tuple(name for name in CANDIDATES[feed].names if name not in known)


def _content(feed: Feed) -> tuple[str, ...]:
    return tuple(name for name in FIELDS[feed] if name != KEY_FIELD[feed])


def table_of(feed: Feed) -> Table:
    """The table description of a feed."""
    return _TABLES[feed]


_STORED_OF_TRANSACTIONS = ("amount_usd", "transaction_date", "processing_priority")

_TABLES: Mapping[Feed, Table] = {
    Feed.USERS: Table(
        feed=Feed.USERS,
        content=_content(Feed.USERS),
        derived=_rest(Feed.USERS),
        parents=(),
        refreshes=True,
    ),
    Feed.PRODUCTS: Table(
        feed=Feed.PRODUCTS,
        content=_content(Feed.PRODUCTS),
        derived=(*_rest(Feed.PRODUCTS), "is_active"),
        parents=(
            Parent(column="category", table="categories", created=True),
            Parent(column="supplier_id", table="suppliers", created=True),
        ),
        refreshes=True,
    ),
    Feed.TRANSACTIONS: Table(
        feed=Feed.TRANSACTIONS,
        content=_content(Feed.TRANSACTIONS),
        derived=("amount_usd", "transaction_date"),
        kept="processing_priority",
        unstored=_rest(Feed.TRANSACTIONS, *_STORED_OF_TRANSACTIONS),
        parents=(
            Parent(column="user_id", table="users"),
            Parent(column="product_id", table="products"),
        ),
        held=True,
        date="transaction_date",
        flag=("payment_method_risk", "high"),
    ),
}
