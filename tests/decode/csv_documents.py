"""Strategies for CSV feeds, regular and not, shared by several tests."""

from hypothesis import strategies as st

HEADER = b"user_id,email,registration_date,country,age_group,city,customer_tier"
COLUMNS = 7

_PLAIN = st.sampled_from(["", "u1", "a@b.example", "2024-01-01", "DE", "vip", "é", " x "])
_QUOTED = st.sampled_from(['"a"', '""', '"a,b"', '"a""b"', '"x\r\ny"', '"x\ny"', '""""', "plain"])
_ODD = st.sampled_from(
    [
        '"return\rhere"', 'in"side', 'in"side"', '"a"b', '"a" ', ' "a"', '"', '"""', "nul\0",
        '"nul\0"', '"open', 'a"', "x\r", '"a"b"c', "\x1c", "\u2028", 'x""y', '"a"b,c"d"', '5" x 3"',
        "\udcff", '"\udcff"', "\udc80é", '"a\n', "a\rb", 'x"a\nb"', '"a"b"c\nd"',
    ]
)  # fmt: skip
_ODD_RECORDS = st.sampled_from([",,,,,,", "   ", '"', "\0", "\ufeff", "a,b", ",,,,,,,", '""', ","])

SIGNS = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r", "a", "\0", "\udcff", "é"])).map(
    lambda signs: "".join(signs).encode("utf-8", "surrogateescape")
)
"""Nothing but what the grammar of CSV turns on."""


@st.composite
def csv_feeds(draw: st.DrawFn) -> bytes:
    """A header and records, plain or well quoted; in some feeds a few odd values or records."""
    fields = draw(st.sampled_from([_PLAIN, _QUOTED, st.one_of(_PLAIN, _QUOTED)]))
    width = st.lists(fields, min_size=COLUMNS, max_size=COLUMNS)
    records = [",".join(values) for values in draw(st.lists(width, min_size=1, max_size=6))]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(records) - 1))
        if draw(st.integers(0, 2)) == 0:
            records[place:place] = [draw(_ODD_RECORDS)]
        else:
            values = records[place].split(",")
            values[draw(st.integers(0, len(values) - 1))] = draw(_ODD)
            records[place] = ",".join(values)
    line_end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"]))
    start = draw(st.sampled_from(["", "", "\ufeff", "\n", "\r\n"]))
    text = (
        start + line_end.join([HEADER.decode(), *records]) + draw(st.sampled_from(["", line_end]))
    )
    return text.encode("utf-8", "surrogateescape")
