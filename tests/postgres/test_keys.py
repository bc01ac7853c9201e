"""Keys that travel as one text: the server has the same ones again, whatever they are made of."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.postgres.keys import join_keys

KEYS = st.text(
    st.one_of(
        st.sampled_from("\x1f\x1ea,'\"\\{} "), st.characters(exclude_characters="\0", codec="utf-8")
    ),
    min_size=1,
    max_size=8,
)


@given(st.lists(KEYS, min_size=1, max_size=30))
def test_what_is_joined_comes_apart_again(keys: list[str]) -> None:
    joined = join_keys(pa.array(keys, type=pa.string()))
    assert joined.text.split(joined.separator) == keys


@pytest.mark.parametrize(
    "keys", [["a"], ["\x1f"], ["a\x1f", "\x1fb"], ["é", "\U0001f600", "x" * 64]]
)
def test_a_part_of_an_array_is_joined_alone(keys: list[str]) -> None:
    longer = pa.array(["before", *keys, "after"], type=pa.string())
    joined = join_keys(longer.slice(1, len(keys)))
    assert joined.text.split(joined.separator) == keys
