"""How the upstream answers, and all the ways in which it can fail to.

Pure: a test names a behaviour, and the upstream's process acts on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

OUT_OF_A_HUNDRED = 100
HUGE_BYTES = 100 * 1000**2
SHORT_WAIT = 0.02
LONG_WAIT = 3600


class Fault(StrEnum):
    """What is wrong with an answer whose status is a success."""

    NONE = "none"
    NO_USAGE = "no_usage"
    BEYOND_CAP = "beyond_cap"
    MALFORMED_JSON = "malformed_json"
    ERROR_IN_SUCCESS = "error_in_success"
    ERROR_EVENT = "error_event"
    TRUNCATED = "truncated"
    DROPPED = "dropped"
    DROPPED_IN_BODY = "dropped_in_body"
    HANGS_BEFORE_HEADERS = "hangs_before_headers"
    HANGS_IN_BODY = "hangs_in_body"
    HUGE = "huge"


# What a client can read to its end as if nothing were wrong.
HARMLESS = {Fault.NONE, Fault.NO_USAGE, Fault.BEYOND_CAP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How calls of one model are answered.

    `latency` is seconds, waited before the answer; `pause` is seconds before each piece of it, of
    a stream or of a whole answer's bytes. With `hold` a call waits until it is released. A `status`
    of 400 or more is an error in the protocol's own shape, with `headers`. A stream's fault comes
    after `after` pieces of what was generated. Token counts that are None follow from the prompt;
    `prompt_tokens` includes the cached ones, `completion_tokens` the reasoning.

    Of a hundred calls `percent` are answered so, chosen by `seed` and the number of the request;
    and only the first `times` calls since this was said, if it is given. All others are answered
    as usual.
    """

    latency: float = 0.0
    pause: float = 0.0
    hold: bool = False
    status: int = 200
    error_type: str = "server_error"
    error_code: str = "upstream_error"
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault = Fault.NONE
    after: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning_tokens: int = 0
    percent: int = OUT_OF_A_HUNDRED
    seed: int = 0
    times: int | None = None

    def for_request(self, number: int, turn: int) -> Behaviour:
        """How the upstream's `number`th request is answered, the `turn`th since this was said."""
        if self.times is not None and turn > self.times:
            return self.as_usual()
        return self if struck(self.seed, number, self.percent) else self.as_usual()

    def as_usual(self) -> Behaviour:
        """The same without what fails."""
        return replace(self, status=200, headers={}, fault=Fault.NONE, hold=False)

    def saying(self, message: str) -> Behaviour:
        """The same error in other words."""
        return replace(self, message=message)

    @property
    def said(self) -> str:
        """What its error says."""
        told = f"answer {self.status}" if self.status >= 400 else "fail"
        return self.message or f"The upstream was told to {told}."

    @property
    def sound(self) -> bool:
        """Whether a call answered so has got a whole answer."""
        return self.status < 400 and self.fault in HARMLESS


def struck(seed: int, number: int, percent: int) -> bool:
    """Whether `number` is one of the `percent` in a hundred: always the same ones for a seed."""
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % OUT_OF_A_HUNDRED < percent


def behaviour_from_json(given: Mapping[str, Any]) -> Behaviour:
    """What `dataclasses.asdict` made of a behaviour."""
    return Behaviour(**{**given, "fault": Fault(given["fault"])})


def _refusal(status: int, error_type: str, error_code: str, **headers: str) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Behaviour(status=status, error_type=error_type, error_code=error_code, headers=named)


SUCCESS = Behaviour()
INVALID_REQUEST = _refusal(400, "invalid_request_error", "invalid_value")
INVALID_KEY = _refusal(401, "invalid_request_error", "invalid_api_key")
FORBIDDEN = _refusal(403, "permission_error", "unsupported_country_region_territory")
NOT_FOUND = _refusal(404, "invalid_request_error", "model_not_found")
TIMED_OUT = _refusal(408, "server_error", "request_timeout")
CONFLICT = _refusal(409, "server_error", "conflict")
TOO_LARGE = _refusal(413, "invalid_request_error", "request_too_large")
UNPROCESSABLE = _refusal(422, "invalid_request_error", "invalid_value")
RATE_LIMITED = _refusal(429, "requests", "rate_limit_exceeded")
RATE_LIMITED_SHORTLY = _refusal(
    429, "requests", "rate_limit_exceeded", retry_after_ms=f"{SHORT_WAIT * 1000:g}"
)
RATE_LIMITED_FOR_LONG = _refusal(429, "requests", "rate_limit_exceeded", retry_after=f"{LONG_WAIT}")
OUT_OF_QUOTA = _refusal(429, "insufficient_quota", "insufficient_quota")
INTERNAL_ERROR = _refusal(500, "server_error", "internal_error")
OVERLOADED = _refusal(529, "server_error", "overloaded_error")
CONTEXT_EXCEEDED = Behaviour(
    status=400,
    error_type="invalid_request_error",
    error_code="context_length_exceeded",
    message="prompt is too long: 200001 tokens > 200000 maximum",
)
POLICY_VIOLATED = Behaviour(
    status=400,
    error_type="invalid_request_error",
    error_code="content_policy_violation",
    message="Output blocked by content filtering policy",
)
