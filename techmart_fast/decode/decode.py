"""Decodes a block, whatever its format."""

from techmart_fast.contract import Contract
from techmart_fast.decode.csv_block import decode_csv
from techmart_fast.decode.json_block import decode_json
from techmart_fast.decode.rows import Rejections, join
from techmart_fast.records import Block, DecodedBatch
from techmart_fast.sources.header import BYTE_ORDER_MARK
from techmart_fast.sources.sniff import CSV


def decode(block: Block, contract: Contract) -> DecodedBatch:
    """The records of a block as columns, and what is no record with the reason for it.

    A pure function, safe to call from several threads. No damage raises: it becomes rejections.
    """
    if len(block.data) < block.end_byte - block.first_byte:
        return _oversized(block)
    if block.source.format == CSV:
        return decode_csv(block, contract)
    return decode_json(block, contract)


def _oversized(block: Block) -> DecodedBatch:
    raw = block.data
    if block.first_byte == 0:
        raw = raw.removeprefix(BYTE_ORDER_MARK)
    if block.source.format != CSV:
        raw = raw.lstrip(b" \t\r\n")
    rejections = Rejections()
    start = len(block.data) - len(raw)
    rejections.add("record_too_large", start=start, line=block.first_line, raw=raw)
    return DecodedBatch(
        block=block,
        records=join(block.source.feed, [], block.first_byte).records,
        rejections=rejections.batch(block.first_byte),
    )
