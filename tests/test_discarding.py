"""The endpoint that discards: a run into it ends well, and PostgreSQL holds what it always does."""

import io
import json
import subprocess
import sys
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from tests.processes import environment_of
from tests.shops import Shop

COMPARED = {
    "users": "SELECT user_id, email, country, customer_tier FROM users ORDER BY 1",
    "products": "SELECT product_id, name, price_usd, is_active FROM products ORDER BY 1",
    "transactions": """SELECT transaction_id, user_id, amount_usd, status, source_offset
        FROM transactions ORDER BY 1""",
}


def received(discarding: dict[str, str]) -> dict[str, int]:
    told: dict[str, int] = requests.get(discarding["BIGQUERY_API_ENDPOINT"], timeout=10).json()
    return told


def loaded(shop: Shop, **more: str) -> dict[str, object]:
    settings = environment_of(shop.settings) | more
    command = [sys.executable, "-m", "techmart_fast", "run", "--json", "--quiet"]
    done = subprocess.run(
        command, env=settings, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


async def test_a_run_into_it_tells_what_was_published_and_loads_the_same_rows(
    make_shop: Callable[[], Shop], discarding: dict[str, str]
) -> None:
    whole, discarded = make_shop(), make_shop()
    before = received(discarding)["rows"]
    expected, result = loaded(whole), loaded(discarded, **discarding)
    assert result["feeds"] == expected["feeds"]
    published = result["published"]
    assert isinstance(published, dict)
    assert min(published.values()) > 0
    assert sum(published.values()) == received(discarding)["rows"] - before
    for query in COMPARED.values():
        rows = await discarded.rows(query)
        assert rows == await whole.rows(query)
        assert rows
    again = loaded(discarded, **discarding)
    assert again["published"] != published
    assert received(discarding)["rows"] - before == sum(published.values())


def test_it_refuses_what_only_kept_rows_could_answer(
    make_shop: Callable[[], Shop], discarding: dict[str, str]
) -> None:
    settings = make_shop().settings
    command = [sys.executable, "-m", "techmart_fast", "report", "users"]
    asked = subprocess.run(
        command,
        env=environment_of(settings) | discarding,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 1
    assert "nothing to answer report_users from" in asked.stderr


def test_a_file_that_comes_in_pieces_is_counted_by_its_footer(
    discarding: dict[str, str],
) -> None:
    written = io.BytesIO()
    pq.write_table(pa.table({"number": list(range(70_000))}), written, compression="none")
    content, name = written.getvalue(), "in_pieces"
    url = f"{discarding['BIGQUERY_API_ENDPOINT']}/bigquery/v2/projects/discarded"
    reference = {"projectId": "discarded", "datasetId": "shop", "tableId": name}
    made = {"tableReference": reference}
    requests.post(f"{url}/datasets/shop/tables", json=made, timeout=10).raise_for_status()
    begun = requests.post(
        url.replace("/bigquery/", "/upload/bigquery/") + "/jobs?uploadType=resumable",
        json={"configuration": {"load": {"destinationTable": reference}}},
        timeout=10,
    )
    half = len(content) // 2
    statuses = [
        requests.put(
            begun.headers["Location"],
            data=content[first:end],
            headers={"Content-Range": f"bytes {first}-{end - 1}/{len(content)}"},
            timeout=10,
            allow_redirects=False,
        ).status_code
        for first, end in ((0, half), (half, len(content)))
    ]
    assert statuses == [308, 200]
    table = requests.get(f"{url}/datasets/shop/tables/{name}", timeout=10).json()
    assert table["numRows"] == "70000"
