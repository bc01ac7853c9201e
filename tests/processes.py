"""The command line as processes of their own that load into a test's shop."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from techmart_fast.settings import Settings

CHECKOUT = Path(__file__).parents[1]
_OURS = ("TECHMART_", "POSTGRES_", "BIGQUERY_", "GOOGLE_")


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment, with the settings of a shop in place of its own."""
    chosen, pipeline = settings.postgres, settings.pipeline
    assert chosen.password is not None
    assert chosen.host is not None
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {
        **kept,
        "PYTHONPATH": str(CHECKOUT),
        "TECHMART_HOME": str(settings.home),
        "TECHMART_BLOCK_BYTES": str(pipeline.block_bytes),
        "TECHMART_CHANNEL_BYTES": str(pipeline.channel_bytes),
        "TECHMART_STOP_GRACE_SECONDS": str(pipeline.stop_grace_seconds),
        "POSTGRES_HOST": chosen.host,
        "POSTGRES_PORT": str(chosen.port),
        "POSTGRES_DB": chosen.db,
        "POSTGRES_USER": chosen.user,
        "POSTGRES_PASSWORD": chosen.password.get_secret_value(),
        "BIGQUERY_DATASET_ID": settings.bigquery.dataset_id,
    }


def started(
    settings: Settings,
    *arguments: str,
    within: Sequence[str] = (),
    stdin: int = subprocess.DEVNULL,
) -> "subprocess.Popen[str]":
    """`techmart-fast ARGUMENTS` into the shop of these settings, by way of the command `within`."""
    return subprocess.Popen(
        [*within, sys.executable, "-m", "techmart_fast", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment_of(settings),
    )


def all_feeds(folder: Path) -> list[str]:
    """The options that name the feeds of a generated shop's folder."""
    return [
        *("--users", str(folder / "users.csv")),
        *("--products", str(folder / "products.json")),
        *("--transactions", str(folder / "transactions.ndjson")),
    ]
