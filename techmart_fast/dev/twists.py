"""Transactions that come again: repeats, newer versions, unknown parents."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from techmart_fast.dev.orders import METHODS, STATUSES, Orders, Version
from techmart_fast.dev.randomness import Dice
from techmart_fast.dev.usd import CURRENCIES

UNKNOWN_USER = "usr_unknown_{}"
UNKNOWN_PRODUCT = "prd_unknown_{}"

_NEXT_STATUS = {"pending": "completed", "completed": "refunded", "failed": "completed"}

Story = Sequence[Version]
"""The versions of one transaction in the order of the file; the first is the original."""


class Twists:
    """Writes the stories; each kind of story comes in turn."""

    def __init__(self, orders: Orders, dice: Dice) -> None:
        self._orders = orders
        self._dice = dice
        self._corrections: tuple[Callable[[Version], Story], ...] = (
            lambda first: [first, _next_status(first)],
            lambda first: [first, self._other_amount(first)],
            lambda first: [first, orders.moved(first, dice)],
            lambda first: [first, orders.with_other_user(first, dice)],
            lambda first: [first, orders.with_other_product(first, dice)],
            self._there_and_back,
            lambda first: [first, replace(first, milliseconds=first.milliseconds ^ 1)],
            lambda first: [first, replace(first, method=(first.method + 1) % len(METHODS))],
            lambda first: [first, replace(first, currency=(first.currency + 1) % len(CURRENCIES))],
            self._twice_corrected,
            self._corrected_then_repeated,
            self._into_the_unknown,
            self._out_of_the_unknown,
        )

    def correction(self, first: Version, serial: int) -> Story:
        """A transaction and its newer versions."""
        return self._corrections[serial % len(self._corrections)](first)

    def repeat(self, first: Version, serial: int) -> Story:
        """A transaction that comes twice, every fourth one three times."""
        return [first] * (3 if serial % 4 == 3 else 2)

    def orphan(self, first: Version, serial: int) -> Story:
        """A transaction of an unknown user, product or both; every fifth one comes twice."""
        turn = serial % 3
        story = [first]
        if turn != 1:
            story = [_of_unknown_user(version) for version in story]
        if turn != 0:
            story = [_of_unknown_product(version) for version in story]
        return story * (2 if serial % 5 == 4 else 1)

    def _other_amount(self, version: Version) -> Version:
        return replace(version, cents=version.cents + self._dice.between(1, 500))

    def _there_and_back(self, first: Version) -> Story:
        return [first, self._other_amount(first), first]

    def _twice_corrected(self, first: Version) -> Story:
        second = self._other_amount(first)
        return [first, second, self._orders.moved(_next_status(second), self._dice)]

    def _corrected_then_repeated(self, first: Version) -> Story:
        second = _next_status(first)
        return [first, second, second]

    def _into_the_unknown(self, first: Version) -> Story:
        """The newer version is held, so the older one stays."""
        return [first, _of_unknown_user(self._other_amount(first))]

    def _out_of_the_unknown(self, first: Version) -> Story:
        """The older version is held, the newer one loads."""
        return [_of_unknown_product(first), first]


def _next_status(version: Version) -> Version:
    status = _NEXT_STATUS.get(STATUSES[version.status], "completed")
    return replace(version, status=STATUSES.index(status))


def _of_unknown_user(version: Version) -> Version:
    user_id = UNKNOWN_USER.format(version.cents % 1000)
    return replace(version, user_id=user_id, user_exists=False)


def _of_unknown_product(version: Version) -> Version:
    product_id = UNKNOWN_PRODUCT.format(version.cents % 1000)
    return replace(version, product_id=product_id, product_exists=False)
