"""The data contract: defaults, overlays, and mistakes that are explained."""

from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.contract import default_contract, load_contract, parse_contract
from techmart_fast.contract.endpoint import Bearer
from techmart_fast.errors import ConfigError, ExitCode


def test_the_default_contract_is_the_shop_of_the_domain() -> None:
    contract = default_contract()
    rates = {rate.currency: rate.units_per_usd for rate in contract.rates}
    assert rates == {
        "USD": 1,
        "EUR": Decimal("0.85"),
        "GBP": Decimal("0.73"),
        "CAD": Decimal("1.25"),
    }
    assert contract.transactions.max_amount == Decimal("100000.00")
    assert contract.quality.accuracy == Decimal("0.99")


def test_a_contract_keeps_the_defaults_it_does_not_change() -> None:
    contract = parse_contract("[transactions]\nmax_amount = 5", name="small")
    assert contract.transactions.max_amount == 5
    assert contract.transactions.payment_methods == default_contract().transactions.payment_methods
    assert contract.version != default_contract().version


def test_rates_of_a_contract_replace_all_default_rates() -> None:
    text = 'base_currency = "BRL"\n[[rates]]\ncurrency = "BRL"\nsince = 2016-01-01\n'
    contract = parse_contract(text + "units_per_usd = 3.5", name="brazil")
    assert contract.currencies == ("BRL",)


def test_equal_contracts_have_equal_versions() -> None:
    assert parse_contract("", name="empty").version == default_contract().version


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("this is not toml", "not valid TOML"),
        ("unknown_key = 1", "unknown_key"),
        ('base_currency = "CHF"', "base_currency CHF has no rate"),
        ('reporting_time_zone = "Mars/Olympus"', "reporting_time_zone"),
        ('[transactions]\ntime_zone = "Nowhere"', "transactions.time_zone"),
        ("[transactions]\nmin_amount = 0.001", "transactions.min_amount"),
        ("[transactions]\nmin_amount = 10\nmax_amount = 5", "min_amount is above max_amount"),
        ('[transactions]\nrequired = ["transaction_id"]', "transactions.required must name"),
        ('[transactions.fields]\namuont = "total"', "no field 'amuont'"),
        ('[transactions.fields]\namount = "status"', "two fields read the same name"),
        ('[transactions.values.status]\nsent = "shipped"', "'shipped' is not a status"),
        ('[users]\ndefault_customer_tier = "gold"', "default_customer_tier"),
        ("[quality]\naccuracy = 1.5", "quality.accuracy"),
        (
            '[[rates]]\ncurrency = "USD"\nsince = 2000-01-01\nunits_per_usd = 1\n' * 2,
            "two rates of one currency",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file_and_the_key(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_contract(text, name="shop.toml")
    message = str(caught.value)
    assert "shop.toml" in message
    assert complaint in message
    assert "\n" not in message
    assert caught.value.exit_code is ExitCode.USAGE


def test_mistakes_are_told_in_the_words_of_the_contract() -> None:
    text = """
        base_curency = "USD"
        rates = [{ currency = "usd", since = "soon" }]
        [transactions]
        required = "transaction_id"
        min_amount = -1
        future_hours = 1.5
        ordinal = "sometimes"
        time_zone = "Mars"
        [products]
        name = 3
    """
    with pytest.raises(ConfigError) as caught:
        parse_contract(text, name="shop.toml")
    told = str(caught.value).partition(": ")[2].partition(". See")[0].split("; ")
    assert sorted(told) == [
        "base_curency is not a key of the contract (did you mean base_currency?)",
        "products.name is not a key of the contract",
        "rates[1].currency is not a currency code of three capital letters, like USD",
        "rates[1].since must be a date like 2025-01-31",
        "rates[1].units_per_usd is missing",
        "transactions.future_hours must be a whole number",
        "transactions.min_amount must be above 0",
        "transactions.ordinal must be 'run' or 'name'",
        "transactions.required must be a list",
        "transactions.time_zone is not a time zone name like 'America/Sao_Paulo'",
    ]
    assert "has 10 mistakes" in str(caught.value)


def test_an_absent_contract_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: No such file"):
        load_contract(tmp_path / "missing.toml")


def test_a_contract_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_contract(path)


def test_a_secrets_file_is_looked_for_beside_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    for file, place in (("token", tmp_path / "token"), ("/secrets/token", Path("/secrets/token"))):
        auth = f'{{ kind = "bearer", file = "{file}" }}'
        path.write_text(f'[users.api]\naddress = "https://crm.example/people"\nauth = {auth}\n')
        contract = load_contract(path)
        assert contract.users.api is not None
        assert isinstance(contract.users.api.auth, Bearer)
        assert contract.users.api.auth.file == str(place)
