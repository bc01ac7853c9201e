"""Buckets of keys: the partitions of the tables that hold a key's orders of all days together.

The formula stands in `partials/orders.sql` and `queries/touched.sql`; here it is for a run that is
only planned, whose keys the warehouse has not seen.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

BUCKETS = 256
_KEYS_THAT_FILL_ALL = 8 * BUCKETS
"""With so many keys evenly spread, one bucket in three thousand stays empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Buckets of the keys that a refresh touches.

    `users` and `products` have new or vanished orders; `changed_users` and `changed_products` have
    other attributes.
    """

    users: frozenset[int] = frozenset()
    products: frozenset[int] = frozenset()
    changed_users: frozenset[int] = frozenset()
    changed_products: frozenset[int] = frozenset()

    def __add__(self, other: "Touched") -> "Touched":
        return Touched(
            users=self.users | other.users,
            products=self.products | other.products,
            changed_users=self.changed_users | other.changed_users,
            changed_products=self.changed_products | other.changed_products,
        )


def key_buckets(keys: Collection[str]) -> frozenset[int]:
    """The buckets of distinct keys: the first byte of the MD5 of each; all, if there are many."""
    if len(keys) >= _KEYS_THAT_FILL_ALL:
        return frozenset(range(BUCKETS))
    return frozenset(hashlib.md5(key.encode(), usedforsecurity=False).digest()[0] for key in keys)
