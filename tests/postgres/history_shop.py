"""A shop that histories are played to, step by step, beside its ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import note

from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.local import LocalPostgres
from techmart_fast.pipeline.identity import identify
from techmart_fast.pipeline.prepare import Stages, prepare
from techmart_fast.postgres import BatchOutcome, BatchWrite, Lease, PostgresSink
from techmart_fast.records import FIELDS, REJECTIONS, Feed
from tests.postgres.cut_off import CutOff, Wire
from tests.postgres.places import Connection, run_start, target_of
from tests.postgres.records import SpoolRecorder
from tests.properties.histories import CONTRACTS, STARTED, History, judge
from tests.properties.ledger import Batch, Done, Ledger, Version, newest_with_parents

EMPTY = """
DO $$ DECLARE it text; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR it IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
              WHERE schemaname IN ('public', 'techmart_loader')
                AND tablename NOT IN ('schema_migrations', 'lease', 'identity')
    LOOP EXECUTE 'DELETE FROM ' || it; END LOOP;
    UPDATE techmart_loader.lease
    SET epoch = 0, run_id = NULL, acquired_at = NULL, heartbeat_at = NULL;
END $$
"""
"""Few rows are deleted ten times as quickly as 25 tables are truncated."""

NO_REJECTIONS = pa.RecordBatch.from_pylist([], schema=REJECTIONS)
LANES = 2


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch comes: a lane's share of a block, read under a contract."""

    file: History
    block: int
    lane: int
    contract: str
    cut_off: CutOff | None

    @property
    def batch_id(self) -> UUID:
        """The batch's identity."""
        block, _ = list(self.file.cut())[self.block]
        contract = CONTRACTS[self.contract]
        return identify(block, contract, lane=self.lane, lanes=self.file.lanes).batch_id

    def __repr__(self) -> str:
        place = f"{self.file.feed} {self.file.ordinal} block {self.block} lane {self.lane}"
        return f"<{place} {self.contract} {self.cut_off or ''}>"


@dataclass(frozen=True, slots=True)
class Release:
    """Held rows are released, so many in a transaction."""

    max_rows: int
    cut_off: CutOff | None


@dataclass(frozen=True, slots=True)
class Restart:
    """The process ends without a word, and another one takes over."""


@dataclass(frozen=True, slots=True)
class Late:
    """A run that was replaced wakes up, and goes on with what it was about to do."""

    step: Delivery | Release


@dataclass(frozen=True, slots=True)
class Rest:
    """What was cut off comes again."""

    deliveries: tuple[Delivery, ...]


Step = Delivery | Release | Restart | Late | Rest


@dataclass
class Spool(SpoolRecorder):
    """Keeps what it was given, by the path that the outbox names."""

    by_path: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def __call__(self, records: Any) -> Any:
        file = await super().__call__(records)
        self.by_path[str(file.path)] = records.to_pylist()
        return file


class Shop:
    """A sink that is restarted, its wire, and a second connection, in a loop of the test's own."""

    def __init__(self, database: LocalPostgres, wire: Wire) -> None:
        self.database = database
        self.wire = wire
        self.sink: PostgresSink
        self.lease: Lease
        self.other: Connection
        self.stale: Lease | None
        self.ledger: Ledger[None]
        self.spool: Spool
        self.done: dict[object, Done[None]]
        self.delivered: list[tuple[Feed, Version[None]]]

    async def begin(self) -> None:
        await self.other.execute(EMPTY)
        self.ledger, self.spool, self.done, self.delivered = Ledger(), Spool(), {}, []
        self.stale = None
        await self.start()

    async def start(self) -> None:
        self.sink = PostgresSink(target_of(self.database), writers=LANES)
        await self.sink.__aenter__()
        self.lease = await self.sink.start_run(run_start())

    async def play(self, steps: Sequence[Step]) -> None:
        await self.begin()
        try:
            for step in steps:
                await self.take(step)
            await self.judge_end()
        finally:
            self.wire.arm(None)
            await self.sink.__aexit__(None, None, None)

    async def take(self, step: Step) -> None:
        note(repr(step))
        match step:
            case Delivery():
                await self.deliver(step)
            case Release():
                await self.release(step)
            case Restart():
                # Its end is not written down; its connections are gone.
                await self.sink.__aexit__(None, None, None)
                self.stale = self.lease
                await self.start()
            case Late(step=late):
                await self.come_late(late)
            case Rest(deliveries=deliveries):
                for delivery in deliveries:
                    if delivery.batch_id not in self.ledger.batches:
                        await self.take(delivery)
        assert await self.found() == self.expected()

    # --- steps --------------------------------------------------------------------------------
    async def deliver(self, delivery: Delivery) -> None:
        write, batch = await self.prepared(delivery, self.lease)
        self.wire.arm(delivery.cut_off)
        try:
            outcome = await self.sink.write(delivery.lane, write)
        except SinkError as error:
            self.wire.mend(error)
            # Only a COMMIT whose fate could not be looked up may have taken effect.
            if await self.is_committed(batch) and batch.batch_id not in self.ledger.batches:
                assert delivery.cut_off is not None
                assert delivery.cut_off.twice
                self.write(batch)
        else:
            self.wire.arm(None)
            self.check(outcome, self.write(batch))

    def write(self, batch: Batch[None]) -> Done[None]:
        done = self.ledger.write(batch)
        if not done.skipped:
            self.done[batch.batch_id] = done
            self.delivered += [(batch.feed, version) for version in batch.versions]
        return done

    async def release(self, step: Release) -> None:
        self.wire.arm(step.cut_off)
        start: str | None = ""
        try:
            async for release in self.sink.release_held(
                self.lease, self.spool, max_rows=step.max_rows
            ):
                assert start is not None
                done, start = self.ledger.release_some(start, step.max_rows)
                assert done is not None
                self.done[release.batch_id] = done
                assert (release.released, release.superseded, release.accepted, release.dates) == (
                    done.counts.released,
                    done.counts.superseded,
                    len(done.accepted),
                    done.days,
                )
        except SinkError as error:
            self.wire.mend(error)
            if (unknown := await self.unknown_release()) is not None:
                assert step.cut_off is not None
                assert step.cut_off.twice
                assert start is not None
                done, _ = self.ledger.release_some(start, step.max_rows)
                assert done is not None
                self.done[unknown] = done
        else:
            self.wire.arm(None)
            rest = self.ledger.copy()
            assert start is None or rest.release_some(start, step.max_rows)[0] is None

    async def come_late(self, step: Delivery | Release) -> None:
        if self.stale is None:
            return
        for change in (
            self.goes_on(step, self.stale),
            self.sink.store_group(self.stale, "users", [1]),
            self.sink.mark_published(self.stale, []),
            self.sink.owed_files(self.stale, []),
        ):
            with pytest.raises(LeaseHeldError):
                await change

    async def goes_on(self, step: Delivery | Release, lease: Lease) -> None:
        if isinstance(step, Delivery):
            write, _ = await self.prepared(step, lease)
            await self.sink.write(step.lane, write)
        else:
            async for _ in self.sink.release_held(lease, self.spool):
                pass
            raise LeaseHeldError("There was nothing to release, and so nothing to refuse.")

    async def prepared(self, delivery: Delivery, lease: Lease) -> tuple[BatchWrite, Batch[None]]:
        """The batch as the pipeline makes it, and as the model reads the same lines."""
        file, contract = delivery.file, CONTRACTS[delivery.contract]
        block, lines = list(file.cut())[delivery.block]
        stages = Stages()
        tiers = await self.sink.premium_users(contract.users.default_customer_tier)
        ready = prepare(
            block,
            contract,
            stages=stages,
            enricher=stages.enricher(contract, tiers),
            run_started=STARTED,
            lanes=file.lanes,
        )
        records = ready.lanes[delivery.lane]
        rejections = ready.candidates.rejections if delivery.lane == 0 else NO_REJECTIONS
        identity = identify(block, contract, lane=delivery.lane, lanes=file.lanes)
        write = BatchWrite(
            lease=lease,
            identity=identity,
            candidates=records,
            rejections=rejections,
            read=records.num_rows + rejections.num_rows,
            spool=self.spool,
        )
        users = self.ledger.stored[Feed.USERS]
        versions, rejected = judge(
            file.feed,
            file.ordinal,
            lines,
            block.first_byte,
            contract=contract,
            tiers={key: user.tier for key, user in users.items()},
        )
        mine = set(records.column("source_offset").to_pylist())
        batch = Batch(
            batch_id=identity.batch_id,
            feed=file.feed,
            ordinal=file.ordinal,
            versions=tuple(one for one in versions if one.position[1] in mine),
            rejections=rejected if delivery.lane == 0 else {},
        )
        assert len(batch.versions) == records.num_rows
        assert file.lanes > 1 or len(versions) == records.num_rows
        return write, batch

    # --- what must hold -----------------------------------------------------------------------
    def check(self, outcome: BatchOutcome, done: Done[None]) -> None:
        counts, expected = outcome.counts, done.counts
        assert outcome.skipped == done.skipped
        assert counts.adds_up
        assert (
            counts.read,
            counts.loaded,
            counts.rejected,
            counts.held,
            counts.duplicate,
            counts.corrected,
            outcome.superseded,
        ) == expected[:7]
        assert outcome.accepted == len(done.accepted)
        assert outcome.dates == done.days

    async def is_committed(self, batch: Batch[None]) -> bool:
        query = "SELECT EXISTS (SELECT FROM techmart_loader.batches WHERE batch_id = $1)"
        return bool(await self.other.fetchval(query, batch.batch_id))

    async def unknown_release(self) -> object | None:
        query = "SELECT batch_id FROM techmart_loader.batches WHERE kind = 'release'"
        found = {row["batch_id"] for row in await self.other.fetch(query)}
        unknown = found - self.done.keys()
        return unknown.pop() if unknown else None

    async def found(self) -> Mapping[str, object]:
        """What PostgreSQL holds, in the ledger's words."""
        return {name: await self.rows(query) for name, query in _QUERIES.items()}

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await self.other.fetch(query)]

    def expected(self) -> Mapping[str, object]:
        """What it should hold."""
        ledger = self.ledger
        users, products, sales = (ledger.stored[feed] for feed in Feed)
        return {
            "users": [(*one.position, key, *one.content) for key, one in sorted(users.items())],
            "products": [
                (*one.position, key, *one.content) for key, one in sorted(products.items())
            ],
            "transactions": [
                (*one.position, key, one.priority, one.day, *one.content)
                for key, one in sorted(sales.items())
            ],
            "held": sorted(
                (key, *position, counted, *version.content)
                for key, waiting in ledger.held.items()
                for position, (version, counted) in waiting.items()
            ),
            "quarantine": sorted((*place, *told) for place, told in ledger.quarantine.items()),
            "batches": sorted((batch_id, *done.counts) for batch_id, done in self.done.items()),
            "outbox": sorted(
                (batch_id, len(done.accepted), list(done.days))
                for batch_id, done in self.done.items()
                if done.accepted
            ),
        }

    async def judge_end(self) -> None:
        """After everything came once, the order does not matter; the outbox folds to the rows."""
        end = newest_with_parents(self.delivered)
        owed: dict[Feed, dict[str, Mapping[str, Any]]] = {feed: {} for feed in Feed}
        entries = await self.sink.pending_entries()
        rows = [
            (Feed(entry.table), row) for entry in entries for row in self.spool.by_path[entry.path]
        ]
        rows.sort(key=lambda one: (one[1]["source_ordinal"], one[1]["source_offset"]))
        for feed, row in rows:
            owed[feed][row[f"{feed.value[:-1]}_id"]] = row
        for feed in Feed:
            stored = self.ledger.stored[feed]
            content = {key: one.content for key, one in stored.items()}
            assert content == {key: one.content for key, one in end[feed].items()}
            assert {key: _content(feed, row) for key, row in owed[feed].items()} == content
        for key, row in owed[Feed.TRANSACTIONS].items():
            stored_sale = self.ledger.stored[Feed.TRANSACTIONS][key]
            assert row["processing_priority"] == stored_sale.priority
            assert row["transaction_date"] == stored_sale.day


_USER = "email, registration_date, country, age_group, customer_tier"
_PRODUCT = "name, category, (price * 100)::bigint, currency, inventory_count, supplier_id"
_SALE = (
    """user_id, product_id, (amount * 100)::bigint, currency, "timestamp", payment_method, status"""
)
_QUERIES = {
    "users": f"""SELECT source_ordinal, source_offset, user_id, {_USER}
        FROM users ORDER BY user_id""",
    "products": f"""SELECT source_ordinal, source_offset, product_id, {_PRODUCT}
        FROM products ORDER BY product_id""",
    "transactions": f"""SELECT source_ordinal, source_offset, transaction_id, processing_priority,
        transaction_date, {_SALE} FROM transactions ORDER BY transaction_id""",
    "held": f"""SELECT transaction_id, source_ordinal, source_offset, counted, {_SALE}
        FROM techmart_loader.held_transactions ORDER BY 1, 2, 3""",
    "quarantine": """SELECT feed, source_ordinal, source_offset, code, resolved_at IS NOT NULL
        FROM techmart_loader.quarantine ORDER BY feed COLLATE "C", 2, 3""",
    "batches": """SELECT batch_id, records_read, loaded, rejected, held, duplicate, corrected,
        superseded, released FROM techmart_loader.batches ORDER BY 1""",
    "outbox": """SELECT batch_id, row_count, dates
        FROM techmart_loader.outbox JOIN techmart_loader.batches USING (batch_no) ORDER BY 1""",
}


def _content(feed: Feed, row: Mapping[str, Any]) -> tuple[object, ...]:
    """The content of a spooled row, money in cents."""
    return tuple(
        int(row[name] * 100) if name in {"price", "amount"} else row[name]
        for name in FIELDS[feed][1:]
    )
