"""The rules of a valid user."""

from techmart_fast.contract import Contract, region_by_country
from techmart_fast.records import DecodedBatch
from techmart_fast.validate.batch import ValidatedBatch
from techmart_fast.validate.columns import FieldRules

# One @, and a domain whose labels are joined by at least one dot.
_EMAIL = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"


def validate_users(decoded: DecodedBatch, contract: Contract) -> ValidatedBatch:
    """Check and repair one block of users."""
    sets = contract.users
    rules = FieldRules(decoded, contract)
    rules.identifier("user_id")
    rules.text("email")
    rules.matching("email", _EMAIL, "invalid_email")
    rules.day("registration_date")
    rules.code("country", region_by_country(), "unknown_country", canonical=str.upper)
    rules.code("age_group", sets.age_groups, "unknown_age_group", canonical=str.lower)
    rules.code(
        "customer_tier",
        sets.customer_tiers,
        "unknown_customer_tier",
        canonical=str.lower,
        default=sets.default_customer_tier,
    )
    return rules.outcome()
