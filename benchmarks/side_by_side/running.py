"""Runs the ways in turn, each on an empty table, and gathers what they took."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import ROOT, Home, Measured, Sources, discarding, home_at
from benchmarks.side_by_side import by_psql
from benchmarks.side_by_side.ways import FEWER, FIRST_LOADS, INCREMENTAL, Taken, Way

PEERS = ROOT / "build" / "peers" / "bin" / "python"
_PEER_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be measured. Numbers are rows; `folder` is for everything that is written."""

    rows: int
    base_rows: int
    incremental_rows: int
    repeat: int
    ways: Collection[str]
    folder: Path


def tell(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def first_loads(asked: Asked) -> list[Taken]:
    """Every way into an empty table, `repeat` times, in rotated order."""
    shop = _generate(asked.folder / "shop", asked.rows, seed=7)
    chosen = [way for way in FIRST_LOADS if way.name in asked.ways]
    taken: list[Taken] = []
    clean = asked.folder / "clean.csv"
    with _peers_home(asked, shop, clean) as peers:
        for turn in range(asked.repeat):
            place = turn % len(chosen)
            for way in [*chosen[place:], *chosen[:place]]:
                tell(f"{turn + 1} of {asked.repeat}: {way.title} ...")
                one = _guarded(way.name, _measuring(way, asked, shop, clean, peers))
                tell(f"    {one.error or f'{one.seconds:.1f} s, {one.rate:,.0f} rows/s'}")
                taken.append(one)
    return taken


def incremental(asked: Asked) -> list[Taken]:
    """Rows with random ids into a table that has rows."""
    base = _generate(asked.folder / "base", asked.base_rows, seed=11, more=("--random-ids",))
    new = _generate(asked.folder / "new", asked.incremental_rows, seed=12, more=("--random-ids",))
    with discarding(asked.folder) as discard, home_at(asked.folder / "home") as home:
        tell(f"loading {asked.base_rows:,} rows with random ids ...")
        home.run(base, discard=discard)
        home.run(replace(new, transactions=()), discard=discard)
        tell(f"techmart-fast: {asked.incremental_rows:,} rows more ...")
        measured = home.run(replace(new, users=(), products=()), discard=discard)
        ours = _of(INCREMENTAL[0], measured)
        tell(f"    {ours.seconds:.1f} s, {ours.rate:,.0f} rows/s")
        # The same rows once more, by the peer, into the same table as it was before.
        clean = asked.folder / "incremental.csv"
        newest = home.psql("SELECT max(source_ordinal) FROM transactions").strip()
        columns = ", ".join(f'"{name}"' for name in by_psql.COLUMNS)
        rows = f"SELECT {columns} FROM transactions WHERE source_ordinal = {int(newest)}"
        home.psql(f"\\copy ({rows} ORDER BY source_offset) to '{clean}' csv")
        by_psql.prepare(home)
        home.psql(f"DELETE FROM transactions WHERE source_ordinal = {int(newest)}")
        home.psql("VACUUM (ANALYZE) transactions")
        tell("psql staging, INSERT … ON CONFLICT: the same rows ...")
        peer = by_psql.measure(home, INCREMENTAL[1], clean, ours.rows)
        if _count(home) != asked.base_rows + asked.incremental_rows:
            raise ValueError("rows are missing")
        tell(f"    {peer.seconds:.1f} s, {peer.rate:,.0f} rows/s")
    return [ours, peer]


def _count(home: Home) -> int:
    return int(home.psql("SELECT count(*) FROM transactions"))


def _measuring(
    way: Way, asked: Asked, shop: Sources, clean: Path, peers: Home
) -> Callable[[], Taken]:
    if way.measure == "loader":
        return lambda: _loader(way.name, asked, shop)
    if way.measure == "psql":
        if way.name == "pgloader" and shutil.which("pgloader") is None:
            return _absent("pgloader is not installed (Debian: apt install pgloader)")
        return lambda: _psql(way.name, peers, clean, asked.rows)
    if not PEERS.exists():
        return _absent("not installed: make peers")
    return lambda: _peer(way.name, asked, shop, peers)


def _absent(why: str) -> Callable[[], Taken]:
    def refuse() -> Taken:
        raise LookupError(why)

    return refuse


def _guarded(way: str, measure: Callable[[], Taken]) -> Taken:
    """One way that fails must not keep the others from being measured."""
    try:
        return measure()
    except LookupError as error:
        return Taken(way=way, error=str(error))
    except (subprocess.SubprocessError, OSError, AssertionError, ValueError) as error:
        return Taken(way=way, error=f"failed: {type(error).__name__}")


def _loader(name: str, asked: Asked, shop: Sources) -> Taken:
    place = asked.folder / f"home-{name}"
    _remove(place)
    with home_at(place) as home:
        if name == "techmart_all":
            return _of(name, home.run(shop))
        with discarding(asked.folder) as discard:
            return _of(name, home.run(shop, discard=discard))


def _of(name: str, measured: Measured) -> Taken:
    return Taken(
        way=name,
        rows=int(measured.result["feeds"]["transactions"]["read"]),
        seconds=measured.seconds,
        client_cpu=measured.loader_cpu + measured.stand_in_cpu,
        database_cpu=measured.database_cpu,
    )


def _psql(name: str, home: Home, clean: Path, rows: int) -> Taken:
    by_psql.empty(home)
    taken = by_psql.measure(home, name, clean, rows)
    if _count(home) != rows:
        raise ValueError("rows are missing")
    return taken


def _peer(name: str, asked: Asked, shop: Sources, home: Home) -> Taken:
    rows = asked.rows // FEWER.get(name, 1)
    server, folder = home.server, asked.folder / f"peer-{name}"
    _remove(folder)
    folder.mkdir()
    password = server.password.get_secret_value()
    dsn = (
        f"postgresql://{server.user}:{password}@/{server.database}"
        f"?host={server.socket_dir}&port={server.port}"
    )
    script = Path(__file__).with_name("peer.py")
    before = home.database_cpu()
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            [str(PEERS), str(script), name, str(shop.transactions[0]), dsn, str(rows), str(folder)],
            check=True,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=_PEER_SECONDS,
            text=True,
        )
    told: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return Taken(
        way=name,
        rows=rows,
        seconds=told["seconds"],
        client_cpu=told["cpu"],
        database_cpu=home.database_cpu() - before,
    )


@contextmanager
def _peers_home(asked: Asked, shop: Sources, clean: Path) -> Iterator[Home]:
    """A server whose tables the loader made and filled once: users, products, the clean CSV."""
    with discarding(asked.folder) as discard, home_at(asked.folder / "home-peers") as home:
        tell("making the tables, users and products that the peers find ...")
        home.run(shop, discard=discard)
        by_psql.write_clean(home, clean)
        by_psql.prepare(home)
        # dlt makes a schema of its own.
        home.psql(f'GRANT CREATE ON DATABASE "{home.server.database}" TO CURRENT_USER')
        by_psql.empty(home)
        yield home


def _generate(out: Path, rows: int, *, seed: int, more: Sequence[str] = ()) -> Sources:
    if not (out / "truth.json").exists():
        tell(f"generating {rows:,} transactions ...")
        numbers = {
            "--transactions": rows,
            "--users": max(rows // 20, 1),
            "--products": max(rows // 100, 1),
            "--defects": 0,
            "--seed": seed,
        }
        words = [word for flag, number in numbers.items() for word in (flag, str(number))]
        command = [sys.executable, "-m", "techmart_fast", "dev", "generate", "--quiet"]
        subprocess.run([*command, "--out", str(out), *words, *more], cwd=ROOT, check=True)
    return Sources(
        users=(out / "users.csv",),
        products=(out / "products.json",),
        transactions=(out / "transactions.ndjson",),
    )


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
