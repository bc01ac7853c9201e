"""Runs that are asked to stop: what they end in order, and what the next one carries on with."""
