"""Writes a whole shop: users, products, transactions, and the truth about them."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from techmart_fast.contract import default_contract
from techmart_fast.dev.big_feed import TransactionsWriter
from techmart_fast.dev.catalogue import Catalogue, corrected_product
from techmart_fast.dev.layout import layout
from techmart_fast.dev.ledger import FeedLedger, SalesLedger
from techmart_fast.dev.orders import Orders
from techmart_fast.dev.output import compressed_name, write_text
from techmart_fast.dev.people import Ids, People, corrected_user, id_maker
from techmart_fast.dev.randomness import Streams
from techmart_fast.dev.small_feeds import SmallFeed
from techmart_fast.dev.spec import FileFormat, ShopSpec, resolve_shares
from techmart_fast.dev.truth import Truth
from techmart_fast.errors import ConfigError
from techmart_fast.records import FIELDS, Feed

_TRUTH = "truth.json"


def generate(spec: ShopSpec, *, progress: Callable[[int], None] = lambda _rows: None) -> Truth:
    """Write the shop that `spec` describes into `spec.out`, and `truth.json` beside it.

    Files that an earlier generation left there (its `truth.json` names them) are removed first.
    `progress` is told the number of transactions made so far, now and then. Memory grows with
    users, products and days, and with the defects within 40,000 rows, not with transactions.

    Raises:
        ConfigError: the folder can't be made.
        TechmartError: a file can't be written.
    """
    _prepare(spec)
    first = spec.end - timedelta(days=spec.days - 1)
    streams = Streams(spec.seed)
    people = People(
        streams, count=spec.users, first=first, days=spec.days, ids=_ids(spec, Feed.USERS)
    )
    catalogue = Catalogue(streams, count=spec.products, ids=_ids(spec, Feed.PRODUCTS))
    orders = Orders(
        streams,
        count=spec.transactions,
        first=first,
        days=spec.days,
        people=people,
        catalogue=catalogue,
        ids=_ids(spec, Feed.TRANSACTIONS),
        contract=default_contract(),
    )
    sales = SalesLedger(first=first, days=spec.days, usd=orders.usd)
    files = _file_names(spec)
    paths = {feed: [spec.out / name for name in names] for feed, names in files.items()}
    users = SmallFeed(
        feed=Feed.USERS,
        population=people,
        correct=corrected_user,
        format=FileFormat.CSV,
        path=paths[Feed.USERS][0],
    )
    products = SmallFeed(
        feed=Feed.PRODUCTS,
        population=catalogue,
        correct=corrected_product,
        format=FileFormat.JSON,
        path=paths[Feed.PRODUCTS][0],
    )
    writer = TransactionsWriter(
        spec,
        orders=orders,
        sales=sales,
        layout=layout(spec.format, FIELDS[Feed.TRANSACTIONS]),
        dice=streams.dice("transaction defects"),
    )
    # Users and products come first: who is rejected decides which transactions are held.
    ledgers = {
        Feed.USERS: users.write(spec, streams.dice("user defects")),
        Feed.PRODUCTS: products.write(spec, streams.dice("product defects")),
        Feed.TRANSACTIONS: writer.ledger,
    }
    writer.write(paths[Feed.TRANSACTIONS], progress=progress)
    truth = _truth(spec, files, ledgers, sales)
    write_text(spec.out / f"{spec.prefix}{_TRUTH}", truth.to_json())
    return truth


def _ids(spec: ShopSpec, feed: Feed) -> Ids:
    prefix, digits = {
        Feed.USERS: ("usr", 7),
        Feed.PRODUCTS: ("prd", 6),
        Feed.TRANSACTIONS: ("txn", 9),
    }[feed]
    return id_maker(prefix, digits, random_from=spec.seed if spec.random_ids else None)


def _file_names(spec: ShopSpec) -> dict[Feed, tuple[str, ...]]:
    digits = len(str(spec.split))
    numbers = (
        [f"-{number:0{digits}d}" for number in range(1, spec.split + 1)] if spec.split > 1 else [""]
    )
    return {
        Feed.TRANSACTIONS: tuple(
            compressed_name(f"{spec.prefix}transactions{number}.{spec.format}", spec.compression)
            for number in numbers
        ),
        Feed.USERS: (f"{spec.prefix}users.csv",),
        Feed.PRODUCTS: (f"{spec.prefix}products.json",),
    }


def _prepare(spec: ShopSpec) -> None:
    try:
        spec.out.mkdir(parents=True, exist_ok=True)
        for path in _left_files(spec):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Can't use the folder {spec.out}: {error.strerror}.", hint="Choose another --out."
        ) from None


def _left_files(spec: ShopSpec) -> list[Path]:
    """The feed files that the `truth.json` of an earlier generation names, and itself."""
    truth = spec.out / f"{spec.prefix}{_TRUTH}"
    try:
        files = json.loads(truth.read_text(encoding="utf-8"))["files"]
        # Only plain names: whatever else such a file says, nothing outside the folder is touched.
        named = [Path(str(name)).name for names in files.values() for name in names]
    except (FileNotFoundError, ValueError, LookupError, AttributeError, TypeError):
        return []
    return [spec.out / name for name in named if name] + [truth]


def _truth(
    spec: ShopSpec,
    files: Mapping[Feed, Sequence[str]],
    ledgers: Mapping[Feed, FeedLedger],
    sales: SalesLedger,
) -> Truth:
    in_order = (Feed.TRANSACTIONS, Feed.USERS, Feed.PRODUCTS)
    return Truth(
        spec=_described(spec),
        files={feed: tuple(files[feed]) for feed in in_order},
        feeds={feed: ledgers[feed].counts() for feed in in_order},
        revenue_usd=sales.revenue_usd(),
        end_rows={feed: ledgers[feed].rows for feed in in_order},
        end_amount=sales.amounts(),
        end_amount_usd=sales.amount_usd(),
        rejected_by_day=sales.rejected_by_day(),
        defects={feed: dict(ledgers[feed].defects) for feed in in_order},
    )


def _described(spec: ShopSpec) -> dict[str, str | int]:
    shares = {f"share_{kind}": str(part) for kind, part in resolve_shares(spec.shares).items()}
    return {
        "transactions": spec.transactions,
        "users": spec.users,
        "products": spec.products,
        "defects": str(spec.defects),
        "seed": spec.seed,
        "end": str(spec.end),
        "days": spec.days,
        "format": spec.format.value,
        "compression": spec.compression.value,
        "split": spec.split,
        "random_ids": str(spec.random_ids).lower(),
        **shares,
    }
