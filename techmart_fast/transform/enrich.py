"""Enrichment: derived columns of transactions, users and products, by columns."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.calendar import local_micros, split_local
from techmart_fast.contract import Contract, region_by_country
from techmart_fast.records import CANDIDATES, MONEY, CandidateBatch, Feed
from techmart_fast.transform.rates import UsdRates
from techmart_fast.validate import ValidatedBatch
from techmart_fast.validate.numbers import money

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]

PRIORITY_BY_TIER: Mapping[str, str] = {"vip": "high", "premium": "medium"}
"""processing_priority of a transaction by its user's tier; every other tier is `standard`."""


class Enricher:
    """Adds the derived columns of DOMAIN's enrichment to validated batches.

    `tiers` are the users whose tier gives their transactions a priority (columns user_id,
    customer_tier): everyone else is `standard`.
    """

    def __init__(self, contract: Contract, *, tiers: pa.Table | None = None) -> None:
        self._contract = contract
        self._rates = UsdRates(contract)
        self._ids = tiers.column("user_id").combine_chunks() if tiers and tiers.num_rows else None
        if tiers is not None and self._ids is not None:
            priorities = [
                PRIORITY_BY_TIER.get(tier, "standard")
                for tier in tiers.column("customer_tier").to_pylist()
            ]
            self._priorities = pa.array(priorities, pa.string())

    def enrich(self, batch: ValidatedBatch) -> CandidateBatch:
        """The batch with all columns of `CANDIDATES`, at its source position."""
        feed = batch.block.source.feed
        derive: dict[Feed, Callable[[pa.RecordBatch], dict[str, pa.Array]]] = {
            Feed.TRANSACTIONS: self._transactions,
            Feed.USERS: self._users,
            Feed.PRODUCTS: self._products,
        }
        records = batch.records
        columns = {name: records.column(name) for name in records.schema.names}
        columns |= derive[feed](records)
        ordinal = np.full(records.num_rows, batch.block.source.ordinal, dtype=np.int64)
        columns["source_ordinal"] = pa.array(ordinal)
        schema = CANDIDATES[feed]
        return CandidateBatch(
            block=batch.block,
            records=pa.RecordBatch.from_arrays([columns[f.name] for f in schema], schema=schema),
            rejections=batch.rejections,
            read=batch.read,
            completeness=batch.completeness,
            repairs=batch.repairs,
            unknown_fields=batch.unknown_fields,
        )

    def restore(self, stored: pa.Table) -> pa.Table:
        """Stored transactions with the columns that follow from them by the contract.

        Nothing that is stored is derived again, as amount_usd and transaction_date may come from
        another contract's rates and time zone.
        """
        usd = _cents(stored.column("amount_usd").combine_chunks())
        zone = self._contract.reporting_time_zone
        micros = local_micros(stored.column("timestamp").combine_chunks(), zone)
        _, hours, weekdays = split_local(micros)
        derived = {
            "transaction_hour": pa.array(hours),
            "day_of_week": pa.array(weekdays),
            **self._flags(stored.column("payment_method"), stored.column("currency"), usd),
        }
        for name, values in derived.items():
            stored = stored.append_column(name, values)
        return stored

    def _transactions(self, records: pa.RecordBatch) -> dict[str, pa.Array]:
        zone = self._contract.reporting_time_zone
        days, hours, weekdays = split_local(local_micros(records.column("timestamp"), zone))
        currency = records.column("currency")
        usd = self._rates.convert(_cents(records.column("amount")), currency, days)
        return {
            "amount_usd": money(usd, MONEY),
            "transaction_date": pa.array(days.astype(np.int32)).cast(pa.date32()),
            "transaction_hour": pa.array(hours),
            "day_of_week": pa.array(weekdays),
            **self._flags(records.column("payment_method"), currency, usd),
            "processing_priority": self._priority(records.column("user_id")),
        }

    def _flags(
        self,
        methods: pa.StringArray | pa.ChunkedArray,
        currency: pa.StringArray | pa.ChunkedArray,
        usd: Integers,
    ) -> dict[str, pa.Array]:
        """The business rules' columns, from payment methods, currencies and cents in US dollars."""
        rules = self._contract.transactions
        high_value = usd > _whole_cents(rules.high_value_usd)
        low_risk = np.asarray(
            pc.is_in(methods, value_set=pa.array(rules.low_risk_payment_methods, pa.string()))
        )
        international = np.asarray(pc.not_equal(currency, self._contract.base_currency))
        return {
            "is_high_value": pa.array(high_value),
            "is_international": pa.array(international),
            "payment_method_risk": _either(high_value & ~low_risk, "high", "low"),
            "transaction_risk": _either(international, "medium", "low"),
        }

    def _priority(self, users: pa.StringArray) -> pa.StringArray:
        if self._ids is None:
            return _either(np.zeros(len(users), dtype=np.bool_), "high", "standard")
        found = pc.index_in(users, value_set=self._ids)
        return pc.fill_null(self._priorities.take(found), "standard")

    def _users(self, records: pa.RecordBatch) -> dict[str, pa.Array]:
        regions = region_by_country()
        encoded = records.column("country").dictionary_encode()
        names = pa.array(
            [regions[country] for country in encoded.dictionary.to_pylist()], pa.string()
        )
        return {"region": names.take(encoded.indices)}

    def _products(self, records: pa.RecordBatch) -> dict[str, pa.Array]:
        rules = self._contract.products
        usd = self._rates.convert_at_newest(
            _cents(records.column("price")), records.column("currency")
        )
        stock = records.column("inventory_count").to_numpy()
        return {
            "price_usd": money(usd, MONEY),
            "inventory_status": _steps(
                stock, (1, "out_of_stock"), (rules.low_stock_below, "low_stock"), top="in_stock"
            ),
            "price_tier": _steps(
                usd,
                (_whole_cents(rules.mid_range_from_usd), "budget"),
                (_whole_cents(rules.premium_from_usd), "mid_range"),
                top="premium",
            ),
        }


def _whole_cents(amount: Decimal) -> int:
    return int(amount.scaleb(2))


def _cents(amounts: pa.Decimal128Array) -> Integers:
    """Cents of a `MONEY` column: the low words, as |value| < 10^12 fits 64 bits."""
    buffer = amounts.buffers()[1]
    if buffer is None or not len(amounts):
        return np.zeros(len(amounts), dtype=np.int64)
    words = np.frombuffer(buffer, dtype=np.int64)
    return np.ascontiguousarray(words[2 * amounts.offset :: 2][: len(amounts)])


def _either(condition: Mask, when_true: str, when_false: str) -> pa.StringArray:
    """One of two words a row."""
    choices = pa.array([when_false, when_true], pa.string())
    return choices.take(pa.array(condition.astype(np.int8)))


def _steps(values: Integers, *steps: tuple[int, str], top: str) -> pa.StringArray:
    """The name of the first step whose limit is above the value, else `top`."""
    limits = np.array([limit for limit, _ in steps], dtype=np.int64)
    names = pa.array([*(name for _, name in steps), top], pa.string())
    return names.take(pa.array(np.searchsorted(limits, values, side="right")))
