"""The feeds of a shop in which everything happens: what is to be crashed must be worth it.

Two deliveries. `earlier` makes a live target. `later` overlaps with it: the same records again,
corrections (some to another day, and back), users for orders that are held, and a catalogue from
which products are gone. Each has damaged and refused records, and orders of nobody.
"""

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from techmart_fast.api import DataSources
from techmart_fast.contract import Contract, parse_contract

CONTRACT = '[products]\ncatalogue = "complete"\n'
BLOCK_BYTES = 6_000
"""Far below what the settings allow: several blocks of a small file."""

_START = datetime(2024, 3, 1)
_LATE_USERS = 6
_GONE_PRODUCTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeds:
    """Both deliveries, and the contract that they are loaded with."""

    earlier: DataSources
    later: DataSources
    contract: Contract


def write_feeds(folder: Path, *, orders: int = 90, users: int = 80, products: int = 60) -> Feeds:
    """Write both deliveries into `folder`."""
    dice = random.Random(20240301)
    known = [f"u{number}" for number in range(users)]
    sold = [f"p{number}" for number in range(products)]
    # The earlier delivery lacks users whose orders come with it.
    for name, there in (("earlier", known[:-_LATE_USERS]), ("later", known)):
        (folder / name).mkdir()
        lines = ["user_id,email,registration_date,country,age_group,customer_tier"]
        for number, user in enumerate(there):
            tier = ("standard", "premium", "vip")[(number + (name == "later")) % 3]
            lines.append(f"{user},{user}@example.com,2023-01-{number % 28 + 1:02d},DE,25-34,{tier}")
        lines.append("u-broken,,2023-01-01,DE,25-34,vip")
        (folder / name / "users.csv").write_text("\n".join(lines) + "\n")
    for name, there in (("earlier", sold), ("later", sold[_GONE_PRODUCTS:])):
        made = [
            {"product_id": one, "name": f"Thing {one} " + "x" * 60, "category": f"c{number % 5}",
             "price": f"{number + (name == 'later') * (number % 3)}.50", "supplier_id": "s1",
             "inventory_count": number}
            for one in there
            for number in [int(one[1:]) + 1]
        ]  # fmt: skip
        (folder / name / "products.json").write_text(json.dumps(made))

    def order(number: int, *, version: int = 0) -> str:
        fixed = random.Random(number)
        user = known[fixed.randrange(users)] if number % 31 else "nobody"
        moved = timedelta(days=version * (number % 3))
        moment = _START + timedelta(days=number % 7, minutes=number) + moved
        record = {
            "transaction_id": f"t{number:05d}",
            "user_id": user,
            "product_id": sold[fixed.randrange(products)],
            "amount": f"{fixed.randrange(1, 900) + version}.{number % 100:02d}",
            "currency": ("USD", "EUR", "GBP")[number % 3] if number % 23 else "XXX",
            "timestamp": f"{moment.isoformat()}Z",
            "payment_method": ("paypal", "credit_card", "apple_pay")[number % 3],
            "status": ("completed", "pending", "refunded", "completed")[(number + version) % 4],
        }
        return json.dumps(record)

    earlier = [order(number) for number in range(orders)]
    first = [order(number) for number in range(orders // 2, orders + orders // 2)]
    second = [order(number, version=1 + number % 2) for number in range(0, orders * 3 // 2, 2)]
    second += [order(number) for number in range(orders * 3 // 2, orders * 2)]
    for name, lines in (
        ("earlier/sales-1", earlier),
        ("later/sales-2", first),
        ("later/sales-3", second),
    ):
        sent = [*lines, *dice.sample(lines, len(lines) // 8)]  # some twice
        sent.insert(len(sent) // 2, '{"transaction_id": "cut off", "amount": 1')
        (folder / f"{name}.ndjson").write_text("\n".join(sent) + "\n")
    return Feeds(
        earlier=_sources(folder / "earlier"),
        later=_sources(folder / "later"),
        contract=parse_contract(CONTRACT, name="the contract of crashes"),
    )


def _sources(folder: Path) -> DataSources:
    return DataSources(
        users=(str(folder / "users.csv"),),
        products=(str(folder / "products.json"),),
        transactions=(str(folder / "*.ndjson"),),
    )
