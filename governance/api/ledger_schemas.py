"""A call of the ledger as the JSON API tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ninja import Schema
from pydantic import Field

from governance.amounts import amount_json
from governance.api.conventions import dollars_json
from governance.models import BudgetWindow, CallStatus, ModelCall
from providers.api.conventions import Moment


class UsageOut(Schema):
    """Tokens by bucket; the buckets are disjoint."""

    uncached_input: int | None
    cache_read: int | None
    cache_write_5m: int | None
    cache_write_1h: int | None
    output: int | None
    total: int | None
    reported: bool = Field(description="The provider said so; otherwise it is an estimate.")


class CallOut(Schema):
    """One call: who asked, what answered, what it used and cost."""

    id: str
    team: str
    key: str | None = Field(description="The public part of the key that asked.")
    person: str | None
    job_id: str | None
    run_id: str | None
    surface: str
    task_class: str
    role: str
    streamed: bool
    cached: bool = Field(description="Answered from what was kept of a call just before.")
    requested_model: str
    provider: str
    model: str
    status: CallStatus
    failure_class: str
    error: str
    admitted_at: Moment
    settled_at: Moment | None
    latency_ms: int | None
    first_token_ms: int | None
    usage: UsageOut
    estimate_lower: str | None
    estimate_upper: str | None
    cost: str | None = Field(description="US dollars; null while it is not known.")
    overrun: str = Field(description="How much of the cost went beyond what was held.")
    compared_cost: str | None = Field(
        description="What the other choice of model would have cost; null if none is compared."
    )
    session: str = Field(description="The caller's name for calls that belong together.")

    @classmethod
    def values(cls, call: ModelCall) -> dict[str, Any]:
        """The fields of any account of `call`."""
        return {
            "id": str(call.pk),
            "team": call.team.slug,
            "key": call.api_key.public_id if call.api_key else None,
            "person": call.user.get_username() if call.user else None,
            "job_id": str(call.job_id) if call.job_id else None,
            "run_id": str(call.run_id) if call.run_id else None,
            **{name: getattr(call, name) for name in _PLAIN},
            "usage": _usage(call),
            "estimate_lower": dollars_json(call.estimate_lower),
            "estimate_upper": dollars_json(call.estimate_upper),
            "cost": dollars_json(call.cost),
            "overrun": str(dollars_json(call.overrun)),
            "compared_cost": dollars_json(call.compared_cost),
        }


_PLAIN = (
    "surface",
    "task_class",
    "role",
    "streamed",
    "cached",
    "requested_model",
    "provider",
    "model",
    "status",
    "failure_class",
    "error",
    "admitted_at",
    "settled_at",
    "latency_ms",
    "first_token_ms",
    "session",
)


def _usage(call: ModelCall) -> UsageOut:
    return UsageOut(
        uncached_input=call.uncached_input_tokens,
        cache_read=call.cache_read_tokens,
        cache_write_5m=call.cache_write_5m_tokens,
        cache_write_1h=call.cache_write_1h_tokens,
        output=call.output_tokens,
        total=call.total_tokens,
        reported=call.usage_reported,
    )


class EstimateOut(Schema):
    """What a call may cost before it is made, in US dollars."""

    lower: str | None = None
    expected: str | None = None
    upper: str | None = None
    source: str = ""
    precision: str = ""


class CandidateOut(Schema):
    """A model that was considered."""

    model: str = ""
    eligible: bool = False
    reason: str = ""
    estimate_upper: str | None = Field(None, description="US dollars; null without a price.")


class ComponentOut(Schema):
    """One part of a complexity score."""

    name: str = ""
    value: float = Field(0.0, description="From 0 to 1.")
    share: float = Field(0.0, description="What it adds to the total.")


class ScoreOut(Schema):
    """How much a chat asks of a model, from 0 to 1."""

    total: float = 0.0
    components: list[ComponentOut] = []


class ComparedOut(Schema):
    """The other choice: in a dry run the model recommended, where routing is enforced the one that
    would have been used without it."""

    model: str = ""
    expected: str | None = Field(None, description="US dollars; null without a price.")


class RoutingDecisionOut(Schema):
    """What was chosen and why. Models are named `provider/model`."""

    mode: str = ""
    mode_source: str = Field(
        "", description="policy, request, key, team, auto or installation: who set the mode."
    )
    task_class: str = ""
    requested: str = ""
    default: str | None = None
    recommended: str = ""
    actual: str = ""
    provider: str = ""
    model: str = ""
    action: str = ""
    output_cap: int | None = None
    reason_codes: list[str] = []
    explanation: list[str] = []
    candidates: list[CandidateOut] = []
    estimate: EstimateOut | None = None
    score: ScoreOut | None = Field(None, description="null for what cannot be scored.")
    health: str = Field("", description="What is known against the provider; empty if nothing.")
    credential: str = Field("", description="The credential, if there can be only one.")
    compared: ComparedOut | None = Field(None, description="null in mode suggest.")
    fallbacks: list[str] = Field([], description="Where the call may go on, in this order.")
    budget: str = Field("", description="The gravest that budgets say; empty if none counts it.")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> RoutingDecisionOut:
        """From a decision as the ledger keeps it, whose amounts are nano-dollars."""
        estimate, compared = stored.get("estimate"), stored.get("compared")
        return cls.model_validate(
            {
                **stored,
                "candidates": [
                    {**one, "estimate_upper": dollars_json(one.get("estimate_upper"))}
                    for one in stored.get("candidates", ())
                ],
                "compared": compared
                and {**compared, "expected": dollars_json(compared.get("expected"))},
                "estimate": estimate
                and {
                    **estimate,
                    **{name: dollars_json(estimate.get(name)) for name in _ESTIMATED},
                },
            }
        )


_ESTIMATED = ("lower", "expected", "upper")


class EvaluationOut(Schema):
    """What one policy said of the call, on which figures."""

    policy: str = ""
    policy_id: str = ""
    scope: str = ""
    metric: str = ""
    outcome: str = ""
    soft_limit: str | None = None
    limit: str | None = None
    consumed: str | None = None
    held: str | None = None
    requested: str | None = None
    resets_at: Moment | None = None
    explanation: str = ""
    scope_value: str = ""
    interval: str = ""
    action: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> EvaluationOut:
        """From an evaluation as the ledger keeps it."""
        amounts = {
            name: amount_json(stored["metric"], stored.get(name)) for name in _EVALUATED_AMOUNTS
        }
        return cls.model_validate({**stored, **amounts, "policy_id": str(stored["policy_id"])})


_EVALUATED_AMOUNTS = ("soft_limit", "limit", "consumed", "held", "requested")


class HoldOut(Schema):
    """What was set aside on one budget until the call was settled."""

    policy: str | None = Field(description="null if the policy is gone.")
    metric: str
    amount: str
    charged: str | None = Field(description="What replaced the hold; null while it is held.")

    @classmethod
    def of(cls, stored: Mapping[str, Any], windows: Mapping[int, BudgetWindow]) -> HoldOut:
        """From a hold as the ledger keeps it."""
        window = windows.get(stored["window"])
        return cls(
            policy=window.policy.name if window else None,
            metric=stored["metric"],
            amount=str(amount_json(stored["metric"], stored["amount"])),
            charged=amount_json(stored["metric"], stored.get("charged")),
        )


class AttemptOut(Schema):
    """One try at one provider, or one that was not made."""

    provider: str = ""
    model: str = ""
    credential: str = Field("", description="The name of the secret it was made with.")
    outcome: str = Field("", description="answered, failed, cut, broken_off or skipped.")
    failure_class: str = ""
    message: str = ""
    http_status: int | None = None
    latency_ms: int | None = None
    first_token_ms: int | None = None
    may_be_billed: bool = Field(False, description="It failed, and the provider may bill it.")


class CallStoryOut(CallOut):
    """A call with everything that was decided, held and tried."""

    decision: RoutingDecisionOut
    evaluations: list[EvaluationOut]
    holds: list[HoldOut]
    attempts: list[AttemptOut]

    @classmethod
    def of(cls, call: ModelCall) -> CallStoryOut:
        """One query, for the budgets that were held on."""
        windows = BudgetWindow.objects.select_related("policy").in_bulk(
            [hold["window"] for hold in call.holds]
        )
        return cls(
            **cls.values(call),
            decision=RoutingDecisionOut.of(call.decision),
            evaluations=[EvaluationOut.of(one) for one in call.evaluations],
            holds=[HoldOut.of(one, windows) for one in call.holds],
            attempts=[AttemptOut.model_validate(one) for one in call.attempts],
        )
