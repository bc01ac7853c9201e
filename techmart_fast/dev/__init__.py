"""Generates realistic shops of any size, with defects and the truth about them, for trying out."""

from techmart_fast.dev.generate import generate
from techmart_fast.dev.spec import (
    DEFAULT_SHARES,
    KIND_MEANING,
    Compression,
    DefectKind,
    FileFormat,
    ShopSpec,
    parse_shares,
    resolve_shares,
)
from techmart_fast.dev.truth import Truth

__all__ = [
    "DEFAULT_SHARES",
    "KIND_MEANING",
    "Compression",
    "DefectKind",
    "FileFormat",
    "ShopSpec",
    "Truth",
    "generate",
    "parse_shares",
    "resolve_shares",
]
