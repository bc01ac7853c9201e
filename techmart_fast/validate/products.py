"""The rules of a valid product."""

from decimal import Decimal

import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.records import MONEY, DecodedBatch
from techmart_fast.validate.batch import ValidatedBatch
from techmart_fast.validate.columns import FieldRules
from techmart_fast.validate.numbers import money

_CENT = Decimal("0.01")
_MAX_PRICE = Decimal("9999999999.99")
_MAX_INVENTORY = Decimal(10**9)


def validate_products(decoded: DecodedBatch, contract: Contract) -> ValidatedBatch:
    """Check and repair one block of products."""
    defaults = contract.products
    rules = FieldRules(decoded, contract)
    rules.identifier("product_id")
    rules.text("name")
    rules.text("category", default=defaults.default_category)
    cents = rules.number(
        "price",
        minimum=_CENT,
        maximum=_MAX_PRICE,
        decimals=2,
        codes=("not_a_number", "price_not_positive", "amount_precision"),
    )
    rules.put("price", money(cents, MONEY))
    rules.code(
        "currency",
        contract.currencies,
        "unknown_currency",
        canonical=str.upper,
        default=contract.base_currency,
    )
    pieces = rules.number(
        "inventory_count",
        minimum=Decimal(0),
        maximum=_MAX_INVENTORY,
        decimals=0,
        codes=("invalid_inventory", "invalid_inventory", "invalid_inventory"),
    )
    rules.put("inventory_count", pa.array(pieces))
    rules.identifier("supplier_id", default=defaults.default_supplier_id)
    return rules.outcome()
