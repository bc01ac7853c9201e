"""Why a record is rejected: every reason code, its kind and the sentence that people read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

LARGEST_NUMBER = 2**63 - 1
"""That a rejected record may have in the quarantine."""


class ReasonKind(StrEnum):
    """What a reason says about a feed: its form, its gaps or its values."""

    STRUCTURE = "structure"
    MISSING = "missing"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A reason code. `message` follows the field's name, if the reason concerns one field."""

    code: str
    kind: ReasonKind
    message: str

    def sentence(self, field: str | None) -> str:
        """The message for one field of a record, without any of the record's values."""
        return f"{field} {self.message}" if field else self.message


def _reasons(kind: ReasonKind, table: Mapping[str, str]) -> dict[str, Reason]:
    return {code: Reason(code=code, kind=kind, message=text) for code, text in table.items()}


REASONS: Mapping[str, Reason] = MappingProxyType(
    _reasons(
        ReasonKind.STRUCTURE,
        {
            "invalid_json": "The record is not valid JSON",
            "not_an_object": "The record is JSON, but not an object",
            "invalid_csv": "The record does not have the columns of the header",
            "invalid_utf8": "The record is not valid UTF-8",
            "too_deep": "The record is nested too deeply",
            "record_too_large": "The record is larger than the limit for one record",
            "wrong_type": "is not of the type that the field has",
            "nul_character": "holds a NUL character",
        },
    )
    | _reasons(ReasonKind.MISSING, {"missing_field": "is required and empty or absent"})
    | _reasons(
        ReasonKind.VALUE,
        {
            "id_too_long": "is longer than the limit for ids",
            "not_a_number": "is not a decimal number",
            "amount_precision": "has more than two decimals",
            "amount_out_of_range": "is outside the allowed range",
            "unknown_currency": "is not a currency of the contract",
            "unknown_payment_method": "is not a payment method of the contract",
            "unknown_status": "is not a status of the contract",
            "invalid_timestamp": "is not an ISO 8601 date and time",
            "timestamp_without_offset": "has no UTC offset, and the contract names no time zone",
            "timestamp_in_gap": "does not exist in the contract's time zone (clocks went forward)",
            "timestamp_out_of_range": "is too old or too far in the future",
            "invalid_email": "is not an e-mail address",
            "invalid_date": "is not an ISO 8601 date",
            "unknown_country": "is not an ISO 3166-1 alpha-2 country code",
            "unknown_age_group": "is not an age group of the contract",
            "unknown_customer_tier": "is not a customer tier of the contract",
            "price_not_positive": "is not above zero",
            "invalid_inventory": "is not a whole number of zero or more",
            "value_too_long": "is longer than the limit for text",
            "refused_by_database": "PostgreSQL does not take the row",
        },
    )
)
"""All reasons by code."""
