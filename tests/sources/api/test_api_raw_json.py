"""Records keep their exact text, and what is no JSON is refused, by the letter."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from techmart_fast.sources.api.raw_json import (
    Listed,
    NoListError,
    NotJsonError,
    NumberText,
    member,
    read_list,
)

NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)
BLANKS = st.text(alphabet=" \t\r\n", max_size=3)
STRINGS = st.text(max_size=12).map(json.dumps) | st.text(max_size=12).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)


def joined(opening: str, closing: str, parts: list[str], blank: str) -> str:
    return f"{opening}{blank}" + f"{blank},{blank}".join(parts) + f"{blank}{closing}"


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.tuples(STRINGS, BLANKS, inner).map(
        lambda one: f"{one[0]}{one[1]}:{one[1]}{one[2]}"
    )
    return st.builds(joined, st.just("["), st.just("]"), st.lists(inner, max_size=4), BLANKS) | (
        st.builds(joined, st.just("{"), st.just("}"), st.lists(members, max_size=4), BLANKS)
    )


VALUES = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(["true", "false", "null"]), containers, max_leaves=12
)


def read(text: str, *path: str) -> tuple[Listed, list[Any]]:
    values: list[Any] = []

    def begin() -> Any:
        values.clear()
        return values.append

    return read_list(text, path, begin), values


@settings(max_examples=30, deadline=None)
@given(elements=st.lists(VALUES, max_size=6), blank=BLANKS, before=VALUES, after=VALUES)
def test_every_element_keeps_its_text(
    elements: list[str], blank: str, before: str, after: str
) -> None:
    array = joined("[", "]", elements, blank)
    text = f'{blank}{{"a":{before},{blank}"list" :{array},"z":{after}}}{blank}'
    listed, values = read(text, "list")
    assert list(listed.texts) == [one.replace("\r", " ").replace("\n", " ") for one in elements]
    assert not any("\n" in one or "\r" in one for one in listed.texts)
    assert len(values) == len(elements)
    for kept, value in zip(listed.texts, values, strict=True):
        assert json.loads(kept, parse_int=NumberText, parse_float=NumberText) == value
    assert isinstance(listed.around, dict)
    assert set(listed.around) == {"a", "list", "z"}
    assert listed.around["list"] == []


@given(
    text=VALUES, place=st.integers(0, 100), noise=st.sampled_from(list('{}[],:"\\x0-+.eE \x00é'))
)
def test_what_is_refused_is_what_others_refuse(text: str, place: int, noise: str) -> None:
    array = f"[{text}]"
    damaged = array[: place % len(array)] + noise + array[place % len(array) + 1 :]
    try:
        json.loads(damaged, parse_constant=pytest.fail)
        good = True
    except (ValueError, pytest.fail.Exception):
        good = False
    try:
        listed, _ = read(damaged)
    except NotJsonError:
        assert not good
    except NoListError:
        assert good
    else:
        assert good
        assert len(listed.texts) == len(json.loads(damaged))


@settings(max_examples=30, deadline=None)
@given(text=VALUES)
def test_it_agrees_with_the_parser_of_the_pipeline(text: str) -> None:
    try:
        expected = orjson.loads(f"[{text}]")
    except orjson.JSONDecodeError:
        return  # what overflows a double, and lone surrogates
    listed, _ = read(f"[{text}]")
    assert [orjson.loads(one) for one in listed.texts] == expected


def test_lone_surrogates_and_huge_numbers_are_left_to_the_pipeline() -> None:
    listed, _ = read('["\\ud800", 1e999999, ' + "9" * 10_000 + "]")
    assert [len(one) for one in listed.texts] == [8, 8, 10_000]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "[", "]", "[1,]", "[,1]", "[1 2]", "[01]", "[+1]", "[.5]", "[1.]", "[-]"),
        *("[NaN]", "[Infinity]", "[-Infinity]", "['a']", '["a]', '["\t"]', '["\\x"]', "[tru]"),
        *("[1]]", "[1],", '{"a"}', '{"a":}', "{a:1}", '{"a":1,}', '{"a" 1}'),
        *("[1]\x00", "[\xa01]", "\ufeff[1]"),
    ],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(NotJsonError):
        read(text, *(["x"] if text.startswith("{") else []))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, '[{"a":[' * 60_000])
def test_nesting_without_end_is_refused(text: str) -> None:
    for path in ([], ["a"], ["a"] * 3):
        with pytest.raises(NotJsonError, match="nested too deep"):
            read(text, *path)


def test_of_two_members_of_a_name_the_last_one_counts() -> None:
    listed, values = read('{"list": [1, 2], "list": [3]}', "list")
    assert (listed.texts, values) == (["3"], ["3"])
    with pytest.raises(NoListError):
        read('{"list": [1], "list": null}', "list")


def test_a_list_may_be_deep_and_must_be_a_list() -> None:
    listed, _ = read('{"a": {"b": {"c": [1, [2]]}}}', "a", "b", "c")
    assert listed.texts == ["1", "[2]"]
    for text in ('{"a": 1}', '{"a": {"b": []}}', "[]", '{"b": []}', "null"):
        with pytest.raises(NoListError):
            read(text, "a", "b", "c")


def test_members_are_found_by_their_path() -> None:
    value = {"a": {"b": NumberText("7")}, "c": []}
    assert member(value, "a.b") == "7"
    assert member(value, "a.x") is None
    assert member(value, "c.b") is None
    assert member(value, "") is None
