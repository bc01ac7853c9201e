"""Query results as Arrow, natively: COPY … TO STDOUT as CSV, read by Arrow's reader.

asyncpg's records are one Python object per row, so they are not for many rows.
"""

import io

import pyarrow as pa
import pyarrow.csv

from techmart_fast.postgres.session import Session


async def fetch_arrow(
    session: Session, query: str, schema: pa.Schema, *arguments: object, doing: str
) -> pa.Table:
    """The result of a query as a table of `schema`, whose names are the query's columns."""
    return read_csv(await session.copy_out(query, *arguments, doing=doing), schema)


def read_csv(data: bytes, schema: pa.Schema) -> pa.Table:
    """A CSV from COPY (with header, all values quoted, NULL empty and unquoted) as a table."""
    return pyarrow.csv.read_csv(
        io.BytesIO(data),
        # One block: the reader damages a quoted line end that straddles two (apache/arrow 51368).
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=schema,
            include_columns=schema.names,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    ).cast(schema)
