"""Which rejected records a command is about, as its options say it."""

from dataclasses import dataclass

from techmart_fast.errors import ConfigError
from techmart_fast.postgres import PostgresSink, QuarantineFilter
from techmart_fast.reasons import REASONS
from techmart_fast.records import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Rejected records by feed, reason code, file name and (the beginning of) their run's id.

    Raises:
        ConfigError: there is no such reason.
    """

    feed: str | None = None
    reason: str | None = None
    source: str | None = None
    run: str | None = None
    resolved: bool = False

    def __post_init__(self) -> None:
        if self.reason is not None and self.reason not in REASONS:
            raise ConfigError(
                f"There is no reason '{self.reason}'.", hint=f"There are: {', '.join(REASONS)}."
            )

    async def filters(self, postgres: PostgresSink) -> QuarantineFilter:
        """The same as a filter.

        Raises:
            ConfigError: there is no such run, or several whose ids begin so.
        """
        run_id = None
        if self.run is not None:
            named = await postgres.runs_named(self.run)
            if len(named) != 1:
                many = "There are several runs" if named else "There is no run"
                raise ConfigError(
                    f"{many} whose id begins with '{self.run}'.", hint="See techmart-fast status."
                )
            run_id = named[0]
        return QuarantineFilter(
            feed=Feed(self.feed) if self.feed else None,
            code=self.reason,
            source=self.source,
            run_id=run_id,
            include_resolved=self.resolved,
        )
