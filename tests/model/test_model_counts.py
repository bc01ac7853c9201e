"""The model counts, folds and holds as DOMAIN.md says."""

from pathlib import Path

import pytest

from tests.model.feeds import Desk, open_shop, order, product, user


def test_equal_to_the_version_before_is_a_duplicate(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1"), order("t1", amount="100.00"), order("t2"))
    assert desk.counts() == (2, 0, 0, 1)


def test_there_and_back_is_three_loaded(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1"), order("t1", amount=7), order("t1"))
    assert desk.counts() == (3, 0, 0, 0)
    assert [one.amount for one in desk.model.purchases] == [10_000]


def test_a_newer_version_in_a_later_file_replaces(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1"))
    desk.feed("transactions", order("t1", status="refunded"))
    assert [one.status for one in desk.model.purchases] == ["refunded"]
    assert desk.model.counts["transactions"].corrected == 1  # type: ignore[index]


def test_a_known_file_changes_nothing(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    path = desk.feed("transactions", order("t1"), "broken\n", order("t2", user_id="nobody"))
    desk.feed("transactions", order("t1", amount=5))
    desk.model.feed("transactions", path)
    assert desk.counts() == (2, 2, 1, 2)
    assert [one.amount for one in desk.model.purchases] == [500]


def test_without_its_parent_a_transaction_is_held_until_that_arrives(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1", user_id="u9"), order("t2", product_id="p9"))
    assert desk.counts() == (0, 0, 2, 0)
    assert desk.model.purchases == []
    desk.feed("users", user("u9"))
    assert [one.transaction_id for one in desk.model.purchases] == ["t1"]
    assert desk.counts() == (0, 0, 2, 0)


def test_a_held_version_is_part_of_the_chain(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    stray = order("t1", user_id="u9")
    desk.feed("transactions", order("t1"), stray, stray)
    assert desk.counts() == (1, 0, 1, 1)
    # The newest version whose parents exist stays.
    assert [one.user_id for one in desk.model.purchases] == ["u1"]
    desk.feed("users", user("u9"))
    assert [one.user_id for one in desk.model.purchases] == ["u9"]


def test_a_held_version_that_was_overtaken_never_comes_back(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1", user_id="u9"), order("t1"))
    desk.feed("users", user("u9"))
    assert [one.user_id for one in desk.model.purchases] == ["u1"]


def test_a_rejected_user_does_not_exist(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed("users", user("u3", country="XX"))
    desk.feed("transactions", order("t1", user_id="u3"))
    assert desk.reasons("users") == {"unknown_country": 1}
    assert desk.counts() == (0, 0, 1, 0)


def test_repairs_and_notations_make_no_difference(tmp_path: Path) -> None:
    desk = open_shop(tmp_path)
    desk.feed(
        "transactions",
        order("t1"),
        order(
            " t1 ",
            currency=" usd",
            payment_method="Credit_Card",
            amount="1e2",
            timestamp="2025-03-01T13:00:00.000+01:00",
        ),
    )
    assert desk.counts() == (1, 0, 0, 1)
    assert desk.model.counts["transactions"].repaired == 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"transaction_id": ""}, "missing_field"),
        ({"status": None}, "missing_field"),
        ({"user_id": "  "}, "missing_field"),
        ({"transaction_id": "x" * 65}, "id_too_long"),
        ({"amount": "12,50"}, "not_a_number"),
        ({"amount": "NaN"}, "not_a_number"),
        ({"amount": 0}, "amount_out_of_range"),
        ({"amount": 100000.01}, "amount_out_of_range"),
        ({"amount": "1.005"}, "amount_precision"),
        ({"currency": "JPY"}, "unknown_currency"),
        ({"timestamp": "2025-02-30T00:00:00Z"}, "invalid_timestamp"),
        ({"timestamp": "2025-02-03T00:00:00"}, "timestamp_without_offset"),
        ({"timestamp": "1999-12-31T23:59:59Z"}, "timestamp_out_of_range"),
        ({"timestamp": "2026-01-02T00:00:01Z"}, "timestamp_out_of_range"),
        ({"payment_method": "cash"}, "unknown_payment_method"),
        ({"status": "delivered"}, "unknown_status"),
        ({"amount": True}, "wrong_type"),
        ({"user_id": 5}, "wrong_type"),
        ({"user_id": "u1\0"}, "nul_character"),
        ({"currency": "XXX", "status": "XXX"}, "unknown_currency"),
        ({"currency": "XXX", "status": 5}, "wrong_type"),
    ],
)
def test_the_first_reason_rejects(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1", **change), order("t2"))
    assert desk.reasons() == {reason: 1}
    assert desk.counts() == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("change", "day"),
    [
        ({"amount": 0}, 1),
        ({"status": ""}, 1),
        ({"timestamp": "soon"}, 0),
        ({"timestamp": "1999-12-31T23:59:59Z"}, 0),
        ({"user_id": 5}, 0),
    ],
)
def test_a_rejected_record_counts_for_its_day_where_that_can_be_read(
    tmp_path: Path, change: dict[str, object], day: int
) -> None:
    desk = open_shop(tmp_path)
    desk.feed("transactions", order("t1", **change))
    assert desk.model.rejected_by_day.total() == day


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"email": "a@b@example.com"}, "invalid_email"),
        ({"email": "a@localhost"}, "invalid_email"),
        ({"registration_date": "01/02/2024"}, "invalid_date"),
        ({"age_group": "17"}, "unknown_age_group"),
        ({"customer_tier": "gold"}, "unknown_customer_tier"),
        ({"customer_tier": "", "age_group": None, "country": " de"}, None),
    ],
)
def test_users_are_judged(tmp_path: Path, change: dict[str, object], reason: str | None) -> None:
    desk = Desk(tmp_path)
    desk.feed("users", user("u1", **change))
    assert desk.reasons("users") == ({reason: 1} if reason else {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": 0}, "price_not_positive"),
        ({"price": "free"}, "not_a_number"),
        ({"inventory_count": 2.5}, "invalid_inventory"),
        ({"inventory_count": -1}, "invalid_inventory"),
        ({"name": "x" * 1_001}, "value_too_long"),
        ({"currency": "XXX"}, "unknown_currency"),
        ({"category": "", "supplier_id": None, "inventory_count": "", "currency": "eur"}, None),
    ],
)
def test_products_are_judged(tmp_path: Path, change: dict[str, object], reason: str | None) -> None:
    desk = Desk(tmp_path)
    desk.feed("products", product("p1", **change))
    assert desk.reasons("products") == ({reason: 1} if reason else {})
    if reason is None:
        only = desk.model.products["p1"]
        assert (only.category, only.supplier_id, only.inventory_count, only.currency) == (
            *("uncategorised", "unknown", 0, "EUR"),
        )


def test_a_contract_renames_maps_and_places_naive_times(tmp_path: Path) -> None:
    desk = open_shop(
        tmp_path,
        """
        reporting_time_zone = "America/Sao_Paulo"
        [transactions]
        required = [
            "transaction_id", "user_id", "amount", "currency", "timestamp",
            "payment_method", "status",
        ]
        time_zone = "America/Sao_Paulo"
        [transactions.fields]
        timestamp = "ordered"
        [transactions.values.status]
        delivered = "completed"
        """,
    )
    rows = []
    for number, local in enumerate(("2017-10-14 23:59:59", "2017-10-15 00:30:00"), start=1):
        row = order(f"t{number}", status="Delivered", product_id=None, ordered=local)
        del row["timestamp"]
        rows.append(row)
    desk.feed("transactions", *rows)
    # At midnight of 15 October 2017 clocks there went forward to one o'clock.
    assert desk.reasons() == {"timestamp_in_gap": 1}
    (only,) = desk.model.purchases
    assert (only.status, only.product_id) == ("completed", None)
    assert only.day.isoformat() == "2017-10-14"
    assert only.timestamp.isoformat() == "2017-10-15T02:59:59+00:00"
