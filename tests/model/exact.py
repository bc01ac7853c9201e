"""Exact money and ratios: whole cents, fractions, one rounding at the end, half away from zero."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from techmart_fast.contract import Contract

_CENT = Decimal("0.01")


def rounded(value: Fraction | int, places: int) -> Decimal:
    """`value` to so many decimals, half away from zero."""
    value = Fraction(value)
    scaled = abs(value) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(whole if value >= 0 else -whole).scaleb(-places)


def money(cents: Fraction | int) -> Decimal:
    """Cents as an amount with two decimals."""
    return rounded(Fraction(cents) / 100, 2)


def divided(part: Fraction | int, whole: Fraction | int) -> Fraction | None:
    """The quotient; nothing for a zero denominator."""
    return Fraction(part) / Fraction(whole) if whole else None


def maybe_rounded(value: Fraction | None, places: int) -> Decimal | None:
    """As `rounded`; nothing stays nothing."""
    return None if value is None else rounded(value, places)


def ratio(part: int, whole: int) -> Decimal | None:
    """A share, for reading."""
    return Decimal(part) / whole if whole else None


class UsdRates:
    """Converts by the newest rate of a currency that is not after a day."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._known: dict[tuple[str, date], Decimal] = {}

    def cents(self, cents: int, currency: str, day: date) -> int:
        """Cents of a currency in cents of USD, rounded once, half away from zero."""
        units = self._known.get((currency, day))
        if units is None:
            rates = [
                rate
                for rate in self._contract.rates
                if rate.currency == currency and rate.since <= day
            ]
            units = max(rates, key=lambda rate: rate.since).units_per_usd
            self._known[currency, day] = units
        usd = Decimal(cents) / 100 / units
        return int(usd.quantize(_CENT, ROUND_HALF_UP) * 100)
