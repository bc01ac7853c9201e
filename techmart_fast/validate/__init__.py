"""Validation: columnar rules on decoded batches; every rejection has a reason and a place."""

from datetime import datetime

from techmart_fast.contract import Contract
from techmart_fast.records import DecodedBatch, Feed
from techmart_fast.validate.batch import VALIDATED, ValidatedBatch
from techmart_fast.validate.products import validate_products
from techmart_fast.validate.transactions import validate_transactions
from techmart_fast.validate.users import validate_users

__all__ = ["VALIDATED", "ValidatedBatch", "validate"]


def validate(decoded: DecodedBatch, contract: Contract, *, run_started: datetime) -> ValidatedBatch:
    """Check, repair and type the records of one block by the rules of its feed."""
    match decoded.block.source.feed:
        case Feed.TRANSACTIONS:
            return validate_transactions(decoded, contract, run_started=run_started)
        case Feed.USERS:
            return validate_users(decoded, contract)
        case Feed.PRODUCTS:
            return validate_products(decoded, contract)
