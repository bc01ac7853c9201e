"""The page on sources: its examples can be used, and every option is explained."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from techmart_fast.contract import endpoint as described
from techmart_fast.contract import parse_contract
from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.records import Feed

PAGE = Path(__file__).parents[1].joinpath("docs", "sources.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MODELS = [
    found
    for found in vars(described).values()
    if isinstance(found, type)
    and issubclass(found, BaseModel)
    and not found.__name__.startswith("_")
]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_are_contracts_that_describe_an_api(example: str) -> None:
    contract = parse_contract(example, name="example")
    assert [feed for feed in Feed if contract.rules(feed).api is not None]


def test_there_is_an_example_for_each_feed() -> None:
    assert {feed for feed in Feed for one in EXAMPLES if f"[{feed}.api]" in one} == set(Feed)


def test_every_option_is_explained() -> None:
    names = {name for model in MODELS for name in model.model_fields}
    assert {"address", "total_pages", "header", "overlap_seconds", "max_redirects"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []


def test_defaults_are_those_that_the_page_tells() -> None:
    plain = Endpoint(address="https://shop.example")
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\w,./`+ ]+) \|$", PAGE, re.MULTILINE))
    for name in ("concurrency", "requests_per_second", "total_seconds", "retries"):
        assert float(told[name]) == getattr(plain.limits, name)
    assert int(told["page_size"]) == plain.page_size
    assert told["drift"].strip("`") == plain.drift
    assert told["etag_covers"].strip("`") == plain.etag_covers
