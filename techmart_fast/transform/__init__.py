"""Enrichment of validated records: pure functions on record batches."""

from techmart_fast.transform.enrich import PRIORITY_BY_TIER, Enricher

__all__ = ["PRIORITY_BY_TIER", "Enricher"]
