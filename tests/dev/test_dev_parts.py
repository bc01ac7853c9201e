"""The parts of the generator: shares, schedule, follow-ups, layouts, conversion, random numbers."""

import csv
import io
import json
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.contract import default_contract
from techmart_fast.dev import DefectKind, FileFormat, ShopSpec, parse_shares, resolve_shares
from techmart_fast.dev.catalogue import Catalogue
from techmart_fast.dev.layout import NULL, Bare, layout
from techmart_fast.dev.ledger import FeedLedger
from techmart_fast.dev.orders import Orders
from techmart_fast.dev.people import People, id_maker
from techmart_fast.dev.randomness import Dice, Streams, Weighted, mixed, zipf_weights
from techmart_fast.dev.rhythm import Rhythm
from techmart_fast.dev.schedule import FollowUps, defects
from techmart_fast.dev.usd import CURRENCIES, UsdTable
from techmart_fast.errors import ConfigError
from techmart_fast.records import FIELDS, Feed

FIRST = date(2024, 1, 1)


def orders(count: int = 500) -> Orders:
    streams = Streams(3)
    return Orders(
        streams,
        count=count,
        first=FIRST,
        days=366,
        people=People(streams, count=50, first=FIRST, days=366, ids=id_maker("usr", 7)),
        catalogue=Catalogue(streams, count=40, ids=id_maker("prd", 6)),
        ids=id_maker("txn", 9),
        contract=default_contract(),
    )


@pytest.mark.parametrize("file_format", FileFormat)
def test_lines_in_bulk_are_the_records_one_by_one(file_format: FileFormat) -> None:
    made = orders()
    texts = layout(file_format, FIELDS[Feed.TRANSACTIONS])
    chunk = made.chunk(0, late=[7, 9])
    one_by_one = [texts.record(made.values(made.version(chunk, row))) for row in range(len(chunk))]
    assert made.lines(chunk, texts) == one_by_one


def test_late_rows_keep_their_time_of_day_and_lose_days() -> None:
    made = orders()
    usual, late = made.chunk(0, late=[]), made.chunk(0, late=[400])
    moved = int(usual.milliseconds[400] - late.milliseconds[400])
    assert moved % 86_400_000 == 0
    assert 2 <= moved // 86_400_000 <= 60


def test_given_shares_stay_and_the_others_share_the_rest() -> None:
    shares = resolve_shares(parse_shares(("duplicates=0.3", " late = 0 ")))
    assert shares[DefectKind.DUPLICATES] == Decimal("0.3")
    assert shares[DefectKind.LATE] == 0
    assert sum(shares.values()) == pytest.approx(Decimal(1))
    # The default shares are 0.12 and 0.04.
    assert shares[DefectKind.VALUES] == pytest.approx(3 * shares[DefectKind.MISSING])


@pytest.mark.parametrize("text", ["duplicates", "doubles=0.1", "late=x", "late=nan", "late=", ""])
def test_a_share_that_makes_no_sense_is_a_clear_error(text: str) -> None:
    with pytest.raises(ConfigError, match="KIND=NUMBER"):
        parse_shares((text,))


@pytest.mark.parametrize(
    "texts", [("late=-0.1",), ("late=0.7", "values=0.4"), tuple(f"{k}=0.1" for k in DefectKind)]
)
def test_shares_that_do_not_add_up_are_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        ShopSpec(out=Path("unused"), shares=parse_shares(texts))


@pytest.mark.parametrize(
    "wrong",
    [
        {"transactions": -1},
        {"users": 0},
        {"products": 0},
        {"defects": Decimal("0.51")},
        {"defects": Decimal(-1)},
        {"seed": -1},
        {"split": 0},
        {"split": 11, "transactions": 10},
        {"days": 0},
        {"end": date(1999, 1, 1)},
        {"days": 900, "end": date(2002, 1, 1)},
        {"prefix": "../"},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ShopSpec(out=Path("unused"), **wrong)  # type: ignore[arg-type]


@given(
    rows=st.integers(1, 400),
    rate=st.decimals("0", "0.5", places=2),
    share=st.decimals("0", "1", places=2),
    seed=st.integers(0, 99),
)
def test_broken_records_are_never_neighbours_nor_at_an_end(
    rows: int, rate: Decimal, share: Decimal, seed: int
) -> None:
    shares = {
        kind: part
        for kind, part in ((DefectKind.STRUCTURE, share), (DefectKind.VALUES, 1 - share))
        if part
    }
    planned = list(defects(rows, rate, shares, Dice(seed), lambda _row, _kind: True))
    places = [defect.row for defect in planned]
    assert places == sorted(set(places))
    broken = [defect.row for defect in planned if defect.kind is DefectKind.STRUCTURE]
    assert all(later - earlier > 1 for earlier, later in pairwise(broken))
    assert not {0, rows - 1} & set(broken)


def test_the_first_defects_are_one_of_each_kind() -> None:
    shares = resolve_shares({})
    planned = list(defects(400, Decimal("0.02"), shares, Dice(1), lambda _row, _kind: True))
    assert {defect.kind for defect in planned} == set(DefectKind)


def test_rows_that_may_not_be_rejected_are_not() -> None:
    shares = {DefectKind.VALUES: Decimal(1)}
    planned = list(defects(100, Decimal("0.2"), shares, Dice(1), lambda row, _kind: row % 3 == 1))
    assert len(planned) == 20
    assert all(defect.row % 3 == 1 for defect in planned)


def test_follow_ups_come_after_their_row_and_the_rest_at_the_end() -> None:
    later = FollowUps()
    later.push(1, "1a")
    later.push(4, "4a")
    later.push(0, "0a")
    later.push(1, "1b")
    later.push(99, "99a")
    assert later.merged(0, ["0", "1", "2"], last=False) == ["0", "0a", "1", "1a", "1b", "2"]
    assert later.merged(3, ["3", "4"], last=False) == ["3", "4", "4a"]
    assert later.merged(5, ["5"], last=True) == ["5", "99a"]


def test_a_story_is_counted_by_the_rules_of_versions() -> None:
    ledger = FeedLedger()
    assert ledger.story("ABA") == "A"
    assert (ledger.loaded, ledger.corrected, ledger.duplicate, ledger.rows) == (3, 2, 0, 1)
    assert ledger.story("AAB") == "B"
    assert (ledger.loaded, ledger.corrected, ledger.duplicate, ledger.rows) == (5, 3, 1, 2)
    # h and H are held: the chain includes them, the end state does not.
    assert ledger.story("AhhA", is_held=str.islower) == "A"
    assert (ledger.loaded, ledger.held, ledger.duplicate, ledger.rows) == (7, 1, 2, 3)
    assert ledger.story("hi", is_held=str.islower) is None
    assert (ledger.held, ledger.rows) == (3, 3)


@given(cents=st.integers(1, 10_000_000), code=st.sampled_from(CURRENCIES), day=st.integers(0, 9))
def test_usd_is_rounded_once_half_away_from_zero(cents: int, code: str, day: int) -> None:
    table = UsdTable(default_contract(), first=FIRST, days=10)
    (rate,) = (rate for rate in default_contract().rates if rate.currency == code)
    exact = (Decimal(cents) / 100 / rate.units_per_usd).quantize(Decimal("0.01"), ROUND_HALF_UP)
    currency = CURRENCIES.index(code)
    assert table.cents_of(cents, currency, day) == exact * 100
    column = table.cents(np.array([cents]), np.array([currency]), np.array([day]))
    assert column.tolist() == [exact * 100]


@given(st.dictionaries(st.sampled_from(FIELDS[Feed.USERS]), st.text(st.characters(codec="utf-8"))))
def test_records_read_back_as_they_were_written(values: dict[str, str]) -> None:
    as_json = layout(FileFormat.JSON, FIELDS[Feed.USERS]).record(values)
    assert json.loads(as_json) == values
    as_csv = layout(FileFormat.CSV, FIELDS[Feed.USERS]).record(values)
    row = next(csv.reader(io.StringIO(as_csv, newline="")), [])
    assert row == [values.get(name, "") for name in FIELDS[Feed.USERS]]


def test_bare_values_are_written_as_they_stand() -> None:
    texts = layout(FileFormat.NDJSON, ("a", "b"))
    assert texts.record({"a": Bare("1.50"), "b": NULL}) == '{"a": 1.50, "b": null}'
    assert layout(FileFormat.CSV, ("a", "b")).record({"a": Bare("1.50"), "b": NULL}) == "1.50,"


def test_random_streams_are_the_same_on_every_machine() -> None:
    words = Streams(42).words("time", 2, chunk=3)
    assert words.tolist() == [11783013495732467679, 17992094822469377833]
    assert Dice(7).below(1_000) == 947
    assert mixed(1) == 6238072747940578789


def test_weighted_picks_follow_the_weights() -> None:
    picked = Weighted([1, 0, 3]).pick(Streams(1).words("pick", 40_000))
    shares = np.bincount(picked, minlength=3) / len(picked)
    assert shares.tolist() == pytest.approx([0.25, 0, 0.75], abs=0.01)


def test_zipf_weights_fall_and_fit_the_draw() -> None:
    for mild in (False, True):
        weights = zipf_weights(100_000, flatness=5, mild=mild)
        assert weights.min() >= 1
        assert int(weights.sum()) < 1 << 31
        assert (np.diff(weights) <= 0).all()


def test_any_part_of_the_year_can_be_made_alone() -> None:
    rhythm = Rhythm(first=FIRST, days=366)
    words = Streams(1).words("time", 1_000)
    whole = rhythm.milliseconds(0, words, total=1_000)
    part = rhythm.milliseconds(600, words[600:], total=1_000)
    assert part.tolist() == whole[600:].tolist()
    assert whole.min() >= 0
    assert whole.max() < 366 * 86_400_000
