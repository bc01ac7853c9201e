"""Generated shops: the same bytes every time, believable, and with the defects asked for."""

import gzip
import hashlib
import json
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from techmart_fast.bundled import bundled
from techmart_fast.dev import (
    Compression,
    DefectKind,
    FileFormat,
    ShopSpec,
    Truth,
    generate,
    parse_shares,
)
from techmart_fast.errors import ConfigError, TechmartError
from techmart_fast.reasons import REASONS, ReasonKind
from techmart_fast.records import Feed

CLEAN = Decimal(0)
SAMPLE = {
    "transactions": 3_000,
    "users": 420,
    "products": 150,
    "defects": Decimal("0.045"),
    "seed": 12,
    "format": FileFormat.JSON,
    "prefix": "sample_",
}


def shop(out: Path, **changes: object) -> ShopSpec:
    values: dict[str, object] = {"transactions": 2_000, "users": 200, "products": 100} | changes
    return ShopSpec(out=out, **values)  # type: ignore[arg-type]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def transactions(out: Path, truth: Truth) -> list[str]:
    return [
        line
        for name in truth.files[Feed.TRANSACTIONS]
        for line in (out / name).read_text("utf-8", "surrogateescape").splitlines()
    ]


def clean_orders(tmp_path: Path, **changes: object) -> list[dict[str, str]]:
    truth = generate(shop(tmp_path, defects=CLEAN, **changes))
    return [json.loads(line, parse_float=str) for line in transactions(tmp_path, truth)]


def test_the_sample_files_are_what_the_generator_writes_today(tmp_path: Path) -> None:
    generate(ShopSpec(out=tmp_path, **SAMPLE))  # type: ignore[arg-type]
    shipped = {name: digest for name, digest in digests(bundled("data")).items() if "_" in name}
    assert digests(tmp_path) == shipped


def test_the_sample_is_small_and_has_one_record_a_line() -> None:
    folder = bundled("data")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    truth = json.loads((folder / "sample_truth.json").read_text())
    for feed, name in (("transactions", "sample_transactions.json"), ("users", "sample_users.csv")):
        lines = (folder / name).read_bytes().splitlines()
        around = 2 if name.endswith("json") else 1
        assert len(lines) - around == truth["feeds"][feed]["read"]


def test_the_sample_has_every_kind_of_defect_and_every_reason_for_a_transaction() -> None:
    truth = json.loads(bundled("data", "sample_truth.json").read_text())
    assert set(truth["defects"]["transactions"]) == set(DefectKind)
    for feed in ("users", "products"):
        assert set(truth["defects"][feed]) == set(DefectKind) - {"orphans", "late"}
    elsewhere = {"record_too_large", "invalid_csv", "timestamp_in_gap", "value_too_long"}
    elsewhere |= {"refused_by_database"}
    of_others = {"invalid_email", "invalid_date", "invalid_inventory", "price_not_positive"} | {
        code for code in REASONS if code.startswith("unknown_")
    }
    ours = {"unknown_currency", "unknown_payment_method", "unknown_status"}
    expected = set(REASONS) - elsewhere - (of_others - ours)
    assert set(truth["feeds"]["transactions"]["rejected_by_reason"]) == expected


@pytest.mark.parametrize("file_format", FileFormat)
def test_equal_specs_give_equal_bytes_and_another_seed_other_ones(
    tmp_path: Path, file_format: FileFormat
) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        generate(shop(tmp_path / name, seed=seed, format=file_format))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    both = digests(tmp_path / "a").items() & digests(tmp_path / "c").items()
    assert not both


def test_pieces_together_hold_the_records_of_the_whole(tmp_path: Path) -> None:
    whole = generate(shop(tmp_path / "whole", split=1))
    pieces = generate(shop(tmp_path / "pieces", split=12))
    assert len(pieces.files[Feed.TRANSACTIONS]) == 12
    assert transactions(tmp_path / "whole", whole) == transactions(tmp_path / "pieces", pieces)
    assert pieces.feeds == whole.feeds
    names = pieces.files[Feed.TRANSACTIONS]
    assert list(names) == sorted(names)


def test_pieces_of_an_array_begin_and_end_with_a_sound_element(tmp_path: Path) -> None:
    truth = generate(
        shop(
            tmp_path,
            split=50,
            format=FileFormat.JSON,
            defects=Decimal("0.2"),
            shares=parse_shares(("structure=1",)),
        )
    )
    for name in truth.files[Feed.TRANSACTIONS]:
        text = (tmp_path / name).read_text("utf-8", "surrogateescape")
        elements = text.removeprefix("[\n").removesuffix("\n]\n").split(",\n")
        for element in (elements[0], elements[-1]):
            assert json.loads(element)["status"]


def test_compressed_files_hold_the_same_records(tmp_path: Path) -> None:
    plain = generate(shop(tmp_path / "plain"))
    packed = generate(shop(tmp_path / "packed", compression=Compression.GZIP))
    (name,) = packed.files[Feed.TRANSACTIONS]
    assert name == "transactions.ndjson.gz"
    (plain_name,) = plain.files[Feed.TRANSACTIONS]
    unpacked = gzip.decompress((tmp_path / "packed" / name).read_bytes())
    assert unpacked == (tmp_path / "plain" / plain_name).read_bytes()


@pytest.mark.parametrize(
    ("compression", "magic"), [(Compression.ZSTD, b"\x28\xb5\x2f\xfd"), (Compression.BZ2, b"BZh")]
)
def test_other_compressions_are_what_they_say(
    tmp_path: Path, compression: Compression, magic: bytes
) -> None:
    truth = generate(shop(tmp_path, compression=compression))
    (name,) = truth.files[Feed.TRANSACTIONS]
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_without_defects_every_record_loads(tmp_path: Path) -> None:
    truth = generate(shop(tmp_path, defects=CLEAN))
    for feed, rows in ((Feed.TRANSACTIONS, 2_000), (Feed.USERS, 200), (Feed.PRODUCTS, 100)):
        counts = truth.feeds[feed]
        assert (counts.read, counts.loaded, truth.end_rows[feed]) == (rows, rows, rows)
    assert not any(truth.defects.values())


def test_a_shop_without_transactions_is_a_shop(tmp_path: Path) -> None:
    truth = generate(shop(tmp_path, transactions=0, format=FileFormat.JSON))
    assert truth.feeds[Feed.TRANSACTIONS].read == 0
    assert json.loads((tmp_path / "transactions.json").read_text()) == []
    assert truth.revenue_usd == {}


def test_the_smallest_shop_of_all_can_be_made(tmp_path: Path) -> None:
    truth = generate(shop(tmp_path, transactions=1, users=1, products=1, days=1))
    assert truth.feeds[Feed.TRANSACTIONS].loaded == 1


def test_transactions_lie_in_the_period_that_the_spec_sets(tmp_path: Path) -> None:
    orders = clean_orders(tmp_path, end=date(2020, 3, 1), days=90)
    days = {datetime.fromisoformat(order["timestamp"]).date() for order in orders}
    assert min(days) == date(2020, 3, 1) - timedelta(days=89)
    assert max(days) == date(2020, 3, 1)
    # In order of time, up to the step within one hour.
    times = [datetime.fromisoformat(order["timestamp"]) for order in orders]
    assert all(later - earlier > timedelta(hours=-1) for earlier, later in pairwise(times))


def test_sales_follow_seasons_weeks_and_hours(tmp_path: Path) -> None:
    times = [
        datetime.fromisoformat(order["timestamp"])
        for order in clean_orders(tmp_path, transactions=30_000)
    ]
    months = Counter(time.month for time in times)
    hours = Counter(time.hour for time in times)
    weekdays = Counter(time.weekday() for time in times if time.month < 11)
    assert months[12] > 1.3 * months[7]
    assert hours[20] > 5 * hours[3]
    assert weekdays[5] > 1.1 * weekdays[1]


def test_some_products_and_users_are_much_more_popular_than_others(tmp_path: Path) -> None:
    orders = clean_orders(tmp_path, transactions=20_000, users=1_000, products=1_000)
    for field, share in (("product_id", 0.45), ("user_id", 0.20)):
        sold = Counter(order[field] for order in orders)
        top = sum(number for _, number in sold.most_common(100))
        assert top > share * len(orders)


def test_nobody_buys_before_registering(tmp_path: Path) -> None:
    orders = clean_orders(tmp_path)
    rows = (tmp_path / "users.csv").read_text().splitlines()[1:]
    registered = {row.split(",")[0]: row.split(",")[2] for row in rows}
    assert all(order["timestamp"][:10] >= registered[order["user_id"]] for order in orders)
    assert any(day > "2024-01-01" for day in registered.values())


def test_most_transactions_are_completed_and_amounts_are_money(tmp_path: Path) -> None:
    orders = clean_orders(tmp_path)
    statuses = Counter(order["status"] for order in orders)
    assert 0.8 < statuses["completed"] / len(orders) < 0.95
    assert len(statuses) == 5
    amounts = [Decimal(order["amount"]) for order in orders]
    assert all(amount == round(amount, 2) and 0 < amount <= 100_000 for amount in amounts)
    assert len(set(amounts)) > 1_000


def test_mail_addresses_are_invented(tmp_path: Path) -> None:
    generate(shop(tmp_path, defects=CLEAN))
    rows = (tmp_path / "users.csv").read_text().splitlines()[1:]
    assert all(row.split(",")[1].endswith("@example.com") for row in rows)
    assert len({row.split(",")[1] for row in rows}) == 200


def test_ids_can_look_random_and_are_unique(tmp_path: Path) -> None:
    orders = clean_orders(tmp_path, random_ids=True)
    ids = [order["transaction_id"] for order in orders]
    assert len(set(ids)) == len(ids)
    assert ids != sorted(ids)
    assert all(len(one) == len("txn_") + 16 for one in ids)


def test_the_number_of_defects_and_their_kinds_are_as_asked(tmp_path: Path) -> None:
    truth = generate(
        shop(
            tmp_path,
            transactions=10_000,
            defects=Decimal("0.1"),
            shares=parse_shares(("duplicates=0.4", "late=0")),
        )
    )
    kinds = truth.defects[Feed.TRANSACTIONS]
    assert sum(kinds.values()) == 1_000
    assert kinds["duplicates"] == 400
    assert "late" not in kinds
    # The others keep their proportions: values 12 to missing 4.
    assert kinds["values"] == pytest.approx(3 * kinds["missing"], abs=3)


@pytest.mark.parametrize("kind", DefectKind)
def test_one_kind_alone_does_what_its_name_says(tmp_path: Path, kind: DefectKind) -> None:
    truth = generate(shop(tmp_path, defects=Decimal("0.1"), shares={kind: Decimal(1)}))
    counts = truth.feeds[Feed.TRANSACTIONS]
    affected = truth.defects[Feed.TRANSACTIONS][kind]
    assert affected == 200
    rejected = {DefectKind.VALUES, DefectKind.MISSING, DefectKind.STRUCTURE}
    assert counts.rejected == (affected if kind in rejected else 0)
    kinds = {REASONS[code].kind.value for code in counts.rejected_by_reason}
    assert kinds == ({kind.value.removesuffix("s")} if kind in rejected else set())
    assert (counts.held > 0) == (kind in rejected | {DefectKind.ORPHANS, DefectKind.CORRECTIONS})
    assert (counts.corrected > 0) == (kind is DefectKind.CORRECTIONS)
    assert (counts.repaired > 0) == (kind in {DefectKind.REPAIRS, DefectKind.DUPLICATES})
    if kind is DefectKind.DUPLICATES:
        assert counts.duplicate >= affected


@pytest.mark.parametrize("file_format", FileFormat)
def test_every_way_of_breaking_is_used(tmp_path: Path, file_format: FileFormat) -> None:
    truth = generate(shop(tmp_path, defects=Decimal("0.1"), format=file_format, transactions=4_000))
    structure = {code for code, reason in REASONS.items() if reason.kind is ReasonKind.STRUCTURE}
    possible = structure - {"record_too_large"}
    if file_format is FileFormat.CSV:
        possible -= {"invalid_json", "not_an_object", "too_deep", "wrong_type"}
    else:
        possible -= {"invalid_csv"}
    assert structure & set(truth.feeds[Feed.TRANSACTIONS].rejected_by_reason) == possible


def test_counts_add_up_in_every_feed(tmp_path: Path) -> None:
    truth = generate(shop(tmp_path, defects=Decimal("0.3")))
    for feed, counts in truth.feeds.items():
        assert counts.adds_up
        assert counts.rejected == sum(counts.rejected_by_reason.values())
        assert truth.end_rows[feed] == counts.loaded - counts.corrected


def test_a_rejected_user_holds_the_transactions_that_he_made(tmp_path: Path) -> None:
    truth = generate(shop(tmp_path, users=400, shares={DefectKind.VALUES: Decimal(1)}))
    assert truth.feeds[Feed.USERS].rejected == 8
    assert truth.feeds[Feed.TRANSACTIONS].held > 0


def test_truth_is_written_as_the_result_says(tmp_path: Path) -> None:
    truth = generate(shop(tmp_path))
    written = json.loads((tmp_path / "truth.json").read_text())
    assert (tmp_path / "truth.json").read_text() == truth.to_json()
    assert set(written["feeds"]) == {"transactions", "users", "products"}
    assert set(written["feeds"]["users"]) == {
        *("read", "loaded", "rejected", "held", "duplicate", "rejected_by_reason")
    }
    day, revenue = next(iter(written["revenue_usd"].items()))
    assert date.fromisoformat(day).year == 2024
    assert Decimal(revenue).as_tuple().exponent == -2
    for feed, names in truth.files.items():
        assert written["files"][feed] == list(names)
        assert all((tmp_path / name).is_file() for name in names)


def test_the_files_of_an_earlier_generation_go_and_others_stay(tmp_path: Path) -> None:
    generate(shop(tmp_path, split=3))
    (tmp_path / "notes.txt").write_text("mine")
    generate(shop(tmp_path, format=FileFormat.CSV))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "products.json", "transactions.csv", "truth.json", "users.csv"}


def test_nothing_outside_the_folder_is_removed_whatever_an_old_truth_names(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("keep")
    out = tmp_path / "out"
    out.mkdir()
    (out / "truth.json").write_text(json.dumps({"files": {"users": ["../precious.txt"]}}))
    generate(shop(out))
    assert precious.read_text() == "keep"


@pytest.mark.parametrize("old", ["", "[]", "{}", '{"files": 5}', '{"files": {"users": 5}}'])
def test_an_old_truth_that_makes_no_sense_is_written_over(tmp_path: Path, old: str) -> None:
    (tmp_path / "truth.json").write_text(old)
    truth = generate(shop(tmp_path, transactions=10))
    assert (tmp_path / "truth.json").read_text() == truth.to_json()


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(ConfigError, match=r"Can't use the folder .*taken"):
        generate(shop(taken))


def test_a_file_that_cannot_be_written_is_a_clear_error_and_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "transactions.ndjson").mkdir()
    (tmp_path / "transactions.ndjson" / "inside").write_text("")
    with pytest.raises(TechmartError, match=r"Can't write .*transactions\.ndjson"):
        generate(shop(tmp_path))
    assert not list(tmp_path.glob(".*"))
    assert not (tmp_path / "truth.json").exists()


def test_progress_is_told_up_to_the_last_row(tmp_path: Path) -> None:
    told: list[int] = []
    generate(shop(tmp_path, transactions=70_000, defects=CLEAN), progress=told.append)
    assert told == [65_536, 70_000]
