"""The products of a generated shop: names, prices, stock and how well each sells."""

import numpy as np

from techmart_fast.dev.layout import NULL, Bare, Values
from techmart_fast.dev.people import Ids
from techmart_fast.dev.randomness import (
    Dice,
    Ints,
    Streams,
    Weighted,
    lognormal_permille,
    mixed,
    permutation,
    scaled,
    zipf_weights,
)

_CATEGORIES = (
    ("Electronics", 11_900, 16, "Headphones,Speaker,Webcam,Monitor,Tablet,Smart Watch,Charger"),
    ("Computers", 44_900, 7, "Laptop,Mini PC,Docking Station,Keyboard,Solid State Drive"),
    ("Home & Kitchen", 3_900, 20, "Kettle,Pan,Lamp,Café Set,Toaster,Storage Box,Blender"),
    ("Fashion", 3_400, 18, "Jacket,Sneakers,Scarf,Backpack,T-Shirt,Jeans,Belt"),
    ("Sports", 4_400, 11, "Yoga Mat,Dumbbells,Tent,Running Vest,Football,Bicycle Light"),
    ("Beauty", 2_100, 10, "Face Cream,Shampoo,Perfume,Hair Dryer,Soap Bar"),
    ("Toys", 2_400, 8, "Puzzle,Building Set,Board Game,Plush Bear,Kite"),
    ("Books", 1_600, 7, 'Cookbook,Atlas,Novel "The Long Way",Dictionary,Sketchbook'),
    ("Garden", 3_100, 3, "Planter,Hose Reel,Bird House,Garden Chair"),
)
"""Category, usual price in USD cents, weight, things that it sells."""

_LINES = (
    *("Alto", "Basic", "Classic", "Comfort", "Compact", "Deluxe", "Eco", "Flex", "Nova", "Plus"),
    *("Prime", "Pro", "Solid", "Ultra"),
)
_CURRENCIES = (("", 88), ("USD", 4), ("EUR", 4), ("GBP", 2), ("CAD", 2))
_ENDINGS = (99, 95, 90, 50, 0)
_PRICE_SPREAD = "0.7"
_FLATNESS = 6
_UNPOPULAR = (80, 99)
_MAX_PRICE_CENTS = 900_000
_PRODUCTS_PER_SUPPLIER = 15


class Catalogue:
    """All products. Memory grows with their number (about 200 bytes each).

    `usd_cents` is what an order goes by. `exists[i]` is false for a product whose record is
    rejected; the generator sets it.
    """

    def __init__(self, streams: Streams, *, count: int, ids: Ids) -> None:
        self.count = count
        self.ids = [ids(number) for number in range(1, count + 1)]
        self.exists = np.ones(count, dtype=np.bool_)
        self._categories = Weighted([weight for _, _, weight, _ in _CATEGORIES]).pick(
            streams.words("category", count)
        )
        self._currencies = Weighted([weight for _, weight in _CURRENCIES]).pick(
            streams.words("price currency", count)
        )
        self._luck = streams.below("luck", count, 1 << 30)
        self.usd_cents: Ints = self._prices(streams)
        order = permutation(streams.words("popularity", count))
        weights = np.empty(count, dtype=np.int64)
        weights[order] = zipf_weights(count, flatness=_FLATNESS)
        self._rank = np.empty(count, dtype=np.int64)
        self._rank[order] = np.arange(count)
        self.sellers = Weighted(weights)

    def _prices(self, streams: Streams) -> Ints:
        usual = np.array([cents for _, cents, _, _ in _CATEGORIES])[self._categories]
        factors = lognormal_permille(_PRICE_SPREAD)
        spread = factors[scaled(streams.words("price", self.count), len(factors))]
        endings = np.array(_ENDINGS)[self._luck % len(_ENDINGS)]
        cents: Ints = usual * spread // 1000 // 100 * 100 + endings
        return cents.clip(199, _MAX_PRICE_CENTS)

    def values(self, product: int) -> dict[str, str]:
        """The record of a product. An absent currency means the shop's own."""
        luck = int(self._luck[product])
        category, _, _, things = _CATEGORIES[self._categories[product]]
        choices = things.split(",")
        word = mixed(product * 2 + 1)
        name = f"{_LINES[word % len(_LINES)]} {choices[(word >> 8) % len(choices)]}"
        cents = int(self.usd_cents[product])
        currency = _CURRENCIES[self._currencies[product]][0]
        suppliers = max(1, self.count // _PRODUCTS_PER_SUPPLIER)
        stock = _stock(luck)
        values: dict[str, str] = {
            "product_id": self.ids[product],
            "name": f"{name} {100 + word % 900}",
            "category": NULL if luck % 53 == 0 else category,
            "price": Bare(f"{cents // 100}.{cents % 100:02d}"),
        }
        if currency:
            values["currency"] = currency
        values["inventory_count"] = NULL if stock is None else Bare(str(stock))
        supplier = f"sup_{1 + (word >> 20) % suppliers:04d}"
        values["supplier_id"] = "" if luck % 61 == 0 else supplier
        return values

    def is_expendable(self, product: int) -> bool:
        """Whether the product sells, but not so much that holding all orders would matter."""
        least, most = (percent * self.count for percent in _UNPOPULAR)
        return least <= int(self._rank[product]) * 100 < most


def _stock(luck: int) -> int | None:
    """Units in stock: some are sold out or nearly so, a few are not known."""
    share = luck % 100
    if share < 3:
        return None
    if share < 7:
        return 0
    if share < 16:
        return 1 + luck // 100 % 9
    return 10 + luck // 100 % 490


def corrected_product(values: Values, serial: int, dice: Dice) -> dict[str, str]:
    """A newer version of a product: price, stock or name differs."""
    newer = dict(values)
    kind = serial % 3
    if kind == 0:
        whole, _, cents = values["price"].partition(".")
        newer["price"] = Bare(f"{int(whole) + dice.between(1, 9)}.{cents or '00'}")
    elif kind == 1:
        stock = values["inventory_count"]
        newer["inventory_count"] = Bare("7" if stock is NULL else str(int(stock) + 25))
    else:
        newer["name"] = f"{values['name']} (new)"
    return newer
