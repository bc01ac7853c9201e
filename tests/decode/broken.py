"""Damage to feeds of any format, and how many examples of it a form of a test looks at."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# The signs that mean something to some format.
_SIGNS = st.sampled_from(list(b"\"'\\,:{}[]\n\r\t \0\xff\xef\xbb\xbf\x80-+.eEu019truefalsn"))
SCRAPS = st.lists(_SIGNS, max_size=30).map(bytes)
NOISE = st.one_of(st.binary(max_size=60), SCRAPS)


@st.composite
def mutated(draw: st.DrawFn, feeds: st.SearchStrategy[bytes], times: int = 3) -> bytes:
    """A feed in which stretches are replaced, removed, put in or doubled, or nothing at all."""
    data = draw(feeds)
    for _ in range(draw(st.integers(0, times))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40)))
        stretch = draw(st.one_of(SCRAPS, st.just(data[start:stop] * 2)))
        data = data[:start] + stretch + data[stop:]
    return data


def forms(short: int, long: int) -> pytest.MarkDecorator:
    """Give a test `examples`: few every time, many in `make torture`."""
    return pytest.mark.parametrize(
        "examples",
        [
            pytest.param(short, id="short"),
            pytest.param(long, id="long", marks=pytest.mark.torture),
        ],
    )


def holds_for(
    examples: int, check: Callable[..., None], *strategies: st.SearchStrategy[object]
) -> None:
    """Run a check on so many examples."""
    settings(max_examples=examples, deadline=None)(given(*strategies)(check))()
