"""The playground's pure parts: snippets, refusals, events, and a decision in words."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.budgets import BudgetEvaluation
from governance.calls import Foreseen
from governance.errors import (
    ApprovalRequired,
    BudgetBlocked,
    CallError,
    InvalidRequest,
    LedgerUnavailable,
    ModelNotAllowed,
    ProviderTimedOut,
    ProviderUnavailable,
    RateLimited,
    UnknownModel,
    UnpricedModel,
)
from governance.routing import Candidate, Compared, RoutingDecision
from palyra_site.console.playground.explaining import explained
from palyra_site.console.playground.forms import body_of
from palyra_site.console.playground.refusals import LINKED, refusal_of
from palyra_site.console.playground.sending import event, finish_reason, pieces
from palyra_site.console.playground.snippets import Snippets, snippets

CALL = UUID("01890000-0000-7000-8000-000000000001")
EVERYTHING = frozenset(LINKED)
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hello."}]}


def _snippets(body: dict[str, Any], **options: Any) -> Snippets:
    told = {"task_class": "primary_interactive", "routing_mode": None, **options}
    return snippets("http://palyra.test", body, **told)


def _run(python: str) -> dict[str, Any]:
    """What the program asks, where OpenAI's client only takes note."""
    asked: dict[str, Any] = {}

    class Client:
        def __init__(self, **how: Any) -> None:
            asked["how"] = how
            self.chat = self.completions = self

        def create(self, **what: Any) -> Client:
            asked["what"] = what
            return self

        @property
        def choices(self) -> list[Any]:
            return [self]

        @property
        def message(self) -> Client:
            return self

        content = ""

    program = python.replace("from openai import OpenAI\n", "").replace("import os\n", "")

    class System:
        environ = {"PALYRA_API_KEY": "the key"}

    exec(program, {"OpenAI": Client, "os": System, "print": lambda _: None})
    return asked


@given(st.text(), st.text())
def test_both_programs_ask_what_was_asked(system_prompt: str, prompt: str) -> None:
    asked = {"system_prompt": system_prompt, "prompt": prompt, "model": "a/b"}
    body = body_of({**asked, "max_output_tokens": 7})

    shown = _snippets(body)

    words = shlex.split(shown.curl)
    assert words[:2] == ["curl", "http://palyra.test/v1/chat/completions"]
    assert json.loads(words[-1]) == body
    asked_by_program = _run(shown.python)
    assert asked_by_program["what"] == body
    assert asked_by_program["how"] == {
        "base_url": "http://palyra.test/v1",
        "api_key": "the key",
    }


def test_what_palyra_is_told_beside_the_request_goes_into_headers() -> None:
    shown = _snippets(BODY, task_class="auxiliary_summary", routing_mode="enforced")

    told = {"X-Palyra-Task-Class": "auxiliary_summary", "X-Palyra-Routing-Mode": "enforced"}
    assert _run(shown.python)["what"]["extra_headers"] == told
    words = shlex.split(shown.curl)
    assert {f"{name}: {value}" for name, value in told.items()} <= set(words)
    assert "extra_headers" not in _snippets(BODY).python


def test_no_snippet_carries_a_key() -> None:
    shown = _snippets(BODY)

    assert "Authorization: Bearer $PALYRA_API_KEY" in shown.curl
    assert 'os.environ["PALYRA_API_KEY"]' in shown.python


def test_a_prompt_without_a_system_prompt_is_one_message() -> None:
    asked = {"system_prompt": " \n", "prompt": "Hello.", "model": "", "max_output_tokens": None}

    assert body_of(asked) == BODY


@pytest.mark.parametrize(
    ("error", "title", "links"),
    [
        (InvalidRequest("x"), "This cannot be asked", []),
        (UnknownModel("x"), "There is no such model", ["The models"]),
        (ModelNotAllowed("x"), "The team may not use this model", ["The teams"]),
        (
            BudgetBlocked("x", call_id=CALL, detail={"policy": "Monthly"}),
            "A budget refused this call",
            ["The budget “Monthly”", "The call"],
        ),
        (
            UnpricedModel("x", detail={"policy": "Monthly"}),
            "The model has no price",
            ["The budget “Monthly”", "The prices"],
        ),
        (
            ApprovalRequired(
                "x", detail={"policy": "Monthly", "approvals": [{"id": str(CALL), "url": ""}]}
            ),
            "This call needs approval",
            ["The request for approval", "The budget “Monthly”"],
        ),
        (LedgerUnavailable("x"), "The ledger is away, so nothing was sent", []),
        (
            ProviderUnavailable("x", detail={"provider": "acme"}),
            "No provider can take it now",
            ["The provider acme"],
        ),
        (
            ProviderTimedOut("x", call_id=CALL, detail={"provider": "acme"}),
            "The provider gave no answer",
            ["The provider acme", "The call"],
        ),
    ],
)
def test_a_refusal_says_what_happened_and_where_to_go(
    error: CallError, title: str, links: list[str]
) -> None:
    refusal = refusal_of(error, viewable=EVERYTHING)

    assert refusal.title == title
    assert [link.label for link in refusal.links] == links
    assert not refusal_of(error, viewable=()).links
    assert refusal.as_json()["entered"] is ("The call" in links)


def test_a_rate_says_when_there_is_room_again() -> None:
    refusal = refusal_of(RateLimited("Full.", retry_after=11.2), viewable=())

    assert refusal.title == "Too much at once"
    assert refusal.message == "Full. There is room again in 12 s."


def test_an_approval_that_is_lacking_is_named_for_the_next_try() -> None:
    detail = {"approvals": [{"id": str(CALL), "url": ""}]}
    refusal = refusal_of(ApprovalRequired("No.", detail=detail), viewable=())

    assert refusal.approvals == (str(CALL),)
    assert "Somebody else may approve it" in refusal.message


def _chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        (_chunk(content="Hello"), [("text", "Hello")]),
        (_chunk(content="a\n\nb"), [("text", "a\n\nb")]),
        (_chunk(refusal="No."), [("text", "No.")]),
        (_chunk(content=None, refusal="No."), [("text", "No.")]),
        (_chunk(reasoning_content="Hm."), [("thinking", "Hm.")]),
        (_chunk(reasoning="Hm.", content="So."), [("thinking", "Hm."), ("text", "So.")]),
        (_chunk(role="assistant", content=""), []),
        (_chunk(content=None), []),
        (_chunk(content=7), []),
        ({"choices": [{"delta": None}, "odd"]}, []),
        ({"choices": None}, []),
        ({}, []),
    ],
)
def test_a_chunk_says_its_words(chunk: dict[str, Any], said: list[tuple[str, str]]) -> None:
    assert list(pieces(chunk)) == [event(name, text=text) for name, text in said]


def test_an_event_is_one_line_of_data() -> None:
    said = event("text", text="a\n\nb\r\n “ü”").decode()

    name, data, *rest = said.split("\n")
    assert (name, rest) == ("event: text", ["", ""])
    assert orjson.loads(data.removeprefix("data: ")) == {"text": "a\n\nb\r\n “ü”"}


def test_why_an_answer_ended_is_read_where_it_is_said() -> None:
    assert finish_reason({"choices": [{"finish_reason": "length"}]}) == "length"
    assert finish_reason(_chunk(content="x")) == ""
    assert finish_reason({"choices": [None]}) == ""


DECISION = RoutingDecision(
    mode="dry_run",
    mode_source="team",
    task_class="primary_interactive",
    requested="auto",
    default="acme/large",
    recommended="acme/small",
    actual="acme/large",
    provider="acme",
    model="large",
    action="proceed",
    output_cap=1000,
    reason_codes=(),
    explanation=("Because.",),
    candidates=(
        Candidate(model="acme/small", eligible=True, reason="It fits.", estimate_upper=10**6),
        Candidate(model="acme/large", eligible=True, reason="It fits.", estimate_upper=None),
        Candidate(model="far/one", eligible=False, reason="It is away.", estimate_upper=1),
    ),
    estimate=None,
    compared=Compared(model="acme/small", price_id=1, expected=0),
    fallbacks=("far/two", "far/three"),
)
SAID = BudgetEvaluation(
    policy="Monthly",
    policy_id=3,
    scope="team",
    metric="cost",
    outcome="ok",
    soft_limit=None,
    limit=10 * 10**9,
    consumed=10**9,
    held=2 * 10**9,
    requested=3 * 10**9,
    resets_at=datetime(2026, 12, 1, tzinfo=UTC),
    explanation="There is room.",
)


def test_candidates_say_what_the_decision_calls_them() -> None:
    small, large, far = explained(Foreseen(DECISION, ())).candidates

    assert [mark for mark, _ in small.marks] == ["Recommended"]
    assert [mark for mark, _ in large.marks] == ["Would be used", "Default"]
    assert (small.may_cost, large.may_cost) == ("up to $0.001", "No price")
    assert (far.is_eligible, far.says, far.marks) == (False, "It is away.", ())


def test_what_it_may_cost_is_not_made_up() -> None:
    facts = dict(explained(Foreseen(DECISION, ())).facts)

    assert facts["Expected cost"] == "Not known: it has no price"
    assert facts["Routing"] == "Dry run, because the team is set so"
    assert facts["Compared with"] == "acme/small, $0.00 expected"
    assert facts["If it fails"] == "far/two, then far/three"


@pytest.mark.parametrize(
    ("action", "says", "tone"),
    [
        ("proceed", "would go to acme/large", "good"),
        ("degrade", "the cheaper acme/large", "warning"),
        ("failover", "cannot be called now", "warning"),
        ("approval_required", "would need approval", "warning"),
        ("blocked", "would refuse this call", "bad"),
    ],
)
def test_the_headline_says_what_would_become_of_it(action: str, says: str, tone: str) -> None:
    found = explained(Foreseen(replace(DECISION, action=action), ()))

    assert says in found.headline
    assert found.tone == tone


def test_a_budget_says_what_would_be_left() -> None:
    (row,) = explained(Foreseen(DECISION, (SAID,))).budgets

    assert (row.limit, row.used, row.asks, row.left) == ("$10.00", "$3.00", "$3.00", "$4.00")
    assert row.outcome == "Has room"


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"outcome": "blocked", "requested": 8 * 10**9}, "–"),
        ({"outcome": "unknown", "requested": None}, "–"),
        ({"limit": None}, "No hard limit"),
        ({"outcome": "hard_limit", "action": "alert", "requested": 9 * 10**9}, "$0.00"),
    ],
)
def test_nothing_is_left_of_what_is_not_held(fields: dict[str, Any], left: str) -> None:
    (row,) = explained(Foreseen(DECISION, (replace(SAID, **fields),))).budgets

    assert row.left == left
