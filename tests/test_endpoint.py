"""The description of an endpoint: defaults that fit, and mistakes that are explained."""

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from techmart_fast.contract.endpoint import ApiKey, Cursors, Endpoint, NumberedPages
from techmart_fast.mistakes import explain

ADDRESS = {"address": "https://api.example.com/v1/products"}


def test_an_address_is_enough() -> None:
    endpoint = Endpoint.model_validate(ADDRESS)
    assert endpoint.pagination == NumberedPages()
    assert endpoint.where == "api.example.com/v1/products"
    assert endpoint.limits.requests_per_second == 10


def test_everything_can_be_said_in_toml() -> None:
    text = """
    address = "https://api.example.com/v1/charges?expand=x"
    query = { status = "open" }
    headers = { Accept-Version = "2" }
    records = "data"
    page_size = 50
    drift = "quarantine"
    pagination = { kind = "cursor", parameter = "starting_after", last_record = "id", more = "m" }
    auth = { kind = "api_key", header = "X-Key", environment = "SHOP_KEY" }
    incremental = { parameter = "created", field = "created", overlap_seconds = 5 }
    limits = { concurrency = 2, requests_per_second = 0.5, allow_private = true }
    """
    endpoint = Endpoint.model_validate(tomllib.loads(text))
    assert isinstance(endpoint.pagination, Cursors)
    assert endpoint.auth == ApiKey(header="X-Key", environment="SHOP_KEY")
    again = Endpoint.model_validate_json(endpoint.model_dump_json())
    assert (again, again.identity) == (endpoint, endpoint.identity)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"address": "shop.example/products"}, "address must start with https://"),
        ({"address": "ftp://shop.example"}, "address must start with https://"),
        ({"address": "https://"}, "address must start with https://"),
        ({"address": "https://x:99999999/"}, "address is not an address like"),
        ({"address": "https://ann:pw@x/"}, "address must not hold credentials"),
        ({"address": "https://x/#part"}, "address must not have a fragment"),
        ({"address": "https://x/a b"}, "address must not hold blanks"),
        ({"headers": {"authorization": "x"}}, "headers must not name authorization: give cred"),
        ({"headers": {"Host": "x"}}, "headers must not name Host: the loader sets it"),
        ({"headers": {"X": "a\r\nY: b"}}, "headers has characters in X that can't stand"),
        ({"headers": {"X Y": "a"}}, "headers names a header that is none"),
        ({"headers": {"A": "1", "a": "2"}}, "headers names a header twice"),
        (
            {"headers": {"x-api-key": "1"}, "auth": {"kind": "api_key", "environment": "A"}},
            "headers names a header twice, or the one of auth",
        ),
        ({"auth": {"kind": "bearer"}}, "auth needs exactly one of environment and file"),
        (
            {"auth": {"kind": "bearer", "environment": "A", "file": "b"}},
            "auth needs exactly one of environment and file",
        ),
        ({"auth": {"kind": "oauth"}}, "auth must have a kind among 'none', 'bearer'"),
        ({"auth": {"environment": "A"}}, "auth needs a kind"),
        (
            {"auth": {"kind": "api_key", "environment": "A", "header": "Host"}},
            "auth.header is a header that the loader sets",
        ),
        (
            {"auth": {"kind": "basic", "environment": "A", "user": "a:b"}},
            "auth.user does not match",
        ),
        (
            {"pagination": {"kind": "page", "parametr": "p"}},
            "pagination.parametr is not a key of the contract (did you mean parameter?)",
        ),
        ({"pagination": {"kind": "page", "first": 7}}, "pagination.first must be 1 or less"),
        ({"pagination": {"kind": "cursor", "last_record": "id"}}, "pagination last_record needs"),
        ({"records": "a..b"}, "records is not a path like"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency must be 1 or more"),
        (
            {"limits": {"retry": 1}},
            "limits.retry is not a key of the contract (did you mean retries",
        ),
        (
            {"limits": {"total_seconds": float("inf")}},
            "limits.total_seconds must be a finite number",
        ),
        ({"query": {"page": "3"}}, "a parameter of the query has two meanings"),
        ({"incremental": {"parameter": "per_page"}}, "a parameter of the query has two meanings"),
        ({"content_types": []}, "content_types needs 1 or more entries"),
        ({"content_types": ["json"]}, "content_types[1] is not a type like"),
        ({"drift": "ignore"}, "drift must be 'stop', 'quarantine' or 'report'"),
        ({"adress": "x"}, "adress is not a key of the contract (did you mean address?)"),
    ],
)
def test_mistakes_are_explained_with_their_key(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Endpoint.model_validate({**ADDRESS, **wrong})
    (told,) = explain(caught.value, Endpoint)
    assert told.startswith(words)


def test_what_decides_the_records_decides_the_identity() -> None:
    endpoint = Endpoint.model_validate(ADDRESS)
    same = Endpoint.model_validate({**ADDRESS, "limits": {"retries": 1}, "drift": "report"})
    pages = Endpoint.model_validate({**ADDRESS, "page_size": 7})
    other = Endpoint.model_validate({**ADDRESS, "query": {"shop": "2"}})
    assert (same.identity, same.selection) == (endpoint.identity, endpoint.selection)
    assert pages.selection == endpoint.selection
    assert pages.identity != endpoint.identity
    assert other.selection != endpoint.selection
