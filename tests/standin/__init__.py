"""Tests of the BigQuery stand-in."""
