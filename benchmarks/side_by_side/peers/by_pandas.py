"""pandas: the raw file as a frame, and an engine."""

from typing import Any

import pandas as pd
from sqlalchemy import create_engine

TABLE = "pandas_transactions"


def write(raw: str, **options: Any) -> None:
    """Read the file and write a new table; libpq's variables say where."""
    frame = pd.read_json(raw, lines=True, convert_dates=["timestamp"])
    with create_engine("postgresql+psycopg2://").begin() as connection:
        frame.to_sql(TABLE, connection, index=False, **options)
