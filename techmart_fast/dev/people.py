"""The users of a generated shop: who, from where, since when, and how keen to buy."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np

from techmart_fast.dev.layout import Values
from techmart_fast.dev.randomness import (
    Dice,
    Ints,
    Streams,
    Weighted,
    mixed,
    permutation,
    scaled,
    zipf_weights,
)

COUNTRIES = (
    ("US", "USD", 380),
    ("GB", "GBP", 110),
    ("DE", "EUR", 90),
    ("CA", "CAD", 85),
    ("FR", "EUR", 65),
    ("ES", "EUR", 40),
    ("IT", "EUR", 40),
    ("AU", "USD", 35),
    ("NL", "EUR", 30),
    ("MX", "USD", 25),
    ("BR", "USD", 20),
    ("JP", "USD", 20),
    ("IE", "EUR", 15),
    ("PT", "EUR", 12),
    ("AT", "EUR", 12),
    ("BE", "EUR", 12),
    ("IN", "USD", 12),
    ("SG", "USD", 10),
    ("FI", "EUR", 9),
    ("NZ", "USD", 8),
    ("ZA", "USD", 6),
    ("CL", "USD", 4),
)
"""Country, the currency it pays in, and its weight."""

_AGE_GROUPS = (
    ("25-34", 28),
    ("35-44", 23),
    ("18-24", 15),
    ("45-54", 14),
    ("55-64", 8),
    ("65+", 4),
    ("", 8),
)
_TIERS = (("standard", 70), ("premium", 16), ("vip", 6), ("", 8))
_ADJECTIVES = (
    *("amber", "brisk", "calm", "clever", "cosmic", "crisp", "eager", "fuzzy", "gentle", "golden"),
    *("humble", "jolly", "lively", "lucky", "mellow", "misty", "noble", "polar", "quiet", "rapid"),
    *("rustic", "silent", "silver", "snowy", "solar", "sunny", "swift", "tidal", "vivid", "wild"),
)
_ANIMALS = (
    *("badger", "bison", "condor", "crane", "dolphin", "falcon", "ferret", "finch", "fox", "gecko"),
    *("heron", "ibex", "jackal", "koala", "lemur", "lynx", "marten", "moose", "newt", "ocelot"),
    *("orca", "otter", "owl", "panda", "puffin", "quail", "raven", "robin", "seal", "tapir"),
)
_EARLIER_DAYS = 900
_EARLIER_PERCENT = 55
_FLATNESS = 12
_UNPOPULAR = (60, 90)


class People:
    """All users, in order of registration. Memory grows with their number (about 150 bytes each).

    `exists[i]` is false for a user whose record is rejected; the generator sets it.
    """

    def __init__(self, streams: Streams, *, count: int, first: date, days: int, ids: "Ids") -> None:
        self.count = count
        self._streams = streams
        self._first = first
        self.ids = [ids(number) for number in range(1, count + 1)]
        self.exists = np.ones(count, dtype=np.bool_)
        self.registered: Ints = _registration_days(streams.words("registered", count), days)
        self.countries: Ints = Weighted([weight for *_, weight in COUNTRIES]).pick(
            streams.words("country", count)
        )
        self._ages = Weighted([weight for _, weight in _AGE_GROUPS]).pick(
            streams.words("age", count)
        )
        self._tiers = Weighted([weight for _, weight in _TIERS]).pick(streams.words("tier", count))
        order = permutation(streams.words("keenness", count))
        weights = np.empty(count, dtype=np.int64)
        weights[order] = zipf_weights(count, flatness=_FLATNESS, mild=True)
        self._rank = np.empty(count, dtype=np.int64)
        self._rank[order] = np.arange(count)
        self.buyers = Weighted(weights)
        # How many users have registered by the end of each day: at least one.
        self.registered_by: Ints = np.searchsorted(
            self.registered, np.arange(days), side="right"
        ).astype(np.int64)

    def values(self, user: int) -> dict[str, str]:
        """The record of a user."""
        word = mixed(user * 2 + 1)
        adjective = _ADJECTIVES[word % len(_ADJECTIVES)]
        animal = _ANIMALS[(word >> 8) % len(_ANIMALS)]
        return {
            "user_id": self.ids[user],
            "email": f"{adjective}.{animal}{user + 1}@example.com",
            "registration_date": str(self._first + timedelta(days=int(self.registered[user]))),
            "country": COUNTRIES[self.countries[user]][0],
            "age_group": _AGE_GROUPS[self._ages[user]][0],
            "customer_tier": _TIERS[self._tiers[user]][0],
        }

    def is_expendable(self, user: int) -> bool:
        """Whether the user buys, but not so much that holding all orders would matter."""
        least, most = (percent * self.count for percent in _UNPOPULAR)
        return least <= int(self._rank[user]) * 100 < most


Ids = Callable[[int], str]


def id_maker(prefix: str, digits: int, *, random_from: int | None = None) -> Ids:
    """Makes ids like `usr_000123`, or with `random_from` like `usr_9f86d081884c7d65`."""
    if random_from is None:
        return lambda number: f"{prefix}_{number:0{digits}d}"
    return lambda number: f"{prefix}_{mixed(number ^ (random_from << 40)):016x}"


def corrected_user(values: Values, serial: int, dice: Dice) -> dict[str, str]:
    """A newer version of a user: one attribute differs."""
    newer = dict(values)
    kinds = ("email", "customer_tier", "country", "age_group")
    field = kinds[serial % len(kinds)]
    choices = {
        "email": [f"new.{values['email']}"],
        "customer_tier": ["standard", "premium", "vip"],
        "country": [code for code, *_ in COUNTRIES],
        "age_group": [name for name, _ in _AGE_GROUPS],
    }[field]
    # An empty tier means standard, so that change would be none.
    same = {values[field], values[field] or "standard"}
    others = [choice for choice in choices if choice not in same]
    newer[field] = others[dice.below(len(others))]
    return newer


def _registration_days(words: np.ndarray, days: int) -> Ints:
    """Ascending days (0 is the first of the period); the first user came before it."""
    count = len(words)
    places = (np.arange(count, dtype=np.int64) * 100_000 + scaled(words, 100_000)) // count
    early = _EARLIER_PERCENT * 1_000
    before = places * _EARLIER_DAYS // early - _EARLIER_DAYS
    within = (places - early) * days // (100_000 - early)
    result: Ints = np.where(places < early, before, within)
    result[0] = min(int(result[0]), -1)
    return result
