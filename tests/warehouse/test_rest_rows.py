"""Rows of the REST API as Arrow: as the client's own way reads them, whatever their types."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

from techmart_fast.warehouse.rest_rows import table_of
from tests.standin.serving import client_of, serving

ALL_TYPES = """
SELECT number AS i,
  IF(number = 2, NULL, CONCAT('"text", ', CAST(number AS STRING), ' é\\n')) AS s,
  [1.5, -0.0, CAST('nan' AS FLOAT64), CAST('-inf' AS FLOAT64), 1e300][OFFSET(number)] AS f,
  CAST('-12345678901234567890123456789.123456789' AS NUMERIC) * (number - 2) AS n,
  CAST('-12345678901234567890.000000000000000001' AS BIGNUMERIC) AS b,
  IF(number = 1, NULL, number = 0) AS flag,
  DATE '0001-01-01' AS d,
  DATETIME '9999-12-31 23:59:59.999999' AS dt,
  IF(number = 3, NULL, TIMESTAMP '1969-12-31 23:59:59.5+00') AS t,
  IF(number = 0, NULL, STRUCT(number AS x, STRUCT('' AS y, DATE '2024-02-29' AS z) AS inner_one))
    AS one,
  GENERATE_ARRAY(1, number) AS numbers,
  ARRAY(SELECT AS STRUCT m AS m, CONCAT('m', CAST(m AS STRING)) AS name,
    IF(m = 1, NULL, CAST(m AS NUMERIC) / 8) AS part
    FROM UNNEST(GENERATE_ARRAY(1, number)) AS m ORDER BY m) AS many
FROM UNNEST([0, 1, 2, 3, 4]) AS number
ORDER BY number
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bigquery.Client]:
    with serving(tmp_path_factory.mktemp("stand-in")) as address, client_of(address) as client:
        yield client


def read(job: bigquery.QueryJob, **options: int) -> pa.Table:
    rows = job.result(**options)
    return table_of(rows.schema, (page.raw_page for page in rows.pages))


@pytest.mark.parametrize("condition", ["number < 9", "number = 2", "FALSE"])
def test_every_type_is_read_as_the_client_reads_it(client: bigquery.Client, condition: str) -> None:
    job = client.query(ALL_TYPES.replace("ORDER BY number\n", f"WHERE {condition} ORDER BY number"))
    expected = job.result().to_arrow(create_bqstorage_client=False)
    found = read(job)
    assert found.schema.equals(expected.schema)
    # By text: NaN is no equal of itself.
    assert repr(found.to_pylist()) == repr(expected.to_pylist())
    assert all(column.validate(full=True) is None for column in found.columns)


def test_pages_come_after_each_other(client: bigquery.Client) -> None:
    job = client.query("SELECT n, [n] AS a FROM UNNEST(GENERATE_ARRAY(1, 25)) AS n ORDER BY n")
    found = read(job, page_size=10)
    assert [len(one) for one in found.column("n").chunks] == [10, 10, 5]
    assert found.to_pylist() == [{"n": n, "a": [n]} for n in range(1, 26)]


def test_a_type_that_no_statement_gives_is_refused() -> None:
    with pytest.raises(ValueError, match="GEOGRAPHY"):
        table_of([SchemaField("place", "GEOGRAPHY")], [])
