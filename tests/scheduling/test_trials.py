"""Rehearsing a scheduled prompt: what would be asked, an answer, and nothing spent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from governance.models import ModelCall, Team
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.trials import rehearse
from tests.scheduling.conftest import MakeJob

NOW = datetime(2026, 10, 25, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def unsaved(**fields: Any) -> CronJob:
    given: dict[str, Any] = {
        "team": Team(id=1, slug="demo", name="Demo"),
        "name": "Figures",
        "zone": "Europe/Prague",
        "prompt": "How are the figures at {{ now|date('%H:%M') }} for {{ parameters.who }}?",
        "parameters": {"who": "nobody"},
    }
    return CronJob(**given | fields)


def test_the_prompts_as_they_would_be_sent_and_an_answer() -> None:
    found = rehearse(unsaved(system_prompt="You work for {{ team }}."), {"who": "Ada"}, NOW)

    assert found.faults == ()
    assert found.system_prompt == "You work for Demo."
    assert found.prompt == "How are the figures at 09:00 for Ada?"
    assert found.output.startswith("You asked: “How are the figures at 09:00 for Ada?”")


def test_an_answer_in_json_is_held_to_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"level": {"enum": ["low", "high"]}},
        "required": ["level"],
    }
    job = unsaved(output_format="json", output_schema=schema)

    found = rehearse(job, {}, NOW)
    assert json.loads(found.output) == {"level": "low"}
    assert "JSON" in found.system_prompt
    job.max_output_tokens = 1
    assert "no JSON" in rehearse(job, {}, NOW).faults[0]


def test_all_that_is_wrong_is_said_at_once() -> None:
    job = unsaved(
        team=None,
        prompt="{{ nobody }}",
        system_prompt="{{",
        zone="Mars/Olympus",
        output_format="json",
        output_schema={"pattern": "a"},
    )

    found = rehearse(job, {"a b": 1}, NOW)

    assert len(found.faults) == 6
    assert found.output == found.prompt == ""


def test_a_parameter_without_a_value_is_a_fault() -> None:
    found = rehearse(unsaved(parameters={}), {}, NOW)

    assert "parameters.who" in found.faults[0]


def test_the_previous_output_is_that_of_the_last_success(make_job: MakeJob) -> None:
    job = make_job(prompt="Since {{ previous.at|date('%H') }}: {{ previous.output }}", now=NOW)
    for hours, status, output in (
        (3, RunStatus.SUCCEEDED, "three"),
        (2, RunStatus.SUCCEEDED, "two"),
        (1, RunStatus.FAILED, ""),
    ):
        slot = NOW - hours * HOUR
        CronRun.objects.create(
            job=job, slot=slot, queued_at=slot, finished_at=slot, status=status, output=output
        )

    assert rehearse(job, {}, NOW).prompt == "Since 06: two"
    assert not ModelCall.objects.exists()


def test_nothing_is_read_for_a_prompt_that_does_not_ask(
    make_job: MakeJob, django_assert_num_queries: Callable[[int], Any]
) -> None:
    job = make_job(prompt="{{ job }} of {{ team }}")

    with django_assert_num_queries(0):
        assert rehearse(job, {}, NOW).prompt == f"{job.name} of Demo"
