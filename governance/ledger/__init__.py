"""The ledger: holds before calls, settlement after them, and nothing lost in between.

`LedgerWriter` is the one way in. Its thread gathers what concurrent calls ask for and commits it as
one transaction (`store`), deciding each admission with the pure `budgets.admit`. `sweeper` settles
what a dead process left behind.
"""

from governance.ledger.apart import dismiss, settle_now, sweep_left_behind
from governance.ledger.opening import open_window
from governance.ledger.operations import (
    AdmissionRequest,
    Admitted,
    Dismissal,
    Reheld,
    Rehold,
    Settlement,
    Shorter,
    Unmade,
    never_sent,
)
from governance.ledger.writer import LedgerWriter

__all__ = [
    "AdmissionRequest",
    "Admitted",
    "Dismissal",
    "LedgerWriter",
    "Reheld",
    "Rehold",
    "Settlement",
    "Shorter",
    "Unmade",
    "dismiss",
    "never_sent",
    "open_window",
    "settle_now",
    "sweep_left_behind",
]
