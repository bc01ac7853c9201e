"""What the simulated catalogue server serves, how fast, and how badly: its options."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from techmart_fast.errors import ConfigError

MAX_PRODUCTS = 1_000_000
MAX_RATE = 100_000
_MAX_PAGE_SIZE = 100_000
_MAX_MILLISECONDS = 600_000
_MAX_SEED = (1 << 63) - 1


class Pagination(StrEnum):
    """How the products are cut into pages, and how a client comes to the next one."""

    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    LINK = "link"
    NEXT = "next"
    ALL = "all"


class RetryAfter(StrEnum):
    """How an answer 429 says when to come again."""

    SECONDS = "seconds"
    DATE = "date"
    NONE = "none"


class DriftKind(StrEnum):
    """How the products change their shape."""

    NEW_FIELD = "new-field"
    MISSING_FIELD = "missing-field"
    RENAMED_FIELD = "renamed-field"
    TYPE_CHANGE = "type-change"
    ENVELOPE = "envelope"


class Misbehaviour(StrEnum):
    """What a server can do wrong while it answers."""

    NEVER_ANSWERS = "never-answers"
    ENDLESS_PAGES = "endless-pages"
    SAME_PAGE = "same-page"
    LOOPING_CURSOR = "looping-cursor"
    BROKEN_JSON = "broken-json"
    HTML_PAGE = "html-page"
    GZIP_BOMB = "gzip-bomb"
    NESTED_BOMB = "nested-bomb"
    REDIRECT = "redirect"
    REDIRECT_LOOP = "redirect-loop"
    WRONG_TYPE = "wrong-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How many products a page has, in records, and which kind of pages a bare address gives.

    Who asks for more than `max_size` gets `max_size`, as from most services.

    Raises:
        ConfigError: a size is out of range.
    """

    style: Pagination = Pagination.PAGE
    size: int = 100
    max_size: int = 500

    def __post_init__(self) -> None:
        _within("The page size limit", self.max_size, 1, _MAX_PAGE_SIZE)
        _within("The page size", self.size, 1, self.max_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At most `rate` requests in any rolling second, over all clients; 0 is no limit.

    Raises:
        ConfigError: the rate is out of range.
    """

    rate: int = 0
    retry_after: RetryAfter = RetryAfter.SECONDS

    def __post_init__(self) -> None:
        _within("The rate", self.rate, 0, MAX_RATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What befalls requests by chance.

    Attributes:
        fail: share of requests answered with a 5xx, 0 to 1.
        cut: share of answers whose connection is cut in the middle, 0 to 1.
        latency_ms, jitter_ms: each answer waits `latency_ms` ± up to `jitter_ms` milliseconds.

    Raises:
        ConfigError: a share or a time is out of range.
    """

    fail: Decimal = Decimal(0)
    cut: Decimal = Decimal(0)
    latency_ms: int = 0
    jitter_ms: int = 0

    def __post_init__(self) -> None:
        for name, share in (("fail", self.fail), ("cut", self.cut)):
            if not share.is_finite() or not 0 <= share <= 1:
                raise ConfigError(
                    f"The share of {name} must be from 0 to 1, not {share}.",
                    hint="For three of a hundred requests write 0.03.",
                )
        _within("The latency in milliseconds", self.latency_ms, 0, _MAX_MILLISECONDS)
        if not 0 <= self.jitter_ms <= self.latency_ms:
            raise ConfigError(
                f"The jitter must be from 0 to the latency ({self.latency_ms} ms), "
                f"not {self.jitter_ms} ms."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Products change their shape, from page `from_page` on (the first page is 1).

    `field` is the one that goes missing, is renamed or changes its type.

    Raises:
        ConfigError: the page is below 1, or the field is not one that every product has.
    """

    kind: DriftKind
    from_page: int = 2
    field: str = "price"

    def __post_init__(self) -> None:
        if self.from_page < 1:
            raise ConfigError("Drift begins on page 1 at the earliest.")
        if self.field not in DRIFTING_FIELDS:
            raise ConfigError(
                f"Products have no field '{self.field}' that could drift.",
                hint=f"There are {', '.join(DRIFTING_FIELDS)}.",
            )


DRIFTING_FIELDS = (
    *("product_id", "name", "category", "price", "inventory_count", "supplier_id"),
    "updated_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Credentials, one of which a request must carry; without any the server is open.

    Attributes:
        token: for `Authorization: Bearer …`.
        api_key: for `X-Api-Key: …`.
        basic: `user:password`, for `Authorization: Basic …`.

    Raises:
        ConfigError: a credential is empty or could not stand in a header.
    """

    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    basic: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("token", self.token), ("API key", self.api_key)):
            if value is not None and not _is_visible_ascii(value):
                raise ConfigError(f"The {name} must be visible ASCII characters, at least one.")
        if self.basic is not None:
            user, colon, _ = self.basic.partition(":")
            if not user or not colon:
                raise ConfigError("Basic credentials are written USER:PASSWORD.")

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask."""
        return self.token is None and self.api_key is None and self.basic is None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogOptions:
    """Everything that decides how the server answers. Equal options give equal answers.

    Attributes:
        port: on 127.0.0.1; 0 takes a free one.
        products: how many there are, of the generator.
        file: a JSON file, one record a line, whose products are served instead.
        seed: decides the products and the fate of the n-th request.
        misbehave: how `/products` misbehaves; None is well behaved.
        redirect_to: where the misbehaviour `redirect` sends clients; empty is the same server under
            another host name, so another origin.

    Raises:
        ConfigError: a number is out of range, or the address is none.
    """

    port: int = 0
    products: int = 1_000
    file: Path | None = None
    seed: int = 1
    pages: Pages = field(default_factory=Pages)
    limit: RateLimit = field(default_factory=RateLimit)
    faults: Faults = field(default_factory=Faults)
    drift: Drift | None = None
    access: Access = field(default_factory=Access)
    misbehave: Misbehaviour | None = None
    redirect_to: str = ""

    def __post_init__(self) -> None:
        _within("The port", self.port, 0, 65_535)
        _within("The number of products", self.products, 0, MAX_PRODUCTS)
        _within("The seed", self.seed, 0, _MAX_SEED)
        parts = urlsplit(self.redirect_to)
        if self.redirect_to and (parts.scheme not in {"http", "https"} or not parts.netloc):
            raise ConfigError(
                f"Can't redirect to '{self.redirect_to}'.",
                hint="Write a whole address, like http://127.0.0.1:9000/products.",
            )


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} must be from {least} to {most}, not {value}.")


def _is_visible_ascii(text: str) -> bool:
    return bool(text) and all("!" <= char <= "~" for char in text)
