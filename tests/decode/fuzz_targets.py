"""What the decoders are fuzzed with, and how one input is judged. No fuzzer is needed for that."""

import gzip
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import csv_documents
from decode_support import CONTRACT, transaction, transactions
from invariants import KINDS, examined, small_steps
from orjson import OPT_INDENT_2, dumps

from techmart_fast.decode import blocks, decode
from techmart_fast.errors import DecodeError, TechmartError
from techmart_fast.records import Feed
from techmart_fast.sources import discover

TARGETS = (*KINDS, "file")
SIZES = (1, 7, 40, 171, 400, 1 << 20)
_USERS = csv_documents.HEADER + b'\nu1,a@b.example,2024-01-01,DE,,"x\r\ny",vip\nu2,"a""b",,,,,\n'
_ODD = transaction(3, note={"deep": [{"x": "},{"}, []]}, amount="1.50")
SEEDS: Mapping[str, list[bytes]] = {
    "ndjson": [
        b"\n".join(transactions(3)),
        b"\xef\xbb\xbf\r\n" + dumps(_ODD) + b'\r\n{"amount":1e400}\n{"extra":"\\ud83d\\ude00"}',
    ],
    "json_array": [
        b"[" + b",".join(transactions(3)) + b"]",
        dumps([_ODD, transaction(1), transaction(2)], option=OPT_INDENT_2),
        b"[" + transactions(1)[0] + b',{"bad":[1,,{' + transactions(2)[1] + b"]",
    ],
    "csv": [_USERS, _USERS.replace(b"\n", b"\r\n"), _USERS + b'"open,\r\nand on'],
}
WORDS = [
    *(b'"', b'""', b'\\"', b"\\u0000", b"\\ud800", b"\r\n", b"\r", b"\n", b",", b"},{", b"[{"),
    *(b'{"transaction_id":"', b'"amount":', b"NaN", b"Infinity", b"1e999", b"-0", b"e-9999999"),
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"null", b"true", b"u1,a@b.example,2024-01-01,DE,,,vip\n"),
    *transactions(1),
]  # fmt: skip


def replay(target: str, data: bytes) -> None:
    """Run one input through a target. Whatever this raises is a find.

    An input is the bytes of a feed, and two more that choose the sizes. In the target `file` it is
    those of a file of whatever format and compression.
    """
    feed, choice = data[:-2], data[-2:].rjust(2, b"\0")
    if target == "file":
        _through_a_file(feed, choice[0])
        return
    block_bytes, max_record_bytes = (SIZES[byte % len(SIZES)] for byte in choice)
    if target == "csv" and choice[1] & 0x80:
        feed = csv_documents.HEADER + b"\n" + feed
    with suppress(DecodeError), small_steps(1 << (choice[0] >> 4)):
        found = examined(feed, target, block_bytes=block_bytes, max_record_bytes=max_record_bytes)
        assert found == examined(
            feed, target, block_bytes=1 << 20, max_record_bytes=max_record_bytes
        )


def _through_a_file(stored: bytes, choice: int) -> None:
    """From the bytes of a file, of whatever compression and format, to decoded batches."""
    if choice & 1:
        stored = gzip.compress(stored, mtime=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "feed")
        path.write_bytes(stored)
        for feed in Feed:
            with suppress(TechmartError):
                (file,) = discover(feed, [str(path)], contract=CONTRACT)
                for block in blocks(file, CONTRACT, block_bytes=100, max_record_bytes=400):
                    decode(block, CONTRACT)


def write_seeds(target: str, folder: Path) -> Path:
    """Write the inputs with which fuzzing begins; returns the dictionary beside the folder."""
    folder.mkdir(exist_ok=True)
    for kind in KINDS if target == "file" else (target,):
        for number, seed in enumerate(SEEDS[kind]):
            (folder / f"{kind}-{number}").write_bytes(seed + b"\x03\x05")
    dictionary = folder.with_name(f"{folder.name}.dict")
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS)
    dictionary.write_text("".join(f'"{word}"\n' for word in words))
    return dictionary
