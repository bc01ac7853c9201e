"""What shop to generate: sizes, period, defects and their shares, and how files are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from techmart_fast.errors import ConfigError
from techmart_fast.records import Feed


class DefectKind(StrEnum):
    """What can be wrong, or merely unusual, with a generated record."""

    REPAIRS = "repairs"
    DUPLICATES = "duplicates"
    CORRECTIONS = "corrections"
    VALUES = "values"
    MISSING = "missing"
    STRUCTURE = "structure"
    ORPHANS = "orphans"
    LATE = "late"


KIND_MEANING: Mapping[DefectKind, str] = MappingProxyType(
    {
        DefectKind.REPAIRS: "white space, other case, other notation of the same value: loads",
        DefectKind.DUPLICATES: "the record comes again, once or twice: counted as duplicate",
        DefectKind.CORRECTIONS: "a newer version follows: other amount, status, time, parent",
        DefectKind.VALUES: "a value that the contract refuses: rejected",
        DefectKind.MISSING: "a required field is empty or absent: rejected",
        DefectKind.STRUCTURE: "cut, garbage, wrong type, NUL, bad UTF-8, too deep: rejected",
        DefectKind.ORPHANS: "the user or the product does not exist: held (transactions only)",
        DefectKind.LATE: "an old timestamp late in the file: loads (transactions only)",
    }
)

DEFAULT_SHARES: Mapping[DefectKind, Decimal] = MappingProxyType(
    {
        DefectKind.REPAIRS: Decimal("0.08"),
        DefectKind.DUPLICATES: Decimal("0.28"),
        DefectKind.CORRECTIONS: Decimal("0.20"),
        DefectKind.VALUES: Decimal("0.12"),
        DefectKind.MISSING: Decimal("0.04"),
        DefectKind.STRUCTURE: Decimal("0.08"),
        DefectKind.ORPHANS: Decimal("0.06"),
        DefectKind.LATE: Decimal("0.14"),
    }
)
"""Share of each kind in the defects. Up to a defect rate of 3 % these keep every quality dimension
of the default contract at PASS."""

TRANSACTIONS_ONLY = frozenset({DefectKind.ORPHANS, DefectKind.LATE})
MAX_DEFECTS = Decimal("0.5")
_MAX_SEED = (1 << 63) - 1


class FileFormat(StrEnum):
    """How the transactions are written. Users are always CSV, products a JSON array."""

    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"


class Compression(StrEnum):
    """How the transactions are compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZ2 = "bz2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopSpec:
    """A shop to generate. Equal specs (whatever `out`) give equal bytes, on any machine.

    (Compressed files may differ with the version of the compressor; what is in them does not.)

    `transactions`, `users` and `products` count distinct ids; repeats and corrections come on top.
    `defects` is the share of ids that get a defect, in each feed; `shares` sets the share of kinds
    within the defects (those left out keep their proportions in what remains). `end` is the last
    day (UTC) of the `days` covered, and must lie in the past when the files are loaded.

    Raises:
        ConfigError: a number is out of range, or the shares don't add up.
    """

    out: Path
    transactions: int = 100_000
    users: int = 5_000
    products: int = 1_000
    defects: Decimal = Decimal("0.02")
    seed: int = 1
    shares: Mapping[DefectKind, Decimal] = field(default_factory=dict)
    format: FileFormat = FileFormat.NDJSON
    compression: Compression = Compression.NONE
    split: int = 1
    random_ids: bool = False
    end: date = date(2024, 12, 31)
    days: int = 366
    prefix: str = ""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[Decimal | int, int, Decimal | int]] = {
            "transactions": (self.transactions, 0, 10_000_000_000),
            "users": (self.users, 1, 10_000_000),
            "products": (self.products, 1, 10_000_000),
            "split": (self.split, 1, max(1, min(self.transactions, 10_000))),
            "seed": (self.seed, 0, _MAX_SEED),
            "days": (self.days, 1, 3_660),
            "defects": (self.defects, 0, MAX_DEFECTS),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise ConfigError(f"{name} must be from {least} to {most}.")
        if not date(2001, 1, 1) <= self.end <= date(2100, 1, 1):
            raise ConfigError("end must be a day from 2001-01-01 to 2100-01-01.")
        if self.end.toordinal() - self.days < date(2000, 1, 1).toordinal():
            raise ConfigError("The period must begin after 2000-01-01.")
        if Path(self.prefix).name != self.prefix:
            raise ConfigError("prefix must be the beginning of a file name.")
        resolve_shares(self.shares)

    def kind_shares(self, feed: Feed) -> Mapping[DefectKind, Decimal]:
        """Share of each kind that `feed` can have; they add up to 1 (or all are 0)."""
        shares = resolve_shares(self.shares)
        if feed is not Feed.TRANSACTIONS:
            shares = {kind: part for kind, part in shares.items() if kind not in TRANSACTIONS_ONLY}
        total = sum(shares.values(), Decimal(0))
        return {kind: part / total for kind, part in shares.items() if part}


def resolve_shares(given: Mapping[DefectKind, Decimal]) -> dict[DefectKind, Decimal]:
    """All shares: those `given` as they are, the others in their proportions, 1 in total.

    Raises:
        ConfigError: a share is below 0, or those given are more than 1 in total.
    """
    if any(part < 0 for part in given.values()):
        raise ConfigError("A share of defects can't be below 0.")
    rest = 1 - sum(given.values(), Decimal(0))
    others = {kind: part for kind, part in DEFAULT_SHARES.items() if kind not in given}
    if rest < 0 or (rest and not others):
        raise ConfigError("The shares of defects must add up to 1.")
    total = sum(others.values(), Decimal(0))
    scaled = {kind: part * rest / total for kind, part in others.items()}
    return {kind: given.get(kind, scaled.get(kind, Decimal(0))) for kind in DefectKind}


def parse_shares(texts: tuple[str, ...]) -> dict[DefectKind, Decimal]:
    """Shares from texts like `duplicates=0.3`.

    Raises:
        ConfigError: no such kind, or not a number.
    """
    shares = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            shares[DefectKind(name.strip())] = _finite(number)
        except (ValueError, ArithmeticError):
            kinds = ", ".join(DefectKind)
            raise ConfigError(
                f"Can't read the share '{text}'.",
                hint=f"Write KIND=NUMBER, like duplicates=0.3; there are {kinds}.",
            ) from None
    return shares


def _finite(text: str) -> Decimal:
    number = Decimal(text.strip())
    if not number.is_finite():
        raise ValueError(text)
    return number
