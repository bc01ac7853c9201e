"""What a valid record is: raw values to a tuple of content, or the first reason why not."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from techmart_fast.contract import STATUSES, Contract, region_by_country
from techmart_fast.records import FIELDS, NUMERIC_FIELDS, Feed
from tests.model.reading import Number, Raw

MAX_TEXT = 1_000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_Value = TypeVar("_Value")
Content = tuple[object, ...]


class Refused(Exception):  # noqa: N818 - a verdict, not an error
    """Why a value is refused."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """The first reason against a record, and its day where that counts."""

    code: str
    day: date | None = None


@dataclass
class Checked:
    """A valid record's content, without its id; `repaired` counts trimmed and re-cased values."""

    key: str
    content: Content
    repaired: int = 0


@dataclass
class Rules:
    """Judges the records of one feed. `filled` and `expected` count required fields."""

    feed: Feed
    contract: Contract
    run_started: datetime
    expected: int = 0
    filled: int = 0
    spellings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rules = self.contract.rules(self.feed)
        self._zone = ZoneInfo(self.contract.reporting_time_zone)
        self._numeric = NUMERIC_FIELDS[self.feed]
        self._sources = {name: self._rules.source_name(name) for name in FIELDS[self.feed]}
        limits = self.contract.transactions
        self._earliest = datetime.combine(limits.earliest, time(), UTC)
        self._latest = self.run_started + timedelta(hours=limits.future_hours)
        self._local = ZoneInfo(limits.time_zone) if limits.time_zone else None
        self._readers = _READERS[self.feed]
        self._codes: dict[str, Mapping[str, str]] = {
            name: {code.lower(): code for code in codes}
            for name, codes in _code_sets(self.contract)[self.feed].items()
        }

    def judge(self, raw: Raw) -> Checked | Rejection:
        """The content of a record, or why it is rejected."""
        values: dict[str, str | None] = {}
        repaired = 0
        for name, source in self._sources.items():
            given = raw.get(source)
            if given is None:
                values[name] = None
                continue
            if type(given) is not str and not (type(given) is Number and name in self._numeric):
                return Rejection("wrong_type")
            if "\0" in given:
                return Rejection("nul_character")
            trimmed = given.strip()
            repaired += bool(trimmed) and trimmed != given
            values[name] = trimmed or None
        self.expected += len(self._rules.required)
        self.filled += sum(values[name] is not None for name in self._rules.required)
        content: list[object] = []
        for name, text in values.items():
            if text is None and name in self._rules.required:
                return Rejection("missing_field", self._day(values))
            try:
                content.append(self._readers[name](self, name, text))
            except Refused as reason:
                return Rejection(str(reason), self._day(values))
            # Trimmed values are counted above.
            repaired += text == raw.get(self._sources[name]) and self._recased(name, text)
        return Checked(str(content[0]), tuple(content[1:]), repaired)

    def day_of(self, moment: datetime) -> date:
        """Reporting date of a moment."""
        return moment.astimezone(self._zone).date()

    def _day(self, values: Mapping[str, str | None]) -> date | None:
        if self.feed is not Feed.TRANSACTIONS or values["timestamp"] is None:
            return None
        try:
            return self.day_of(self.instant("timestamp", values["timestamp"]))
        except Refused:
            return None

    def _recased(self, name: str, text: str | None) -> bool:
        if name not in self._codes or text is None:
            return False
        mapped = self._rules.values.get(name, {}).get(text.lower())
        return mapped is None and self._codes[name].get(text.lower()) != text

    def _same(self, text: str) -> str:
        """One object for equal texts, to spare memory."""
        return self.spellings.setdefault(text, text)

    def _mapped(self, name: str, text: str | None) -> str | None:
        if text is None:
            return None
        return self._rules.values.get(name, {}).get(text.lower(), text)

    def identifier(self, name: str, text: str | None) -> str | None:
        """An id."""
        if text is not None and len(text) > self._rules.max_id_length:
            raise Refused("id_too_long")
        return text if text is None else self._same(text)

    def text(self, name: str, text: str | None) -> str | None:
        """Free text."""
        text = self._mapped(name, text)
        if text is not None and len(text) > MAX_TEXT:
            raise Refused("value_too_long")
        return text

    def code(self, name: str, text: str | None) -> str | None:
        """One of a closed set."""
        text = self._mapped(name, text)
        if text is None:
            return None
        known = self._codes[name].get(text.lower())
        if known is None:
            raise Refused(f"unknown_{name}")
        return known

    def amount(self, _: str, text: str | None) -> int:
        """An amount in cents."""
        limits = self.contract.transactions
        return _cents(_number(text), limits.min_amount, limits.max_amount, "amount_out_of_range")

    def price(self, _: str, text: str | None) -> int:
        """A price in cents."""
        number = _number(text)
        return _cents(number, Decimal("0.01"), Decimal("9999999999.99"), "price_not_positive")

    def inventory(self, _: str, text: str | None) -> int:
        """Pieces in stock; empty means 0."""
        if text is None:
            return 0
        try:
            number = _number(text)
        except Refused:
            raise Refused("invalid_inventory") from None
        if number < 0 or number != number.to_integral_value():
            raise Refused("invalid_inventory")
        return int(number)

    def instant(self, _: str, text: str | None) -> datetime:
        """A timestamp in UTC."""
        if text is None or not _INSTANT.fullmatch(text):
            raise Refused("invalid_timestamp")
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                if self._local is None:
                    raise Refused("timestamp_without_offset")
                naive, moment = moment, moment.replace(tzinfo=self._local)
                if moment.astimezone(UTC).astimezone(self._local).replace(tzinfo=None) != naive:
                    raise Refused("timestamp_in_gap")
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise Refused("invalid_timestamp") from None
        if not self._earliest <= moment <= self._latest:
            raise Refused("timestamp_out_of_range")
        return moment

    def day(self, _: str, text: str | None) -> date:
        """A calendar date."""
        if text is None or not _DAY.fullmatch(text):
            raise Refused("invalid_date")
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise Refused("invalid_date") from None

    def email(self, name: str, text: str | None) -> str:
        """An e-mail address: one @, a dot in the domain."""
        address = self.text(name, text) or ""
        person, at, domain = address.partition("@")
        labels = domain.split(".")
        whole = person and at and "@" not in domain and len(labels) > 1 and all(labels)
        if not whole or any(mark.isspace() for mark in address):
            raise Refused("invalid_email")
        return address

    def tier(self, name: str, text: str | None) -> str:
        """A customer tier; empty means the default one."""
        return self.code(name, text) or self.contract.users.default_customer_tier

    def category(self, name: str, text: str | None) -> str:
        """A category; empty means the default one."""
        return self.text(name, text) or self.contract.products.default_category

    def supplier(self, name: str, text: str | None) -> str:
        """A supplier's id; empty means the default one."""
        return self.identifier(name, text) or self.contract.products.default_supplier_id

    def price_currency(self, name: str, text: str | None) -> str:
        """A price's currency; empty means the base currency."""
        return self.code("currency", text) or self.contract.base_currency


def _number(text: str | None) -> Decimal:
    if text is None or not _NUMBER.fullmatch(text):
        raise Refused("not_a_number")
    return Decimal(text)


def _cents(number: Decimal, least: Decimal, most: Decimal, code: str) -> int:
    if not least <= number <= most:
        raise Refused(code)
    cents = number * 100
    if cents != cents.to_integral_value():
        raise Refused("amount_precision")
    return int(cents)


def _code_sets(contract: Contract) -> dict[Feed, dict[str, Iterable[str]]]:
    return {
        Feed.TRANSACTIONS: {
            "currency": contract.currencies,
            "payment_method": contract.transactions.payment_methods,
            "status": STATUSES,
        },
        Feed.USERS: {
            "country": region_by_country(),
            "age_group": contract.users.age_groups,
            "customer_tier": contract.users.customer_tiers,
        },
        Feed.PRODUCTS: {"currency": contract.currencies},
    }


_READERS: dict[Feed, dict[str, Callable[[Rules, str, str | None], object]]] = {
    Feed.TRANSACTIONS: {
        "transaction_id": Rules.identifier,
        "user_id": Rules.identifier,
        "product_id": Rules.identifier,
        "amount": Rules.amount,
        "currency": Rules.code,
        "timestamp": Rules.instant,
        "payment_method": Rules.code,
        "status": Rules.code,
    },
    Feed.USERS: {
        "user_id": Rules.identifier,
        "email": Rules.email,
        "registration_date": Rules.day,
        "country": Rules.code,
        "age_group": Rules.code,
        "customer_tier": Rules.tier,
    },
    Feed.PRODUCTS: {
        "product_id": Rules.identifier,
        "name": Rules.text,
        "category": Rules.category,
        "price": Rules.price,
        "currency": Rules.price_currency,
        "inventory_count": Rules.inventory,
        "supplier_id": Rules.supplier,
    },
}
