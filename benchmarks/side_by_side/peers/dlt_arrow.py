"""dlt with Arrow batches of pyarrow.json."""

import pyarrow as pa
from by_dlt import load
from raw_file import batches, job

asked = job()
tables = (pa.Table.from_batches([one]) for one in batches(asked["raw"]))
# Parquet, which dlt writes by ADBC: faster here than CSV, which it would choose, and than INSERTs.
load(asked["folder"], tables, loader_file_format="parquet")
