"""Waiting for jobs: polls, deadlines, repeats, cancellation; load jobs that are known already."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from techmart_fast.errors import (
    LeaseHeldError,
    SpoolError,
    WarehouseAccessError,
    WarehouseError,
    WrongWarehouseError,
)
from techmart_fast.warehouse import (
    LoadGroup,
    LoadPart,
    LoadTable,
    Owner,
    WarehouseSink,
    part_bytes,
    split_parts,
)
from techmart_fast.warehouse.faults import service_error
from techmart_fast.warehouse.groups import JobCost
from techmart_fast.warehouse.jobs import ATTEMPTS, LONGEST_POLL_SECONDS, POLL_ATTEMPTS, Jobs
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.service import JobState
from techmart_fast.warehouse.statements import Statement
from tests.warehouse.fakes import (
    TARGET,
    FakeClock,
    FakeService,
    Step,
    ended,
    failed,
    running,
)
from tests.warehouse.values import group_of, paper_file, spooled

STATEMENT = Statement(name="rollups/some", sql="SELECT 1")


@asynccontextmanager
async def jobs_of(service: FakeService) -> AsyncIterator[tuple[Jobs, FakeClock]]:
    clock = FakeClock()
    jobs = Jobs(TARGET, threads=2, connect=service.connect, clock=clock)
    jobs.start()
    try:
        yield jobs, clock
    finally:
        await jobs.stop()


@asynccontextmanager
async def sink_of(service: FakeService) -> AsyncIterator[WarehouseSink]:
    async with WarehouseSink(TARGET, threads=2, connect=service.connect, clock=FakeClock()) as sink:
        yield sink


def scripted(*steps: Step) -> FakeService:
    return FakeService(script=iter(steps))


def passing(reason: str = "backendError") -> WarehouseError:
    return service_error(reason=reason, message="try later", doing="run it")


async def test_a_job_is_asked_for_at_growing_intervals_until_it_is_done() -> None:
    service = scripted(*[running()] * 45, ended(rows=7, bytes_billed=100))
    async with jobs_of(service) as (jobs, clock):
        state = await jobs.run(STATEMENT)
        assert state.rows == 7
        assert clock.slept[:3] == pytest.approx([0.004, 0.0048, 0.00576])
        assert max(clock.slept) == LONGEST_POLL_SECONDS
        assert jobs.cost == JobCost(jobs=1, bytes_billed=100)
    assert service.closed


async def test_every_job_carries_labels() -> None:
    service = FakeService()
    async with jobs_of(service) as (jobs, _):
        await jobs.run(STATEMENT)
    assert service.labels == [{"app": "techmart", "step": "rollups", "subject": "some"}]


async def test_a_job_that_does_not_end_is_cancelled_at_the_deadline() -> None:
    service = scripted(*[running()] * 1000)
    async with jobs_of(service) as (jobs, clock):
        with pytest.raises(WarehouseError, match="no end after 60 s") as caught:
            await jobs.run(STATEMENT)
        assert clock.now - 1000 < 60 + LONGEST_POLL_SECONDS
    assert caught.value.transient
    assert service.kinds()[-1] == "cancel"


async def test_a_cancelled_caller_cancels_the_job() -> None:
    service = scripted(*[running()] * 100_000)
    async with jobs_of(service) as (jobs, _):
        task = asyncio.create_task(jobs.run(STATEMENT), name="run")
        assert await asyncio.to_thread(service.on_poll.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert service.kinds()[-1] == "cancel"


async def test_a_statement_that_fails_in_passing_is_sent_again_under_another_id() -> None:
    service = scripted(passing(), failed("jobBackendError"), ended(rows=1))
    async with jobs_of(service) as (jobs, clock):
        assert (await jobs.run(STATEMENT)).rows == 1
        assert clock.slept == [1.0, 2.0]
    assert service.kinds() == ["query"] * 3


async def test_a_conflict_of_two_writers_is_passing() -> None:
    message = "Could not serialize access to table d.t due to concurrent update"
    service = scripted(failed("invalidQuery", message))
    async with jobs_of(service) as (jobs, _):
        await jobs.run(STATEMENT)
    assert service.kinds() == ["query"] * 2


@pytest.mark.parametrize("reason", ["invalidQuery", "quotaExceeded", "bytesBilledLimitExceeded"])
async def test_a_failure_that_lasts_is_told_at_once(reason: str) -> None:
    service = scripted(failed(reason))
    async with jobs_of(service) as (jobs, _):
        with pytest.raises(WarehouseError) as caught:
            await jobs.run(STATEMENT)
    assert caught.value.reason == reason
    assert service.kinds() == ["query"]


async def test_repeats_end() -> None:
    service = scripted(*[passing()] * 100)
    async with jobs_of(service) as (jobs, _):
        with pytest.raises(WarehouseError):
            await jobs.run(STATEMENT)
    assert service.kinds() == ["query"] * ATTEMPTS


async def test_behind_a_fence_nothing_is_sent_any_more() -> None:
    service, asked = FakeService(), 0

    async def confirm() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise LeaseHeldError("replaced")

    async with jobs_of(service) as (jobs, _):
        with jobs.fenced(confirm):
            await jobs.run(STATEMENT)
            await jobs.change(lambda service: service.drop_table("t"))
            with pytest.raises(LeaseHeldError):
                await jobs.run(STATEMENT)
            with pytest.raises(LeaseHeldError):
                await jobs.change(lambda service: service.drop_table("t"))
        assert service.kinds() == ["query", "drop"]
        await jobs.run(STATEMENT)


async def test_a_client_that_can_not_be_made_is_told_by_the_first_call() -> None:
    def refuse(_target: object) -> FakeService:
        raise WarehouseAccessError("There are no credentials.")

    sink = WarehouseSink(TARGET, connect=refuse, clock=FakeClock())
    async with sink:
        with pytest.raises(WarehouseAccessError):
            await sink.ensure()


@pytest.fixture
def part(tmp_path: Path) -> LoadPart:
    member = spooled(tmp_path, LoadTable.USERS, [{"user_id": "u1"}, {"user_id": "u2"}])
    return group_of("g1", LoadTable.USERS, member).parts[0]


async def test_a_part_is_loaded_by_a_job_whose_id_says_what_it_is(part: LoadPart) -> None:
    service = scripted(running(), ended(rows=2))
    async with sink_of(service) as sink:
        loaded = await sink.load(part)
    assert (loaded.rows, loaded.repeated) == (2, False)
    assert service.sent[:2] == [
        ("create_staging", "staging_users_g1_1"),
        ("load", "techmart_load_users_g1_1_0"),
    ]


async def test_a_part_that_was_loaded_before_is_only_verified(part: LoadPart) -> None:
    service = scripted(replace(ended(rows=2), existed=True))
    async with sink_of(service) as sink:
        assert (await sink.load(part)).repeated
        assert sink.cost == JobCost()


async def test_a_part_whose_job_still_runs_is_waited_for(part: LoadPart) -> None:
    service = scripted(replace(running(), existed=True), running(), ended(rows=2))
    async with sink_of(service) as sink:
        assert (await sink.load(part)).repeated
    assert service.kinds().count("load") == 1


@pytest.mark.parametrize("existed", [True, False])
async def test_a_failed_load_job_asks_for_the_next_attempt(part: LoadPart, existed: bool) -> None:
    service = scripted(replace(failed("backendError"), existed=existed))
    async with sink_of(service) as sink:
        with pytest.raises(WarehouseError) as caught:
            await sink.load(part)
    assert (caught.value.reason, caught.value.transient) == ("jobFailed", True)
    assert service.kinds().count("load") == 1  # the id is used up


async def test_a_load_job_that_wrote_other_rows_is_not_a_success(part: LoadPart) -> None:
    async with sink_of(scripted(ended(rows=1))) as sink:
        with pytest.raises(WarehouseError, match="1 of 2 rows") as caught:
            await sink.load(part)
    assert caught.value.reason == "jobFailed"


async def test_an_upload_that_is_refused_in_passing_is_sent_again_with_its_id(
    part: LoadPart,
) -> None:
    # The client itself does not repeat an upload after 403 rateLimitExceeded.
    service = scripted(passing("rateLimitExceeded"), replace(ended(rows=2), existed=True))
    async with sink_of(service) as sink:
        await sink.load(part)
    assert [what for kind, what in service.sent if kind == "load"] == [part.job_id] * 2


async def test_a_spooled_file_that_changed_is_not_uploaded(part: LoadPart) -> None:
    part.members[0].path.write_bytes(b"other")
    service = FakeService()
    async with sink_of(service) as sink:
        with pytest.raises(SpoolError, match="is not what was written"):
            await sink.load(part)
    assert "load" not in service.kinds()


@pytest.mark.parametrize("rows", [None, 3])
async def test_a_group_is_merged_only_when_its_staging_table_holds_its_rows(
    part: LoadPart, rows: int | None
) -> None:
    service = FakeService(counts={} if rows is None else {part.staging_table: rows})
    async with sink_of(service) as sink:
        with pytest.raises(WarehouseError) as caught:
            await sink.merge(LoadGroup(parts=(part,)))
    assert (caught.value.reason, caught.value.transient) == ("stagingRows", True)
    assert "query" not in service.kinds()


def everything(**labels: str) -> dict[str, dict[str, str]]:
    """The labels of a complete dataset of the present version."""
    return {
        one.name: {"app": "techmart", "schema_version": str(one.version), **labels}
        for one in declared().values()
    }


async def test_a_dataset_that_has_everything_costs_two_requests() -> None:
    existing = everything()
    service = FakeService(existing=existing)
    async with sink_of(service) as sink:
        ensured = await sink.ensure()
    assert (ensured.created, ensured.migrated) == ((), ())
    assert sorted(service.kinds()) == ["place", "tables"]


async def test_a_missing_dataset_is_made_with_tables_before_views() -> None:
    service = FakeService()
    async with sink_of(service) as sink:
        ensured = await sink.ensure()
    assert ensured.created == tuple(declared())
    assert service.kinds()[2] == "create_dataset"
    made = ["VIEW" in sql.partition("\n")[0] for kind, sql in service.sent if kind == "query"]
    assert made == sorted(made)


async def test_an_older_table_gets_its_new_column_and_the_new_version() -> None:
    existing = everything()
    existing["users"] = {"app": "techmart", "schema_version": "0"}
    columns = frozenset(column.name for column in declared()["users"].columns)
    service = FakeService(existing=existing, columns_of={"users": columns - {"age_group"}})
    async with sink_of(service) as sink:
        ensured = await sink.ensure()
    assert ensured.migrated == ("users",)
    assert service.sent[2:] == [
        ("query", "ALTER TABLE users ADD COLUMN IF NOT EXISTS age_group STRING"),
        ("label", f"users schema_version={declared()['users'].version}"),
    ]


@pytest.mark.parametrize(
    ("label", "days", "sent"),
    [("", None, []), ("30", 30, []), ("", 30, ["30"]), ("30", 7, ["7"]), ("30", None, ["NULL"])],
)
async def test_the_expiry_of_the_facts_is_sent_when_it_changed(
    label: str, days: int | None, sent: list[str]
) -> None:
    existing = everything(expires_days=label)
    service = FakeService(existing=existing)
    target = replace(TARGET, partition_expiration_days=days)
    async with WarehouseSink(target, connect=lambda _: service, clock=FakeClock()) as sink:
        await sink.ensure()
    statements = {sql for kind, sql in service.sent if kind == "query"}
    assert statements == {
        f"ALTER TABLE {table} SET OPTIONS (partition_expiration_days = {one})"
        for table in ("transactions", "rejected_transactions")
        for one in sent
    }
    kept = days or ""
    labels = {f"{table} expires_days={kept}" for table in ("transactions", "rejected_transactions")}
    assert {what for kind, what in service.sent if kind == "label"} == (labels if sent else set())


def test_small_members_share_a_job_and_a_large_one_has_its_own() -> None:
    small = [paper_file(LoadTable.USERS, size_bytes=40 + number) for number in range(3)]
    large = paper_file(LoadTable.USERS, size_bytes=500)
    shares = split_parts([small[0], small[1], large, small[2]], load_job_bytes=100)
    assert shares == ((small[0], small[1]), (large,), (small[2],))
    assert split_parts([], load_job_bytes=100) == ()


def test_the_jobs_of_a_day_stay_under_the_limit_of_a_table() -> None:
    size = 16 * 2**20
    assert [part_bytes(part, size) // size for part in (0, 299, 300, 900)] == [1, 1, 2, 8]
    assert sum(part_bytes(part, size) for part in range(1_500)) > 150 * 10**9
    # Continuous running: every run, and every attempt in it, has tables of its own.
    users = paper_file(LoadTable.USERS)
    parts = [
        LoadPart(
            group_id=f"g{run}", table=LoadTable.USERS, part=0, attempt=attempt, members=(users,)
        )
        for run in range(24 * 60)
        for attempt in (1, 2)
    ]
    assert len({part.staging_table for part in parts}) == len(parts)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LoadPart(
            group_id="a-b", table=LoadTable.USERS, part=0, members=(paper_file(LoadTable.USERS),)
        ),
        lambda: LoadPart(group_id="a", table=LoadTable.USERS, part=0, members=()),
        lambda: group_of("g", LoadTable.USERS, paper_file(LoadTable.PRODUCTS)),
        lambda: LoadGroup(parts=()),
        lambda: LoadGroup(
            parts=(group_of("g", LoadTable.USERS, paper_file(LoadTable.USERS)).parts[0],) * 2
        ),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"group|members"):
        make()


async def test_a_users_own_table_of_the_same_name_is_left_alone() -> None:
    service = FakeService(existing=everything() | {"daily_sales_summary": {}})
    async with sink_of(service) as sink:
        with pytest.raises(WarehouseError, match="did not make"):
            await sink.ensure()
    assert sorted(service.kinds()) == ["place", "tables"]


async def test_a_dataset_in_another_place_is_named_before_anything_is_made() -> None:
    service = FakeService(existing={}, where="EU")
    async with sink_of(service) as sink:
        with pytest.raises(WarehouseError, match="is in EU, not in US") as told:
            await sink.ensure()
    assert told.value.hint == "Set BIGQUERY_LOCATION=EU."
    assert sorted(service.kinds()) == ["place", "tables"]


DATABASE, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize("published", [False, True])
async def test_a_dataset_belongs_to_the_first_database_that_comes(published: bool) -> None:
    service = FakeService(existing=everything(), counts={"users": 3})
    async with sink_of(service) as sink:
        await sink.ensure(Owner(database_id=DATABASE, has_published=published))
    assert service.sent[-1] == ("label", f"users database={DATABASE.hex}")


@pytest.mark.parametrize("published", [False, True])
async def test_a_dataset_of_another_database_is_refused(published: bool) -> None:
    service = FakeService(existing=everything(database=OTHER.hex), counts={"users": 3})
    async with sink_of(service) as sink:
        with pytest.raises(WrongWarehouseError, match="another PostgreSQL database"):
            await sink.ensure(Owner(database_id=DATABASE, has_published=published))
    assert sorted(service.kinds()) == ["place", "tables"]


@pytest.mark.parametrize("existing", [None, {}, everything()])
async def test_an_empty_dataset_is_refused_when_rows_were_published(
    existing: dict[str, dict[str, str]] | None,
) -> None:
    service = FakeService(existing=existing)
    async with sink_of(service) as sink:
        with pytest.raises(WrongWarehouseError, match="is empty"):
            await sink.ensure(Owner(database_id=DATABASE, has_published=True))
    assert sorted(service.kinds()) == ["place", "tables"]


async def test_a_probe_makes_nothing() -> None:
    service = FakeService()
    async with sink_of(service) as sink:
        assert not await sink.probe()
    assert sorted(service.kinds()) == ["place", "plan", "tables"]


async def test_a_cancelled_submission_is_waited_for_and_its_job_cancelled() -> None:
    submitting, go_on = threading.Event(), threading.Event()

    def slow() -> JobState:
        submitting.set()
        assert go_on.wait(10)
        return running()

    service = scripted(slow)
    async with jobs_of(service) as (jobs, _):
        task = asyncio.create_task(jobs.run(STATEMENT))
        assert await asyncio.to_thread(submitting.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert "cancel" not in service.kinds(), "it would find no job, which then runs"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert service.kinds() == ["query", "cancel"]


async def test_a_job_that_can_not_be_looked_at_for_a_moment_is_not_submitted_again() -> None:
    service = scripted(running(), passing(), ended(rows=4))
    async with jobs_of(service) as (jobs, _):
        assert (await jobs.run(STATEMENT)).rows == 4
    assert service.kinds() == ["query", "poll", "poll"]


async def test_a_job_that_can_not_be_looked_at_any_more_is_cancelled_and_given_up() -> None:
    service = scripted(running(), *[passing()] * POLL_ATTEMPTS)
    async with jobs_of(service) as (jobs, _):
        with pytest.raises(WarehouseError, match="could not be looked at") as told:
            await jobs.run(STATEMENT)
    assert told.value.transient
    assert service.kinds() == ["query", *["poll"] * POLL_ATTEMPTS, "cancel"]


@pytest.mark.parametrize("load", ["users", "rejected_transactions"])
def test_a_stored_job_id_gives_its_part_back(load: str) -> None:
    table = LoadTable(load)
    part = LoadPart(group_id="g_1_2", table=table, part=7, attempt=3, members=(paper_file(table),))
    assert LoadPart.of_job(part.job_id, part.members) == part
    with pytest.raises(ValueError, match="not the id"):
        LoadPart.of_job("techmart_load_users_g", part.members)
