"""Routing decisions in the JSON API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from ninja import Router
from pydantic import Field

from governance import calls, snapshot
from governance.api.conventions import ActorRequest
from governance.api.ledger_schemas import EvaluationOut, RoutingDecisionOut
from governance.models import RoutingMode, Surface, TaskClass
from providers.api.conventions import Input, refusals

router = Router()


class ExplainIn(Input):
    """A call to be explained."""

    team: str | None = Field(None, description="A team's slug; your only team if left out.")
    task_class: TaskClass = TaskClass.PRIMARY_INTERACTIVE
    routing_mode: RoutingMode | None = Field(
        None, description="The mode the call would ask for; left out if it asks for none."
    )
    request: dict[str, Any] = Field(
        description="A chat completion request in OpenAI's format: model, messages and so on."
    )


class ForeseenOut(RoutingDecisionOut):
    """What would be decided of the call, and what each budget that counts it says."""

    evaluations: list[EvaluationOut]


@router.post(
    "/routing/decide",
    response=ForeseenOut,
    operation_id="decide_route",
    summary="Explain which model a call would go to",
    openapi_extra=refusals(
        {
            400: "The body is not JSON, or the request is not one that can be made.",
            403: "Your team may not use that model.",
            404: "No enabled model has that name, or there is no such team.",
        }
    ),
)
def decide_route(request: ActorRequest, body: ExplainIn) -> ForeseenOut:
    """Which model and why, what it may cost, and what budgets say of it now. No call is made and
    nothing is held."""
    actor = request.auth
    team = actor.team(body.team, "governance.view_modelcall")
    caller = calls.Caller(
        team_id=team.pk,
        surface=Surface.CONSOLE,
        api_key_id=actor.key.pk if actor.key else None,
        user_id=actor.person.pk if actor.person else None,
    )
    asked = calls.CallRequest(
        caller=caller,
        body=body.request,
        task_class=body.task_class,
        routing_mode=body.routing_mode,
    )
    foreseen = calls.foresee(asked, snapshot.load(), timezone.now())
    return ForeseenOut(
        **RoutingDecisionOut.of(foreseen.decision.as_json()).dict(),
        evaluations=[EvaluationOut.of(said.as_json()) for said in foreseen.evaluations],
    )
