"""The limit of rejected records, which stops a run that goes wrong early."""

from dataclasses import dataclass

from techmart_fast.errors import LimitReachedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionLimit:
    """At most `most` rejected records in a run, of which other feeds had `before`."""

    most: int
    before: int = 0

    def check(self, rejected: int) -> None:
        """Called after every batch that was committed, with the feed's rejections so far.

        After, not before: the rejected records are then in the quarantine, to be looked at. So the
        count may end above the limit, by what the batch brought.

        Raises:
            LimitReachedError: the limit is exceeded.
        """
        total = self.before + rejected
        if total > self.most:
            raise LimitReachedError(
                f"{total:,} records were rejected, more than --max-rejected {self.most:,}.",
                hint="What is committed stays; see techmart-fast quarantine list.",
            )
