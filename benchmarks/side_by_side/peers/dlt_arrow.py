"""dlt with Arrow batches of pyarrow.json."""

import pyarrow as pa
from by_dlt import load
from raw_file import batches, job

asked = job()
load(asked["folder"], (pa.Table.from_batches([one]) for one in batches(asked["raw"])))
