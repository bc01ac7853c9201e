"""The model of a shop: feeds go in, counts and the end state come out."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from techmart_fast.contract import Contract, region_by_country
from techmart_fast.reasons import REASONS, ReasonKind
from techmart_fast.records import Feed
from tests.model import rollups
from tests.model.exact import UsdRates, ratio
from tests.model.reading import read_bytes, records
from tests.model.rules import Checked, Content, Rejection, Rules


class User(NamedTuple):
    """A user of the end state."""

    email: str
    registration_date: date
    country: str
    age_group: str | None
    customer_tier: str


class Product(NamedTuple):
    """A product of the end state; `price` in cents of its currency."""

    name: str
    category: str
    price: int
    currency: str
    inventory_count: int
    supplier_id: str


class Purchase(NamedTuple):
    """A transaction of the end state, enriched. Money is in cents."""

    transaction_id: str
    user_id: str
    product_id: str | None
    amount: int
    currency: str
    timestamp: datetime
    payment_method: str
    status: str
    day: date
    usd: int


@dataclass
class Counts:
    """What became of the records of one feed."""

    read: int = 0
    loaded: int = 0
    rejected: int = 0
    held: int = 0
    duplicate: int = 0
    corrected: int = 0
    repaired: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)

    def six(self) -> dict[str, object]:
        """The counts that `truth.json` and `run --json` have."""
        return {
            "read": self.read,
            "loaded": self.loaded,
            "rejected": self.rejected,
            "held": self.held,
            "duplicate": self.duplicate,
            "rejected_by_reason": dict(sorted(self.rejected_by_reason.items())),
        }


_Chain = list[Content]
"""Versions of one id, oldest first: from the newest that could load at once to the latest."""


class ShopModel:
    """Loads feed files in the order in which they are given and computes every rollup.

    Files of one feed must be given in the order of their ordinals. A file with the content of an
    earlier one of its feed changes nothing: its good records are duplicates.
    """

    def __init__(self, contract: Contract, *, run_started: datetime | None = None) -> None:
        self.contract = contract
        started = run_started or datetime.now(UTC)
        self.counts = {feed: Counts() for feed in Feed}
        self.rejected_by_day: Counter[date] = Counter()
        self._rules = {feed: Rules(feed, contract, started) for feed in Feed}
        self._chains: dict[Feed, dict[str, _Chain]] = {feed: {} for feed in Feed}
        self._usd = UsdRates(contract)
        self._known: set[tuple[Feed, bytes]] = set()

    def feed(self, feed: Feed | str, *paths: Path) -> None:
        """Load files of one feed, after everything that was loaded before."""
        feed = Feed(feed)
        for path in paths:
            stored = hashlib.sha256(path.read_bytes()).digest()
            again = (feed, stored) in self._known
            self._known.add((feed, stored))
            self._load(feed, read_bytes(path), again=again)
        for name in ("users", "products", "purchases", "as_of"):
            self.__dict__.pop(name, None)

    def _load(self, feed: Feed, data: bytes, *, again: bool) -> None:
        counts, rules = self.counts[feed], self._rules[feed]
        for raw in records(data):
            counts.read += 1
            outcome = Rejection(raw) if isinstance(raw, str) else rules.judge(raw)
            if isinstance(outcome, Rejection):
                counts.rejected += 1
                counts.rejected_by_reason[outcome.code] += 1
                if outcome.day is not None and not again:
                    self.rejected_by_day[outcome.day] += 1
                continue
            counts.repaired += outcome.repaired
            if again:
                counts.duplicate += 1
            else:
                self._place(feed, outcome, counts)

    def _place(self, feed: Feed, record: Checked, counts: Counts) -> None:
        chain = self._chains[feed].setdefault(record.key, [])
        if chain and chain[-1] == record.content:
            counts.duplicate += 1
        elif not self._parents_exist(feed, record.content):
            counts.held += 1
            chain.append(record.content)
        else:
            counts.loaded += 1
            counts.corrected += self._standing(feed, chain) is not None
            chain[:] = [record.content]

    def _parents_exist(self, feed: Feed, content: Content) -> bool:
        if feed is not Feed.TRANSACTIONS:
            return True
        user, product = content[0], content[1]
        return user in self._chains[Feed.USERS] and (
            product is None or product in self._chains[Feed.PRODUCTS]
        )

    def _standing(self, feed: Feed, chain: _Chain) -> Content | None:
        """The newest version whose parents exist."""
        for content in reversed(chain):
            if self._parents_exist(feed, content):
                return content
        return None

    @cached_property
    def users(self) -> dict[str, User]:
        """Users of the end state, by id."""
        chains = self._chains[Feed.USERS]
        return {key: User(*chain[-1]) for key, chain in chains.items()}  # type: ignore[arg-type]

    @cached_property
    def products(self) -> dict[str, Product]:
        """Products of the end state, by id."""
        chains = self._chains[Feed.PRODUCTS]
        return {key: Product(*chain[-1]) for key, chain in chains.items()}  # type: ignore[arg-type]

    @cached_property
    def purchases(self) -> list[Purchase]:
        """Transactions of the end state, enriched."""
        return list(self._end_state())

    def _end_state(self) -> Iterator[Purchase]:
        rules = self._rules[Feed.TRANSACTIONS]
        for key, chain in self._chains[Feed.TRANSACTIONS].items():
            content = self._standing(Feed.TRANSACTIONS, chain)
            if content is not None:
                _, _, amount, currency, timestamp, *_ = content
                day = rules.day_of(timestamp)  # type: ignore[arg-type]
                usd = self._usd.cents(amount, currency, day)  # type: ignore[arg-type]
                yield Purchase(key, *content, day, usd)  # type: ignore[arg-type, call-arg]

    @cached_property
    def as_of(self) -> date | None:
        """The newest transaction date of any status."""
        return max((purchase.day for purchase in self.purchases), default=None)

    def region(self, purchase: Purchase) -> str:
        """Sales region of the buyer."""
        return region_by_country()[self.users[purchase.user_id].country]

    def price_usd(self, product: Product) -> int:
        """A product's price in cents of USD, by the newest rate."""
        return self._usd.cents(product.price, product.currency, date.max)

    def is_active(self, _product_id: str) -> bool:
        """All products are active: the model knows no complete catalogues."""
        return True

    def quality(self) -> dict[str, dict[str, Decimal | None]]:
        """Score of each dimension, by feed (exact shares to 28 digits, None without a case)."""
        return {feed.value: self._quality(feed) for feed in Feed}

    def _quality(self, feed: Feed) -> dict[str, Decimal | None]:
        counts, rules = self.counts[feed], self._rules[feed]
        wrong = sum(
            number
            for code, number in counts.rejected_by_reason.items()
            if REASONS[code].kind is ReasonKind.VALUE
        )
        return {
            "completeness": ratio(rules.filled, rules.expected),
            "accuracy": ratio(counts.read - wrong, counts.read),
            "consistency": ratio(counts.loaded, counts.loaded + counts.held),
            "validity": self._validity(feed),
            "uniqueness": ratio(counts.read - counts.duplicate, counts.read),
        }

    def _validity(self, feed: Feed) -> Decimal | None:
        """Share of unflagged records; of the end state, which is all but the loaded ones."""
        if feed is not Feed.TRANSACTIONS:
            return None
        limits = self.contract.transactions
        flagged = sum(
            purchase.usd > limits.high_value_usd * 100
            and purchase.payment_method not in limits.low_risk_payment_methods
            for purchase in self.purchases
        )
        return ratio(len(self.purchases) - flagged, len(self.purchases))

    def daily_sales(self) -> list[dict[str, object]]:
        """`daily_sales_summary`, by date."""
        return rollups.daily_sales(self)

    def user_analytics(self) -> list[dict[str, object]]:
        """`user_analytics` without the masked mail, by user_id."""
        return rollups.user_analytics(self)

    def product_performance(self) -> list[dict[str, object]]:
        """`product_performance`, by product_id."""
        return rollups.product_performance(self)

    def financial_reports(self) -> list[dict[str, object]]:
        """`financial_reports`, by report_type and period_start."""
        return rollups.financial_reports(self)
