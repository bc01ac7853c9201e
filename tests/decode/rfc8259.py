"""The grammar of RFC 8259 as a recogniser that shares nothing with the decoders, and a corpus."""

import json
import re

from hypothesis import strategies as st

_WHITE_SPACE = re.compile(rb"[ \t\n\r]*")
_TOKEN = re.compile(
    rb'(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*")'
    rb"|(?P<other>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
    rb"|(?P<sign>[\[\]{},:])"
)


def is_json_text(text: bytes) -> bool:
    """Whether `text` is `JSON-text` of RFC 8259, section 2, in the UTF-8 of section 8.1."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    brackets: list[str] = []
    wanted, place = "value", _skip(text, 0)
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return False
        kind = token[0].decode() if token["sign"] else str(token.lastgroup)
        following = _after(wanted, kind, brackets)
        if following is None:
            return False
        wanted, place = following, _skip(text, token.end())
    return wanted == "end"


def _skip(text: bytes, place: int) -> int:
    found = _WHITE_SPACE.match(text, place)
    return found.end() if found else place


def _after(wanted: str, kind: str, brackets: list[str]) -> str | None:
    """What must come next where `wanted` came as `kind`; None if that is not allowed."""
    following = None
    match wanted, kind:
        case (("value" | "value or ]"), ("string" | "other")):
            following = "more" if brackets else "end"
        case (("value" | "value or ]"), "["):
            brackets.append("]")
            following = "value or ]"
        case (("value" | "value or ]"), "{"):
            brackets.append("}")
            following = "key or }"
        case (("key" | "key or }"), "string"):
            following = "colon"
        case "colon", ":":
            following = "value"
        case "more", ",":
            following = "value" if brackets[-1] == "]" else "key"
        case ("value or ]", "]") | ("key or }", "}"):
            brackets.pop()
            following = "more" if brackets else "end"
        case "more", ("]" | "}") if brackets[-1] == kind:
            brackets.pop()
            following = "more" if brackets else "end"
    return following


def has_lone_surrogate(text: bytes) -> bool:
    """Whether an escape in the JSON text names half of a character (section 8.2)."""
    pairs = json.loads(text, object_pairs_hook=list, parse_int=str)
    try:
        json.dumps(pairs, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


ACCEPTED = [
    # Literals and empty values.
    b"null", b"true", b"false", b"[]", b"{}", b'""', b"[null]", b"[[]]", b'{"":{}}',
    # Numbers: section 6 sets no limit of size or of precision.
    b"0", b"-0", b"0.0", b"-0.0", b"1", b"-1", b"10", b"0e0", b"0E+0", b"0e-00", b"1e1", b"1E01",
    b"1.5e+10", b"123456789", b"9007199254740993", b"18446744073709551616", b"1e308", b"1e309",
    b"-1e309", b"1e-400", b"1e99999", b"1e-99999", b"0e99999", b"0.1" + b"0" * 400 + b"1",
    b"9" * 25, b"9" * 400, b"-" + b"9" * 400 + b"." + b"9" * 400, b"1e" + b"0" * 300 + b"1",
    # Strings.
    b'"a"', b'"\\""', b'"\\\\"', b'"\\/"', b'"/"', b'"\\b\\f\\n\\r\\t"', b'"\\u0041"', b'"\\u00E9"',
    b'"\\uFFFF"', b'"\\uFDD0"', b'"\\ud83d\\ude00"', b'"\\uD83D\\uDE00"', b'"\\uDBFF\\uDFFF"',
    b'"\x7f"', "\"é\"".encode(), "\"\u2028\u2029\"".encode(), "\"\ufeff\"".encode(),
    "\"\U0001f600\"".encode(), "\"\U0010ffff\"".encode(), "\"\uffff\"".encode(), b'"\\u001f"',
    b'"\\\\u0041"', b'"\\\\\\""', b"\"'\"", b'"},{"', b'"],["', b'"NaN"', b'"-Infinity"', b'"//"',
    # White space of section 2, and names as section 4 has them.
    b" 1 ", b"\t1\r", b"\n1\n", b"[ \t\r\n1 \t\r\n, \t\r\n2 \t\r\n]", b'{ \n"a"\t:\r1 ,"b" : 2 }',
    b'{"a":1,"a":2}', b'{"a":1,"a":"b","a":null}', b'{"a b":1,"\\u0000":2,"\\"":3}',
    # Nesting.
    b'[[[{"a":[{"b":[1,[2,[3]]]}]}]]]', b"[" * 500 + b"]" * 500, b'{"a":' * 500 + b"1" + b"}" * 500,
]  # fmt: skip

REJECTED = [
    # Literals and structure.
    b"", b" ", b"nul", b"nulll", b"True", b"NULL", b"undefined", b"None", b"[", b"]", b"{", b"}",
    b"[1", b"1]", b"[1}", b'{"a":1', b'{"a":1]', b"[,]", b"[,1]", b"[1,]", b"[1,,2]", b"[1 2]",
    b"[1:2]", b"{,}", b'{"a":1,}', b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a" 1}', b'{"a"}', b'{"a":}',
    b"{:1}", b"{1:1}", b"{null:1}", b"{a:1}", b"{'a':1}", b'{"a":1 "b":2}', b'{"a"::1}', b'{"a",1}',
    b"1 2", b"[] []", b"{} {}", b'"a" "b"', b"[]]", b"{}}", b",1", b"1,", b"(1)", b"[1]x", b"<a/>",
    # Comments.
    b"/**/1", b"1//", b"1 # one", b"[1,/*2*/3]",
    # Numbers.
    b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity", b"Inf", b"inf", b"+1", b"01", b"-01", b"00",
    b"1.", b".5", b"-.5", b"-", b"--1", b"1.5.5", b"1e", b"1e+", b"1e1.5", b"1ee1", b"0x10", b"1_0",
    b"1 000", b"1,5", b"1f", b"1n", b"0b1", b"1.e1", b"e1", b"- 1", b"\xd9\xa1", b"\xef\xbc\x91",
    b"9" * 400 + b"x", b"9" * 400 + b".", b"1e400.5", b"0" * 300 + b"1", b"1e4000e4000",
    # Strings.
    b'"', b'"a', b'a"', b"'a'", b"`a`", b'"\\"', b'"\\x41"', b'"\\a"', b'"\\\'"', b'"\\u"',
    b'"\\u123"', b'"\\u123g"', b'"\\u+123"', b'"\\u 123"', b'"\\U0041"', b'"\\0"',
    b'"\\\n"', b'"\t"', b'"\n"', b'"\r"', b'"\0"', b'"\x1f"', b'"\x01"', b'"a\nb"', b'"\\\xc3\xa9"',
    b'{"a\tb":1}', b'{"a\\x":1}', b'"\\uD83D\\u"', b'"\\ud83d\\ude0"',
    # Not UTF-8: section 8.1.
    b"\xff", b'"\xff"', b'"\x80"', b'"\xc3"', b'"\xc0\x80"', b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xe9"', b'"\xf0\x9f\x98"', b'{"\xff":1}',
    b'1\xff', b'"a"\x80', "1".encode("utf-16-le"), "[1]".encode("utf-16"),
    # Not white space; a byte order mark is none either (it is skipped at the start of a file).
    b"\xef\xbb\xbf1", b"1\xef\xbb\xbf", b"\x0b1", b"\x0c1", b"1\0", b"\0", b"\xc2\xa01", b"[1\x0b]",
    b"\xe2\x80\x831", b"\x851", b"[\xef\xbb\xbf1]", b"\x1e1",
]  # fmt: skip

STRICTER = {
    # Section 8.2 allows half a character in an escape; PostgreSQL and UTF-8 have no place for it.
    b'"\\ud800"': "invalid_json",
    b'"\\udc00"': "invalid_json",
    b'"\\udfff\\udbff"': "invalid_json",
    b'"\\ud83d\\ud83d\\ude00"': "invalid_json",
    b'"\\ud83dx\\ude00"': "invalid_json",
    b'"\\ud83d\\u0041"': "invalid_json",
    b'{"\\udead":1}': "invalid_json",
    # Section 9 allows a limit of nesting.
    b"[" * 1024 + b"]" * 1024: "too_deep",
    b'{"a":' * 1024 + b"1" + b"}" * 1024: "too_deep",
    b"[" * 20_000 + b"]" * 20_000: "too_deep",
}
"""Texts by the grammar that are rejected on purpose, where they are a member's value, and why."""

_BLANK = st.sampled_from(["", "", "", " ", "\t", "\r", "  "])
_PLAIN = st.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["Cc"])
_ESCAPES = st.sampled_from(
    ['\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0041", "\\u00e9", "\\uFFFE",
     "\\ud83d\\ude00", "\\uD83D\\uDE00", "\\u0000", "\\u001F", "\\\\u0041", "\\ud800", "\\uDC00"]
)  # fmt: skip
STRINGS = st.lists(st.one_of(_PLAIN, _ESCAPES), max_size=5).map(lambda parts: f'"{"".join(parts)}"')
_DIGITS = st.one_of(
    st.integers(0, 10**6).map(str), st.sampled_from(["00", "007", "9" * 25, "1" * 310])
)
NUMBERS = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["", "-"]),
    st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(["0", "9" * 25, "1" * 310])),
    st.one_of(st.just(""), _DIGITS.map(".".__add__)),
    st.one_of(
        st.just(""),
        st.tuples(st.sampled_from(["e", "E", "e+", "E-", "e-"]), _DIGITS).map("".join),
    ),
)


def _spaced(text: str, before: str, behind: str) -> str:
    return before + text + behind


def _blank(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(_spaced, texts, _BLANK, _BLANK)


TEXTS = st.recursive(
    _blank(st.one_of(NUMBERS, STRINGS, st.sampled_from(["null", "true", "false", "[]", "{ }"]))),
    lambda inner: _blank(
        st.one_of(
            st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
            st.lists(st.tuples(_blank(STRINGS), inner), max_size=3).map(
                lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
            ),
        )
    ),
    max_leaves=5,
).map(str.encode)
"""JSON texts as the grammar makes them, without newlines."""
