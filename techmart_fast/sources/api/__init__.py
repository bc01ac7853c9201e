"""Fetches the records of a JSON API into one local file, politely and concurrently."""
