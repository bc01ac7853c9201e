"""The protocol from the batch to published rows, under everything that may go wrong.

A state machine drives the real pipeline (`run_pipeline` and `sync_sinks`, with the real warehouse
sink) in a simulated world: PostgreSQL, BigQuery, the disk and the clock are fakes, and whatever a
run asks of them is one turn that the machine gives or does not give. Runs are paused, replaced,
killed at any turn, lose their machine's power between any two syncs, meet services that are down,
fail or lose their answers, jobs that take effect late, a full disk, files that decay, clocks
that jump. After each step the invariants hold; at the end one undisturbed run brings both stores
to where the model of the shop says, and what wakes up after that changes nothing.

To replay what failed: run again (hypothesis keeps failures in `.hypothesis`), paste the printed
`@reproduce_failure(…)` above the class, or give the seed to pytest: `--hypothesis-seed=NUMBER`.
The printed steps are a program that does the same. The long form:
`make torture ARGS=tests/properties`.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from techmart_fast.postgres import OutboxEntry
from techmart_fast.records import FIELDS, Feed
from techmart_fast.results import RunResult
from techmart_fast.warehouse import LoadTable
from tests.model import ShopModel
from tests.properties.fake_bigquery import identity_of, position
from tests.properties.fake_postgres import Row, Trouble
from tests.properties.histories import STARTED, STRICT, History, files
from tests.properties.shop_world import LEASE_SECONDS, World
from tests.properties.simulation import Process

SMALL, LARGE = 1, 1 << 20
MOST_LIVING = 3

_counts = st.integers(0, 25)


class Protocol(RuleBasedStateMachine):
    """What may happen to runs, and what must hold all the while."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        folder = self.opened.enter_context(tempfile.TemporaryDirectory(dir=_fast_folder()))
        self.world = self.opened.enter_context(World(Path(folder)).opened())
        self.world.postgres.told = self.judge_told
        self.world.postgres.watch = self.nothing_owed_is_lost
        self.seen: dict[tuple[LoadTable, object], tuple[int, int]] = {}

    # --- work ---------------------------------------------------------------------------------
    @initialize(first=files(most=3, most_lines=4))
    def files_are_there(self, first: list[History]) -> None:
        self.files_come(first)

    @rule(more=files(most=2, most_lines=4))
    def files_come(self, more: list[History]) -> None:
        for history in more:
            self.world.receive(history)

    @precondition(lambda self: len(self.world.living) < MOST_LIVING)
    @rule(whole=st.booleans(), size=st.sampled_from((SMALL, LARGE)), turns=st.integers(0, 200))
    def a_run_begins(self, whole: bool, size: int, turns: int) -> None:
        files = self.world.files
        latest = {feed: paths[-1:] for feed, paths in files.items()}
        process = self.world.run(files if whole else latest, load_job_bytes=size)
        self.world.let_go_on(process, turns)

    @precondition(lambda self: len(self.world.living) < MOST_LIVING)
    @rule(size=st.sampled_from((SMALL, LARGE)), turns=st.integers(0, 80))
    def a_sync_begins(self, size: int, turns: int) -> None:
        self.world.let_go_on(self.world.sync(load_job_bytes=size), turns)

    @precondition(lambda self: self.world.living)
    @rule(data=st.data(), turns=st.integers(1, 60), newest_first=st.booleans())
    def a_run_goes_on(self, data: st.DataObject, turns: int, newest_first: bool) -> None:
        self.world.let_go_on(self._one(data), turns, newest_first=newest_first)

    @precondition(lambda self: self.world.living)
    @rule(data=st.data(), kind=st.sampled_from(("load/", "merge/", "partials/", "rollups/")))
    def a_run_goes_on_until_a_job(self, data: st.DataObject, kind: str) -> None:
        process, jobs = self._one(data), self.world.bigquery.jobs
        before, most = len(jobs), 200
        while most and not process.ended and process.alive:
            if any(job.name.startswith(kind) for job in list(jobs.values())[before:]):
                return
            self.world.let_go_on(process, 1)
            most -= 1

    @precondition(lambda self: self.world.living)
    @rule(data=st.data())
    def a_run_goes_to_its_end(self, data: st.DataObject) -> None:
        self.world.let_go_on(self._one(data), None)

    # --- ends ---------------------------------------------------------------------------------
    @precondition(lambda self: self.world.living)
    @rule(data=st.data())
    def a_run_is_killed(self, data: st.DataObject) -> None:
        self.world.kill(self._one(data))

    @rule(syncs=st.none() | st.integers(0, 8))
    def power_fails(self, syncs: int | None) -> None:
        """At once, or at a sync to come."""
        if syncs is None:
            self.world.lose_power()
        self.world.disk.dies_in = syncs

    # --- time ---------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from((1.0, LEASE_SECONDS / 2, LEASE_SECONDS * 2)))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.living)
    @rule(data=st.data())
    def a_run_gives_a_sign_of_life(self, data: st.DataObject) -> None:
        process = self._one(data)
        process.beat()
        self.world.let_go_on(process, 1, newest_first=True)

    @rule(seconds=st.sampled_from((-10_000.0, -LEASE_SECONDS, 10_000.0)))
    def the_clock_of_the_server_jumps(self, seconds: float) -> None:
        self.world.postgres.now += seconds

    # --- trouble ------------------------------------------------------------------------------
    @rule(
        postgres=st.booleans(), kind=st.sampled_from(("fail", "lose", "down", "up")), calls=_counts
    )
    def a_service_is_in_trouble(self, postgres: bool, kind: str, calls: int) -> None:
        trouble = self._trouble(postgres)
        if kind == "fail":
            trouble.fail_in = calls
        elif kind == "lose":
            trouble.lose_in = calls
        else:
            trouble.down = kind == "down"

    @rule(
        looks=st.sampled_from((0, 0, 1, 1_000)),
        waits=st.sampled_from(("", "merge/transactions", "merge/users")),
        failing=st.integers(0, 3),
    )
    def jobs_are_slow_or_fail(self, looks: int, waits: str, failing: int) -> None:
        bigquery = self.world.bigquery
        bigquery.looks, bigquery.holds, bigquery.fail_jobs = looks, waits, [False] * failing

    @rule()
    def jobs_that_were_waiting_take_effect(self) -> None:
        self.world.bigquery.finish_jobs()

    @rule(full=st.booleans())
    def the_disk_fills_or_is_emptied(self, full: bool) -> None:
        self.world.disk.full = full
        self.world.disk.repair()

    @precondition(lambda self: self.world.postgres.owed)
    @rule(data=st.data())
    def a_file_decays(self, data: st.DataObject) -> None:
        owed = self.world.postgres.owed
        entry = owed[data.draw(st.integers(0, len(owed) - 1), label="entry")]
        if Path(entry.path).exists():
            self.world.disk.rot(Path(entry.path))

    # --- what must hold -----------------------------------------------------------------------
    @invariant()
    def all_of_it_holds(self) -> None:
        self.nothing_owed_is_lost()
        self.rows_are_there_once_and_never_go_back()
        self.what_is_said_to_be_published_is_there()

    def nothing_owed_is_lost(self) -> None:
        for entry in self.world.postgres.owed:
            path = Path(entry.path)
            assert path.exists(), f"{path.name} is owed, and gone"
            if path not in self.world.disk.rotten:
                assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256

    def rows_are_there_once_and_never_go_back(self) -> None:
        for table, rows in self.world.bigquery.rows.items():
            times = Counter(identity_of(table, row) for row in rows)
            assert all(number == 1 for number in times.values()), times
            for row in rows:
                known = (table, identity_of(table, row))
                assert self.seen.get(known, (0, -1)) <= position(row)
                self.seen[known] = position(row)

    def what_is_said_to_be_published_is_there(self) -> None:
        postgres = self.world.postgres
        self.judge_told([one.entry for one in postgres.outbox if one.published])

    def judge_told(self, entries: Sequence[OutboxEntry]) -> None:
        """Rows of these entries are in the warehouse: these versions, or newer ones."""
        there = {
            (table, identity_of(table, row)): position(row)
            for table, rows in self.world.bigquery.rows.items()
            for row in rows
        }
        for entry in entries:
            table = LoadTable(entry.table)
            for row in self.world.postgres.sent[entry.entry_id]:
                assert there.get((table, identity_of(table, row)), (0, -1)) >= position(row)

    # --- the end ------------------------------------------------------------------------------
    def teardown(self) -> None:
        with self.opened:
            self.end()

    def end(self) -> None:
        """One undisturbed run; then whoever stood still wakes up, and late jobs take effect."""
        world = self.world
        world.disk.repair()
        world.disk.full, world.disk.dies_in = False, None
        world.bigquery.looks, world.bigquery.holds, world.bigquery.fail_jobs = 0, "", []
        for postgres in (True, False):
            trouble = self._trouble(postgres)
            trouble.down, trouble.fail_in, trouble.lose_in = False, None, None
        sleeping = world.living
        world.postgres.now = world.postgres.heartbeat + LEASE_SECONDS * 2
        last = world.run(world.files, load_job_bytes=LARGE)
        world.let_go_on(last, None)
        assert last.ended, "The last run stands still by itself."
        result = last.task.result()
        assert isinstance(result, RunResult)
        assert result.error is None, result.error
        self.judge_end()
        for process in sleeping:
            world.let_go_on(process, None)
        world.bigquery.finish_jobs()
        self.rows_are_there_once_and_never_go_back()
        self.judge_end()

    def judge_end(self) -> None:
        """Both stores hold what the model of the shop says."""
        world = self.world
        assert not world.postgres.owed
        assert (world.postgres.has_index, world.postgres.owes_index) == (True, False)
        assert not [one for one in world.disk.image().values() if one is not None]
        assert not world.bigquery.dirty
        model = ShopModel(STRICT, run_started=STARTED)
        by_path = {
            (feed, hashlib.sha256(path.read_bytes()).hexdigest()): path
            for feed, paths in world.files.items()
            for path in paths
        }
        for known in sorted(
            world.postgres.files, key=lambda one: world.postgres.files[one].ordinal
        ):
            model.feed(known[0], by_path[known])
        expected: dict[LoadTable, dict[str, tuple[object, ...]]] = {
            LoadTable.USERS: {key: tuple(one) for key, one in model.users.items()},
            LoadTable.PRODUCTS: {key: tuple(one) for key, one in model.products.items()},
            LoadTable.TRANSACTIONS: {one.transaction_id: one[1:8] for one in model.purchases},
        }
        for table, rows in expected.items():
            feed = Feed(table.value)
            stored = world.postgres.ledger.stored[feed]
            assert {key: _content(feed, one.row) for key, one in stored.items()} == rows
            published = {
                str(row[FIELDS[feed][0]]): _content(feed, row) for row in world.bigquery.rows[table]
            }
            assert published == {key: _masked(feed, content) for key, content in rows.items()}
        sales = world.postgres.ledger.stored[Feed.TRANSACTIONS]
        for row in world.bigquery.rows[LoadTable.TRANSACTIONS]:
            sale = sales[str(row["transaction_id"])]
            assert row["transaction_date"] == sale.day
            assert row["processing_priority"] == sale.priority
        rejected = Counter(
            row["transaction_date"] for row in world.bigquery.rows[LoadTable.REJECTED_TRANSACTIONS]
        )
        assert rejected == model.rejected_by_day

    def _one(self, data: st.DataObject) -> Process:
        living = self.world.living
        return living[data.draw(st.integers(0, len(living) - 1), label="run")]

    def _trouble(self, postgres: bool) -> Trouble:
        return self.world.postgres.trouble if postgres else self.world.bigquery.trouble


def _content(feed: Feed, row: Row) -> tuple[object, ...]:
    """The content of a row, money in cents."""
    return tuple(
        int(value * 100) if isinstance(value, Decimal) else value
        for value in (row[name] for name in FIELDS[feed][1:])
    )


def _masked(feed: Feed, content: tuple[object, ...]) -> tuple[object, ...]:
    if feed is not Feed.USERS:
        return content
    local, _, host = str(content[0]).partition("@")
    return (f"{local[0]}***@{host}", *content[1:])


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_happens_both_stores_end_where_the_model_says() -> None:
    run_state_machine_as_test(Protocol, settings=_settings(40, 25))


@pytest.mark.torture
def test_whatever_happens_often_both_stores_end_where_the_model_says() -> None:
    run_state_machine_as_test(Protocol, settings=_settings(1_000, 50))
