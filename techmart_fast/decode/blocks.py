"""Reads a source as blocks of whole records, in bounded memory, whatever its size and format."""

from collections.abc import Iterator
from typing import BinaryIO

from techmart_fast.contract import Contract
from techmart_fast.decode.array_framing import ArrayFraming
from techmart_fast.decode.csv_framing import CsvFraming
from techmart_fast.decode.elements import ElementGrammar
from techmart_fast.decode.framing import Framing, cuts
from techmart_fast.decode.line_framing import LineFraming
from techmart_fast.decode.window import Window
from techmart_fast.errors import DecodeError
from techmart_fast.records import Block, SourceFile
from techmart_fast.sources import open_stream
from techmart_fast.sources.header import check_header
from techmart_fast.sources.sniff import CSV, EMPTY, JSON_ARRAY, NDJSON


def blocks(
    file: SourceFile, contract: Contract, *, block_bytes: int, max_record_bytes: int
) -> Iterator[Block]:
    """The blocks of `file`: their byte ranges follow one another from 0 to the end.

    A block has at most `block_bytes`, or one record if that is longer. A record of more than
    `max_record_bytes` is a block of its own whose `data` holds only the record's beginning, and
    so is shorter than its range. The same file and sizes give the same blocks; another
    `block_bytes` gives other blocks, but the same records. The file is open while the generator
    is.

    Raises:
        SourceChangedError, SourceError: see `open_stream`.
        DecodeError: the file's CSV header lacks a column that the contract requires.
    """
    if file.format == EMPTY:
        return
    with open_stream(file) as stream:
        yield from _blocks(stream, file, contract, block_bytes, max_record_bytes)


def _blocks(
    stream: BinaryIO, file: SourceFile, contract: Contract, block_bytes: int, max_record_bytes: int
) -> Iterator[Block]:
    window = Window(stream, returns=file.format == CSV)
    header: tuple[str, ...] = ()
    framing: Framing
    match file.format:
        case "ndjson":
            framing = LineFraming(window, max_record_bytes)
        case "json_array":
            grammar = ElementGrammar.of(contract, file.feed, longest=max_record_bytes)
            framing = ArrayFraming(window, grammar)
        case "csv":
            csv_framing = CsvFraming(window, max_record_bytes, file=file.name)
            header = csv_framing.header().names
            check_header(header, contract, file.feed, file=file.name)
            framing = csv_framing
        case _:
            raise DecodeError(
                f"{file.name}: there is no format '{file.format}'.",
                hint=f"There are {NDJSON}, {JSON_ARRAY}, {CSV} and {EMPTY}.",
            )
    for cut in cuts(window, framing, block_bytes=block_bytes, max_record_bytes=max_record_bytes):
        yield Block(
            source=file,
            first_byte=cut.first_byte,
            end_byte=cut.end_byte,
            first_line=cut.first_line,
            data=cut.data,
            header=header,
            max_record_bytes=max_record_bytes,
        )
