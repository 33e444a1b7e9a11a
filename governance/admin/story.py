"""A call's story in the order it happened: asked, decided, held, tried, settled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.amounts import amount_text
from governance.display import dollars
from governance.models import CallStatus, ModelCall
from governance.pricing import INPUT_BUCKETS, TOKENS_PER_PRICE, Rates
from governance.snapshot import price_entry
from providers.display import Tone, duration, moment, number

OUTCOMES: dict[str, tuple[str, Tone]] = {
    "ok": ("Has room", "good"),
    "soft_limit": ("Past soft limit", "warning"),
    "hard_limit": ("Past hard limit", "warning"),
    "blocked": ("Refused", "bad"),
    "override_applied": ("Raised on request", "busy"),
    "unknown": ("Cost unknown", "bad"),
    "approval_required": ("Needs approval", "warning"),
}
ATTEMPTS: dict[str, tuple[str, Tone]] = {
    "answered": ("Answered", "good"),
    "failed": ("Failed", "bad"),
    "cut": ("Broke off", "bad"),
    "broken_off": ("Not waited for", "warning"),
    "skipped": ("Not tried", "quiet"),
}
BUCKETS = (
    ("Input", "uncached_input_tokens", "uncached_input"),
    ("Input read from cache", "cache_read_tokens", "cache_read"),
    ("Input written to cache for 5 min", "cache_write_5m_tokens", "cache_write_5m"),
    ("Input written to cache for 1 h", "cache_write_1h_tokens", "cache_write_1h"),
    ("Output", "output_tokens", "output"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that was considered."""

    model: str
    is_chosen: bool
    says: str
    may_cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the complexity score."""

    name: str
    value: str
    share: str

    @classmethod
    def of(cls, name: str, value: float, share: float) -> Part:
        """The part in words."""
        return cls(
            name=name.replace("_", " ").capitalize(), value=f"{value:.2f}", share=f"{share:.2f}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one policy said before the call began."""

    policy: str
    policy_id: int | None
    outcome: str
    tone: Tone
    limit: str
    consumed: str
    held: str
    requested: str
    resets: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What was set aside on one window, and what was charged to it in the end."""

    window_id: int | None
    amount: str
    charged: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one provider."""

    target: str
    outcome: str
    tone: Tone
    says: str
    took: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Tokens of one kind, what a million of them costs and what these did."""

    name: str
    tokens: str
    rate: str
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything a call's page says, in words."""

    sentences: tuple[str, ...]
    mode: str
    score: str
    parts: tuple[Part, ...]
    compared: str
    candidates: tuple[Candidate, ...]
    estimate: str
    evaluations: tuple[Evaluation, ...]
    holds: tuple[Hold, ...]
    nothing_held: str
    attempts: tuple[Attempt, ...]
    nothing_tried: str
    buckets: tuple[Bucket, ...]
    per_request: str
    cost: str
    usage_note: str
    overrun: str
    latency: str


def tell(call: ModelCall) -> Story:
    """The story of `call`; nothing is read that the row and its price do not say."""
    decision = call.decision or {}
    actual = f"{call.provider}/{call.model}"
    return Story(
        sentences=(*decision.get("explanation", ()), *_elsewhere(decision, actual)),
        mode=str(decision.get("mode", "")),
        score=_score(decision),
        parts=tuple(_part(one) for one in (decision.get("score") or {}).get("components", ())),
        compared=_compared(call, decision),
        candidates=tuple(_candidate(one, actual) for one in decision.get("candidates", ())),
        estimate=_estimate(call),
        evaluations=tuple(_evaluation(one) for one in call.evaluations),
        holds=tuple(_hold(one, call) for one in call.holds),
        nothing_held=_nothing_held(call),
        attempts=tuple(_attempt(one) for one in call.attempts),
        nothing_tried=_nothing_tried(call),
        buckets=_buckets(call),
        per_request=dollars(call.price.per_request) if call.price else "",
        cost=dollars(call.cost),
        usage_note=_usage_note(call),
        overrun=dollars(call.overrun) if call.overrun else "",
        latency=_latency(call),
    )


def _elsewhere(decision: dict[str, Any], actual: str) -> list[str]:
    """Where the call went on, if not at the model that was chosen."""
    chosen = decision.get("actual")
    if not chosen or chosen == actual:
        return []
    return [f"{chosen} could not answer, so the call went on at {actual}."]


def _score(decision: dict[str, Any]) -> str:
    score = decision.get("score")
    return f"{score.get('total', 0):.2f} of 1" if score else ""


def _part(row: dict[str, Any]) -> Part:
    return Part.of(str(row.get("name", "")), row.get("value", 0), row.get("share", 0))


def _compared(call: ModelCall, decision: dict[str, Any]) -> str:
    """What the other choice would have cost, as far as that is known."""
    compared = decision.get("compared")
    if not compared:
        return ""
    model = compared.get("model", "")
    if call.compared_cost is not None:
        return f"With {model} the same would have cost {dollars(call.compared_cost)}."
    if compared.get("expected") is None:
        return f"It is compared with {model}, which had no price."
    return f"It is compared with {model}, expected to cost {dollars(compared['expected'])}."


def _candidate(row: dict[str, Any], actual: str) -> Candidate:
    upper, reason = row.get("estimate_upper"), str(row.get("reason", ""))
    return Candidate(
        model=str(row.get("model", "")),
        is_chosen=row.get("model") == actual,
        says="Fits" if row.get("eligible") else f"{reason[:1].upper()}{reason[1:]}",
        may_cost="No price" if upper is None else f"up to {dollars(upper)}",
    )


def _estimate(call: ModelCall) -> str:
    if call.estimate_upper is None:
        return "Not known: the model had no price."
    return f"{dollars(call.estimate_expected)} expected, {dollars(call.estimate_upper)} at most"


def _evaluation(row: dict[str, Any]) -> Evaluation:
    metric = str(row.get("metric", ""))
    outcome = str(row.get("outcome", ""))
    words, tone = OUTCOMES.get(outcome, (outcome, "quiet"))

    def shown(name: str, absent: str) -> str:
        amount = row.get(name)
        return absent if amount is None else amount_text(metric, int(amount))

    ends = row.get("resets_at")
    return Evaluation(
        policy=str(row.get("policy", "")),
        policy_id=row.get("policy_id"),
        outcome=words,
        tone=tone,
        limit=shown("limit", "No hard limit"),
        consumed=shown("consumed", "–"),
        held=shown("held", "–"),
        requested=shown("requested", "Unknown"),
        resets=moment(datetime.fromisoformat(ends)) if ends else "Never",
        explanation=str(row.get("explanation", "")),
    )


def _hold(row: dict[str, Any], call: ModelCall) -> Hold:
    metric = str(row.get("metric", ""))
    charged = row.get("charged")
    if charged is not None:
        became = f"{amount_text(metric, charged)} charged"
    else:
        became = "still held" if call.status == CallStatus.IN_FLIGHT else "released"
    return Hold(
        window_id=row.get("window"),
        amount=amount_text(metric, int(row.get("amount", 0))),
        charged=became,
    )


def _nothing_held(call: ModelCall) -> str:
    if call.holds:
        return ""
    if call.cached:
        return "The answer was kept from a call just before, so nothing had to be held."
    if call.status == CallStatus.WAITING:
        return "Nothing is held yet, and nothing was sent: the call waits for approval."
    if call.status in (CallStatus.BLOCKED, CallStatus.DENIED):
        return "Nothing was held and nothing was sent: a budget refused the call."
    if _was_sent_nowhere(call):
        return "No provider could take the call, so nothing was held and nothing was sent."
    return "No budget counts this call, so nothing was held."


def _was_sent_nowhere(call: ModelCall) -> bool:
    """Whether the call was passed over everywhere it might have gone."""
    outcomes = [row.get("outcome") for row in call.attempts]
    return bool(outcomes) and set(outcomes) == {"skipped"}


def _nothing_tried(call: ModelCall) -> str:
    if call.attempts:
        return ""
    if call.cached:
        return "Nothing had to be sent: the answer was kept from a call just before."
    if call.status == CallStatus.IN_FLIGHT:
        return "The provider is at work."
    return "Nothing was sent to a provider, as far as is known."


def _attempt(row: dict[str, Any]) -> Attempt:
    words, tone = ATTEMPTS.get(str(row.get("outcome", "")), ("Failed", "bad"))
    says = [str(row.get("message") or "")]
    if row.get("failure_class"):
        says.append(str(row["failure_class"]).replace("_", " "))
    if row.get("http_status"):
        says.append(f"HTTP {row['http_status']}")
    if row.get("may_be_billed"):
        says.append("the provider may bill it")
    if row.get("credential"):
        says.append(f"with the credential {row['credential']}")
    took = duration(int(row.get("latency_ms") or 0) / 1000)
    if row.get("first_token_ms") is not None:
        took = f"{took}, the first piece after {duration(int(row['first_token_ms']) / 1000)}"
    return Attempt(
        target=f"{row.get('provider', '')}/{row.get('model', '')}",
        outcome=words,
        tone=tone,
        says=" · ".join(part for part in says if part),
        took="" if row.get("outcome") == "skipped" else took,
    )


def _buckets(call: ModelCall) -> tuple[Bucket, ...]:
    rates = _rates(call)
    return tuple(
        Bucket(
            name=name,
            tokens=number(tokens),
            rate=dollars(rates.rate(bucket) if rates else None),
            cost=_bucket_cost(rates, bucket, tokens),
        )
        for name, column, bucket in BUCKETS
        if (tokens := getattr(call, column)) or column in {"uncached_input_tokens", "output_tokens"}
    )


def _rates(call: ModelCall) -> Rates | None:
    """Those that so much input was charged at: a long context may have rates of its own."""
    if call.price is None:
        return None
    counts = (getattr(call, column) for _, column, bucket in BUCKETS if bucket in INPUT_BUCKETS)
    return price_entry(call.price).rates(sum(count or 0 for count in counts))


def _bucket_cost(rates: Rates | None, bucket: str, tokens: int | None) -> str:
    if rates is None or tokens is None:
        return dollars(None)
    amount = tokens * rates.rate(bucket)
    return dollars((amount + TOKENS_PER_PRICE // 2) // TOKENS_PER_PRICE)


def _latency(call: ModelCall) -> str:
    """How long providers took, if any was asked."""
    if call.latency_ms is None or call.cached or _was_sent_nowhere(call):
        return ""
    return duration(call.latency_ms / 1000)


def _usage_note(call: ModelCall) -> str:
    if call.total_tokens is None:
        return ""
    if call.cached:
        return "The answer was kept from a call just before, so nothing was used."
    if call.usage_reported:
        return "The provider reported this usage."
    return "The provider reported no usage, so this is an estimate."
