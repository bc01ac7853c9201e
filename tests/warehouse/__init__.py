"""Tests of the warehouse sink."""
