"""The audit trail: who changed what, when, from what to what.

Apps register what is theirs with `track`. Saving and deleting is then noticed by itself, and so are
the bulk writes of whatever is `Versioned`; any other bulk write that an operator asks for stands in
`watching`, or says what it does with `record`.
"""

from governance.audit.recording import record
from governance.audit.tracking import track, tracked_models
from governance.audit.watching import watching

__all__ = ["record", "track", "tracked_models", "watching"]
