"""An HTTP endpoint of JSON records as frozen, validated values: what a contract says of an API."""

import hashlib
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_MIB = 1 << 20
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CREDENTIALS = {"authorization", "proxy-authorization", "cookie"}
_OURS = {
    *("host", "content-length", "transfer-encoding", "connection", "accept-encoding"),
    *("if-none-match", "if-modified-since", "range", "te", "upgrade", "expect"),
}


class _Part(BaseModel):
    # A mistake is explained without its value: it may be a secret that stands in a wrong place.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, hide_input_in_errors=True, allow_inf_nan=False
    )


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not an address like https://api.example.com/products") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must start with https:// (or http://) and a host name")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("has a host name that can't be one") from None
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: give them in auth")
    if "#" in text:
        raise ValueError("must not have a fragment (#…): servers never see it")
    if any(char <= " " or char == "\x7f" for char in text):
        raise ValueError("must not hold blanks: write %20")
    return text


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("is not the name of a header")
    if name.lower() in _OURS:
        raise ValueError("is a header that the loader sets by itself")
    return name


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in _CREDENTIALS:
            raise ValueError(f"must not name {name}: give credentials in auth")
        if not _TOKEN.fullmatch(name):
            raise ValueError("names a header that is none")
        if name.lower() in _OURS:
            raise ValueError(f"must not name {name}: the loader sets it by itself")
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"has characters in {name} that can't stand in a header")
    return headers


def _path(text: str) -> str:
    if text and not all(text.split(".")):
        raise ValueError("is not a path like 'data' or 'result.items'")
    return text


def _content_type(text: str) -> str:
    if not re.fullmatch(r"\+[a-z0-9.-]+|[a-z0-9.-]+/[a-z0-9.+-]+", text):
        raise ValueError("is not a type like 'application/json' or a suffix like '+json'")
    return text


Address = Annotated[str, AfterValidator(_address)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
HeaderName = Annotated[Word, AfterValidator(_header_name)]
DottedPath = Annotated[str, Field(max_length=200), AfterValidator(_path)]
"""Member names with dots between them. As TOML has no null, an empty one is none."""

Member = Annotated[DottedPath, Field(min_length=1)]
OptionalWord = Annotated[str, Field(max_length=200)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
ContentType = Annotated[str, AfterValidator(_content_type)]


class NoPages(_Part):
    """All records are in one answer."""

    kind: Literal["none"] = "none"


class NumberedPages(_Part):
    """Pages by number: `?page=3&per_page=100`. They are fetched concurrently.

    `total_pages` and `total_records` are paths in the answer. Where it has neither, pages are
    asked for until one is empty. An empty `size_parameter` leaves the size to the server.
    """

    kind: Literal["page"] = "page"
    parameter: Word = "page"
    first: Annotated[int, Field(ge=0, le=1)] = 1
    size_parameter: OptionalWord = "per_page"
    total_pages: DottedPath = "total_pages"
    total_records: DottedPath = "total"


class Offsets(_Part):
    """Pages by the number of records before them: `?offset=200&limit=100`; concurrently."""

    kind: Literal["offset"] = "offset"
    parameter: Word = "offset"
    size_parameter: Word = "limit"
    total_records: DottedPath = "total"


class Cursors(_Part):
    """Each answer tells the cursor of the next page; one after another.

    The cursor is at the path `next` of the answer, or is the field `last_record` of the page's
    last record. An absent, null or empty one ends the list, and so does a false `more`.
    """

    kind: Literal["cursor"] = "cursor"
    parameter: Word = "cursor"
    next: Member = "next_cursor"
    last_record: OptionalWord = ""
    more: DottedPath = ""
    size_parameter: OptionalWord = "limit"
    total_records: DottedPath = ""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.last_record and not self.more:
            raise ValueError("last_record needs more: the path of what tells that there is more")
        return self


class Links(_Part):
    """The header `Link` of each answer tells the next address (RFC 8288, `rel="next"`)."""

    kind: Literal["link"] = "link"
    size_parameter: OptionalWord = "per_page"


class NextAddresses(_Part):
    """Each answer tells the next address in its body; one after another."""

    kind: Literal["next"] = "next"
    next: Member = "next"
    size_parameter: OptionalWord = "per_page"
    total_records: DottedPath = "total"


Pagination = Annotated[
    NoPages | NumberedPages | Offsets | Cursors | Links | NextAddresses,
    Field(discriminator="kind"),
]


class NoAuth(_Part):
    """Everybody may ask."""

    kind: Literal["none"] = "none"


class _Secret(_Part):
    """Where a secret is: in a variable of the environment, or in a file. Never in the contract."""

    environment: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    file: Word | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.environment is None) == (self.file is None):
            raise ValueError("needs exactly one of environment and file, where the secret is")
        return self


class Bearer(_Secret):
    """`Authorization: Bearer SECRET`."""

    kind: Literal["bearer"] = "bearer"


class ApiKey(_Secret):
    """The secret in a header of its own."""

    kind: Literal["api_key"] = "api_key"
    header: HeaderName = "X-Api-Key"


class Basic(_Secret):
    """`Authorization: Basic …`: the secret is the password."""

    kind: Literal["basic"] = "basic"
    user: Annotated[str, Field(min_length=1, pattern=r"^[^:\x00-\x1f\x7f]+$")]


Auth = Annotated[NoAuth | Bearer | ApiKey | Basic, Field(discriminator="kind")]


class Limits(_Part):
    """How fast, how long and how much.

    Attributes:
        concurrency: requests in flight at the same time, at most.
        requests_per_second: requests in any second, at most; retries and redirects count.
        connect_seconds: for one connection, with its TLS handshake.
        answer_seconds: for one whole answer.
        total_seconds: for the whole fetch, waits included.
        retries: further attempts for one page after failures that may pass.
        failures_in_a_row: so many failures without any success between them make the loader pause
            and ask with single requests, and then give up.
        max_answer_bytes: of one answer, compressed or decompressed.
        max_pages, max_total_bytes: of one fetch.
        max_redirects: for one request.
        allow_private: whether private and loopback addresses may be asked. Unless it is set, they
            may if the address above is one or resolves to nothing else.
        resume_seconds: how old the pages of an interrupted fetch may be to be kept.
    """

    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    requests_per_second: Annotated[float, Field(gt=0, le=100_000)] = 10
    connect_seconds: Seconds = 10
    answer_seconds: Seconds = 60
    total_seconds: Seconds = 3600
    retries: Annotated[int, Field(ge=0, le=100)] = 6
    failures_in_a_row: Annotated[int, Field(ge=1, le=1000)] = 12
    max_answer_bytes: Annotated[int, Field(ge=1, le=1 << 30)] = 16 * _MIB
    max_pages: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    max_total_bytes: Annotated[int, Field(ge=1, le=1 << 44)] = 4096 * _MIB
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    allow_private: bool | None = None
    resume_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 86_400

    @model_validator(mode="after")
    def _can_be_resumed(self) -> Self:
        if 0 < self.resume_seconds <= self.total_seconds:
            raise ValueError("resume_seconds must be more than total_seconds (or 0: never)")
        return self


class Incremental(_Part):
    """Ask only for what changed: `?updated_since=` the newest `field` seen, less the overlap.

    `field` is a path in a record. `format` is how the service writes times, in both: ISO 8601, or
    seconds or milliseconds since 1970.
    """

    parameter: Word = "updated_since"
    field: Member = "updated_at"
    format: Literal["iso", "epoch_seconds", "epoch_milliseconds"] = "iso"
    overlap_seconds: Annotated[int, Field(ge=0, le=31 * 86_400)] = 60


class Endpoint(_Part):
    """One JSON endpoint: where its records are, how to come to all of them, how politely.

    Attributes:
        address: of the first page, without credentials.
        name: what its checkpoint is stored under; without one, the address. With a name the address
            may change, and what was fetched stays known.
        query, headers: sent with every request (headers to this origin only).
        records: path of the list of records in an answer; empty if the answer is the list.
        page_size: records to ask for at once; a server may give fewer.
        catalogue: whether a list of products that came whole is all there is, so that products
            missing from it become inactive: `complete` or `partial`. Unset, it is complete unless
            `query`, or a query in the address, selects some.
        etag_covers: what an unchanged first page says. `page`: only itself, so that it saves a
            fetch only if there is no other page. `list`: that nothing at all has changed.
        drift: what to do when required fields vanish, or types or the envelope change: `stop`,
            `quarantine` (go on; the records are validated anyway, and the shape stays remembered
            as it was) or `report` (go on, and take the new shape for granted).
        content_types: types of answers that are read; `+json` stands for all with this suffix.
    """

    address: Address = Field(repr=False)
    name: Annotated[str, Field(max_length=200)] = ""
    query: dict[Word, str] = Field(default={}, repr=False)
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default={}, repr=False)
    records: DottedPath = "data"
    page_size: Annotated[int, Field(ge=1, le=100_000)] = 100
    pagination: Pagination = NumberedPages()
    auth: Auth = NoAuth()
    limits: Limits = Limits()
    incremental: Incremental | None = None
    catalogue: Literal["complete", "partial"] | None = None
    etag_covers: Literal["page", "list"] = "page"
    drift: Literal["stop", "quarantine", "report"] = "stop"
    content_types: Annotated[tuple[ContentType, ...], Field(min_length=1)] = (
        "application/json",
        "+json",
    )

    def __repr__(self) -> str:
        return f"<Endpoint {self.where}, {self.pagination.kind} pagination>"

    __str__ = __repr__

    @property
    def where(self) -> str:
        """Host and path, for messages: never a query."""
        parts = urlsplit(self.address)
        return f"{parts.netloc}{parts.path}"

    @property
    def host(self) -> str:
        """Host and port of the address."""
        return urlsplit(self.address).netloc

    @property
    def lists_everything(self) -> bool:
        """Whether what is missing from the whole list is nowhere."""
        if self.catalogue is not None:
            return self.catalogue == "complete"
        return not self.query and not urlsplit(self.address).query

    @property
    def selection(self) -> str:
        """Hex digest of all that decides which records there are."""
        return self._digest(
            "name" if self.name else "address", "query", "headers", "records", "auth", "incremental"
        )

    @property
    def identity(self) -> str:
        """Hex digest of all that decides which records come in which pages."""
        return hashlib.sha256(
            f"{self.selection} {self._digest('pagination', 'page_size')}".encode()
        ).hexdigest()

    def _digest(self, *names: str) -> str:
        return hashlib.sha256(self.model_dump_json(include=set(names)).encode()).hexdigest()

    @model_validator(mode="after")
    def _no_header_twice(self) -> Self:
        names = [name.lower() for name in self.headers]
        if isinstance(self.auth, ApiKey):
            names.append(self.auth.header.lower())
        if len(set(names)) != len(names):
            raise ValueError("headers names a header twice, or the one of auth")
        return self

    @model_validator(mode="after")
    def _no_parameter_twice(self) -> Self:
        pages = self.pagination
        ours = [
            name
            for name in (getattr(pages, "parameter", None), getattr(pages, "size_parameter", None))
            if name
        ]
        if self.incremental is not None:
            ours.append(self.incremental.parameter)
        if len(set(ours)) != len(ours) or set(ours) & set(self.query):
            raise ValueError("a parameter of the query has two meanings")
        return self
