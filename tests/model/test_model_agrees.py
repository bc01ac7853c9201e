"""Generator and model are written apart from each other, and must agree to the last cent."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.bundled import bundled
from techmart_fast.contract import default_contract
from techmart_fast.dev import Compression, FileFormat, ShopSpec, generate, parse_shares
from techmart_fast.records import Feed
from tests.model import ShopModel

FEEDS = (Feed.USERS, Feed.PRODUCTS, Feed.TRANSACTIONS)


def loaded(folder: Path, truth: dict[str, dict[str, list[str]]]) -> ShopModel:
    model = ShopModel(default_contract())
    for feed in FEEDS:
        model.feed(feed, *(folder / name for name in truth["files"][feed]))
    return model


def assert_agree(folder: Path, truth_name: str = "truth.json") -> ShopModel:
    truth = json.loads((folder / truth_name).read_text())
    model = loaded(folder, truth)
    for feed in FEEDS:
        assert model.counts[feed].six() == truth["feeds"][feed]
        assert model.counts[feed].corrected == truth["corrected"][feed]
        assert model.counts[feed].repaired == truth["repaired"][feed]
    days = model.daily_sales()
    assert {str(day["date"]): str(day["total_revenue"]) for day in days} == truth["revenue_usd"]
    assert {str(day): rows for day, rows in model.rejected_by_day.items()} == truth[
        "rejected_by_day"
    ]
    end = truth["end_state"]
    assert end["rows"] == {
        Feed.TRANSACTIONS: len(model.purchases),
        Feed.USERS: len(model.users),
        Feed.PRODUCTS: len(model.products),
    }
    assert Decimal(end["amount_usd"]) * 100 == sum(one.usd for one in model.purchases)
    for currency, amount in end["amount"].items():
        cents = sum(one.amount for one in model.purchases if one.currency == currency)
        assert Decimal(amount) * 100 == cents
    return model


@pytest.mark.parametrize(
    ("seed", "changes"),
    [
        (1, {"format": FileFormat.NDJSON}),
        (2, {"format": FileFormat.JSON, "defects": Decimal("0.3")}),
        (3, {"format": FileFormat.CSV, "defects": Decimal("0.3")}),
        (4, {"format": FileFormat.JSON, "split": 7, "random_ids": True}),
        (5, {"format": FileFormat.CSV, "compression": Compression.GZIP, "split": 2}),
        (6, {"compression": Compression.BZ2, "days": 3}),
        (7, {"defects": Decimal("0.5"), "shares": parse_shares(("corrections=1",))}),
        (8, {"defects": Decimal("0.5"), "shares": parse_shares(("structure=1",))}),
        (9, {"defects": Decimal("0.5"), "shares": parse_shares(("orphans=1",))}),
        (10, {"defects": Decimal("0.5"), "shares": parse_shares(("duplicates=1",))}),
        (11, {"transactions": 30, "users": 5, "products": 3, "defects": Decimal("0.4")}),
    ],
)
def test_the_model_finds_what_the_generator_put_in(
    tmp_path: Path, seed: int, changes: dict[str, object]
) -> None:
    sizes = {"transactions": 1_500, "users": 150, "products": 60}
    generate(ShopSpec(out=tmp_path, seed=seed, **(sizes | changes)))  # type: ignore[arg-type]
    assert_agree(tmp_path)


def test_the_sample_is_what_its_truth_says() -> None:
    model = assert_agree(bundled("data"), "sample_truth.json")
    assert_quality_passes(model)


@pytest.mark.parametrize(
    ("seed", "sizes"),
    [
        (1, {"transactions": 3_000, "users": 300, "products": 150}),
        (2, {"transactions": 1_000, "users": 100, "products": 20}),
        (3, {"transactions": 5_000, "users": 2_000, "products": 500}),
    ],
)
def test_the_default_defects_stay_within_the_thresholds(
    tmp_path: Path, seed: int, sizes: dict[str, int]
) -> None:
    truth = generate(ShopSpec(out=tmp_path, seed=seed, defects=Decimal("0.02"), **sizes))  # type: ignore[arg-type]
    files = {"files": {feed: list(names) for feed, names in truth.files.items()}}
    assert_quality_passes(loaded(tmp_path, files))  # type: ignore[arg-type]


def assert_quality_passes(model: ShopModel) -> None:
    for feed, scores in model.quality().items():
        for dimension, score in scores.items():
            threshold = getattr(default_contract().quality, dimension)
            assert score is None or score >= threshold, f"{feed} {dimension} {score}"
