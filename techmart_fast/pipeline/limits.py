"""The limit of rejected records, which stops a run that goes wrong early."""

from dataclasses import dataclass
from decimal import Decimal

from techmart_fast.errors import ConfigError, LimitReachedError

Most = int | Decimal
"""So many rejected records at most; or (a Decimal from 0 to 1) that share of all records read."""

LEAST_READ = 1_000
"""Records after which a share is judged before the end of a feed: a few say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionLimit:
    """At most `most` rejected records in a run, of which other feeds had `before`.

    `read_before` are all records that the other feeds had.

    Raises:
        ConfigError: no run can have less than none, or more than all of its records rejected.
    """

    most: Most
    before: int = 0
    read_before: int = 0

    def __post_init__(self) -> None:
        if self.most < 0 or (isinstance(self.most, Decimal) and self.most > 1):
            raise ConfigError(
                f"max_rejected can't be {self.most}.",
                hint="It is a number of records (int), or a share of them (Decimal, 0 to 1).",
            )

    def check(self, rejected: int, *, read: int, at_end: bool = False) -> None:
        """Called after every batch that was committed, with the feed's rejections so far.

        After, not before: the rejected records are then in the quarantine, to be looked at. So the
        count may end above the limit, by what the batch brought. `read` are the feed's records that
        were decoded so far, rejected ones included: at least those of the committed batches.

        Raises:
            LimitReachedError: the limit is exceeded.
        """
        total, seen = self.before + rejected, self.read_before + read
        if isinstance(self.most, Decimal):
            judged = at_end or seen >= LEAST_READ
            if judged and total > self.most * seen:
                share = Decimal(100 * total) / max(seen, 1)
                limit = f"{(self.most * 100).normalize():f}"
                raise LimitReachedError(
                    f"{total:,} of {seen:,} records were rejected ({share:.2f}%), more than "
                    f"--max-rejected {limit}%.",
                    hint="What is committed stays; see techmart-fast quarantine list.",
                )
        elif total > self.most:
            raise LimitReachedError(
                f"{total:,} records were rejected, more than --max-rejected {self.most:,}.",
                hint="What is committed stays; see techmart-fast quarantine list.",
            )
