"""Jobs: ids, states, statistics, plans, cost guards, cancelling, errors over HTTP.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job and
https://cloud.google.com/bigquery/docs/error-messages
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from google.api_core.exceptions import BadRequest, Conflict, InternalServerError, NotFound
from google.cloud import bigquery

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.jobs import Job, Outcome
from techmart_fast.standin.process import prepared
from techmart_fast.standin.runner import JobRunner
from techmart_fast.standin.storage import Storage
from techmart_fast.standin.work import Work
from tests.standin.conftest import Shop
from tests.standin.serving import MIB, PROJECT, START_SECONDS, client_of, request, serving


def test_a_job_id_is_used_once(shop: Shop) -> None:
    job_id = f"{shop.dataset}_once"
    shop.query("SELECT 1", job_id=job_id)
    with pytest.raises(Conflict, match="Already Exists: Job") as refused:
        shop.query("SELECT 2", job_id=job_id)
    assert refused.value.errors[0]["reason"] == "duplicate"
    assert [row.values() for row in shop.client.get_job(job_id).result()] == [(1,)]


def test_a_job_tells_what_it_did(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a, 'xy' AS b")
    job = shop.job("SELECT a FROM t", labels={"run": "7"}, job_id=f"{shop.dataset}_tells")
    job.result()
    found = shop.client.get_job(job.job_id)
    assert (found.state, found.statement_type, found.labels) == ("DONE", "SELECT", {"run": "7"})
    assert (found.location, found.project) == ("US", PROJECT)
    assert found.created <= found.started <= found.ended
    assert (found.total_bytes_processed, found.total_bytes_billed) == (8, 10 * MIB)
    assert [one.table_id for one in found.referenced_tables] == ["t"]
    assert job.job_id in [one.job_id for one in shop.client.list_jobs(max_results=5)]


def test_a_job_is_found_in_its_location_only(shop: Shop) -> None:
    job = shop.job("SELECT 1")
    job.result()
    with pytest.raises(NotFound):
        shop.client.get_job(job.job_id, location="EU")
    with pytest.raises(NotFound, match="Not found: Job"):
        shop.client.get_job("never", retry=None)


def test_a_dry_run_plans_and_changes_nothing(shop: Shop) -> None:
    # https://cloud.google.com/bigquery/docs/running-queries#dry-run
    shop.load(pa.table({"id": pa.array(range(100), pa.int64()), "s": ["abcd"] * 100}), "t")
    job = shop.job("SELECT id, s FROM t WHERE id > 3", dry_run=True)
    assert (job.state, job.dry_run, job.total_bytes_processed) == ("DONE", True, 100 * (8 + 6))
    assert [one.name for one in job.schema] == ["id", "s"]
    assert shop.job("DELETE FROM t WHERE id > 3", dry_run=True).statement_type == "DELETE"
    assert shop.job("DROP TABLE t", dry_run=True).statement_type == "DROP_TABLE"
    assert shop.value("SELECT COUNT(*) FROM t") == 100
    with pytest.raises(BadRequest, match="Unrecognized name: nope"):
        shop.job("SELECT nope FROM t", dry_run=True)


def test_literal_filters_on_the_partition_column_reduce_what_is_read(shop: Shop) -> None:
    # https://cloud.google.com/bigquery/docs/querying-partitioned-tables#use_a_constant_filter
    shop.query(
        """CREATE TABLE t (day DATE, n INT64) PARTITION BY day;
           INSERT INTO t SELECT day, 1 FROM UNNEST(GENERATE_DATE_ARRAY('2024-01-01', '2024-01-10'))
             AS day"""
    )

    def read(sql: str, *parameters: object) -> int:
        return shop.job(sql, *parameters, dry_run=True).total_bytes_processed

    assert read("SELECT n, day FROM t") == 160
    assert read("SELECT n FROM t WHERE day = '2024-01-03'") == 16
    assert read("SELECT COUNT(*) FROM t") == 0
    days = bigquery.ArrayQueryParameter("d", "DATE", ["2024-01-01", "2024-01-02"])
    assert read("SELECT n FROM t WHERE day IN UNNEST(@d)", days) == 32
    assert read("SELECT n FROM t WHERE day = (SELECT MAX(day) FROM t)") == 160 + 80
    assert read("UPDATE t SET n = 2 WHERE day = '2024-01-03'") == 16


def test_a_query_over_its_limit_of_bytes_fails_before_it_runs(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    job = shop.job("DELETE FROM t WHERE a = 1", maximum_bytes_billed=MIB)
    with pytest.raises(InternalServerError, match="Query exceeded limit for bytes billed: 1048576"):
        job.result(retry=None)
    assert shop.client.get_job(job.job_id).error_result["reason"] == "bytesBilledLimitExceeded"
    assert shop.value("SELECT COUNT(*) FROM t") == 1
    shop.query("DELETE FROM t WHERE a = 1", maximum_bytes_billed=10 * MIB)


SLOW = """SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS a,
  UNNEST(GENERATE_ARRAY(1, 200000)) AS b WHERE MOD(a * b, 7) = 3"""


def test_a_running_job_can_be_cancelled(shop: Shop) -> None:
    job = shop.job(SLOW)
    assert job.state == "RUNNING"
    assert job.cancel()
    with pytest.raises(Exception, match="cancelled"):
        job.result(retry=None)
    assert shop.client.get_job(job.job_id).error_result["reason"] == "stopped"


async def test_a_job_ends_though_it_was_cancelled_between_two_statements(tmp_path: Path) -> None:
    job = Job(
        project=PROJECT, job_id="between", location="US", configuration={}, created_ms=now_ms()
    )

    began = threading.Event()

    class Late:
        writes = ()

        def run(self, work: Work) -> Outcome:
            began.set()
            assert job.cancelled.wait(START_SECONDS)
            # The interrupt came while nothing ran: by itself this goes on for many minutes.
            work.cursor.execute(
                "SELECT SUM(hash(a.range, b.range)) FROM range(1000000) a, range(1000000) b"
            )
            return Outcome()

    with Storage(prepared(tmp_path), memory_bytes=256 * MIB) as storage:
        async with JobRunner(storage, on_broken=lambda: None) as jobs:
            jobs.insert(job, Late)
            assert await asyncio.to_thread(began.wait, START_SECONDS)
            jobs.cancel(job)
            await job.done.wait()
    assert job.error is not None
    assert job.error["reason"] == "stopped"


def test_a_job_ends_at_its_own_time_limit(shop: Shop) -> None:
    job = shop.job(SLOW, job_timeout_ms=300)
    with pytest.raises(Exception, match="cancelled"):
        job.result(retry=None)


def test_jobs_that_change_one_table_wait_for_each_other(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 0 AS n")
    jobs = [shop.job("UPDATE t SET n = n + 1 WHERE TRUE") for _ in range(12)]
    for job in jobs:
        job.result(retry=None)
    assert shop.value("SELECT n FROM t") == 12


def test_everything_is_there_after_a_restart(new_home: Callable[[], Path]) -> None:
    home = new_home()
    rows = pa.table({"id": pa.array([1, 2], pa.int64())})
    with serving(home) as address, client_of(address) as client:
        client.create_dataset("kept")
        shop = Shop(client, "kept")
        shop.load(rows, "loaded", job_id="load_1")
        shop.query("CREATE VIEW v AS SELECT SUM(id) AS s FROM kept.loaded")
        shop.query("SELECT 7 AS x", job_id="query_1")
        with pytest.raises(BadRequest):
            shop.query("SELECT 1 / 0", job_id="failed_1")
    moved = home.rename(home.with_name("moved"))
    with serving(moved) as address, client_of(address) as client:
        shop = Shop(client, "kept")
        assert shop.rows("SELECT s FROM v") == [(3,)]
        assert client.get_job("load_1").output_rows == 2
        assert [row.x for row in client.get_job("query_1").result()] == [7]
        assert client.get_job("failed_1").error_result["reason"] == "invalidQuery"
        with pytest.raises(Conflict):
            shop.query("SELECT 1", job_id="failed_1")
        shop.query("INSERT INTO loaded (id) VALUES (3)")
        assert shop.rows("SELECT s FROM v") == [(6,)]
        shop.query("DROP TABLE loaded")
    assert list((moved / "parts").iterdir()) == []


def test_it_says_that_it_is_not_bigquery(standin_address: str) -> None:
    answer = request(standin_address)
    assert "not BigQuery" in answer.headers["Server"]
    assert "not BigQuery" in answer.json()["service"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1:80", "[::2]", ""])
def test_a_request_for_another_host_is_refused(standin_address: str, host: str) -> None:
    """A web page that has its name resolve to this machine must not get in."""
    answer = request(standin_address, Host=host)
    assert (answer.status, answer.reason) == (403, "accessDenied")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "[::1]"])
def test_a_request_for_this_host_is_answered(standin_address: str, host: str) -> None:
    assert request(standin_address, Host=host).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/bigquery/v2/nothing", None, 404, "notFound"),
        (f"/bigquery/v2/projects/{PROJECT}/jobs", b"{", 400, "invalid"),
        (f"/bigquery/v2/projects/{PROJECT}/jobs", b"[]", 400, "invalid"),
        (f"/bigquery/v2/projects/{PROJECT}/jobs", b"{}", 400, "required"),
        (f"/bigquery/v2/projects/{PROJECT}/queries", b"{}", 400, "required"),
        (f"/bigquery/v2/projects/{PROJECT}/jobs?maxResults=x", None, 400, "invalid"),
    ],
)
def test_a_wrong_request_is_an_error_in_the_services_shape(
    standin_address: str, path: str, body: bytes | None, status: int, reason: str
) -> None:
    answer = request(standin_address, path, body)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.json()["error"]["code"] == status
