"""What is there after crashes, to be compared with a shop that was never interrupted."""

from pathlib import Path

from techmart_fast.pipeline.reconciled import Standing
from tests.odd_shop import compared, facts
from tests.shops import Row, Shop, State

FACTS = ("transactions", "users", "products", "rejected_transactions")

# What PostgreSQL's books say was done, however often it was interrupted: each batch once, with the
# same counts, each row audited as often, each held row released once.
_BOOKS = {
    "batches": """SELECT feed, source_ordinal, lane, lanes, first_byte, end_byte, records_read,
        loaded, corrected, duplicate, held, rejected, superseded, flagged
        FROM techmart_loader.batches WHERE kind = 'load' ORDER BY 1, 2, 3, 5""",
    "lineage of batches": """SELECT feed, source_ordinal, lane, first_byte, l.target_table,
        l.rows_inserted, l.rows_updated, l.rows_advanced
        FROM techmart_loader.lineage AS l JOIN techmart_loader.batches USING (batch_no)
        WHERE kind = 'load' ORDER BY 1, 2, 3, 4, 5""",
    "lineage of upkeep": """SELECT kind, l.target_table, sum(released) AS released,
        sum(l.rows_inserted) AS inserted, sum(l.rows_updated) AS updated,
        sum(l.rows_advanced) AS advanced
        FROM techmart_loader.lineage AS l JOIN techmart_loader.batches USING (batch_no)
        WHERE kind <> 'load' AND l.rows_inserted + l.rows_updated + l.rows_advanced > 0
        GROUP BY 1, 2 ORDER BY 1, 2""",
    "audit": """SELECT table_name, operation, record_key, sum(row_count) AS audited,
        count(*) FILTER (WHERE operation <> 'INSERT') AS entries
        FROM public.audit_logs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
    "checkpoints": """SELECT feed, lane, c.lanes, end_byte, f.ordinal
        FROM techmart_loader.checkpoints AS c JOIN techmart_loader.files AS f
        USING (feed, fingerprint) ORDER BY feed, f.ordinal, lane""",
    "indexes": """SELECT indexdef, obj_description((schemaname || '.' || indexname)::regclass)
        FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1""",
    "quarantine": """SELECT feed, source_ordinal, source_offset, code, record_key,
        resolved_at IS NOT NULL AS resolved
        FROM techmart_loader.quarantine ORDER BY 1, 2, 3""",
}

# What must not be left, each with the query for it.
_LEFT = {
    "outbox entries": "SELECT entry_id, table_name FROM techmart_loader.outbox "
    "WHERE published_at IS NULL",
    "open groups": "SELECT group_id FROM techmart_loader.load_groups WHERE published_at IS NULL",
    "runs without an end": "SELECT run_id FROM techmart_loader.runs WHERE status = 'running'",
    "runs that the warehouse was not told of": "SELECT run_id FROM techmart_loader.runs "
    "WHERE NOT told",
    "runs without metrics": """SELECT run_id FROM techmart_loader.runs AS r
        WHERE status = 'completed' AND EXISTS (
            SELECT FROM techmart_loader.batches AS b WHERE b.judged_by = r.run_id
                AND records_read > 0)
        AND NOT EXISTS (
            SELECT FROM techmart_loader.data_quality_metrics AS m WHERE m.run_id = r.run_id)""",
    "owed indexes": "SELECT index_name FROM techmart_loader.deferred_indexes",
    "a lease": "SELECT run_id FROM techmart_loader.lease WHERE run_id IS NOT NULL",
    "gaps": """SELECT feed, fingerprint, lane, first_byte, before FROM (
        SELECT feed, fingerprint, lane, first_byte, lag(end_byte, 1, 0) OVER file AS before
        FROM techmart_loader.batches WHERE kind = 'load'
        WINDOW file AS (PARTITION BY feed, fingerprint, lane ORDER BY first_byte)) AS cut
        WHERE first_byte <> before""",
    "files that are not loaded to their end": """SELECT f.name, b.lane, max(b.end_byte) AS end_byte
        FROM techmart_loader.files AS f JOIN techmart_loader.batches AS b USING (feed, fingerprint)
        GROUP BY f.name, f.size_bytes, b.lane HAVING max(b.end_byte) <> f.size_bytes""",
    "files of which nothing is loaded": """SELECT name FROM techmart_loader.files AS f
        WHERE NOT EXISTS (SELECT FROM techmart_loader.batches AS b
                          WHERE (b.feed, b.fingerprint) = (f.feed, f.fingerprint))""",
}


async def everything(shop: Shop) -> State:
    """All that both sinks hold and that must not depend on interruptions."""
    books = {f"books: {name}": await shop.rows(query) for name, query in _BOOKS.items()}
    warehouse = {f"warehouse: {table}": _without_batch(await facts(shop, table)) for table in FACTS}
    return {**await shop.state(), **warehouse, **books}


async def left_over(shop: Shop) -> dict[str, object]:
    """What is there that nothing needs any more, or that was not seen to."""
    left: dict[str, object] = {name: await shop.rows(query) for name, query in _LEFT.items()}
    left["spool files"] = await spool_files(shop)
    told = {str(row["run_id"]): row["status"] for row in await facts(shop, "pipeline_monitoring")}
    runs = {
        str(row["run_id"]): row["status"]
        for row in await shop.rows("SELECT run_id, status FROM techmart_loader.runs")
    }
    left["runs told otherwise"] = {
        run_id: (runs.get(run_id), told.get(run_id))
        for run_id in runs.keys() | told.keys()
        if runs.get(run_id) != told.get(run_id)
    }
    return {name: found for name, found in left.items() if found}


async def spool_files(shop: Shop) -> list[str]:
    """Files of this shop's runs in the spool, which shops of one home share."""
    spool = shop.settings.home / "spool"
    runs = await shop.rows("SELECT run_id FROM techmart_loader.runs")
    folders = [spool / str(row["run_id"]) for row in runs]
    return [str(path.relative_to(spool)) for one in folders for path in _files(one)]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def _without_batch(rows: list[Row]) -> list[Row]:
    kept = [{name: value for name, value in row.items() if name != "batch_id"} for row in rows]
    return sorted(kept, key=str)


async def must_be_as(shop: Shop, uninterrupted: State, *, after: object) -> None:
    """Both sinks are equal by hash, and as those of a shop that was never interrupted."""
    assert (await compared(shop)).standing is Standing.EQUAL, after
    found = await everything(shop)
    for name, rows in uninterrupted.items():
        assert found[name] == rows, f"{name}, after {after}"
    left = await left_over(shop)
    assert not left, f"{left}, after {after}"
