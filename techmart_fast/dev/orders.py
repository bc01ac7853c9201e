"""The transactions of a generated shop, made chunk by chunk as columns of whole numbers."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt

from techmart_fast.contract import Contract
from techmart_fast.dev.catalogue import Catalogue
from techmart_fast.dev.layout import Bare, Layout
from techmart_fast.dev.people import COUNTRIES, Ids, People
from techmart_fast.dev.randomness import Dice, Ints, Streams, Weighted, lognormal_permille, scaled
from techmart_fast.dev.rhythm import Rhythm
from techmart_fast.dev.usd import CURRENCIES, UsdTable

DAY_MILLISECONDS = 86_400_000
CHUNK_ROWS = 1 << 16

METHODS = ("credit_card", "paypal", "debit_card", "apple_pay", "google_pay")
STATUSES = ("completed", "pending", "failed", "refunded", "cancelled")
COMPLETED = STATUSES.index("completed")
_METHOD_WEIGHTS = (46, 25, 14, 9, 6)
_BIG_METHOD_WEIGHTS = (62, 29, 4, 3, 2)  # few dare to pay much in another way
_BIG_CENTS = 40_000
_STATUS_WEIGHTS = (900, 12, 32, 34, 22)
_FRESH_STATUS_WEIGHTS = (690, 260, 30, 5, 15)  # the last days: much is still pending
_FRESH_DAYS = 3
_QUANTITIES = (0, 80, 14, 4, 2)  # weight of 0, 1, 2, … pieces
_IN_DOLLARS_PERCENT = 6
_BASKET_SPREAD = "0.18"
_MAX_CENTS = 9_999_999
_LATE_DAYS = (2, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a transaction.

    `currency`, `method` and `status` are indices; `milliseconds` counts from the first midnight.
    """

    transaction_id: str
    user_id: str
    product_id: str
    cents: int
    currency: int
    milliseconds: int
    method: int
    status: int
    user_exists: bool
    product_exists: bool

    @property
    def is_held(self) -> bool:
        """Whether its user or its product does not exist."""
        return not (self.user_exists and self.product_exists)

    @property
    def day(self) -> int:
        """Day (UTC; 0 is the first of the period)."""
        return self.milliseconds // DAY_MILLISECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Columns of consecutive transactions, `start` the number of the first."""

    start: int
    milliseconds: Ints
    user: Ints
    product: Ints
    cents: Ints
    currency: Ints
    method: Ints
    status: Ints

    def __len__(self) -> int:
        return len(self.user)


class Orders:
    """Makes the transactions; nothing is kept from one chunk to the next."""

    def __init__(
        self,
        streams: Streams,
        *,
        count: int,
        first: date,
        days: int,
        people: People,
        catalogue: Catalogue,
        ids: Ids,
        contract: Contract,
    ) -> None:
        self.count = count
        self.days = days
        self.people = people
        self.catalogue = catalogue
        self.dates = [str(first + timedelta(days=day)) for day in range(days)]
        self.usd = UsdTable(contract, first=first, days=days)
        self._streams = streams
        self._ids = ids
        self._rhythm = Rhythm(first=first, days=days)
        self._methods = Weighted(_METHOD_WEIGHTS)
        self._big_methods = Weighted(_BIG_METHOD_WEIGHTS)
        self._statuses = Weighted(_STATUS_WEIGHTS)
        self._fresh = Weighted(_FRESH_STATUS_WEIGHTS)
        self._quantities = Weighted(_QUANTITIES)
        self._seconds = _clock()
        self._home = np.array([CURRENCIES.index(code) for _, code, _ in COUNTRIES])

    def chunk(self, number: int, late: list[int]) -> Chunk:
        """Chunk `number` of `CHUNK_ROWS`; the rows in `late` (of the chunk) get old timestamps."""
        start = number * CHUNK_ROWS
        rows = min(CHUNK_ROWS, self.count - start)
        times = self._rhythm.milliseconds(
            start, self._words("time", rows, number), total=self.count
        )
        if late:
            least, most = _LATE_DAYS
            back = self._streams.below("late", len(late), most - least + 1, chunk=number) + least
            # Never before the period: then at the same time of its first day.
            times[late] -= np.minimum(back, times[late] // DAY_MILLISECONDS) * DAY_MILLISECONDS
        day = times // DAY_MILLISECONDS
        user = self.people.buyers.pick(
            self._words("user", rows, number), first=self.people.registered_by[day]
        )
        product = self.catalogue.sellers.pick(self._words("product", rows, number))
        currency = self._currencies(user, self._words("currency", rows, number))
        words = self._words("status", rows, number)
        status = np.where(
            day >= self.days - _FRESH_DAYS, self._fresh.pick(words), self._statuses.pick(words)
        )
        cents = self._amounts(product, currency, number)
        words = self._words("method", rows, number)
        method = np.where(
            cents > _BIG_CENTS, self._big_methods.pick(words), self._methods.pick(words)
        )
        return Chunk(
            start=start,
            milliseconds=times,
            user=user,
            product=product,
            cents=cents,
            currency=currency,
            method=method,
            status=status,
        )

    def version(self, chunk: Chunk, row: int) -> Version:
        """One transaction of a chunk."""
        user, product = int(chunk.user[row]), int(chunk.product[row])
        return Version(
            transaction_id=self._ids(chunk.start + row + 1),
            user_id=self.people.ids[user],
            product_id=self.catalogue.ids[product],
            cents=int(chunk.cents[row]),
            currency=int(chunk.currency[row]),
            milliseconds=int(chunk.milliseconds[row]),
            method=int(chunk.method[row]),
            status=int(chunk.status[row]),
            user_exists=bool(self.people.exists[user]),
            product_exists=bool(self.catalogue.exists[product]),
        )

    def values(self, version: Version) -> dict[str, str]:
        """The record of a version."""
        return {
            "transaction_id": version.transaction_id,
            "user_id": version.user_id,
            "product_id": version.product_id,
            "amount": Bare(f"{version.cents // 100}.{version.cents % 100:02d}"),
            "currency": CURRENCIES[version.currency],
            "timestamp": self.timestamp(version.milliseconds),
            "payment_method": METHODS[version.method],
            "status": STATUSES[version.status],
        }

    def timestamp(self, milliseconds: int) -> str:
        """ISO 8601 text in UTC."""
        day, within = divmod(milliseconds, DAY_MILLISECONDS)
        return f"{self.dates[day]}T{self._seconds[within // 1000]}.{within % 1000:03d}Z"

    def lines(self, chunk: Chunk, layout: Layout) -> list[str]:
        """The text of every record of a chunk: as `Layout.record` of `values`, but in bulk."""
        days, within = np.divmod(chunk.milliseconds, DAY_MILLISECONDS)
        seconds, thousandths = np.divmod(within, 1000)
        whole, cents = np.divmod(chunk.cents, 100)
        template = _CSV_TEMPLATE if layout.is_csv else _JSON_TEMPLATE
        rows = zip(
            map(self._ids, range(chunk.start + 1, chunk.start + len(chunk) + 1)),
            map(self.people.ids.__getitem__, chunk.user.tolist()),
            map(self.catalogue.ids.__getitem__, chunk.product.tolist()),
            whole.tolist(),
            cents.tolist(),
            map(CURRENCIES.__getitem__, chunk.currency.tolist()),
            map(self.dates.__getitem__, days.tolist()),
            map(self._seconds.__getitem__, seconds.tolist()),
            thousandths.tolist(),
            map(METHODS.__getitem__, chunk.method.tolist()),
            map(STATUSES.__getitem__, chunk.status.tolist()),
            strict=True,
        )
        return [template % row for row in rows]

    def moved(self, version: Version, dice: Dice) -> Version:
        """The version on another day: later, or earlier at the end of the period."""
        if self.days == 1:
            return replace(version, milliseconds=version.milliseconds ^ 1)
        step = dice.between(1, min(30, self.days - 1))
        later = version.day + step < self.days
        day = version.day + step if later else max(0, version.day - step)
        return replace(
            version,
            milliseconds=version.milliseconds + (day - version.day) * DAY_MILLISECONDS,
        )

    def with_other_user(self, version: Version, dice: Dice) -> Version:
        """The version, bought by somebody else (who had registered by then)."""
        user = dice.below(int(self.people.registered_by[version.day]))
        if self.people.ids[user] == version.user_id:
            return replace(version, status=(version.status + 1) % len(STATUSES))
        return replace(
            version, user_id=self.people.ids[user], user_exists=bool(self.people.exists[user])
        )

    def with_other_product(self, version: Version, dice: Dice) -> Version:
        """The version, for another product."""
        product = dice.below(self.catalogue.count)
        if self.catalogue.ids[product] == version.product_id:
            return replace(version, status=(version.status + 1) % len(STATUSES))
        return replace(
            version,
            product_id=self.catalogue.ids[product],
            product_exists=bool(self.catalogue.exists[product]),
        )

    def _currencies(self, user: Ints, words: npt.NDArray[np.uint64]) -> Ints:
        in_dollars = scaled(words, 100) < _IN_DOLLARS_PERCENT
        return np.where(in_dollars, 0, self._home[self.people.countries[user]])

    def _amounts(self, product: Ints, currency: Ints, number: int) -> Ints:
        rows = len(product)
        pieces = self._quantities.pick(self._words("pieces", rows, number))
        factors = lognormal_permille(_BASKET_SPREAD)
        spread = factors[self._streams.below("basket", rows, len(factors), chunk=number)]
        usd = self.catalogue.usd_cents[product] * pieces * spread // 1000
        # Shops price by eye: roughly the rate of the first day.
        local: Ints = usd * self.usd.units[currency, 0] // self.usd.per[currency, 0]
        return local.clip(1, _MAX_CENTS)

    def _words(self, name: str, rows: int, number: int) -> npt.NDArray[np.uint64]:
        return self._streams.words(name, rows, chunk=number)


_JSON_TEMPLATE = (
    '{"transaction_id": "%s", "user_id": "%s", "product_id": "%s", "amount": %d.%02d,'
    ' "currency": "%s", "timestamp": "%sT%s.%03dZ", "payment_method": "%s", "status": "%s"}'
)
_CSV_TEMPLATE = "%s,%s,%s,%d.%02d,%s,%sT%s.%03dZ,%s,%s"


@cache
def _clock() -> tuple[str, ...]:
    """The text of every second of a day."""
    return tuple(
        f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        for second in range(DAY_MILLISECONDS // 1000)
    )
