"""The rules of users and products."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from techmart_fast.contract import default_contract, region_by_country
from techmart_fast.records import Feed
from techmart_fast.validate import ValidatedBatch, validate
from tests.validate.decoded import PRODUCT, USER, Record, decoded

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _validate(feed: Feed, base: Record, change: Record) -> ValidatedBatch:
    batch = decoded(feed, [{**base, **change}])
    return validate(batch, default_contract(), run_started=_NOW)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"user_id": ""}, "missing_field"),
        ({"email": None}, "missing_field"),
        ({"email": "ann.example.com"}, "invalid_email"),
        ({"email": "ann@@example.com"}, "invalid_email"),
        ({"email": "ann@localhost"}, "invalid_email"),
        ({"email": "ann@example..com"}, "invalid_email"),
        ({"email": "an n@example.com"}, "invalid_email"),
        ({"email": "x" * 1000 + "@example.com"}, "value_too_long"),
        ({"registration_date": "2024-02-29"}, None),
        ({"registration_date": "2023-02-29"}, "invalid_date"),
        ({"registration_date": "06/05/2024"}, "invalid_date"),
        ({"country": "XX"}, "unknown_country"),
        ({"country": "USA"}, "unknown_country"),
        ({"age_group": ""}, None),
        ({"age_group": "12-17"}, "unknown_age_group"),
        ({"customer_tier": "gold"}, "unknown_customer_tier"),
    ],
)
def test_users_are_judged_by_their_rules(change: Record, code: str | None) -> None:
    codes = _validate(Feed.USERS, USER, change).rejections.column("code").to_pylist()
    assert codes == ([code] if code else [])


def test_a_users_gaps_are_filled_and_codes_repaired() -> None:
    batch = _validate(Feed.USERS, USER, {"country": " de", "customer_tier": None, "age_group": " "})
    assert batch.records.to_pylist() == [
        {
            "user_id": "u1",
            "email": "ann@example.com",
            "registration_date": date(2024, 5, 6),
            "country": "DE",
            "age_group": None,
            "customer_tier": "standard",
            "source_offset": 0,
        }
    ]
    assert batch.repairs == {"country": 1}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"name": None}, "missing_field"),
        ({"price": "0"}, "price_not_positive"),
        ({"price": "-1"}, "price_not_positive"),
        ({"price": "0.001"}, "price_not_positive"),
        ({"price": "1.999"}, "amount_precision"),
        ({"price": "free"}, "not_a_number"),
        ({"inventory_count": "-1"}, "invalid_inventory"),
        ({"inventory_count": "1.5"}, "invalid_inventory"),
        ({"inventory_count": "3.0"}, None),
        ({"currency": "JPY"}, "unknown_currency"),
        ({"supplier_id": "s" * 65}, "id_too_long"),
    ],
)
def test_products_are_judged_by_their_rules(change: Record, code: str | None) -> None:
    codes = _validate(Feed.PRODUCTS, PRODUCT, change).rejections.column("code").to_pylist()
    assert codes == ([code] if code else [])


def test_a_products_gaps_are_filled() -> None:
    gaps = {"category": "", "currency": None, "inventory_count": None, "supplier_id": " "}
    (product,) = _validate(Feed.PRODUCTS, PRODUCT, gaps).records.to_pylist()
    assert product["category"] == "uncategorised"
    assert product["currency"] == "USD"
    assert product["inventory_count"] == 0
    assert product["supplier_id"] == "unknown"
    assert product["price"] == Decimal("49.99")


def test_every_country_has_a_region_of_the_four() -> None:
    regions = region_by_country()
    assert len(regions) == 249
    assert set(regions.values()) == {"north_america", "europe", "asia_pacific", "other"}
    assert [code for code, region in regions.items() if region == "north_america"] == [
        "CA",
        "MX",
        "US",
    ]
    assert regions["GB"] == "europe"
    assert regions["AU"] == "asia_pacific"
    assert regions["BR"] == "other"
