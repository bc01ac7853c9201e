"""Rows that only PostgreSQL refuses cost themselves, not their batch, whatever the format."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.dev.spec import FileFormat
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import QuarantineFilter
from techmart_fast.records import Feed
from techmart_fast.results import RunStatus
from tests.forms import long_form
from tests.shops import Shop, sources_in

MakeShop = Callable[..., Shop]

UNLUCKY = """
    ALTER TABLE public.transactions ADD CONSTRAINT no_unlucky_ids
        CHECK (transaction_id NOT LIKE '%7') NOT VALID
"""
MOODY = """
    CREATE FUNCTION public.moody() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.user_id LIKE '%3' THEN RAISE EXCEPTION 'not today, %', NEW.email; END IF;
        RETURN NEW;
    END $$;;
    CREATE TRIGGER moody BEFORE INSERT ON public.users
        FOR EACH ROW EXECUTE FUNCTION public.moody();;
    ALTER TABLE public.users ENABLE ALWAYS TRIGGER moody
"""


async def prepared(shop: Shop, *rules: str) -> None:
    """The tables as the loader makes them, with rules of somebody else's."""
    async with open_sinks(shop.settings, warehouse=False) as sinks:
        await sinks.postgres.migrate()
    for rule in rules:
        for statement in rule.split(";;"):
            await shop.rows(statement)


def made(folder: Path, file_format: FileFormat) -> Path:
    size = {"transactions": 400, "users": 30, "products": 8, "days": 5}
    generate(ShopSpec(out=folder, format=file_format, defects=Decimal(0), **size))
    return folder


def ids(path: Path) -> list[str]:
    if path.suffix == ".csv":
        with path.open(newline="") as lines:
            return [row["transaction_id"] for row in csv.DictReader(lines)]
    lines = path.read_text().splitlines()
    return [json.loads(one.rstrip(","))["transaction_id"] for one in lines if "{" in one]


@pytest.mark.parametrize("file_format", long_form(FileFormat, short=(FileFormat.JSON,)))
async def test_a_refused_row_is_kept_with_its_bytes_and_its_neighbours_are_loaded(
    make_shop: MakeShop, tmp_path: Path, file_format: FileFormat
) -> None:
    shop = make_shop(block_bytes=64 * 1024)
    folder = made(tmp_path, file_format)
    (file,) = folder.glob("transactions*")
    refused = {name for name in ids(file) if name.endswith("7")}
    assert len(refused) > 10
    await prepared(shop, UNLUCKY)
    result = await shop.run(sources_in(folder))
    counts = result.feeds[Feed.TRANSACTIONS]
    assert result.error is None
    assert counts.adds_up
    assert counts.rejected_by_reason == {"refused_by_database": counts.rejected}
    kept = await shop.rows(
        "SELECT record_key, message, raw, source_offset FROM techmart_loader.quarantine"
    )
    assert {row["record_key"] for row in kept} == refused
    stored = file.read_bytes()
    for row in kept:
        assert "no_unlucky_ids" in str(row["message"])
        raw, offset = bytes(row["raw"]), int(str(row["source_offset"]))  # type: ignore[call-overload]  # bytea
        assert str(row["record_key"]).encode() in raw
        assert stored[offset : offset + len(raw)] == raw
    [there] = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert there["count"] == len(set(ids(file))) - len(refused)
    assert await shop.warehouse_sums() == tuple(there.values())


async def test_a_trigger_may_refuse_and_is_not_quoted(make_shop: MakeShop, tmp_path: Path) -> None:
    shop = make_shop()
    folder = made(tmp_path, FileFormat.NDJSON)
    await prepared(shop, MOODY)
    result = await shop.run(replace(sources_in(folder), transactions=(), products=()))
    counts = result.feeds[Feed.USERS]
    assert counts.rejected_by_reason == {"refused_by_database": 3}
    assert counts.loaded == 27
    async with open_sinks(shop.settings, warehouse=False) as sinks:
        for row in await sinks.postgres.quarantine_list(QuarantineFilter()):
            assert "trigger" in row.message
            assert "@" not in row.message
    again = await shop.run(replace(sources_in(folder), transactions=(), products=()))
    assert again.nothing_new


async def test_a_rule_that_refuses_nearly_everything_is_told_as_one(
    make_lean_shop: MakeShop, tmp_path: Path
) -> None:
    shop = make_lean_shop()
    folder = made(tmp_path, FileFormat.NDJSON)
    await prepared(
        shop,
        "ALTER TABLE public.transactions ADD CONSTRAINT nothing CHECK (amount < 0) NOT VALID",
    )
    result = await shop.run(sources_in(folder))
    assert (result.status, result.exit_code) == (RunStatus.FAILED, ExitCode.FAILED)
    assert "nothing" in str(result.error)
    assert "more than 100 others" in str(result.error)
    [there] = await shop.rows("SELECT count(*) FROM transactions")
    assert there["count"] == 0
