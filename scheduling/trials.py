"""Rehearsing a scheduled prompt: what would be asked, and an answer that costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.zones import zone
from providers.adapters.deterministic import chat
from providers.adapters.deterministic.rehearsal import digest_of
from providers.models import ModelRole, ProviderKind
from providers.registry import ModelEntry, ProviderEntry
from providers.requests import ChatRequest, answer_text
from scheduling import calling, outputs, prompts
from scheduling.models import CronJob, CronRun, OutputFormat, RunTrigger

LONGEST_ANSWER = 4096
# Nobody's provider: nothing is looked up, sent, or entered in the ledger.
NOBODY = ProviderEntry(
    id=0, name="rehearsal", display_name="Rehearsal", kind=ProviderKind.DETERMINISTIC.value
)
MODEL = ModelEntry(
    id=0,
    provider=NOBODY,
    name="rehearsal",
    upstream_name="rehearsal",
    role=ModelRole.CHAT.value,
    context_window=1_000_000,
    max_output_tokens=LONGEST_ANSWER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The prompts as they would be sent, and a made-up answer as it would be kept.

    `faults` says in sentences why there is no answer, or why it would not do.
    """

    system_prompt: str = ""
    prompt: str = ""
    output: str = ""
    faults: tuple[str, ...] = ()


def rehearse(job: CronJob, parameters: Mapping[str, Any], now: datetime) -> Rehearsal:
    """Go through a run of the job, stored or not, as if it were due now, and spend nothing."""
    found = _faults(job, parameters)
    if found:
        return Rehearsal(faults=tuple(dict.fromkeys(found)))
    run = CronRun(job=job, slot=now, trigger=RunTrigger.MANUAL, parameters=dict(parameters))
    prepared = calling.prepare(run, now=now)
    if prepared.request is None:
        return Rehearsal(faults=(prepared.fault,))
    body = prepared.request.body
    said = {message["role"]: message["content"] for message in body["messages"]}
    attempt = calling.answered(run, _answer(body, job.max_output_tokens or LONGEST_ANSWER), {})
    return Rehearsal(
        system_prompt=said.get("system", ""),
        prompt=said.get("user", ""),
        output=attempt.columns["output"],
        faults=(attempt.reason,) if attempt.reason else (),
    )


def _faults(job: CronJob, parameters: Mapping[str, Any]) -> list[str]:
    found = [*prompts.parameter_faults(job.parameters), *prompts.parameter_faults(parameters)]
    found += [*prompts.faults(job.system_prompt), *prompts.faults(job.prompt)]
    if job.team_id is None:
        found.append("Say which team it is for.")
    if not job.prompt.strip():
        found.append("Write what the model is to be asked.")
    try:
        zone(job.zone)
    except ValueError as error:
        found.append(str(error))
    if job.output_format == OutputFormat.JSON and job.output_schema is not None:
        found += outputs.schema_faults(job.output_schema)
    return found


def _answer(body: dict[str, Any], output_cap: int) -> str:
    """What the deterministic provider says."""
    request = ChatRequest(model=MODEL, body=body, output_cap=output_cap)
    return answer_text(chat.answer(request, digest_of(request)).body)
