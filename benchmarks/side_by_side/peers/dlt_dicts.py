"""dlt with Python dicts of orjson."""

from pathlib import Path

import orjson
from by_dlt import load
from raw_file import job

asked = job()
with Path(asked["raw"]).open("rb") as lines:
    load(asked["folder"], (orjson.loads(line) for line in lines))
