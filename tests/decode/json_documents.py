"""Strategies for JSON feeds with damage of every kind, shared by several tests."""

from decode_support import transaction
from hypothesis import strategies as st
from orjson import dumps

NAMES = [*transaction(0), "extra", "naïve", 'quo"te', "", "a b"]

NUMBER_TEXTS = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(lambda d: f"{d:f}"),
    st.sampled_from(
        [
            "0", "-0", "1e2", "1E+2", "1e-12", "0e-12", "1.5000000000000", "1.1234567891", "1e400",
            "0.1000000000000000055", "12345678901234567890", "123456789012345678901234567890",
            "-0.0", "1e-400", "2.50", "9" * 400, "1" * 250 + "e99", "01", "1.", ".5", "+5", "-",
            "NaN", "Infinity", "-Infinity", "Inf", "0x1", "1_0", "1.5.5", "--1", "1" * 400 + ".5.5",
            "1e28", "1e29", "-1e29", "10e28", "0.1e30", "9e28", "1e00000000002", "1e-0000000002",
        ]
    ),
)  # fmt: skip
STRINGS = st.one_of(
    st.text(max_size=6).map(lambda text: dumps(text).decode()),
    st.sampled_from(
        [
            '"\\u0000"', '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"\\x"', '"tab\there"',
            '"},{"', '"]"', '"\\"}"', '"a\\\\"', '"\\u00e9"', '"1.5"', '" 1.5"', '"1e2"', '"+5"',
            '"1e29"', '"5."', '"1,5"', '"NaN"', '"\\u0031"', '"nul\0byte"', '"é"', "'single'",
        ]
    ),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(NUMBER_TEXTS, STRINGS, st.sampled_from(["null", "true", "false", "tru"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=4,
)


def _changed(record: dict[str, object], members: list[tuple[str, str]], blank: bytes) -> bytes:
    text = [f"{dumps(name).decode()}:{dumps(value).decode()}" for name, value in record.items()]
    text += [f"{dumps(name).decode()} : {value}" for name, value in members]
    return blank + b"{" + ",".join(text).encode() + b"}" + blank


GOOD = st.integers(0, 99).map(lambda number: dumps(transaction(number)))
WITH_EXTRA = st.integers(0, 99).map(lambda n: dumps(transaction(n, extra=[n, {"a": "b"}])))
_FEWER = st.sets(st.sampled_from(list(transaction(0))), max_size=3).map(
    lambda names: {name: value for name, value in transaction(1).items() if name not in names}
)
ODD = st.builds(
    _changed,
    _FEWER,
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4),
    st.text(" \t\r", max_size=2).map(str.encode),
)
BROKEN = st.tuples(GOOD, st.integers(0, 60), st.binary(max_size=2)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)
CUT_OFF = st.tuples(GOOD, st.integers(0, 150)).map(lambda parts: parts[0][: parts[1]])
OTHER = st.sampled_from(
    [
        b"", b"{}", b"[]", b"5", b'"text"', b"null", b"[1,2]", b"{}{}", b'{"a":1} {"b":2}',
        b"\xef\xbb\xbf{}", b"\xff", b"{" * 1500, b'{"extra":' + b"[" * 1500 + b"]" * 1500 + b"}",
        b'{"transaction_id":"a","transaction_id":"b"}', b'{"extra":1,"extra":2}', b"}", b"{", b'"',
        b'{"transaction_id":"a\xff"}', b'{"extra":"\xed\xa0\x80"}', b"\0", b" " * 100 + b"{}",
    ]
)  # fmt: skip

RECORDS = st.one_of(GOOD, WITH_EXTRA, ODD, BROKEN, CUT_OFF, OTHER)


@st.composite
def line_feeds(draw: st.DrawFn) -> bytes:
    """Lines, good and damaged."""
    line_end = draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \t\n"]))
    start = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"]))
    lines = draw(st.lists(RECORDS, max_size=12))
    return start + line_end.join(lines) + (line_end if draw(st.booleans()) else b"")


@st.composite
def array_feeds(draw: st.DrawFn) -> bytes:
    """Arrays with damaged elements, separators and brackets."""
    separators = st.sampled_from(
        [b",", b",\n", b" , ", b"\n,\n  ", b"", b",,", b"\n", b"]", b"],["]
    )
    nested = st.lists(GOOD, min_size=1, max_size=3).map(
        lambda inner: dumps(transaction(7))[:-1] + b',"parts":[' + b",".join(inner) + b"]}"
    )
    pieces = draw(st.lists(st.tuples(st.one_of(RECORDS, GOOD, nested), separators), max_size=12))
    opening = draw(st.sampled_from([b"[", b"\xef\xbb\xbf [\n", b"", b"[["]))
    closing = draw(st.sampled_from([b"]", b"\n]\n", b"", b"] x", b",]", b"]]"]))
    return opening + b"".join(piece + separator for piece, separator in pieces) + closing
