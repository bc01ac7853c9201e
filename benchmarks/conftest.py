"""Generated shops for all benchmarks. TECHMART_BENCH_ROWS sets their size (100,000 by default)."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.endpoint import Endpoint, discarding
from benchmarks.measure import Home, Sources, home_at
from techmart_fast.contract import Contract, default_contract
from techmart_fast.dev import ShopSpec, generate

ROWS = int(os.environ.get("TECHMART_BENCH_ROWS", "100000"))

IS_FULL_SIZE = ROWS >= 1_000_000
"""Whether a run takes so long that its start does not decide its rate: ratios are held to then."""

MakeShop = Callable[..., Path]
MakeHome = Callable[[], Home]


@pytest.fixture(scope="session")
def contract() -> Contract:
    return default_contract()


@pytest.fixture(scope="session")
def make_shop(tmp_path_factory: pytest.TempPathFactory) -> MakeShop:
    """A shop with this share of defects: the same seed, so the same shop in every run.

    What else `ShopSpec` takes may be given by name; `times` as many transactions are made.
    """
    made: dict[object, Path] = {}

    def make(defects: str = "0", *, times: int = 1, **more: Any) -> Path:
        key = (defects, times, repr(sorted(more.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp("shop")
            spec = ShopSpec(
                out=folder,
                transactions=ROWS * times,
                users=max(ROWS // 20, 100),
                products=max(ROWS // 100, 50),
                defects=Decimal(defects),
                seed=7,
            )
            generate(replace(spec, **more))
            made[key] = folder
        return made[key]

    return make


def sources(shop: Path) -> Sources:
    """All files of a generated shop."""
    (transactions,) = shop.glob("transactions.*")
    return Sources(
        users=(shop / "users.csv",),
        products=(shop / "products.json",),
        transactions=(transactions,),
    )


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """Homes whose embedded parts run already: their start is not what is measured."""
    opened: list[AbstractContextManager[Home]] = []

    def make() -> Home:
        context = home_at(tmp_path / f"home{len(opened)}")
        home = context.__enter__()
        opened.append(context)
        return home

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def discard() -> Iterator[Endpoint]:
    """An endpoint that accepts load jobs and discards what they carry."""
    with discarding() as endpoint:
        yield endpoint
