"""A run's outcome for people: counts that add up, quality, speed, memory, where the data is."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from techmart_fast.cli.console import command, number, plain, seconds, size, styled, table
from techmart_fast.cli.framework import PROGRAM
from techmart_fast.errors import ExitCode
from techmart_fast.quality import DIMENSIONS, QualityScore, QualityStatus
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.results import RunResult, RunStatus, StageMetrics

_MEANING = {
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "failed: settings, files or access",
    ExitCode.QUALITY_FAIL: "done, but the data quality fails",
    ExitCode.LIMIT: "stopped by a limit",
    ExitCode.SINKS_DIFFER: "PostgreSQL is loaded, the warehouse is behind",
    ExitCode.LEASE_HELD: "another run holds the lease",
    ExitCode.INTERRUPTED: "stopped by a signal; run again to carry on",
    ExitCode.TERMINATED: "stopped by a signal; run again to carry on",
}


def summary(result: RunResult, *, home_flag: str = "") -> Iterator[RenderableType]:
    """The whole report of a run, as parts to print below each other.

    `home_flag` (like `--home DIR`) is what other commands need to find the same data.
    """
    yield _headline(result)
    if result.feeds:
        yield _section("Records", _counts(result))
    if result.fetched:
        yield _section("Fetched", _fetched(result))
    if any(counts.rejected for counts in result.feeds.values()):
        yield _section("Rejected, by reason", _rejected(result))
    if result.rows_read:
        yield _section("Data quality", _quality(result))
    if result.stages:
        yield _section("Speed, by stage", _speed(result))
    if result.destinations:
        yield from _destinations(result, home_flag)
    if notes := list(_notes(result)):
        yield _section("Notes", Group(*notes))
    yield Text()
    yield f"{_mark(result)} {plain(verdict_line(result))}"


def verdict_line(result: RunResult) -> str:
    """One line: how the run ended and what its exit code means."""
    if result.exit_code is ExitCode.DONE:
        quality = {
            QualityStatus.PASS: "every quality threshold is met",
            QualityStatus.WARN: "a quality score is just below its threshold (WARN)",
        }.get(result.verdict, f"quality {result.verdict}")
        return f"Done: {'nothing new, ' if result.nothing_new else ''}{quality}."
    meaning = _MEANING.get(result.exit_code, result.status.value)
    if result.exit_code is ExitCode.QUALITY_FAIL:
        meaning = f"{meaning}: {', '.join(_failed(result))}"
    return f"Exit code {int(result.exit_code)}: {result.error or f'{meaning}.'}"


def _failed(result: RunResult) -> Iterator[str]:
    for quality in result.quality.values():
        if quality.status is QualityStatus.FAIL:
            yield f"{quality.dimension} {quality.value} is under {quality.threshold}"


def _headline(result: RunResult) -> RenderableType:
    facts = f"{number(result.rows_read)} records in {seconds(result.seconds)}"
    if result.rows_read:
        facts += f": {number(round(result.rows_per_second))} a second"
    return f"[bold]Run {result.run_id}[/] {styled(result.status.value)}\n{facts}"


def _mark(result: RunResult) -> str:
    if result.exit_code is not ExitCode.DONE:
        return "[bold red]✗[/]"
    return "[yellow]![/]" if result.verdict is QualityStatus.WARN else "[green]✓[/]"


def _section(title: str, *contents: RenderableType) -> RenderableType:
    padded = (Padding(content, (0, 0, 0, 2)) for content in contents)
    return Group(Text(), Text(title, style="bold"), *padded)


def counts_table(feeds: Mapping[Feed, FeedCounts]) -> RenderableType:
    """What became of the records of each feed, as a sum that people can check."""
    headers = ("", "read", "=", "loaded", "+", "rejected", "+ ", "held", "+  ", "duplicate")
    made = table(*headers, right=[header for header in headers if header])
    for feed in Feed:
        if feed in feeds:
            made.add_row(feed.value, *_sum(feeds[feed]))
    if len(feeds) > 1:
        made.add_row("all", *_sum(sum(feeds.values(), FeedCounts())), style="bold")
    return made


def _counts(result: RunResult) -> RenderableType:
    total = sum(result.feeds.values(), FeedCounts())
    lines: list[RenderableType] = [counts_table(result.feeds)]
    beside = {
        "corrections among the loaded": total.corrected,
        "records repaired on the way": total.repaired,
        "held transactions released": result.released,
        "products marked inactive": result.deactivated,
    }
    said = [f"{number(count)} {what}" for what, count in beside.items() if count]
    if said:
        lines.append(Text("; ".join(said), style="dim"))
    if not total.adds_up:
        lines.append("[bold red]The counts do not add up: please report this.[/]")
    return Group(*lines)


def _sum(counts: FeedCounts) -> tuple[str, ...]:
    return (
        number(counts.read),
        "=",
        number(counts.loaded),
        "+",
        number(counts.rejected),
        "+",
        number(counts.held),
        "+",
        number(counts.duplicate),
    )


def _fetched(result: RunResult) -> RenderableType:
    numeric = ("records", "pages", "requests", "retries", "waited")
    made = table("", "from", *numeric, "", right=numeric)
    for feed in Feed:
        if report := result.fetched.get(feed):
            said = {
                "nothing new": report.unchanged,
                "went on with an interrupted one": report.resumed,
                "the whole list": report.complete and not report.unchanged,
            }
            made.add_row(
                feed.value,
                plain(report.where),
                number(report.records),
                number(report.pages),
                number(report.requests),
                number(report.retries),
                seconds(report.waited_seconds),
                ", ".join(words for words, holds in said.items() if holds),
            )
    return made


def _rejected(result: RunResult) -> RenderableType:
    made = table("", "records", "reasons", right=["records"])
    for feed in Feed:
        counts = result.feeds.get(feed, FeedCounts())
        if not counts.rejected:
            continue
        most_first = sorted(counts.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
        # Without a space a code and its number stay together when the line wraps.
        reasons = ", ".join(f"{code}={number(count)}" for code, count in most_first)
        made.add_row(feed.value, number(counts.rejected), reasons)
    return Group(made, Text("Each one: techmart-fast quarantine list", style="dim"))


def _quality(result: RunResult) -> RenderableType:
    feeds = [feed for feed in Feed if feed in result.quality_by_feed]
    numeric = ["all", *(feed.value for feed in feeds), "threshold"]
    made = table("", *numeric, "verdict", right=numeric)
    for dimension in DIMENSIONS:
        overall = result.quality.get(dimension)
        if overall is None:
            continue
        by_feed = (result.quality_by_feed[feed].get(dimension) for feed in feeds)
        made.add_row(
            dimension,
            _score(overall),
            *(_score(quality) for quality in by_feed),
            number(overall.threshold),
            styled(overall.status.value),
        )
    return made


def _score(quality: QualityScore | None) -> str:
    if quality is None or quality.value is None:
        return "-"
    text = f"{quality.value:.4f}"
    if quality.status in {QualityStatus.WARN, QualityStatus.FAIL}:
        return f"[{'yellow' if quality.status is QualityStatus.WARN else 'bold red'}]{text}[/]"
    return text


def _speed(result: RunResult) -> RenderableType:
    numeric = ("records", "size", "busy", "rows/s", "MB/s")
    made = table("", *numeric, right=numeric)
    for stage in result.stages:
        made.add_row(*_stage(stage))
    parts = (
        ("loader", result.memory.loader),
        ("database", result.memory.database),
        ("stand-in", result.memory.stand_in),
    )
    peaks = ", ".join(f"{name} {size(held)}" for name, held in parts if held)
    return Group(made, Text(f"Peak memory: {peaks}", style="dim"))


def _stage(stage: StageMetrics) -> tuple[str, ...]:
    return (
        stage.name,
        number(stage.rows or None),
        size(stage.bytes) if stage.bytes else "-",
        seconds(stage.busy_seconds),
        number(round(stage.rows_per_second) or None),
        f"{stage.megabytes_per_second:,.1f}" if stage.bytes else "-",
    )


def _destinations(result: RunResult, home_flag: str) -> Iterator[RenderableType]:
    # Without the padding of other sections, which would cut long commands.
    yield _section("Where the data is")
    for destination in result.destinations:
        look = destination.look
        if home_flag and look.startswith(PROGRAM):
            look = f"{look} {home_flag}"
        yield f"  {destination.name}: {plain(destination.place)}"
        yield command(look, indent=4)


def _notes(result: RunResult) -> Iterator[str]:
    for note in result.notes:
        yield plain(note)
    for feed, names in result.unknown_fields.items():
        if names:
            listed = ", ".join(sorted(names))
            yield f"{feed.value}: fields that the contract does not know: {plain(listed)}"
    if result.published:
        merged = ", ".join(f"{table} {number(rows)}" for table, rows in result.published.items())
        yield f"Written to the warehouse: {merged}"
    if result.cost and result.cost.jobs:
        jobs, billed = number(result.cost.jobs), size(result.cost.bytes_billed)
        whose = " (modelled by the stand-in, no bill)" if result.cost.modelled else ""
        yield f"Cost there: {jobs} jobs, {billed} billed: USD {result.cost.usd:.4f}{whose}"
    if result.status is RunStatus.STOPPED:
        yield "What is committed stays. Run the same command again to carry on."
