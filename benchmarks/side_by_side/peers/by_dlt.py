"""Runs a dlt resource into PostgreSQL, with everything that dlt writes in one folder."""

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

_MERGE = {"disposition": "merge", "strategy": "upsert"}


def load(folder: str, records: Iterable[Any], **options: str) -> None:
    """Merge records into `shop.transactions` by their id."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"  # nothing leaves this machine
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
    os.environ["DLT_DATA_DIR"] = folder
    import dlt  # noqa: PLC0415 - it reads the environment when it is imported

    given = {name: quote(os.environ[f"PG{name.upper()}"], safe="") for name in _WORDS}
    address = "postgresql://{user}:{password}@localhost:{port}/{database}?host={host}"
    pipeline = dlt.pipeline(
        pipeline_name="side_by_side",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(address.format(**given)),
        dataset_name="shop",
    )
    resource = dlt.resource(
        records,
        name="transactions",
        primary_key="transaction_id",
        write_disposition=_MERGE,
    )
    pipeline.run(resource, **options).raise_on_failed_jobs()


_WORDS = ("user", "password", "port", "database", "host")
