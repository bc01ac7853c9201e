"""Enrichment: exact conversion, calendar, risk and tiers."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from techmart_fast.contract import Contract, default_contract, parse_contract
from techmart_fast.errors import ConfigError
from techmart_fast.records import CANDIDATES, Feed
from techmart_fast.transform import Enricher
from techmart_fast.validate import validate
from tests.validate.decoded import PRODUCT, TRANSACTION, USER, Record, decoded

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _enrich(
    feed: Feed, *records: Record, contract: Contract | None = None, tiers: pa.Table | None = None
) -> list[dict[str, object]]:
    rules = contract or default_contract()
    valid = validate(decoded(feed, records), rules, run_started=_NOW)
    assert valid.rejections.num_rows == 0
    batch = Enricher(rules, tiers=tiers).enrich(valid)
    assert batch.records.schema.equals(CANDIDATES[feed])
    rows: list[dict[str, object]] = batch.records.to_pylist()
    return rows


@settings(max_examples=50, deadline=None)
@given(
    amounts=st.lists(
        st.tuples(
            st.decimals(min_value="0.01", max_value="100000.00", places=2),
            st.sampled_from(["USD", "EUR", "GBP", "CAD"]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_amount_usd_is_rounded_once_half_away_from_zero(amounts: list[tuple[Decimal, str]]) -> None:
    units = {"USD": Decimal(1), "EUR": Decimal("0.85"), "GBP": Decimal("0.73")}
    units["CAD"] = Decimal("1.25")
    records = [
        {**TRANSACTION, "amount": str(amount), "currency": currency} for amount, currency in amounts
    ]
    expected = [
        (amount / units[currency]).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        for amount, currency in amounts
    ]
    assert [row["amount_usd"] for row in _enrich(Feed.TRANSACTIONS, *records)] == expected


def test_a_half_cent_goes_up() -> None:
    contract = parse_contract(
        '[[rates]]\ncurrency = "USD"\nsince = 2000-01-01\nunits_per_usd = 1\n'
        '[[rates]]\ncurrency = "EUR"\nsince = 2000-01-01\nunits_per_usd = 2\n',
        name="half",
    )
    records = [{**TRANSACTION, "amount": amount, "currency": "EUR"} for amount in ("0.01", "0.05")]
    rows = _enrich(Feed.TRANSACTIONS, *records, contract=contract)
    assert [row["amount_usd"] for row in rows] == [Decimal("0.01"), Decimal("0.03")]


def test_the_newest_rate_not_after_the_reporting_date_counts() -> None:
    contract = parse_contract(
        """
        reporting_time_zone = "America/New_York"
        [[rates]]
        currency = "USD"
        since = 2000-01-01
        units_per_usd = 1
        [[rates]]
        currency = "EUR"
        since = 2025-02-01
        units_per_usd = 0.5
        [[rates]]
        currency = "EUR"
        since = 2025-03-01
        units_per_usd = 0.25
        """,
        name="dated",
    )
    moments = ("2025-02-01T12:00:00Z", "2025-03-01T04:59:59Z", "2025-03-01T05:00:00Z")
    records = [{**TRANSACTION, "currency": "EUR", "timestamp": moment} for moment in moments]
    rows = _enrich(Feed.TRANSACTIONS, *records, contract=contract)
    assert [row["amount_usd"] for row in rows] == [Decimal(20), Decimal(20), Decimal(40)]
    too_early = {**TRANSACTION, "currency": "EUR", "timestamp": "2025-01-31T12:00:00Z"}
    with pytest.raises(ConfigError, match="no rate of EUR for 2025-01-31"):
        _enrich(Feed.TRANSACTIONS, too_early, contract=contract)
    (product,) = _enrich(Feed.PRODUCTS, {**PRODUCT, "currency": "EUR"}, contract=contract)
    assert product["price_usd"] == Decimal("199.96")


def test_a_conversion_beyond_64_bits_stays_exact() -> None:
    contract = parse_contract(
        '[[rates]]\ncurrency = "USD"\nsince = 2000-01-01\nunits_per_usd = 1.000000007\n',
        name="fine",
    )
    record = {**PRODUCT, "price": "9999999999.99"}
    (product,) = _enrich(Feed.PRODUCTS, record, contract=contract)
    exact = (Decimal("9999999999.99") / Decimal("1.000000007")).quantize(Decimal("0.01"))
    assert product["price_usd"] == exact


@settings(max_examples=40, deadline=None)
@given(
    moments=st.lists(
        st.datetimes(datetime(2000, 1, 2), datetime(2025, 12, 31), timezones=st.just(UTC)),
        min_size=1,
        max_size=20,
    ),
    zone=st.sampled_from(["UTC", "America/Sao_Paulo", "Asia/Kathmandu", "Europe/Berlin"]),
)
def test_date_hour_and_weekday_are_those_of_the_reporting_zone(
    moments: list[datetime], zone: str
) -> None:
    contract = parse_contract(f'reporting_time_zone = "{zone}"', name=zone)
    records = [{**TRANSACTION, "timestamp": moment.isoformat()} for moment in moments]
    rows = _enrich(Feed.TRANSACTIONS, *records, contract=contract)
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    assert [row["transaction_date"] for row in rows] == [moment.date() for moment in local]
    assert [row["transaction_hour"] for row in rows] == [moment.hour for moment in local]
    assert [row["day_of_week"] for row in rows] == [moment.isoweekday() for moment in local]


@pytest.mark.parametrize(
    ("amount", "method", "high", "risk"),
    [
        ("500.00", "apple_pay", False, "low"),
        ("500.01", "apple_pay", True, "high"),
        ("500.01", "credit_card", True, "low"),
        ("500.01", "paypal", True, "low"),
    ],
)
def test_high_value_by_another_method_is_a_risk(
    amount: str, method: str, high: bool, risk: str
) -> None:
    record = {**TRANSACTION, "amount": amount, "payment_method": method}
    (row,) = _enrich(Feed.TRANSACTIONS, record)
    assert (row["is_high_value"], row["payment_method_risk"]) == (high, risk)


def test_international_and_priority_follow_currency_and_tier() -> None:
    tiers = pa.table({"user_id": ["u1", "u2"], "customer_tier": ["vip", "premium"]})
    records = [
        {**TRANSACTION, "user_id": user, "currency": currency}
        for user, currency in (("u1", "USD"), ("u2", "EUR"), ("u3", "USD"))
    ]
    rows = _enrich(Feed.TRANSACTIONS, *records, tiers=tiers)
    assert [row["is_international"] for row in rows] == [False, True, False]
    assert [row["transaction_risk"] for row in rows] == ["low", "medium", "low"]
    assert [row["processing_priority"] for row in rows] == ["high", "medium", "standard"]
    assert [(row["source_ordinal"], row["source_offset"]) for row in rows] == [
        (7, 0),
        (7, 10),
        (7, 20),
    ]


@pytest.mark.parametrize(
    ("price", "stock", "tier", "status"),
    [
        ("49.99", "0", "budget", "out_of_stock"),
        ("50", "1", "mid_range", "low_stock"),
        ("199.99", "9", "mid_range", "low_stock"),
        ("200", "10", "premium", "in_stock"),
    ],
)
def test_products_have_a_price_tier_and_an_inventory_status(
    price: str, stock: str, tier: str, status: str
) -> None:
    (row,) = _enrich(Feed.PRODUCTS, {**PRODUCT, "price": price, "inventory_count": stock})
    assert (row["price_tier"], row["inventory_status"]) == (tier, status)


def test_users_have_the_region_of_their_country() -> None:
    rows = _enrich(Feed.USERS, USER, {**USER, "country": "mx"}, {**USER, "country": "NZ"})
    assert [row["region"] for row in rows] == ["europe", "north_america", "asia_pacific"]
    assert rows[0]["registration_date"] == date(2024, 5, 6)


def test_empty_batches_of_every_feed_are_enriched() -> None:
    for feed in Feed:
        assert _enrich(feed) == []


def test_rates_far_in_the_future_are_the_newest_for_products() -> None:
    later = (_NOW + timedelta(days=400)).date()
    contract = parse_contract(
        '[[rates]]\ncurrency = "USD"\nsince = 2000-01-01\nunits_per_usd = 1\n'
        f'[[rates]]\ncurrency = "USD"\nsince = {later}\nunits_per_usd = 2\n',
        name="later",
    )
    (product,) = _enrich(Feed.PRODUCTS, {**PRODUCT, "price": "10"}, contract=contract)
    assert product["price_usd"] == Decimal(5)
