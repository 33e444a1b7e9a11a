"""The routing table: one row for each rule, and why other models are none of those considered."""

from __future__ import annotations

from typing import Any

import pytest

from governance.errors import ModelNotAllowed
from governance.routing import (
    DRY_RUN,
    ENFORCED,
    SUGGEST,
    Conditions,
    Mode,
    RoutingDecision,
    resolve,
)
from governance.routing.exclusions import allows
from providers.models import ProviderKind
from providers.registry import ModelEntry
from tests.governance.test_routing import priced, route
from tests.providers.entries import model_entry, provider_entry, question

NORTH, SOUTH = provider_entry(name="north"), provider_entry(name="south")
MIDDLE = model_entry(NORTH, name="middle", is_default=True, cost_tier=2, latency_tier=3)
CHEAP = model_entry(SOUTH, name="cheap", cost_tier=1, latency_tier=2)
QUICK = model_entry(SOUTH, name="quick", cost_tier=1, latency_tier=1)
STRONG = model_entry(SOUTH, name="strong", cost_tier=3, latency_tier=1, vision=True)
KNOWN = (MIDDLE, CHEAP, QUICK, STRONG)
PRICES = [priced(MIDDLE, 10), priced(CHEAP, 1), priced(QUICK, 2), priced(STRONG, 100)]

SIMPLE = question("Hello.")
MIDDLING = question(
    "Compare and evaluate the design, prove it, justify it.\n```\n```\n```\n"
    "1. Why?\n2. How?\n3. When?" + " word" * 200
)
HARD = question(
    "Compare and evaluate the design, prove it, justify it.\n```\n```\n```\n"
    "1. Why?\n2. How?\n3. When?" + " word" * 8000
)
TOOLS = [
    {"type": "function", "function": {"name": f"tool_{number}", "parameters": {}}}
    for number in range(8)
]
PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look."},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
    }
]


def decided(
    model: str = "auto", *known: ModelEntry, mode: str = ENFORCED, **more: Any
) -> RoutingDecision:
    more.setdefault("prices", PRICES)
    return route(model, *(known or KNOWN), mode=mode, **more).decision


@pytest.mark.parametrize(
    ("task_class", "asked", "recommended", "rule"),
    [
        pytest.param(
            "primary_interactive",
            {"messages": HARD, "tools": TOOLS},
            "south/strong",
            "score_high",
            id="primary, complex: the strongest",
        ),
        pytest.param(
            "primary_interactive",
            {"messages": MIDDLING},
            "north/middle",
            "score_middle",
            id="primary, between: the default",
        ),
        pytest.param(
            "primary_interactive",
            {"messages": SIMPLE},
            "south/cheap",
            "score_low",
            id="primary, simple: the cheapest",
        ),
        pytest.param(
            "background_automation",
            {"messages": HARD, "tools": TOOLS},
            "south/cheap",
            "low_cost",
            id="background: low cost, however complex",
        ),
        pytest.param("auxiliary_summary", {}, "south/cheap", "low_cost", id="summary: low cost"),
        pytest.param("auxiliary_recall", {}, "south/cheap", "low_cost", id="recall: low cost"),
        pytest.param(
            "auxiliary_extraction", {}, "south/cheap", "low_cost", id="extraction: low cost"
        ),
        pytest.param(
            "auxiliary_classification",
            {},
            "south/quick",
            "low_latency",
            id="classification: the fastest that costs no more",
        ),
        pytest.param(
            "auxiliary_vision",
            {"messages": PICTURE, "prices": [*PRICES[:3], priced(STRONG, 5)]},
            "south/strong",
            "low_cost",
            id="vision: one that sees the image",
        ),
        pytest.param(
            "auxiliary_vision",
            {"messages": PICTURE},
            "north/middle",
            "nothing_within_cost",
            id="vision: never above the default's cost",
        ),
    ],
)
def test_each_class_of_task_has_its_rule(
    task_class: str, asked: dict[str, Any], recommended: str, rule: str
) -> None:
    found = decided(task_class=task_class, **asked)
    assert (found.recommended, found.actual) == (recommended, recommended)
    assert rule in found.reason_codes


@pytest.mark.parametrize(
    "task_class", ["background_automation", "auxiliary_classification", "auxiliary_summary"]
)
def test_what_runs_by_itself_never_costs_more_than_the_default(task_class: str) -> None:
    found = decided("auto", MIDDLE, STRONG, task_class=task_class)
    assert (found.recommended, found.actual) == ("north/middle", "north/middle")


HOST = provider_entry(name="host", kind=ProviderKind.OPENAI_COMPATIBLE)
REAL = model_entry(HOST, name="real", is_default=True)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        pytest.param({"allowed": ("north/*",)}, "The team may not use it.", id="not allowed"),
        pytest.param({"tools": TOOLS}, "It cannot call tools.", id="capability"),
        pytest.param(
            {"messages": question("word " * 3000)},
            "The request is larger than its context window.",
            id="context window",
        ),
        pytest.param(
            {"conditions": Conditions(unhealthy={SOUTH.id: "Its breaker is open."})},
            "Its breaker is open.",
            id="health",
        ),
        pytest.param(
            {"conditions": Conditions(lease_pressure={SOUTH.id: 1.0})},
            "All places at its provider are taken.",
            id="lease pressure",
        ),
        pytest.param(
            {"conditions": Conditions(remaining={-1: 0})},
            "It would probably cost $0.00052, and budgets leave $0.00.",
            id="remaining budget",
        ),
        pytest.param(
            {"prices": [priced(MIDDLE, 10)]},
            "It has no price, so what it costs is not known.",
            id="no price",
        ),
    ],
)
def test_what_keeps_a_model_from_a_call_is_said(asked: dict[str, Any], reason: str) -> None:
    poor = model_entry(SOUTH, name="poor", tools=False, context_window=2000)
    if "conditions" in asked and asked["conditions"].remaining:
        asked = {"conditions": Conditions(remaining={poor.id: 0})}
    found = decided("auto", MIDDLE, poor, **{"prices": [*PRICES, priced(poor, 1)], **asked})
    by_name = {one.model: one for one in found.candidates}
    assert not by_name["south/poor"].eligible
    assert by_name["south/poor"].reason == reason
    assert by_name["north/middle"].eligible
    assert found.actual == "north/middle"


def test_a_rehearsal_never_stands_in_for_an_answer() -> None:
    found = decided("auto", REAL, CHEAP, prices=[priced(REAL, 10), priced(CHEAP, 1)])
    assert (found.recommended, found.actual) == ("host/real", "host/real")
    assert "rehearsals" in {one.model: one for one in found.candidates}["south/cheap"].reason


def test_without_a_budget_for_the_default_the_call_goes_where_it_is_paid_for() -> None:
    broke = Conditions(remaining={MIDDLE.id: 0})
    found = decided("auto", MIDDLE, CHEAP, messages=MIDDLING, conditions=broke)
    assert (found.actual, found.action) == ("south/cheap", "degrade")
    assert "baseline_budget_too_small" in found.reason_codes


def test_a_default_that_cannot_be_called_now_keeps_its_place_and_fails_over() -> None:
    away = Conditions(unhealthy={NORTH.id: "Its breaker is open."})
    found = decided("auto", MIDDLE, CHEAP, messages=MIDDLING, conditions=away)
    assert (found.actual, found.action) == ("north/middle", "failover")
    assert found.health == "Its breaker is open."
    assert found.fallbacks == ("south/cheap",)
    assert "Against north/middle: Its breaker is open." in found.explanation


@pytest.mark.parametrize(
    ("mode", "actual", "compared"),
    [
        pytest.param(SUGGEST, "north/middle", None, id="suggest"),
        pytest.param(DRY_RUN, "north/middle", "south/cheap", id="dry run"),
        pytest.param(ENFORCED, "south/cheap", "north/middle", id="enforced"),
    ],
)
@pytest.mark.parametrize("model", ["auto", "middle"])
def test_the_mode_says_what_a_recommendation_does(
    model: str, mode: str, actual: str, compared: str | None
) -> None:
    found = route(model, *KNOWN, mode=mode, prices=PRICES)
    decision = found.decision
    assert (decision.recommended, decision.actual) == ("south/cheap", actual)
    assert found.chosen.name == actual
    assert (decision.compared and decision.compared.model) == compared
    assert (found.compared and found.compared.name) == compared
    if decision.compared is not None and found.compared is not None:
        assert decision.compared.expected == found.compared.expected_cost
    assert decision.explanation[-1].startswith(f"The routing mode is “{mode}”")


def test_a_call_that_was_moved_may_go_back_to_the_model_it_named() -> None:
    found = decided("middle", MIDDLE, CHEAP)
    assert (found.actual, found.fallbacks) == ("south/cheap", ("north/middle",))


def test_a_team_uses_only_what_it_is_allowed() -> None:
    assert decided(allowed=("north/*",)).actual == "north/middle"
    assert decided(allowed=("north/*",)).fallbacks == ()
    for name in ("cheap", "south/cheap"):
        with pytest.raises(ModelNotAllowed) as refused:
            decided(name, allowed=("north/*",))
        assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
    with pytest.raises(ModelNotAllowed):
        decided(allowed=("nowhere/*",))


def test_where_the_default_is_not_allowed_the_best_that_is_stands_for_it() -> None:
    found = decided(mode=SUGGEST, allowed=("south/*",))
    assert (found.default, found.actual) == ("north/middle", "south/cheap")
    assert found.reason_codes[0] == "default_not_allowed"
    assert "the team may not use the default model north/middle" in found.explanation[0]


@pytest.mark.parametrize(
    ("patterns", "allowed"),
    [
        pytest.param((), True, id="none allow all"),
        pytest.param(("south/cheap",), True, id="named"),
        pytest.param(("south/*",), True, id="all of one"),
        pytest.param(("*/cheap",), True, id="at any"),
        pytest.param(("SOUTH/cheap",), False, id="case counts"),
        pytest.param(("north/*", "cheap"), False, id="another"),
    ],
)
def test_what_a_pattern_allows(patterns: tuple[str, ...], allowed: bool) -> None:
    assert allows(patterns, CHEAP) is allowed


@pytest.mark.parametrize(
    ("said", "mode", "source"),
    [
        pytest.param({}, SUGGEST, "installation", id="nobody says"),
        pytest.param({"installation": DRY_RUN}, DRY_RUN, "installation", id="installation"),
        pytest.param({"auto": True, "installation": DRY_RUN}, ENFORCED, "auto", id="auto"),
        pytest.param({"team": SUGGEST, "auto": True}, SUGGEST, "team", id="team before auto"),
        pytest.param({"key": DRY_RUN, "team": SUGGEST}, DRY_RUN, "key", id="key before team"),
        pytest.param(
            {"request": ENFORCED, "key": SUGGEST}, ENFORCED, "request", id="request before key"
        ),
        pytest.param(
            {"policies": [SUGGEST], "request": ENFORCED}, SUGGEST, "policy", id="policy before all"
        ),
        pytest.param(
            {"policies": [SUGGEST, ENFORCED, DRY_RUN, ""]}, ENFORCED, "policy", id="the strictest"
        ),
        pytest.param({"policies": [""], "team": DRY_RUN}, DRY_RUN, "team", id="no override"),
    ],
)
def test_the_nearest_says_the_mode(said: dict[str, Any], mode: str, source: str) -> None:
    assert resolve(**said) == Mode(mode, source)


def test_the_score_is_shown_with_its_parts() -> None:
    found = decided(messages=MIDDLING)
    assert found.score is not None
    assert 0.35 < found.score.total < 0.75
    assert any(f"complexity is {found.score.total:.2f} of 1" in one for one in found.explanation)
    row = found.as_json()
    assert row["score"]["components"][0]["name"] == "length"
    assert row["compared"]["model"] == "north/middle"
