"""Small histories of a shop: lines of few keys, so that they collide, cut into files and blocks.

Two contracts read them: `STRICT` rejects the payment method "barter", `LENIENT` takes it for
PayPal, so that a position that was rejected may be accepted later.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from techmart_fast.contract import Contract, parse_contract
from techmart_fast.records import Block, Cut, Feed, SourceFile
from tests.model.reading import parsed
from tests.model.rules import Rejection, Rules
from tests.properties.ledger import PRIORITIES, Version

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
STRICT = parse_contract(
    """
    name = "strict"
    [transactions]
    required = ["transaction_id", "user_id", "amount", "currency", "timestamp", "payment_method",
                "status"]
    """,
    name="strict",
)
LENIENT = parse_contract(
    """
    name = "lenient"
    [transactions]
    required = ["transaction_id", "user_id", "amount", "currency", "timestamp", "payment_method",
                "status"]
    [transactions.values.payment_method]
    barter = "paypal"
    """,
    name="lenient",
)

CONTRACTS: Mapping[str, Contract] = {"strict": STRICT, "lenient": LENIENT}

GARBAGE = (
    '{"transaction_id": "t1", ',
    '["t1"]',
    "7",
    "{}",
    '{"user_id": "u1"}',
    '{"user_id": "\x00"}',
    "}{",
)
"""Lines that are no record of any feed."""

USERS, PRODUCTS, SALES = ("u1", "u2", "u3"), ("p1", "p2"), ("t1", "t2", "t3")


def _line(record: Mapping[str, object]) -> str:
    return json.dumps(record)


_users = st.builds(
    lambda key, tier, country: _line(
        {
            "user_id": key,
            "email": f"{key}@example.com",
            "registration_date": "2024-01-01",
            "country": country,
            "age_group": "25-34",
            "customer_tier": tier,
        }
    ),
    key=st.sampled_from(USERS),
    tier=st.sampled_from(("standard", "vip")),
    country=st.sampled_from(("US", "DE", "DE", "nowhere")),
)
_products = st.builds(
    lambda key, price: _line(
        {
            "product_id": key,
            "name": "Lamp",
            "category": "home",
            "price": price,
            "inventory_count": 5,
            "supplier_id": "s1",
        }
    ),
    key=st.sampled_from(PRODUCTS),
    price=st.sampled_from((1, 2, 2, 0)),
)
_sales = st.builds(
    lambda key, user, product, amount, day, method: _line(
        {
            "transaction_id": key,
            "user_id": user,
            "product_id": product,
            "amount": amount,
            "currency": "USD",
            "timestamp": f"2025-03-0{day}T12:00:00Z",
            "payment_method": method,
            "status": "completed",
        }
    ),
    key=st.sampled_from(SALES),
    user=st.sampled_from(USERS),
    product=st.sampled_from((None, *PRODUCTS)),
    amount=st.sampled_from((1, 2, 0)),
    day=st.sampled_from((1, 2, 3)),
    method=st.sampled_from(("paypal", "paypal", "paypal", "barter", "google_pay")),
)
LINES: Mapping[Feed, st.SearchStrategy[str]] = {
    # Garbage is one line in ten or so.
    feed: st.one_of(*[good] * 9, st.sampled_from(GARBAGE))
    for feed, good in (
        (Feed.USERS, _users),
        (Feed.PRODUCTS, _products),
        (Feed.TRANSACTIONS, _sales),
    )
}


@dataclass(frozen=True, slots=True)
class History:
    """One file: its lines, and how many of them make each block."""

    feed: Feed
    ordinal: int
    lines: tuple[str, ...]
    blocks: tuple[int, ...]
    lanes: int

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return "".join(line + "\n" for line in self.lines).encode()

    @property
    def offsets(self) -> list[int]:
        """Where each line begins, and the end."""
        offsets = [0]
        for line in self.lines:
            offsets.append(offsets[-1] + len(line.encode()) + 1)
        return offsets

    def source(self) -> SourceFile:
        """As it is registered."""
        data = self.data
        return SourceFile(
            feed=self.feed,
            name=f"{self.feed}-{self.ordinal}.ndjson",
            path=Path(f"{self.feed}-{self.ordinal}.ndjson"),
            fingerprint=hashlib.sha256(data + bytes([self.ordinal])).hexdigest(),
            size_bytes=len(data),
            compression="none",
            format="ndjson",
            ordinal=self.ordinal,
            cut=Cut(block_bytes=1, lanes=self.lanes),
        )

    def cut(self) -> Iterator[tuple[Block, Sequence[str]]]:
        """The blocks, each with its lines."""
        offsets, source, data = self.offsets, self.source(), self.data
        ends = [sum(self.blocks[:number]) for number in range(len(self.blocks) + 1)]
        for first, end in pairwise(ends):
            yield (
                Block(
                    source=source,
                    first_byte=offsets[first],
                    end_byte=offsets[end],
                    first_line=first + 1,
                    data=data[offsets[first] : offsets[end]],
                ),
                self.lines[first:end],
            )


@st.composite
def files(draw: st.DrawFn, *, most: int = 5, most_lines: int = 6) -> list[History]:
    """A few files in any order of feeds; ordinals of a feed count up."""
    feeds = draw(st.lists(st.sampled_from([*Feed, Feed.TRANSACTIONS]), min_size=1, max_size=most))
    made: list[History] = []
    for feed in feeds:
        lines = draw(st.lists(LINES[feed], min_size=1, max_size=most_lines))
        inner = range(1, len(lines))
        ends = sorted(draw(st.sets(st.sampled_from(inner)))) if inner else []
        ordinal = 1 + sum(one.feed is feed for one in made)
        made.append(
            History(
                feed=feed,
                ordinal=ordinal,
                lines=tuple(lines),
                blocks=tuple(end - first for first, end in pairwise([0, *ends, len(lines)])),
                lanes=draw(st.sampled_from((1, 2))) if feed is Feed.TRANSACTIONS else 1,
            )
        )
    return made


Judged = tuple[tuple[Version[None], ...], dict[int, str]]


def judge(
    feed: Feed,
    ordinal: int,
    lines: Sequence[str],
    first_byte: int,
    *,
    contract: Contract,
    tiers: Mapping[str, str],
) -> Judged:
    """Valid versions and rejections (by offset) of some lines, as the model of the shop says."""
    versions: list[Version[None]] = []
    rejections: dict[int, str] = {}
    offset = first_byte
    for line in lines:
        outcome = _judged(feed, line, contract.name)
        if isinstance(outcome, str):
            rejections[offset] = outcome
        else:
            versions.append(_version(feed, *outcome, (ordinal, offset), tiers))
        offset += len(line.encode()) + 1
    return tuple(versions), rejections


@cache
def _judged(feed: Feed, line: str, contract: str) -> str | tuple[str, tuple[Any, ...]]:
    raw = parsed(line)
    if isinstance(raw, str):
        return raw
    judged = Rules(feed, CONTRACTS[contract], STARTED).judge(raw)
    if isinstance(judged, Rejection):
        return judged.code
    return judged.key, judged.content


def _version(
    feed: Feed,
    key: str,
    content: tuple[Any, ...],
    position: tuple[int, int],
    tiers: Mapping[str, str],
) -> Version[None]:
    if feed is not Feed.TRANSACTIONS:
        tier = content[-1] if feed is Feed.USERS else ""
        return Version(key=key, position=position, content=content, row=None, tier=tier)
    user, product, _, _, moment, *_ = content
    day: date = moment.astimezone(UTC).date()
    parents = ((Feed.USERS, user), *(((Feed.PRODUCTS, product),) if product else ()))
    priority = PRIORITIES.get(tiers.get(user, "standard"), "standard")
    return Version(
        key=key,
        position=position,
        content=content,
        row=None,
        parents=parents,
        priority=priority,
        day=day,
    )
