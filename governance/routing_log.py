"""The latest decisions of routing, for people: what was asked, used and recommended, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.db.models.fields.json import KT

from governance.models import ModelCall, RoutingMode
from governance.routing.modes import SOURCES
from governance.routing.words import RULES
from governance.usage.adding import add_up
from governance.usage.frames import frame

# Filters look at the latest calls only, so that one which finds few does not read the ledger.
LOOKED_AT = 10_000
ON_A_PAGE = 30
# Codes in words, where the rule alone does not say it.
REASONS = {
    "cheaper_available": "a cheaper model can take it",
    "faster_available": "a faster model can take it",
    "stronger_available": "a stronger model can take it",
    "fitting_available": "it does not fit the default's context window",
    "priced_available": "the default has no price",
    "usable_available": "the default cannot take it now",
    "default_not_allowed": "the team may not use the default",
    "baseline_unhealthy": "the default's provider cannot be called now",
    "baseline_no_place_free": "the default's provider has no place free",
    "baseline_budget_too_small": "budgets do not pay for the default",
    "degraded": "budgets asked for a cheaper model",
    "output_clamped": "budgets pay for a shorter answer only",
    "input_counted": "the input was counted exactly to fit the budgets",
    "unpriced": "the model has no price",
    "context_window_too_small": "the request is probably too large",
    "output_limit_lowered": "the model gives less output than was asked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which decisions are wanted; empty is all. `before` is where the page before ended."""

    mode: str = ""
    model: str = ""
    team_id: int | None = None
    task_class: str = ""
    moved: bool = False
    before: tuple[datetime, UUID] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One call's decision. Models are `provider/model`; costs nano-dollars, None if not known."""

    call_id: UUID
    at: datetime
    team: str
    task_class: str
    requested: str
    used: str
    recommended: str
    mode: str
    because: str
    score: float | None
    why: tuple[str, ...]
    cost: int | None
    other: str
    other_cost: int | None

    @property
    def mode_name(self) -> str:
        """The mode in a word or two."""
        return RoutingMode(self.mode).label.partition(":")[0]

    @property
    def is_moved(self) -> bool:
        """Whether routing recommended another model than is used without it."""
        return (
            self.recommended != self.used
            if self.mode != "enforced"
            else bool(self.other and self.other != self.used)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeTotals:
    """What the calls of one mode came to: `saves` is what was saved where it is enforced, what
    would have been where it is rehearsed."""

    mode: RoutingMode
    calls: int
    cost: int
    saves: int


def decisions(question: Question) -> tuple[list[Decision], tuple[datetime, UUID] | None]:
    """A page of decisions, the latest first, and where the next begins: three queries."""
    keys = list(_found(question).values_list("pk", flat=True)[: ON_A_PAGE + 1])
    found = ModelCall.objects.filter(pk__in=keys).order_by("-admitted_at", "-id")
    rows = list(found.annotate(**_FACTS).values(*_COLUMNS, *_FACTS))
    shown = [_decision(row) for row in rows[:ON_A_PAGE]]
    following = (shown[-1].at, shown[-1].call_id) if len(rows) > ON_A_PAGE else None
    return shown, following


def by_mode(since: datetime, now: datetime) -> list[ModeTotals]:
    """The calls since then by mode, every mode named: three queries at most."""
    sums = ("calls", "cost", "savings", "saved")
    found = add_up(frame((since, now), now), keys=("routing_mode",), sums=sums, where={})
    rows = []
    for mode in RoutingMode:
        calls, cost, savings, saved = found.get((mode.value,), (0, 0, 0, 0))
        rows.append(ModeTotals(mode=mode, calls=calls, cost=cost, saves=savings + saved))
    return rows


def _found(question: Question) -> Any:
    latest = ModelCall.objects.order_by("-admitted_at", "-id")
    oldest = (
        latest.order_by("-admitted_at")
        .values_list("admitted_at", flat=True)[LOOKED_AT : LOOKED_AT + 1]
        .first()
    )
    rows = latest if oldest is None else latest.filter(admitted_at__gt=oldest)
    if question.before is not None:
        at, call_id = question.before
        rows = rows.filter(
            Q(admitted_at__lt=at) | Q(admitted_at=at, id__lt=call_id),
            admitted_at__lt=at + timedelta(microseconds=1),
        )
    conditions: dict[str, Any] = {
        "routing_mode": question.mode,
        "task_class": question.task_class,
        "team_id": question.team_id,
    }
    rows = rows.filter(**{name: value for name, value in conditions.items() if value})
    if question.model:
        provider, _, model = question.model.partition("/")
        rows = rows.filter(provider=provider, model=model)
    if question.moved:
        rows = rows.annotate(**{name: _FACTS[name] for name in ("recommended", "used", "other")})
        enforced = Q(routing_mode=RoutingMode.ENFORCED.value)
        rows = rows.filter(
            (enforced & Q(other__isnull=False) & ~Q(other=F("used")))
            | (~enforced & ~Q(recommended=F("used")))
        )
    return rows


_COLUMNS = (
    "id",
    "admitted_at",
    "team__name",
    "task_class",
    "requested_model",
    "routing_mode",
    "cost",
    "compared_cost",
)
_FACTS = {
    "source": KT("decision__mode_source"),
    "recommended": KT("decision__recommended"),
    "used": KT("decision__actual"),
    "other": KT("decision__compared__model"),
    "score": KT("decision__score__total"),
    "codes": F("decision__reason_codes"),
}


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(
        call_id=row["id"],
        at=row["admitted_at"],
        team=row["team__name"],
        task_class=row["task_class"],
        requested=row["requested_model"],
        used=row["used"] or "",
        recommended=row["recommended"] or "",
        mode=row["routing_mode"],
        because=SOURCES.get(row["source"] or "", ""),
        score=None if row["score"] is None else float(row["score"]),
        why=reasons(row["codes"] or ()),
        cost=row["cost"],
        other=row["other"] or "",
        other_cost=row["compared_cost"],
    )


def reasons(codes: Any) -> tuple[str, ...]:
    """Reason codes as words, those that say something; pure."""
    return tuple(words for code in codes if (words := REASONS.get(code) or RULES.get(code)))
