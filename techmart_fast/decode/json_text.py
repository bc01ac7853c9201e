"""One JSON text by the letter of RFC 8259: its value, or why it has none; exact number texts."""

import re
from dataclasses import dataclass

import orjson

MAX_DEPTH = 1024
"""Nesting beyond which a record is rejected; it is orjson's limit."""

STRING = rb'"(?:[^"\\]++|\\.)*+"'
_NUMBER_TEXT = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_STRING_OR_NUMBER = re.compile(STRING + rb"|" + _NUMBER_TEXT, re.DOTALL)
_STRING_OR_BRACKET = re.compile(STRING + rb"|[\[\]{}]", re.DOTALL)
# What may overflow a double: orjson refuses it, JSON allows it.
_MAYBE_HUGE = re.compile(rb"[0-9.]{200}|[eE]\+?[0-9]{3}")


@dataclass(frozen=True, slots=True)
class ParsedJson:
    """The value of a JSON text. `huge`: some number fits no double, so all numbers are 0 here."""

    value: object
    huge: bool = False


def parse_json(raw: bytes) -> ParsedJson | str:
    """The value of `raw`, or the code of the reason for which it is none.

    Of a key that stands twice in an object, the last one counts.
    """
    try:
        return ParsedJson(orjson.loads(raw))
    except orjson.JSONDecodeError:
        pass
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "invalid_utf8"
    if _depth(raw) > MAX_DEPTH:
        return "too_deep"
    if _MAYBE_HUGE.search(raw):
        try:
            # With the blanks, pieces of a malformed number can't grow together to a good one.
            return ParsedJson(orjson.loads(_replace_numbers(raw, b" 0 ")), huge=True)
        except orjson.JSONDecodeError:
            pass
    return "invalid_json"


def quote_numbers(raw: bytes) -> object:
    """The value of the valid JSON text `raw` with every number as a string, letter by letter."""
    return orjson.loads(_replace_numbers(raw, b'"\\g<0>"'))


def number_pattern(name: str) -> re.Pattern[bytes]:
    """Finds the number that follows the key `name`: group 1, if there is no escape around."""
    key = re.escape(orjson.dumps(name))
    return re.compile(key + rb"[ \t\r\n]*+:[ \t\r\n]*+(" + _NUMBER_TEXT + rb")")


def number_text(raw: bytes, name: str, pattern: re.Pattern[bytes]) -> str:
    """The text of the number that the valid JSON object `raw` holds under `name`."""
    found = pattern.findall(raw)
    if len(found) == 1 and b"\\" not in raw:
        return str(found[0], "ascii")
    value = quote_numbers(raw)
    if not isinstance(value, dict):
        raise TypeError("only an object has members")
    return str(value[name])


def _replace_numbers(raw: bytes, template: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        return match[0] if match[0].startswith(b'"') else match.expand(template)

    return _STRING_OR_NUMBER.sub(replace, raw)


def _depth(raw: bytes) -> int:
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for token in _STRING_OR_BRACKET.finditer(raw):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            depth -= 1
    return deepest
