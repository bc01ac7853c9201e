"""The data contract as frozen, validated values."""

import hashlib
import re
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.records import FIELDS, KEY_FIELD, Feed

STATUSES = ("pending", "completed", "failed", "refunded", "cancelled")
"""The statuses the analytics know; a shop's own words are mapped to them."""

PERMANENT_REQUIRED = {
    Feed.TRANSACTIONS: {"transaction_id", "user_id", "amount", "currency", "timestamp"}
    | {"payment_method", "status"},
    Feed.USERS: {"user_id", "email", "registration_date", "country"},
    Feed.PRODUCTS: {"product_id", "name", "price"},
}
"""Fields that no contract can make optional: the tables are NOT NULL there."""


def _known_zone(name: str) -> str:
    try:
        if name:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("is not a time zone name like 'America/Sao_Paulo'") from error
    return name


def _currency_code(text: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise ValueError("is not a currency code of three capital letters, like USD")
    return text


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names a value twice")
    return values


ZoneName = Annotated[str, AfterValidator(_known_zone)]
Code = Annotated[str, Field(min_length=1, max_length=64)]
Codes = Annotated[tuple[Code, ...], Field(min_length=1), AfterValidator(_distinct)]
CurrencyCode = Annotated[str, AfterValidator(_currency_code)]
Share = Annotated[Decimal, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Amount = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
OrdinalPolicy = Literal["run", "name"]
ChangedFilePolicy = Literal["reload", "refuse"]


_NOT_OF_RECORDS = {"api", "changed_file"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Rate(_Part):
    """Units of `currency` per US dollar from `since` (a reporting date) on."""

    currency: CurrencyCode
    since: date
    units_per_usd: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=9)]


class FeedRules(_Part):
    """What every feed has: required fields, renames, value maps, order of files, perhaps an API.

    `changed_file`: what becomes of a file whose name is known with another content.
    """

    required: Codes
    max_id_length: Annotated[int, Field(ge=1, le=64)]
    ordinal: OrdinalPolicy
    changed_file: ChangedFilePolicy
    sla_hours: Annotated[Decimal, Field(gt=0)] | None = None
    fields: dict[str, Code] = {}
    values: dict[str, dict[str, str]] = {}
    api: Endpoint | None = None

    @field_validator("values")
    @classmethod
    def _of_any_case(cls, values: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        # The feed's words are looked up in lower case.
        return {
            field: {word.strip().lower(): code for word, code in words.items()}
            for field, words in values.items()
        }

    def source_name(self, field: str) -> str:
        """The name that `field` has in the feed."""
        return self.fields.get(field, field)


class TransactionRules(FeedRules):
    """Limits and sets of the transactions feed."""

    min_amount: Amount
    max_amount: Amount
    payment_methods: Codes
    earliest: date
    future_hours: Annotated[int, Field(ge=0)]
    time_zone: ZoneName
    high_value_usd: Amount
    low_risk_payment_methods: tuple[Code, ...]


class UserRules(FeedRules):
    """Sets and defaults of the users feed."""

    age_groups: Codes
    customer_tiers: Codes
    default_customer_tier: Code


class ProductRules(FeedRules):
    """Defaults and tiers of the products feed."""

    default_category: Code
    default_supplier_id: Code
    catalogue: Literal["partial", "complete"]
    low_stock_below: Annotated[int, Field(ge=1)]
    mid_range_from_usd: Amount
    premium_from_usd: Amount


class RfmThresholds(_Part):
    """Limits for a score of 3 and of 2; below them the score is 1."""

    recency_days: tuple[Count, Count]
    frequency_orders: tuple[Count, Count]
    monetary_usd: tuple[Decimal, Decimal]


class AnalyticsRules(_Part):
    """Parameters of the rollup formulas."""

    cost_ratio: Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=4)]
    operating_expense_ratio: Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=4)]
    high_value_customer_usd: Amount
    churn_days: Annotated[int, Field(ge=1, le=36_525)]
    trend_days: Annotated[int, Field(ge=1, le=36_525)]
    high_performance_usd: Amount
    medium_performance_usd: Amount
    rfm: RfmThresholds


class QualityThresholds(_Part):
    """The score from which each dimension passes."""

    completeness: Share
    accuracy: Share
    consistency: Share
    validity: Share
    uniqueness: Share
    timeliness: Share
    warn_margin: Share


class Contract(_Part):
    """A shop's data contract.

    Contracts that take the same records for valid, and compute the same of them, have equal
    `version`s: where records come from, and which files are refused, is not part of it.
    """

    name: Code
    base_currency: CurrencyCode
    reporting_time_zone: ZoneName
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)]
    transactions: TransactionRules
    users: UserRules
    products: ProductRules
    analytics: AnalyticsRules
    quality: QualityThresholds

    @cached_property
    def version(self) -> str:
        """Hex digest of the rules and parameters (it is part of every batch's identity)."""
        said = self.model_dump_json(exclude={feed.value: _NOT_OF_RECORDS for feed in Feed})
        return hashlib.sha256(said.encode()).hexdigest()

    @cached_property
    def currencies(self) -> tuple[str, ...]:
        """Currencies that have a rate, sorted."""
        return tuple(sorted({rate.currency for rate in self.rates}))

    def with_api(self, feed: Feed, endpoint: Endpoint) -> Self:
        """The same contract, with another description of a feed's API."""
        rules = self.rules(feed).model_copy(update={"api": endpoint})
        return self.model_copy(update={feed.value: rules})

    def rules(self, feed: Feed) -> FeedRules:
        """The rules of one feed."""
        rules: dict[Feed, FeedRules] = {
            Feed.TRANSACTIONS: self.transactions,
            Feed.USERS: self.users,
            Feed.PRODUCTS: self.products,
        }
        return rules[feed]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for feed in Feed:
            self._check_feed(feed)
        if self.base_currency not in self.currencies:
            raise ValueError(f"base_currency {self.base_currency} has no rate")
        seen = {(rate.currency, rate.since) for rate in self.rates}
        if len(seen) != len(self.rates):
            raise ValueError("rates: two rates of one currency start on the same day")
        if self.transactions.min_amount > self.transactions.max_amount:
            raise ValueError("transactions.min_amount is above max_amount")
        if self.users.default_customer_tier not in self.users.customer_tiers:
            raise ValueError("users.default_customer_tier is not among customer_tiers")
        return self

    def _check_feed(self, feed: Feed) -> None:
        rules, known = self.rules(feed), FIELDS[feed]
        named = {"required": rules.required, "fields": rules.fields, "values": rules.values}
        for key, names in named.items():
            for name in names:
                if name not in known:
                    choices = ", ".join(known)
                    raise ValueError(f"{feed}.{key}: no field '{name}' (there are {choices})")
        if missing := PERMANENT_REQUIRED[feed] - set(rules.required):
            raise ValueError(f"{feed}.required must name {', '.join(sorted(missing))}")
        if KEY_FIELD[feed] in rules.values:
            raise ValueError(f"{feed}.values: an id can't be mapped")
        names_in_feed = [rules.source_name(name) for name in known]
        if len(set(names_in_feed)) != len(names_in_feed):
            raise ValueError(f"{feed}.fields: two fields read the same name of the feed")
        if feed is Feed.TRANSACTIONS:
            for value in rules.values.get("status", {}).values():
                if value not in STATUSES:
                    raise ValueError(f"transactions.values.status: '{value}' is not a status")
