"""The spool: durable Parquet files with the warehouse's columns, masked addresses, hashes."""

import errno
import hashlib
import io
import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from techmart_fast.errors import SpoolError
from techmart_fast.records import REJECTIONS
from techmart_fast.warehouse import LoadTable, read_spool, rejected_rows
from techmart_fast.warehouse.spool import LOAD_SCHEMAS, Compression
from tests.warehouse.values import BATCH, packed_of, spooled, transaction


def test_what_is_written_is_read_back_with_its_batch_and_dates(tmp_path: Path) -> None:
    rows = [
        transaction("t1", "2024-03-02", "0.01", product_id=None),
        transaction("t2", "2024-02-29", "100000.00"),
        transaction("t3", "2024-03-02", "3.10"),
    ]
    file = spooled(tmp_path, LoadTable.TRANSACTIONS, rows)
    table = read_spool(file)
    assert table.schema.equals(LOAD_SCHEMAS[LoadTable.TRANSACTIONS])
    assert table["amount_usd"].to_pylist() == [
        Decimal("0.01"),
        Decimal("100000.00"),
        Decimal("3.10"),
    ]
    assert set(table["batch_id"].to_pylist()) == {str(BATCH)}
    assert file.dates == (date(2024, 2, 29), date(2024, 3, 2))
    assert (file.rows, file.table) == (3, "transactions")


def test_a_file_is_complete_private_and_alone_in_its_folder(tmp_path: Path) -> None:
    file = spooled(tmp_path, LoadTable.USERS, [{"user_id": "u1"}])
    assert os.listdir(tmp_path) == [file.path.name]  # noqa: PTH208 - hidden files count
    assert file.path.stat().st_mode & 0o777 == 0o600
    data = file.path.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)


def test_the_parquet_is_what_bigquery_wants(tmp_path: Path) -> None:
    file = spooled(tmp_path, LoadTable.TRANSACTIONS, [transaction("t1", "2024-03-02", "1.00")])
    stored = pq.ParquetFile(file.path)
    types = {column.name: str(column.logical_type) for column in stored.schema}
    assert "timeUnit=microseconds" in types["timestamp"]
    assert "isAdjustedToUTC=true" in types["timestamp"]
    assert types["amount_usd"] == "Decimal(precision=12, scale=2)"
    assert stored.metadata.row_group(0).column(0).compression == "ZSTD"


def test_no_plain_address_is_written(tmp_path: Path) -> None:
    addresses = ["ada@example.com", "x@y.org", "ünal+shop@mail.example.de", "a.b-c_d@ex-am.ple.co"]
    rows = [{"user_id": str(number), "email": text} for number, text in enumerate(addresses)]
    file = spooled(tmp_path, LoadTable.USERS, rows)
    assert read_spool(file)["email"].to_pylist() == [
        "a***@example.com",
        "x***@y.org",
        "ü***@mail.example.de",
        "a***@ex-am.ple.co",
    ]
    assert b"ada@" not in file.path.read_bytes()


def test_a_folder_says_how_its_files_are_compressed(tmp_path: Path) -> None:
    rows = [transaction(f"t{number}", "2024-03-02", "1.50") for number in range(50)]
    kinds: dict[Compression, str] = {"zstd": "ZSTD", "snappy": "SNAPPY", "none": "UNCOMPRESSED"}
    files = [
        spooled(tmp_path, LoadTable.TRANSACTIONS, rows, name=kind, compression=kind)
        for kind in kinds
    ]
    for file, expected in zip(files, kinds.values(), strict=True):
        chunks = pq.read_metadata(file.path).row_group(0)
        found = {chunks.column(number).compression for number in range(chunks.num_columns)}
        assert found == {expected}
        assert read_spool(file) == read_spool(files[0])
    # A run may be continued with another setting: a load job takes the files as they are.
    together = pq.read_table(io.BytesIO(packed_of(LoadTable.TRANSACTIONS, *files)))
    assert together["transaction_id"].to_pylist() == 3 * [row["transaction_id"] for row in rows]


def test_a_file_that_changed_or_is_gone_is_not_read(tmp_path: Path) -> None:
    file = spooled(tmp_path, LoadTable.USERS, [{"user_id": "u1"}])
    data = bytearray(file.path.read_bytes())
    data[len(data) // 2] ^= 1
    file.path.write_bytes(data)
    with pytest.raises(SpoolError, match="is not what was written"):
        read_spool(file)
    file.path.unlink()
    with pytest.raises(SpoolError, match="No such file"):
        read_spool(file)


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=r"Can't write the spool file .*nowhere") as caught:
        spooled(tmp_path / "nowhere", LoadTable.USERS, [{"user_id": "u1"}])
    assert caught.value.transient


class _Full(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fileno(self) -> int:
        return 0


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["open", "write", "sync", "rename"])
def test_a_full_disk_leaves_no_file_whole_or_half_at_whatever_step(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(handle: int, _: str) -> _Full:
        os.close(handle)
        return _Full()

    with monkeypatch.context() as broken:
        match step:
            case "open":
                broken.setattr(os, "open", _full)
            case "write":
                broken.setattr(os, "fdopen", opened)
            case "sync":
                broken.setattr(os, "fsync", _full)
            case "rename":
                broken.setattr(Path, "replace", _full)
        with pytest.raises(SpoolError, match="No space left on device") as caught:
            spooled(tmp_path, LoadTable.USERS, [{"user_id": "u1"}])
    assert caught.value.transient
    assert str(tmp_path) in str(caught.value)
    assert "Check the disk's free space" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_several_members_are_packed_into_one_file_and_one_goes_as_it_is(tmp_path: Path) -> None:
    first = spooled(tmp_path, LoadTable.USERS, [{"user_id": "u1"}], name="1")
    second = spooled(tmp_path, LoadTable.USERS, [{"user_id": "u2"}, {"user_id": "u3"}], name="2")
    table = pq.read_table(io.BytesIO(packed_of(LoadTable.USERS, first, second)))
    assert table["user_id"].to_pylist() == ["u1", "u2", "u3"]
    assert table.schema.equals(LOAD_SCHEMAS[LoadTable.USERS])
    alone = packed_of(LoadTable.USERS, first)
    assert alone == first.path.read_bytes()


def test_only_rejections_with_a_day_go_to_the_warehouse() -> None:
    rejections = pa.RecordBatch.from_pylist(
        [
            {
                "code": code,
                "message": "",
                "source_offset": offset,
                "source_line": 1,
                "raw": b"secret",
                "record_date": day,
            }
            for code, offset, day in (
                ("unknown_currency", 5, date(2024, 1, 1)),
                ("invalid_json", 9, None),
            )
        ],
        schema=REJECTIONS,
    )
    assert rejected_rows(rejections, source_ordinal=3).to_pylist() == [
        {
            "source_ordinal": 3,
            "source_offset": 5,
            "transaction_date": date(2024, 1, 1),
            "code": "unknown_currency",
        }
    ]
