"""The rules of a valid transaction."""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from techmart_fast.calendar import reporting_days
from techmart_fast.contract import STATUSES, Contract
from techmart_fast.records import INSTANT, MONEY, DecodedBatch
from techmart_fast.validate.batch import ValidatedBatch
from techmart_fast.validate.columns import FieldRules
from techmart_fast.validate.numbers import money

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def validate_transactions(
    decoded: DecodedBatch, contract: Contract, *, run_started: datetime
) -> ValidatedBatch:
    """Check and repair one block of transactions.

    `run_started` is the start of the run: `future_hours` after it is the latest timestamp.
    """
    limits = contract.transactions
    rules = FieldRules(decoded, contract)
    rules.identifier("transaction_id")
    rules.identifier("user_id")
    rules.identifier("product_id")
    cents = rules.number(
        "amount",
        minimum=limits.min_amount,
        maximum=limits.max_amount,
        decimals=2,
        codes=("not_a_number", "amount_out_of_range", "amount_precision"),
    )
    rules.put("amount", money(cents, MONEY))
    rules.code("currency", contract.currencies, "unknown_currency", canonical=str.upper)
    earliest = _micros(datetime.combine(limits.earliest, time(), tzinfo=UTC))
    latest = _micros(run_started + timedelta(hours=limits.future_hours))
    instants = rules.instant("timestamp", zone=limits.time_zone, earliest=earliest, latest=latest)
    timestamps = pa.array(instants.micros).cast(INSTANT)
    rules.put("timestamp", timestamps)
    methods = limits.payment_methods
    rules.code("payment_method", methods, "unknown_payment_method", canonical=str.lower)
    rules.code("status", STATUSES, "unknown_status", canonical=str.lower)
    in_range = instants.readable & (instants.micros >= earliest) & (instants.micros <= latest)

    def dates() -> pa.Date32Array:
        days = reporting_days(timestamps, contract.reporting_time_zone).astype(np.int32)
        return pa.array(days, mask=~in_range).cast(pa.date32())

    return rules.outcome(dates)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
