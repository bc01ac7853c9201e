"""Makes what the ways are run on: shops, databases to copy, and the clean file."""

import sys
from decimal import Decimal
from pathlib import Path

from benchmarks.side_by_side.bench import Bench
from benchmarks.side_by_side.model import Case, WayFailedError
from benchmarks.side_by_side.server import literal
from techmart_fast.dev import ShopSpec, generate

SEED = 7
_ROWS_A_USER, _ROWS_A_PRODUCT = 20, 100
_LEAST_USERS, _LEAST_PRODUCTS = 100, 50

_NEWEST = "(SELECT max(source_ordinal) FROM transactions)"


def tell(text: str) -> None:
    """Say on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


def make_shop(folder: Path, rows: int, *, seed: int, random_ids: bool = False) -> None:
    """Generate a shop without defects: the peers would end at the first one."""
    tell(f"Generating {rows:,} transactions ...")
    generate(
        ShopSpec(
            out=folder,
            transactions=rows,
            users=max(rows // _ROWS_A_USER, _LEAST_USERS),
            products=max(rows // _ROWS_A_PRODUCT, _LEAST_PRODUCTS),
            defects=Decimal(0),
            seed=seed,
            random_ids=random_ids,
        )
    )


def first_load(bench: Bench, rows: int) -> Case:
    """Transactions into a table without any; users and products are there already."""
    folder = bench.folder / "first"
    make_shop(folder, rows, seed=SEED)
    case = _case(folder, rows, name="first", title="first load")
    bench.server.make_database(case.template)
    _load(bench, case, folder, transactions=False)
    _write_clean(bench, case)
    return case


def more_rows(bench: Bench, rows: int, *, base_rows: int) -> Case:
    """Transactions with ids in random order into a table that has many, of other ids."""
    base, more = bench.folder / "base", bench.folder / "more"
    make_shop(base, base_rows, seed=SEED)
    make_shop(more, rows, seed=SEED + 1, random_ids=True)
    title = f"{rows:,} rows in random order of their ids, into {base_rows:,}"
    case = _case(more, rows, name="more", title=title)
    bench.server.make_database(case.template)
    _load(bench, case, base, transactions=True)
    _load(bench, case, more, transactions=False)
    _write_clean(bench, case)
    return case


def _case(folder: Path, rows: int, *, name: str, title: str) -> Case:
    return Case(
        title=title,
        rows=rows,
        raw=folder / "transactions.ndjson",
        clean=folder / "clean.csv",
        users=folder / "users.csv",
        products=folder / "products.json",
        template=f"template_{name}",
        dataset=name,
    )


def _load(bench: Bench, case: Case, folder: Path, *, transactions: bool) -> None:
    """Load a shop into the case's template by the loader itself."""
    tell(f"Preparing the database of: {case.title} ...")
    words = ["--users", str(folder / "users.csv"), "--products", str(folder / "products.json")]
    if transactions:
        words += ["--transactions", str(folder / "transactions.ndjson")]
    bench.loader(
        *words,
        database=case.template,
        dataset=case.dataset,
        rows=case.rows,
        folder=bench.folder,
    )
    # What autovacuum would do some time later must not fall into anyone's run.
    bench.server.ask(case.template, "VACUUM (ANALYZE)")


def _write_clean(bench: Bench, case: Case) -> None:
    """Write the clean file: the raw rows as the loader stores them, in the order of the file."""
    with bench.server.copy_of(case.template) as database:
        bench.loader(
            *("--transactions", str(case.raw)),
            database=database,
            dataset=case.dataset,
            rows=case.rows,
            folder=bench.folder,
        )
        query = (
            f"SELECT * FROM transactions WHERE source_ordinal = {_NEWEST} ORDER BY source_offset"
        )
        file = literal(str(case.clean))
        bench.server.ask(database, f"\\copy ({query}) to {file} csv")
    with case.clean.open("rb") as lines:
        written = sum(1 for _ in lines)
    if written != case.rows:
        raise WayFailedError(f"the clean file has {written} rows, not {case.rows}")
