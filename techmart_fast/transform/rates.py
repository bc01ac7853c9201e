"""Conversion to USD by dated rates: exact, rounded once, half away from zero."""

from dataclasses import dataclass
from datetime import date
from fractions import Fraction

import numpy as np
import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.errors import ConfigError

_EPOCH = date(1970, 1, 1)
_INT64_MAX = 2**63 - 1

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class _CurrencyRates:
    """One currency's rates in order of their first day; USD per unit as numerator/denominator."""

    since_days: Integers
    numerators: Integers
    denominators: Integers


class UsdRates:
    """The rates of a contract, ready to convert columns of amounts."""

    def __init__(self, contract: Contract) -> None:
        self._rates: dict[str, _CurrencyRates] = {}
        for currency in contract.currencies:
            dated = sorted(
                (rate.since, Fraction(rate.units_per_usd))
                for rate in contract.rates
                if rate.currency == currency
            )
            self._rates[currency] = _CurrencyRates(
                np.array([(since - _EPOCH).days for since, _ in dated], dtype=np.int64),
                np.array([units.denominator for _, units in dated], dtype=np.int64),
                np.array([units.numerator for _, units in dated], dtype=np.int64),
            )

    def convert(self, cents: Integers, currencies: pa.StringArray, days: Integers) -> Integers:
        """USD cents of each amount: cents ÷ units_per_usd, half away from zero (amounts ≥ 0).

        `days` are reporting dates (days since 1970); the newest rate not after the day counts.

        Raises:
            ConfigError: a currency has no rate yet on a day.
        """
        encoded = currencies.dictionary_encode()
        codes = encoded.indices.to_numpy()
        usd = np.zeros(len(cents), dtype=np.int64)
        for place, currency in enumerate(encoded.dictionary.to_pylist()):
            rates = self._rates[currency]
            rows = slice(None) if len(encoded.dictionary) == 1 else codes == place
            chosen = np.searchsorted(rates.since_days, days[rows], side="right") - 1
            if len(chosen) and chosen.min() < 0:
                day = date.fromordinal(_EPOCH.toordinal() + int(days[rows].min()))
                raise ConfigError(
                    f"The contract has no rate of {currency} for {day}.",
                    hint="Add one to [[rates]] that starts on or before that day.",
                )
            usd[rows] = _divide(cents[rows], rates.numerators[chosen], rates.denominators[chosen])
        return usd

    def convert_at_newest(self, cents: Integers, currencies: pa.StringArray) -> Integers:
        """USD cents of each amount at the newest rate of its currency."""
        last = date.max.toordinal() - _EPOCH.toordinal()
        return self.convert(cents, currencies, np.full(len(cents), last, dtype=np.int64))


def _divide(cents: Integers, numerators: Integers, denominators: Integers) -> Integers:
    """Round(cents × numerator ÷ denominator), half away from zero, exactly."""
    if not len(cents):
        return cents
    # |x| half up of a/b is (2a + b) div 2b; in 64 bits as long as that fits, else in big integers.
    largest = int(cents.max()) * int(numerators.max()) * 2 + int(denominators.max())
    if largest <= _INT64_MAX:
        return (2 * cents * numerators + denominators) // (2 * denominators)
    exact = 2 * cents.astype(object) * numerators + denominators
    usd: Integers = (exact // (2 * denominators.astype(object))).astype(np.int64)
    return usd
