"""Times counted in buckets, each a tenth longer than the one before: pure.

However many are counted, a histogram stays small, any two can be added, and a percentile read from
one is within a twentieth of the true one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

STEP = 1.1
# The bucket of whatever is no longer than a millisecond.
SHORTEST = 0
RELATIVE_ERROR = math.sqrt(STEP) - 1


def bucket(milliseconds: float) -> int:
    """The number of the bucket: the longest time in bucket n is 1.1**n milliseconds."""
    if milliseconds <= 1:
        return SHORTEST
    # A time on the edge of two must not fall into the next because a logarithm is not exact.
    return math.ceil(math.log(milliseconds, STEP) - 1e-9)


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The milliseconds that `share` of all times do not exceed, None if there are none.

    Given is the middle of the bucket, in ratio; for times over a millisecond it is off by no more
    than `RELATIVE_ERROR`.
    """
    total = sum(counts.values())
    rank = max(1, math.ceil(share * total))
    for number in sorted(counts):
        rank -= counts[number]
        if rank <= 0 and total:
            return float(STEP ** (number - 0.5)) if number > SHORTEST else 1.0
    return None
