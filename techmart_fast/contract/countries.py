"""ISO 3166-1 alpha-2 countries and the sales region of each (from UN M49, see `countries.csv`).

`europe` is M49 150, `asia_pacific` 142 and 009, `north_america` US, CA and MX, the rest `other`.
"""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def region_by_country() -> Mapping[str, str]:
    """Sales region of each of the 249 country codes."""
    with files(__package__).joinpath("countries.csv").open(encoding="utf-8") as table:
        return MappingProxyType({row["country"]: row["region"] for row in csv.DictReader(table)})
