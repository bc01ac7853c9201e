"""Settings: flags over environment over file over defaults; frozen; secrets masked."""

from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.errors import ConfigError
from techmart_fast.local import LocalOptions
from techmart_fast.settings import load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("POSTGRES_HOST", "POSTGRES_PORT", "BIGQUERY_PROJECT_ID", "TECHMART_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_without_anything_the_embedded_parts_are_used() -> None:
    settings = load_settings()
    assert settings.embedded_postgres
    assert settings.stand_in
    assert settings.home == Path("~/.techmart").expanduser()


def test_flags_win_over_environment_over_file_over_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "techmart.toml").write_text(
        '[postgres]\nhost = "file"\ndb = "file"\nuser = "file"\nport = 1111\n'
    )
    monkeypatch.setenv("POSTGRES_DB", "environment")
    monkeypatch.setenv("POSTGRES_USER", "environment")
    chosen = load_settings({"postgres": {"user": "flag", "db": None}}).postgres
    assert (chosen.host, chosen.db, chosen.user) == ("file", "environment", "flag")
    assert chosen.port == 1111
    assert chosen.connect_timeout_seconds == 10.0


def test_the_embedded_parts_have_deadlines_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TECHMART_LOCAL_START_SECONDS", "7")
    options = LocalOptions.from_settings(load_settings({"local": {"stop_seconds": 5}}).local)
    assert (options.start_seconds, options.stop_seconds) == (7, 5)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_HOST", "")
    assert load_settings().embedded_postgres


def test_a_password_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert settings.postgres.password is not None
    assert settings.postgres.password.get_secret_value() == "hunter2"


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(AttributeError):
        settings.postgres = settings.postgres
    with pytest.raises(ValueError, match="frozen"):
        settings.postgres.port = 1


def test_google_application_credentials_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/keys/loader.json")
    assert load_settings().bigquery.credentials_file == Path("/keys/loader.json")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("POSTGRES_PORT", "notaport", r"POSTGRES_PORT\): must be a whole number"),
        ("TECHMART_BLOCK_BYTES", "3", r"TECHMART_BLOCK_BYTES\): must be 65536 or more"),
        ("BIGQUERY_DATASET_ID", "a-b", r"BIGQUERY_DATASET_ID\): does not match"),
    ],
)
def test_an_impossible_value_names_its_variable_but_not_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_settings()
    assert value not in str(caught.value).split(":", 1)[1] or len(value) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[postgre]\nhost = 1", r"unknown section \[postgre\]"),
        ('host = "x"', "must stand in a section"),
        ("[postgres]\nhots = 1", "hots"),
        ("[postgres", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_explained(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_settings(file=path)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load_settings(file=tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BIGQUERY_PARTITION_EXPIRATION_DAYS", "4000000"),
        ("BIGQUERY_PRICE_PER_TIB", "1e30"),
        ("BIGQUERY_PRICE_PER_TIB", "1_0"),
        ("BIGQUERY_PRICE_PER_TIB", "\u0661"),
        ("BIGQUERY_PRICE_PER_TIB", "NaN"),
        ("BIGQUERY_REQUEST_TIMEOUT_SECONDS", "1e308"),
        ("BIGQUERY_STAGING_BUCKET", "gs://bucket"),
        ("BIGQUERY_PROJECT_ID", "My Project"),
        ("BIGQUERY_IMPERSONATE_SERVICE_ACCOUNT", "someone"),
        ("BIGQUERY_API_ENDPOINT", "http://gateway.example"),
    ],
)
def test_a_value_out_of_bounds_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        load_settings()


def test_an_endpoint_without_a_project_would_be_ignored_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIGQUERY_API_ENDPOINT", "https://gateway.example/bq")
    with pytest.raises(ConfigError, match="needs project_id"):
        load_settings()
    monkeypatch.setenv("BIGQUERY_PROJECT_ID", "shop-project")
    assert load_settings().bigquery.api_endpoint == "https://gateway.example/bq"


@pytest.mark.parametrize("price", ["6.25", "0", ".5", " 7 "])
def test_a_price_is_a_plain_decimal(monkeypatch: pytest.MonkeyPatch, price: str) -> None:
    monkeypatch.setenv("BIGQUERY_PRICE_PER_TIB", price)
    assert load_settings().bigquery.price_per_tib == Decimal(price)
