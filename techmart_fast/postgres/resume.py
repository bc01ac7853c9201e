"""What earlier runs took in of files: a run reads only what comes after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import Lease
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Feed, SourceFile

_DOING = "looking for what is done"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneBatch:
    """One lane's share of a block that is committed.

    `seen` is the JSON that was stored with it. `due`: this run judges it, as no completed run did.
    """

    lane: int
    read: int
    loaded: int
    corrected: int
    duplicate: int
    held: int
    rejected: int
    flagged: int
    resent: int
    seen: str
    due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DonePart:
    """What is committed of a file: in all lanes, every byte before `until`.

    `whole`: that is all of it.
    """

    until: int
    whole: bool
    batches: tuple[DoneBatch, ...]


async def done_parts(
    session: Session, lease: Lease, files: Sequence[SourceFile]
) -> dict[str, DonePart]:
    """What is done of files of one feed, by fingerprint; see `PostgresSink.done_parts`."""
    if not files:
        return {}
    feed, version = files[0].feed.value, lease.contract_version
    async with leases.holding(session, lease, doing=_DOING):
        rows = await session.fetch(
            statement("resume", "reached"),
            feed,
            [file.fingerprint for file in files],
            version,
            doing=_DOING,
        )
        reached = {row["fingerprint"]: row for row in rows}
        batches = await session.fetch(
            statement("resume", "batches"),
            feed,
            list(reached),
            [row["until"] for row in rows],
            version,
            lease.run_id,
            doing=_DOING,
        )
        found: dict[str, list[asyncpg.Record]] = {fingerprint: [] for fingerprint in reached}
        for batch in batches:
            found[batch["fingerprint"]].append(batch)
        lanes = {file.fingerprint: file.cut.lanes for file in files}
        known = {
            fingerprint: of_file
            for fingerprint, of_file in found.items()
            if _is_known(of_file, until=reached[fingerprint]["until"], lanes=lanes[fingerprint])
        }
        due = [batch["batch_no"] for of_file in known.values() for batch in of_file if batch["due"]]
        if due:
            await session.execute(statement("resume", "judge"), due, lease.run_id, doing=_DOING)
    return {
        fingerprint: DonePart(
            until=reached[fingerprint]["until"],
            whole=reached[fingerprint]["content_bytes"] == reached[fingerprint]["until"],
            batches=tuple(_batch(row) for row in of_file),
        )
        for fingerprint, of_file in known.items()
    }


async def store_lengths(
    session: Session, lease: Lease, feed: Feed, lengths: Mapping[str, int]
) -> None:
    """Files, by fingerprint, were read to their ends.

    Raises:
        LeaseHeldError: another run took over.
    """
    async with leases.holding(session, lease, doing=_DOING):
        for fingerprint, size in lengths.items():
            await session.execute(
                statement("resume", "length"), feed.value, fingerprint, size, doing=_DOING
            )


def _is_known(batches: Sequence[asyncpg.Record], *, until: int, lanes: int) -> bool:
    """Whether all that a run has to tell of these bytes is stored: older versions stored less."""
    by_lane = dict.fromkeys(range(lanes), 0)
    for batch in batches:
        by_lane[batch["lane"]] += batch["bytes"]
    complete = all(size == until for size in by_lane.values())
    return complete and all(batch["seen"] is not None for batch in batches)


def _batch(row: asyncpg.Record) -> DoneBatch:
    values = {**row}
    for name in ("batch_no", "fingerprint", "bytes"):
        del values[name]
    return DoneBatch(**values)
