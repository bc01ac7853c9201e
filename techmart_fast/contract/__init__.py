"""The data contract: what a valid record is, and the parameters of every figure."""

from techmart_fast.contract.countries import region_by_country
from techmart_fast.contract.load import default_contract, load_contract, parse_contract
from techmart_fast.contract.model import STATUSES, Contract

__all__ = [
    "STATUSES",
    "Contract",
    "default_contract",
    "load_contract",
    "parse_contract",
    "region_by_country",
]
