"""pandas with COPY, as its documentation has it (`to_sql`, insertion method).

https://pandas.pydata.org/docs/user_guide/io.html#insertion-method
"""

import csv
import io
from typing import Any

from by_pandas import write
from raw_file import job


def copy(table: Any, connection: Any, keys: list[str], rows: Any) -> None:
    """Write rows by COPY of CSV."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    text.seek(0)
    columns = ", ".join(f'"{key}"' for key in keys)
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(f'COPY "{table.name}" ({columns}) FROM STDIN WITH CSV', text)


write(job()["raw"], method=copy, chunksize=100_000)
