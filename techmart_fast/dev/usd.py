"""Exact conversion to USD cents by the contract's rates."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from techmart_fast.contract import Contract
from techmart_fast.dev.randomness import Ints

CURRENCIES = ("USD", "EUR", "GBP", "CAD")
"""The currencies of the shop; columns hold the index."""


class UsdTable:
    """Exact rates by currency and day, as fractions: `units` ÷ `per` of a currency per USD."""

    def __init__(self, contract: Contract, *, first: date, days: int) -> None:
        rates = [
            [_rate(contract, code, first + timedelta(days=day)) for day in range(days)]
            for code in CURRENCIES
        ]
        fractions = [[rate.as_integer_ratio() for rate in row] for row in rates]
        self.units: Ints = np.array([[units for units, _ in row] for row in fractions], np.int64)
        self.per: Ints = np.array([[per for _, per in row] for row in fractions], np.int64)

    def cents(self, cents: Ints, currency: Ints, day: Ints) -> Ints:
        """USD cents of amounts, rounded half up (amounts are positive: half away from zero)."""
        units, per = self.units[currency, day], self.per[currency, day]
        return (2 * cents * per + units) // (2 * units)

    def cents_of(self, cents: int, currency: int, day: int) -> int:
        """USD cents of one amount."""
        units, per = int(self.units[currency, day]), int(self.per[currency, day])
        return (2 * cents * per + units) // (2 * units)


def _rate(contract: Contract, code: str, day: date) -> Decimal:
    """The newest rate of a currency not after `day`."""
    known = [rate for rate in contract.rates if rate.currency == code and rate.since <= day]
    return max(known, key=lambda rate: rate.since).units_per_usd
