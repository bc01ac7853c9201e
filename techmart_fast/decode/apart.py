"""Decodes records that stand apart from their files: each text is one record, whatever is in it."""

from collections.abc import Sequence
from dataclasses import replace

from techmart_fast.contract import Contract
from techmart_fast.decode.csv_block import CsvRecords
from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.decode.json_records import JsonRecords
from techmart_fast.decode.rows import Rejections, Rows, join
from techmart_fast.records import Block, DecodedBatch, SourceFile
from techmart_fast.sources.header import check_header
from techmart_fast.sources.sniff import CSV

_WHITE_SPACE, _LINE_ENDS = b" \t\r\n", b"\r\n"


def decode_apart(
    texts: Sequence[bytes], source: SourceFile, contract: Contract
) -> tuple[DecodedBatch, list[int]]:
    """Each text as one record of the format and header of `source`, or as one rejection.

    A text that holds no record or several is a rejection, too: neighbours can't harm each other.
    Only the exact path, as what was rejected once is little.

    Raises:
        DecodeError: the header lacks a column that the contract requires.

    Returns:
        The batch, whose block holds the texts one after another, and at which byte of it each text
        begins: by that offset its record or rejection is found.
    """
    # To CSV, blanks are part of a value.
    around = _LINE_ENDS if source.format == CSV else _WHITE_SPACE
    stripped = [text.strip(around) for text in texts]
    starts, place = [], 0
    for text in stripped:
        starts.append(place)
        # Empty texts must not share a place with their neighbour.
        place += len(text) + 1
    block = Block(
        source=source,
        first_byte=0,
        end_byte=place,
        first_line=1,
        data=b"".join(text + b"\n" for text in stripped),
        header=source.header,
    )
    decode = _csv if source.format == CSV else _json
    return decode(block, stripped, starts, contract), starts


def _json(
    block: Block, texts: Sequence[bytes], starts: Sequence[int], contract: Contract
) -> DecodedBatch:
    feed, rejections = block.source.feed, Rejections()
    records = JsonRecords(JsonPlan.of(feed, contract), rejections)
    for text, start in zip(texts, starts, strict=True):
        if text:
            records.add(text, start, 1)
        else:
            rejections.add("invalid_json", start=start, line=1, raw=text)
    return DecodedBatch(
        block=block,
        records=join(feed, [records.rows()], 0).records,
        rejections=rejections.batch(0),
        unknown_fields=records.unknown_fields,
    )


def _csv(
    block: Block, texts: Sequence[bytes], starts: Sequence[int], contract: Contract
) -> DecodedBatch:
    check_header(block.header, contract, block.source.feed, file=block.source.name)
    # Not at the start of a file: there is no header to skip.
    records = CsvRecords(replace(block, first_byte=1), contract)
    parts: list[Rows] = []
    for text, start in zip(texts, starts, strict=True):
        if text and records.record_end(start) == start + len(text) + 1:
            parts.append(records.parse_exactly(start, start + len(text) + 1))
        else:
            records.rejections.add("invalid_csv", start=start, line=1, raw=text)
    found = join(block.source.feed, parts, 0).records
    return DecodedBatch(
        block=block,
        records=found,
        rejections=records.rejections.batch(0),
        unknown_fields=records.unknown_fields(found.num_rows),
    )
