"""What was used, for reports, screens and the API: read from the sums beside the ledger."""

from governance.usage.reports import (
    Breakdown,
    DayUsage,
    Part,
    Savings,
    Step,
    Totals,
    UsageSummary,
    breakdown,
    by_day,
    in_flight,
    savings,
    series,
    summary,
    totals,
    waiting,
)

__all__ = [
    "Breakdown",
    "DayUsage",
    "Part",
    "Savings",
    "Step",
    "Totals",
    "UsageSummary",
    "breakdown",
    "by_day",
    "in_flight",
    "savings",
    "series",
    "summary",
    "totals",
    "waiting",
]
