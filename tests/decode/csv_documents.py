"""Strategies for CSV feeds, regular and not, shared by several tests."""

from hypothesis import strategies as st

HEADER = b"user_id,email,registration_date,country,age_group,customer_tier"

_FIELDS = st.one_of(
    st.sampled_from(
        [
            "", " ", "u1", "a@b.example", '"quoted"', '""', '"a""b"', '"a,b"', '"line\nbreak"',
            '"line\r\nbreak"', '"return\rhere"', 'in"side', '"a"b', '"a" ', ' "a"', '"', '"""',
            "é", "nul\0", '"open', 'a"', "x\r", '"a"b"c', "\x1c", "\u2028",
        ]
    ),
    st.text(max_size=4),
)  # fmt: skip
_PLAIN = st.sampled_from(["", "u1", "a@b.example", "2024-01-01", "DE", "vip", "é", " x "])
_QUOTED = st.sampled_from(['"a"', '""', '"a,b"', '"a""b"', '"x\r\ny"', '"x\ny"', '""""', "plain"])


def _record(fields: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    right = st.lists(fields, min_size=6, max_size=6)
    wrong = st.lists(fields, min_size=1, max_size=8)
    return st.one_of(right, right, wrong).map(
        lambda values: ",".join(values).encode("utf-8", "surrogatepass")
    )


@st.composite
def csv_feeds(draw: st.DrawFn) -> bytes:
    """A header and records of one flavour: plain, well quoted, or anything."""
    fields = draw(st.sampled_from([_PLAIN, _QUOTED, st.one_of(_PLAIN, _QUOTED), _FIELDS]))
    odd = st.sampled_from([b"", b"\xff,a,b,c,d,e", b",,,,,", b"   ", b'"', b"\0", b"\xef\xbb\xbf"])
    records = draw(st.lists(st.one_of(_record(fields), _record(fields), odd), max_size=12))
    line_end = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b"\n\n"]))
    start = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b"\r\n"]))
    ending = draw(st.sampled_from([b"", line_end]))
    return start + line_end.join([HEADER, *records]) + ending
