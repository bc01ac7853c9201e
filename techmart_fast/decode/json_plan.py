"""What decoding the JSON of a feed needs to know of it, worked out once per block."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson
import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.decode.json_text import number_pattern
from techmart_fast.records import DECODED_NUMBER, FIELDS, KEY_FIELD, NUMERIC_FIELDS, Feed

_BLANK = r"[ \t\r\n]*"
# Escapes that name no surrogate and not NUL: those are left to a closer look.
_HEX = "[0-9a-fA-F]"
_ESCAPE = (
    r'\\(?:["\\/bfnrt]|u(?:[1-9a-cA-CeEfF]' + _HEX + "{3}|0[1-9a-fA-F]" + _HEX + "{2}"
    "|00[1-9a-fA-F]" + _HEX + "|000[1-9a-fA-F]|[dD][0-7]" + _HEX + "{2}))"
)
_STRING = r'"(?:[^"\\\x00-\x1f]|' + _ESCAPE + ')*"'
_SCALAR = (
    "(?:" + _STRING + r"|true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)"
)
_TEXT = "(?:" + _STRING + "|null)"
# Numbers that DECODED_NUMBER surely holds.
_NUMBER = (
    r"(?:-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,9})?|"
    r'"[+-]?[0-9]{1,19}(?:\.[0-9]{1,9})?"|null)'
)


def _list_of(item: str) -> str:
    return f"(?:{item}(?:{_BLANK},{_BLANK}{item})*)?"


_UNKNOWN = (
    f"(?:{_SCALAR}|\\[{_BLANK}{_list_of(_SCALAR)}{_BLANK}\\]"
    f"|\\{{{_BLANK}{_list_of(_STRING + _BLANK + ':' + _BLANK + _SCALAR)}{_BLANK}\\}})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonPlan:
    """Names in the feed of its fields, in the order of `FIELDS[feed]`, and what follows of them.

    `names` maps canonical to source names; `numbers` has, for each numeric field, the pattern
    that finds its number in a record; `key_pattern` finds the id in a damaged record.
    """

    feed: Feed
    names: Mapping[str, str]
    numbers: Mapping[str, re.Pattern[bytes]]
    schema: pa.Schema
    key: str
    key_pattern: re.Pattern[bytes]

    @classmethod
    def of(cls, feed: Feed, contract: Contract) -> "JsonPlan":
        """The plan for a feed under a contract."""
        rules, numeric = contract.rules(feed), NUMERIC_FIELDS[feed]
        names = {field: rules.source_name(field) for field in FIELDS[feed]}
        key = names[KEY_FIELD[feed]]
        return cls(
            feed=feed,
            names=names,
            numbers={field: number_pattern(names[field]) for field in numeric},
            schema=pa.schema(
                [
                    (name, DECODED_NUMBER if field in numeric else pa.string())
                    for field, name in names.items()
                ]
            ),
            key=key,
            key_pattern=re.compile(
                re.escape(orjson.dumps(key))
                + rb'[ \t\r\n]*+:[ \t\r\n]*+"([^"\\\x00-\x1f]{1,%d})"' % rules.max_id_length
            ),
        )

    def clean_object(self, unknown: Collection[str]) -> str:
        """A regular expression (RE2, bytes) for records that are surely clean.

        It matches an object that has only known fields, of their types, and the `unknown` ones,
        with scalars or flat arrays or objects of scalars; white space may follow. Whatever
        matches is valid JSON if it is valid UTF-8, apart from known fields that stand twice and
        numbers that overflow.
        """
        texts = [name for field, name in self.names.items() if field not in self.numbers]
        numbers = [self.names[field] for field in self.numbers]
        members = [
            f"(?:{'|'.join(map(_key, names))}){_BLANK}:{_BLANK}{value}"
            for names, value in ((texts, _TEXT), (numbers, _NUMBER), (unknown, _UNKNOWN))
            if names
        ]
        return rf"\A\{{{_BLANK}{_list_of('(?:' + '|'.join(members) + ')')}{_BLANK}\}}{_BLANK}\z"


def _key(name: str) -> str:
    return re.escape(orjson.dumps(name).decode())
