"""Settings: resolved once (flags, then environment, then file, then defaults), frozen, passed on.

The file is TOML with a section for each class here, from `[pipeline]` to `[local]`; it is
`techmart.toml` in the working folder unless another one is named.
"""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from techmart_fast.errors import ConfigError
from techmart_fast.mistakes import what_is_wrong

MIB = 1 << 20
DEFAULT_FILE = Path("techmart.toml")

# https://cloud.google.com/resource-manager/docs/creating-managing-projects
_PROJECT = r"^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$"
_ACCOUNT = r"^[^@\s]+@[A-Za-z0-9.-]+\.gserviceaccount\.com$"
# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$"
_ENDPOINT = r"^(?:https://[^\s/]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?)(?:/\S*)?$"


def _plain(value: object) -> object:
    """Python reads `1_0` and the digits of every script as numbers; who writes them errs."""
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?[0-9]*\.?[0-9]+\s*", value, re.ASCII):
        raise ValueError("must be a number such as 6.25")
    return value


PositiveInt = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
Money = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False), BeforeValidator(_plain)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_ignore_empty=True, populate_by_name=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment; the file is laid below both by `load_settings`."""
        return init_settings, env_settings


class PostgresSettings(_Section):
    """The operational database. Without a host the embedded server is used."""

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")

    host: str | None = Field(
        None, description="Server name, or folder of its socket; empty: embedded server."
    )
    port: Port = Field(5432, description="Server port.")
    db: str = Field("techmart", min_length=1, description="Database; it must exist.")
    user: str = Field("techmart", min_length=1, description="Role that loads.")
    password: SecretStr | None = Field(None, description="Password of the role.")
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        None, description="TLS; default: verify-full for remote hosts, prefer on this machine."
    )
    connect_timeout_seconds: Seconds = Field(10.0, description="Deadline for a connection.")
    command_timeout_seconds: Seconds = Field(
        300.0, description="Deadline for one statement or COPY."
    )
    retry_seconds: Annotated[float, Field(ge=0, le=7 * 86_400)] = Field(
        60.0,
        description="For how long what failed and may pass (a lost connection, a restart of the "
        "server, a deadline) is tried again, from the first failure on; 0: never.",
    )
    writers: PositiveInt | None = Field(
        None, description="Parallel writers; default: the number of cores, four at most."
    )


class BigQuerySettings(_Section):
    """The warehouse. Without a project the loopback stand-in is used."""

    model_config = SettingsConfigDict(env_prefix="BIGQUERY_")

    project_id: Annotated[str, Field(pattern=_PROJECT)] | None = Field(
        None, description="Google Cloud project; empty: the loopback stand-in."
    )
    dataset_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,1024}$")] = Field(
        "techmart", description="Dataset; it is created when absent."
    )
    location: str = Field("US", min_length=1, description="Location of the dataset.")
    credentials_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("credentials_file", "GOOGLE_APPLICATION_CREDENTIALS"),
        description="Service account key; empty: application default credentials.",
    )
    impersonate_service_account: Annotated[str, Field(pattern=_ACCOUNT)] | None = Field(
        None, description="Service account to act as, by its e-mail address."
    )
    api_endpoint: Annotated[str, Field(pattern=_ENDPOINT)] | None = Field(
        None, description="Other endpoint, for a private gateway; https, or http on this machine."
    )
    partition_expiration_days: Annotated[int, Field(gt=0, le=36_500)] | None = Field(
        None,
        description="Days after which BigQuery drops a day of the facts; the reports keep it. "
        "Empty: never.",
    )
    maximum_bytes_billed: PositiveInt = Field(
        1 << 40, description="A query that would bill more bytes fails before it costs."
    )
    job_timeout_seconds: Seconds = Field(1800.0, description="Deadline for one job.")
    request_timeout_seconds: Seconds = Field(60.0, description="Deadline for one HTTP request.")
    staging_bucket: Annotated[str, Field(pattern=_BUCKET)] | None = Field(
        None,
        description="Cloud Storage bucket that files go through, many in one load job; empty: "
        "they are uploaded to BigQuery itself.",
    )
    price_per_tib: Money = Field(
        Decimal("6.25"), description="US dollars for a TiB that queries read, on demand."
    )
    load_job_bytes: PositiveInt = Field(
        16 * MIB,
        description="Parquet bytes that one load job carries, about; twice as many after every "
        "300 jobs of a run, so that a table takes less than its 1,500 a day.",
    )

    @model_validator(mode="after")
    def _endpoint_has_project(self) -> Self:
        if self.api_endpoint is not None and self.project_id is None:
            raise ValueError("api_endpoint needs project_id: the stand-in has its own endpoint")
        return self


class PipelineSettings(_Section):
    """The loader itself."""

    model_config = SettingsConfigDict(env_prefix="TECHMART_")

    home: Path = Field(
        Path("~/.techmart"), description="Folder (0700) of all local state of the loader."
    )
    block_bytes: Annotated[int, Field(ge=64 * 1024, le=256 * MIB)] = Field(
        8 * MIB, description="Bytes of input in one block, the unit of commit."
    )
    channel_bytes: PositiveInt = Field(
        8 * MIB, description="Bytes that may wait between two stages."
    )
    spool_compression: Literal["zstd", "snappy", "none"] = Field(
        "zstd", description="Compression of the Parquet files that are spooled and uploaded."
    )
    max_record_bytes: PositiveInt = Field(
        MIB, description="A longer record is rejected as one damaged record."
    )
    decode_threads: PositiveInt | None = Field(
        None, description="Threads that decode; default: the number of cores, four at most."
    )
    lease_seconds: Seconds = Field(60.0, description="A run silent for longer may be replaced.")
    stop_grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        20.0,
        description="How long a run that is to stop may commit and publish what it has read; then "
        "it is cancelled. Some seconds less than what ends it for good (30 s in Kubernetes).",
    )


class LocalSettings(_Section):
    """The embedded parts: PostgreSQL and the stand-in for BigQuery."""

    model_config = SettingsConfigDict(env_prefix="TECHMART_LOCAL_")

    start_seconds: Seconds = Field(
        120.0, description="Deadline for a part to be ready, recovery after a crash included."
    )
    stop_seconds: Seconds = Field(
        60.0, description="Deadline for an orderly stop of a part; then it is made to stop."
    )


SECTIONS: Mapping[str, type[_Section]] = {
    "pipeline": PipelineSettings,
    "postgres": PostgresSettings,
    "bigquery": BigQuerySettings,
    "local": LocalSettings,
}
"""Every section by its name in the file."""

_SectionType = TypeVar("_SectionType", bound=_Section)


class Settings:
    """All settings of one process. Attributes: `pipeline`, `postgres`, `bigquery`, `local`."""

    __slots__ = ("bigquery", "local", "pipeline", "postgres")

    def __init__(
        self,
        *,
        pipeline: PipelineSettings | None = None,
        postgres: PostgresSettings | None = None,
        bigquery: BigQuerySettings | None = None,
        local: LocalSettings | None = None,
    ) -> None:
        set_once = super().__setattr__
        set_once("pipeline", pipeline or PipelineSettings())
        set_once("postgres", postgres or PostgresSettings())
        set_once("bigquery", bigquery or BigQuerySettings())
        set_once("local", local or LocalSettings())

    pipeline: PipelineSettings
    postgres: PostgresSettings
    bigquery: BigQuerySettings
    local: LocalSettings

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are frozen: {name}")

    def __repr__(self) -> str:
        return f"Settings({self.pipeline!r}, {self.postgres!r}, {self.bigquery!r}, {self.local!r})"

    @property
    def home(self) -> Path:
        """The folder of all local state, absolute."""
        return self.pipeline.home.expanduser().absolute()

    @property
    def embedded_postgres(self) -> bool:
        """Whether the embedded server is used, as no host is set."""
        return self.postgres.host is None

    @property
    def stand_in(self) -> bool:
        """Whether the loopback stand-in is used, as no project is set."""
        return self.bigquery.project_id is None


def load_settings(
    flags: Mapping[str, Mapping[str, object]] | None = None, *, file: Path | None = None
) -> Settings:
    """Resolve the settings from `flags` (by section), the environment, a TOML file, defaults.

    Raises:
        ConfigError: a value is impossible, a key is unknown, or the named file can't be read. The
            message names the flag, variable or key, never the value of a secret.
    """
    values = _read_file(file)
    if unknown := values.keys() - SECTIONS.keys():
        raise ConfigError(
            f"The settings file has an unknown section [{sorted(unknown)[0]}].",
            hint=f"There are [{'], ['.join(SECTIONS)}].",
        )
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        given = {
            key: value for key, value in (flags or {}).get(name, {}).items() if value is not None
        }
        sections[name] = _resolve(section, name, given, values.get(name, {}))
    return Settings(**sections)


def _resolve(
    section: type[_SectionType], name: str, flags: Mapping[str, object], file: Mapping[str, object]
) -> _SectionType:
    try:
        from_environment = section().model_fields_set
        below = {key: value for key, value in file.items() if key not in from_environment}
        return section(**cast("dict[str, Any]", {**below, **flags}))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        key = str(fault["loc"][0]) if fault["loc"] else ""
        variable = f"{section.model_config.get('env_prefix', '')}{key}".upper()
        wrong = what_is_wrong(fault)
        raise ConfigError(f"Setting {name}.{key} ({variable}): {wrong}.") from None


def _read_file(path: Path | None) -> dict[str, dict[str, object]]:
    if path is None:
        if not DEFAULT_FILE.is_file():
            return {}
        path = DEFAULT_FILE
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"Can't read the settings file {path}: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not valid TOML: {error}.") from None
    for name, section in values.items():
        if not isinstance(section, dict):
            raise ConfigError(f"The settings file {path}: '{name}' must stand in a section.")
    return values
