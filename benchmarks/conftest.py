"""A generated shop for all benchmarks. TECHMART_BENCH_ROWS sets its size (100,000 by default)."""

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.contract import Contract, default_contract
from techmart_fast.dev import ShopSpec, generate

ROWS = int(os.environ.get("TECHMART_BENCH_ROWS", "100000"))


@pytest.fixture(scope="session")
def contract() -> Contract:
    return default_contract()


@pytest.fixture(scope="session")
def make_shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A shop with this share of defects: the same seed, so the same shop in every run."""
    made: dict[str, Path] = {}

    def make(defects: str) -> Path:
        if defects not in made:
            folder = tmp_path_factory.mktemp("shop")
            generate(
                ShopSpec(
                    out=folder,
                    transactions=ROWS,
                    users=max(ROWS // 20, 100),
                    products=max(ROWS // 100, 50),
                    defects=Decimal(defects),
                    seed=7,
                )
            )
            made[defects] = folder
        return made[defects]

    return make
