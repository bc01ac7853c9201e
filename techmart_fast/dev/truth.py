"""What a right run must report of a generated shop, known by construction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from techmart_fast.records import Feed, FeedCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The whole truth about one generated shop, for a first load of all files in name order.

    `feeds`: what became of every record. `revenue_usd`: USD of completed transactions by day (UTC)
    of the end state; every day that has a transaction is there. `end_rows`: rows of each feed's
    table. `end_amount`: sum of amounts by currency, and `end_amount_usd` in USD, over all
    transactions of the end state. `rejected_by_day`: rejected transactions by the day of their
    timestamp, where that could be read. `files`: names of the files written, by feed.
    `defects`: ids that got a defect, by feed and kind.
    """

    spec: Mapping[str, str | int]
    files: Mapping[Feed, tuple[str, ...]]
    feeds: Mapping[Feed, FeedCounts]
    revenue_usd: Mapping[date, Decimal]
    end_rows: Mapping[Feed, int]
    end_amount: Mapping[str, Decimal]
    end_amount_usd: Decimal
    rejected_by_day: Mapping[date, int]
    defects: Mapping[Feed, Mapping[str, int]]

    def to_json(self) -> str:
        """The content of `truth.json`: money as text with two decimals, days as ISO dates."""
        content = {
            "spec": dict(self.spec),
            "files": {feed.value: list(names) for feed, names in self.files.items()},
            "feeds": {feed.value: _counts(counts) for feed, counts in self.feeds.items()},
            "revenue_usd": {str(day): f"{usd:.2f}" for day, usd in self.revenue_usd.items()},
            "end_state": {
                "rows": {feed.value: rows for feed, rows in self.end_rows.items()},
                "amount": {code: f"{total:.2f}" for code, total in self.end_amount.items()},
                "amount_usd": f"{self.end_amount_usd:.2f}",
            },
            "corrected": {feed.value: counts.corrected for feed, counts in self.feeds.items()},
            "repaired": {feed.value: counts.repaired for feed, counts in self.feeds.items()},
            "rejected_by_day": {str(day): rows for day, rows in self.rejected_by_day.items()},
            "defects": {feed.value: dict(kinds) for feed, kinds in self.defects.items()},
        }
        return json.dumps(content, indent=1) + "\n"


def _counts(counts: FeedCounts) -> dict[str, object]:
    return {
        "read": counts.read,
        "loaded": counts.loaded,
        "rejected": counts.rejected,
        "held": counts.held,
        "duplicate": counts.duplicate,
        "rejected_by_reason": dict(sorted(counts.rejected_by_reason.items())),
    }
