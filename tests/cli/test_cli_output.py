"""JSON and CSV keep every digit; text for people can't command the terminal."""

import csv
import io
import json
import os
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.cli.console import instant, number, render, seconds, size, table
from techmart_fast.cli.output import to_csv, to_json, to_json_lines, write_out
from techmart_fast.cli.rejected import raw_object, readable

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=2)


def test_json_keeps_money_as_a_number_with_all_its_digits() -> None:
    row = {"total": Decimal("99999999999999999999999999.10"), "none": None}
    assert to_json(row) == '{"total":99999999999999999999999999.10,"none":null}'


@given(DECIMALS)
def test_json_money_reads_back_as_what_it_was(value: Decimal) -> None:
    back = json.loads(to_json([value]), parse_float=Decimal, parse_int=Decimal)[0]
    assert back == value


def test_json_tells_days_times_and_nested_values() -> None:
    row = {
        "day": date(2024, 1, 2),
        "at": datetime(2024, 1, 2, 3, tzinfo=UTC),
        "id": UUID(int=1),
        "by": [{"code": "EUR", "amount": Decimal("1.50")}],
    }
    assert json.loads(to_json(row)) == {
        "day": "2024-01-02",
        "at": "2024-01-02T03:00:00+00:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "by": [{"code": "EUR", "amount": 1.5}],
    }


def test_json_tells_ids_of_other_classes_too() -> None:
    class DriverUuid(UUID):
        """As a database driver may have one."""

    assert json.loads(to_json([DriverUuid(int=1)])) == [str(UUID(int=1))]


def test_json_refuses_what_it_cannot_tell() -> None:
    with pytest.raises(TypeError):
        to_json({"x": object()})


@pytest.mark.parametrize("rows", [[], [{"a": 1}], [{"a": 1}, {"a": "\n"}]])
def test_json_arrays_have_one_object_a_line(rows: list[dict[str, object]]) -> None:
    text = to_json_lines(rows)
    assert json.loads(text) == rows
    assert not rows or len(text.splitlines()) == len(rows) + 2


def test_csv_has_a_header_exact_money_and_nested_json() -> None:
    rows = [
        {"a": Decimal("1E+2"), "b": [{"c": Decimal("0.10")}], "d": None, "e": True},
        {"a": Decimal("-0.5"), "b": [], "d": 'say "x", y\n', "e": False},
    ]
    text = to_csv(["a", "b", "d", "e"], rows)
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b", "d", "e"],
        ["100", '[{"c":0.10}]', "", "true"],
        ["-0.5", "[]", 'say "x", y\n', "false"],
    ]


@given(st.binary())
def test_raw_bytes_never_command_the_terminal(raw: bytes) -> None:
    shown = readable(raw)
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_raw_bytes_are_text_in_json_or_base64() -> None:
    assert raw_object(b"ol\xc3\xa1") == {"raw": "olá", "raw_encoding": "utf-8"}
    assert raw_object(b"\xff") == {"raw": "/w==", "raw_encoding": "base64"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (12_345, "12.3 kB"),
        (999_400, "999 kB"),
        (999_600, "1 MB"),
        (211_000_000, "211 MB"),
        (10**13, "10000 GB"),
        (None, "-"),
    ],
)
def test_sizes_are_short(value: int | None, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.421, "0.42 s"), (12.34, "12.3 s"), (200, "3 min 20 s"), (3_900, "1 h 05 min")],
)
def test_times_are_short(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_numbers_and_moments_are_told_in_full() -> None:
    assert number(Decimal("1234567.80")) == "1,234,567.80"
    assert number(None) == "-"
    assert instant(datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC)) == "2024-12-31 23:59:59 UTC"


def test_without_a_terminal_tables_are_plain_lines_of_any_length() -> None:
    made = table("name", "n", right=["n"])
    made.add_row("x" * 300, "1")
    text = render([made], terminal=False, color=False)
    assert text.splitlines() == ["name" + " " * 298 + "n", "x" * 300 + "  1"]


def test_colours_are_there_only_when_asked_for() -> None:
    assert "\x1b[" in render(["[green]ok[/]"], terminal=True, color=True)
    assert render(["[green]ok[/]"], terminal=True, color=False) == "ok"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_gets_everything(blocking: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.set_blocking(write, blocking)
    text = "x" * 1_000_000
    got: list[bytes] = []

    def slowly() -> None:
        with os.fdopen(read, "rb") as pipe:
            while piece := pipe.read(50_000):
                got.append(piece)

    reader = threading.Thread(target=slowly)
    # Unbuffered, as PYTHONUNBUFFERED makes it.
    with io.TextIOWrapper(io.FileIO(write, "w"), write_through=True) as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        reader.start()
        write_out(text)
    reader.join(timeout=30)
    assert b"".join(got).decode() == text + "\n"
