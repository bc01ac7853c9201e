"""The rules of transactions: every limit from both sides, repairs, first reason, exactness."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from techmart_fast.contract import Contract, default_contract, parse_contract
from techmart_fast.records import DECODED_NUMBER, Feed
from techmart_fast.validate import VALIDATED, ValidatedBatch, validate
from tests.validate.decoded import TRANSACTION, decoded

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _validate(*changes: dict[str, object], contract: Contract | None = None) -> ValidatedBatch:
    records = [{**TRANSACTION, **change} for change in changes]
    batch = decoded(Feed.TRANSACTIONS, records)
    return validate(batch, contract or default_contract(), run_started=_NOW)


def _reason(change: dict[str, object], contract: Contract | None = None) -> str | None:
    codes = _validate(change, contract=contract).rejections.column("code").to_pylist()
    return codes[0] if codes else None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"transaction_id": None}, "missing_field"),
        ({"transaction_id": "  "}, "missing_field"),
        ({"transaction_id": "x" * 64}, None),
        ({"transaction_id": "x" * 65}, "id_too_long"),
        ({"user_id": "é" * 64}, None),
        ({"user_id": "é" * 65}, "id_too_long"),
        ({"product_id": None}, "missing_field"),
        ({"amount": None}, "missing_field"),
        ({"amount": "0.01"}, None),
        ({"amount": "0.009"}, "amount_out_of_range"),
        ({"amount": "0"}, "amount_out_of_range"),
        ({"amount": "-5"}, "amount_out_of_range"),
        ({"amount": "100000.00"}, None),
        ({"amount": "100000.01"}, "amount_out_of_range"),
        ({"amount": "1e30"}, "amount_out_of_range"),
        ({"amount": "9" * 40}, "amount_out_of_range"),
        ({"amount": "1.005"}, "amount_precision"),
        ({"amount": "1.0000000000000000001"}, "amount_precision"),
        ({"amount": "1.00000000000000000000"}, None),
        ({"amount": "1e2"}, None),
        ({"amount": "+7.5"}, None),
        ({"amount": "12,50"}, "not_a_number"),
        ({"amount": "NaN"}, "not_a_number"),
        ({"amount": "Infinity"}, "not_a_number"),
        ({"amount": "１２"}, "not_a_number"),
        ({"amount": "1_000"}, "not_a_number"),
        ({"currency": "CHF"}, "unknown_currency"),
        ({"currency": ""}, "missing_field"),
        ({"timestamp": "2025-02-29T10:00:00Z"}, "invalid_timestamp"),
        ({"timestamp": "2024-02-29T10:00:00Z"}, None),
        ({"timestamp": "2025-03-01T24:00:00Z"}, "invalid_timestamp"),
        ({"timestamp": "2025-03-01T10:00:60Z"}, "invalid_timestamp"),
        ({"timestamp": "2025-03-01"}, "invalid_timestamp"),
        ({"timestamp": "yesterday"}, "invalid_timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp_out_of_range"),
        ({"timestamp": "2025-03-01T10:00:00"}, "timestamp_without_offset"),
        ({"timestamp": "2000-01-01T00:00:00Z"}, None),
        ({"timestamp": "1999-12-31T23:59:59.999999Z"}, "timestamp_out_of_range"),
        ({"timestamp": "2026-01-02T00:00:00Z"}, None),
        ({"timestamp": "2026-01-02T00:00:00.000001Z"}, "timestamp_out_of_range"),
        ({"payment_method": "cash"}, "unknown_payment_method"),
        ({"status": "shipped"}, "unknown_status"),
        ({"status": "COMPLETED"}, None),
    ],
)
def test_each_limit_is_kept_from_both_sides(change: dict[str, object], code: str | None) -> None:
    assert _reason(change) == code


def test_a_record_has_the_reason_of_its_first_bad_field() -> None:
    assert _reason({"status": "shipped", "user_id": None, "amount": "x"}) == "missing_field"
    assert _reason({"status": "shipped", "amount": "x"}) == "not_a_number"


def test_a_rejection_tells_place_raw_bytes_key_and_date() -> None:
    batch = _validate({}, {"transaction_id": "bad", "status": "shipped"}, {"timestamp": "?"})
    first, second = batch.rejections.to_pylist()
    assert first == {
        "code": "unknown_status",
        "field": "status",
        "message": "status is not a status of the contract",
        "source_offset": 10,
        "source_line": 2,
        "raw": b"raw000001",
        "record_key": "bad",
        "record_date": date(2025, 3, 1),
    }
    assert second["record_date"] is None
    assert batch.records.num_rows == 1


def test_white_space_and_case_are_repaired_and_counted() -> None:
    batch = _validate(
        {"transaction_id": " t1\t", "currency": "eur", "status": "Completed ", "amount": " 5.50"},
        {"user_id": "\u00a0u9\u3000"},
        {},
    )
    assert batch.repairs == {
        "transaction_id": 1,
        "user_id": 1,
        "amount": 1,
        "currency": 1,
        "status": 1,
    }
    assert batch.records.column("transaction_id").to_pylist() == ["t1", "t1", "t1"]
    assert batch.records.column("user_id").to_pylist() == ["u1", "u9", "u1"]
    assert batch.records.column("amount").to_pylist()[0] == Decimal("5.50")
    assert batch.records.column("currency").to_pylist()[0] == "EUR"


def test_completeness_counts_filled_values_of_required_fields() -> None:
    batch = _validate({}, {"user_id": None}, {"amount": " "})
    assert batch.completeness["user_id"] == (2, 3)
    assert batch.completeness["amount"] == (2, 3)
    assert batch.completeness["status"] == (3, 3)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-03-01T10:00:00.5+02:00", datetime(2025, 3, 1, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2025-03-01 10:00:00-03:30", datetime(2025, 3, 1, 13, 30, tzinfo=UTC)),
        ("2025-03-01T10:00Z", datetime(2025, 3, 1, 10, tzinfo=UTC)),
        ("20250301T101112Z", datetime(2025, 3, 1, 10, 11, 12, tzinfo=UTC)),
        ("2025-03-01T10:00:00.123456789Z", datetime(2025, 3, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2025-03-01t10:00:00,25z", datetime(2025, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_iso_8601_spellings_become_utc_microseconds(text: str, moment: datetime) -> None:
    batch = _validate({"timestamp": text}, {"timestamp": "2025-01-01T00:00:00Z"})
    assert batch.records.column("timestamp").to_pylist()[0] == moment


def test_naive_times_are_in_the_contracts_zone_gaps_are_rejected_folds_take_the_first() -> None:
    contract = parse_contract('[transactions]\ntime_zone = "America/Sao_Paulo"', name="brazil")
    naive = {
        "2018-06-01 10:00:00": datetime(2018, 6, 1, 13, tzinfo=UTC),
        "2018-06-01T10:00": datetime(2018, 6, 1, 13, tzinfo=UTC),
        "2018-02-17 23:30:00": datetime(2018, 2, 18, 1, 30, tzinfo=UTC),  # the first of two
        "2018-02-17T23:30": datetime(2018, 2, 18, 1, 30, tzinfo=UTC),
    }
    batch = _validate(*({"timestamp": text} for text in naive), contract=contract)
    assert batch.records.column("timestamp").to_pylist() == list(naive.values())
    # Clocks went from 00:00 to 01:00 on 4 November 2018.
    assert _reason({"timestamp": "2018-11-04 00:30:00"}, contract) == "timestamp_in_gap"
    assert _reason({"timestamp": "2018-11-04T00:30"}, contract) == "timestamp_in_gap"
    assert _reason({"timestamp": "2018-11-04T00:30:00Z"}, contract) is None


def test_a_contract_maps_words_and_renounces_fields() -> None:
    contract = parse_contract(
        """
        [transactions]
        required = ["transaction_id", "user_id", "amount", "currency", "timestamp",
                    "payment_method", "status"]
        payment_methods = ["boleto"]
        [transactions.values.status]
        delivered = "completed"
        """,
        name="other",
    )
    batch = _validate(
        {"status": "Delivered", "payment_method": "boleto", "product_id": None}, contract=contract
    )
    assert batch.rejections.num_rows == 0
    assert batch.records.column("status").to_pylist() == ["completed"]
    assert batch.records.column("product_id").to_pylist() == [None]
    assert "product_id" not in batch.completeness
    assert _reason({"payment_method": "paypal"}, contract) == "unknown_payment_method"


def test_an_empty_batch_is_valid() -> None:
    batch = _validate()
    assert batch.records.schema.names == VALIDATED[Feed.TRANSACTIONS].names
    assert batch.read == 0


_amounts = st.one_of(
    st.decimals(min_value=-10, max_value=200_000, places=2).map(str),
    st.decimals(min_value=0, max_value=10, places=4).map(str),
    st.integers(-5, 200_000).map(str),
    st.text("0123456789.+-eE ", max_size=8),
    st.sampled_from(["1e2", "1E+3", ".5", "5.", "00012.30", "-0", "1e400", "٣", ""]),
)


def _judge_amount(text: str) -> str | Decimal | None:
    """The rule of an amount, said again with the standard library."""
    stripped = text.strip()
    if not stripped:
        return "missing_field"
    try:
        value = Decimal(stripped)
    except ArithmeticError:
        return "not_a_number"
    if not stripped.isascii() or not value.is_finite() or "_" in stripped:
        return "not_a_number"
    if not Decimal("0.01") <= value <= Decimal(100_000):
        return "amount_out_of_range"
    if value != value.quantize(Decimal("0.01")):
        return "amount_precision"
    return value


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(_amounts, min_size=1, max_size=30))
def test_amounts_are_judged_and_kept_exactly(texts: list[str]) -> None:
    batch = _validate(*({"amount": text} for text in texts))
    expected = [_judge_amount(text) for text in texts]
    kept = [verdict for verdict in expected if isinstance(verdict, Decimal)]
    assert batch.rejections.column("code").to_pylist() == [
        verdict for verdict in expected if isinstance(verdict, str)
    ]
    assert batch.records.column("amount").to_pylist() == kept


@settings(max_examples=40, deadline=None)
@given(
    amounts=st.lists(
        st.decimals(min_value=-(10**12), max_value=10**12, places=4), min_size=1, max_size=20
    ),
    start=st.integers(0, 3),
)
def test_decimals_and_their_text_are_judged_alike(amounts: list[Decimal], start: int) -> None:
    numbers = [{**TRANSACTION, "amount": amount} for amount in amounts]
    texts = [{**TRANSACTION, "amount": str(amount)} for amount in amounts]
    from_numbers = decoded(Feed.TRANSACTIONS, numbers, number_type=DECODED_NUMBER)
    # A slice has an offset into its buffers, which the exact arithmetic must respect.
    sliced = pa.RecordBatch.from_arrays(
        from_numbers.records.slice(start).columns, names=from_numbers.records.schema.names
    )
    assert sliced.num_rows == max(0, len(amounts) - start)
    batches = [
        validate(batch, default_contract(), run_started=_NOW)
        for batch in (from_numbers, decoded(Feed.TRANSACTIONS, texts))
    ]
    assert batches[0].records.equals(batches[1].records)
    assert batches[0].rejections.equals(batches[1].rejections)


_moments = st.datetimes(
    min_value=datetime(1990, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC)
)


@settings(max_examples=40, deadline=None)
@given(
    moments=st.lists(_moments, min_size=1, max_size=20),
    spoil=st.booleans(),
    hours=st.integers(-14, 14),
)
def test_timestamps_read_in_bulk_and_one_by_one_are_the_same(
    moments: list[datetime], spoil: bool, hours: int
) -> None:
    shift = timedelta(hours=hours)
    offset = f"{'-' if hours < 0 else '+'}{abs(hours):02d}:00"
    texts = [(moment + shift).replace(tzinfo=None).isoformat() + offset for moment in moments]
    # One strange value sends the whole column down the other way.
    extra = [{"timestamp": "not a time"}] if spoil else []
    batch = _validate(*({"timestamp": text} for text in texts), *extra)
    latest = _NOW + timedelta(hours=24)
    in_range = [m for m in moments if datetime(2000, 1, 1, tzinfo=UTC) <= m <= latest]
    assert batch.records.column("timestamp").to_pylist() == in_range
