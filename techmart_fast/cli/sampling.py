"""The bundled sample as a shop has it: files, and products from an API that runs meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from techmart_fast.api import DataSources
from techmart_fast.contract import Contract
from techmart_fast.contract.endpoint import Endpoint, Limits
from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Faults, RateLimit
from techmart_fast.records import Feed

_RATE = 50
_PAGE_SIZE = 20
_FAILING = Decimal("0.1")
_NAME = "the catalogue of the bundled sample"


@asynccontextmanager
async def sample_sources(contract: Contract) -> AsyncIterator[tuple[DataSources, Contract]]:
    """The sample, whose products a simulated API serves; and the contract that describes it.

    The server has a rate limit and fails now and then, as such services do.
    """
    sample = DataSources.sample()
    (file,) = sample.products
    options = CatalogOptions(
        file=Path(file), limit=RateLimit(rate=_RATE), faults=Faults(fail=_FAILING)
    )
    async with CatalogServer(options) as server:
        endpoint = Endpoint(
            address=f"{server.address}/products",
            # Its port is another one each time; the catalogue is the same.
            name=_NAME,
            page_size=_PAGE_SIZE,
            limits=Limits(requests_per_second=_RATE),
        )
        sources = replace(sample, products=(endpoint.address,))
        yield sources, contract.with_api(Feed.PRODUCTS, endpoint)
