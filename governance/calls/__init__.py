"""The one way a model call is made: decided, held, made, settled.

The ledger's row and its holds are committed before the first byte goes to a provider, and every way
out of a call, an answer, a failure, a cancellation or a crash, ends in exactly one settlement.
"""

from governance.calls.execution import CallResult, execute, open_stream
from governance.calls.foreseeing import Foreseen, foresee
from governance.calls.forestalling import forestall
from governance.calls.request import Caller, CallRequest
from governance.calls.stream import CallStream

__all__ = [
    "CallRequest",
    "CallResult",
    "CallStream",
    "Caller",
    "Foreseen",
    "execute",
    "foresee",
    "forestall",
    "open_stream",
]
