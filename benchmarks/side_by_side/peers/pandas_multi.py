"""pandas with INSERTs of a thousand rows."""

from by_pandas import write
from raw_file import job

write(job()["raw"], method="multi", chunksize=1000)
