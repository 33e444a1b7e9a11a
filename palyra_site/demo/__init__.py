"""A demonstration: an empty installation filled with six weeks of plausible history.

The same seed and end give the same teams, calls, costs, runs and happenings; only what must not be
known beforehand differs, which is passwords and keys, and identifiers that the services make.
"""

from palyra_site.demo.filling import NotEmpty, contents, fill

__all__ = ["NotEmpty", "contents", "fill"]
