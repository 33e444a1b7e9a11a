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
from scheduling import asking, outputs, prompts
from scheduling.models import CronJob

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
    try:
        asked = asking.ask(job, scheduled_at=now, now=now, parameters=parameters)
    except prompts.PromptFault as unusable:
        return Rehearsal(faults=(str(unusable),))
    told = outputs.messages(
        asked.system_prompt,
        asked.prompt,
        output_format=job.output_format,
        schema=job.output_schema,
        held=True,
    )
    said = {message["role"]: message["content"] for message in told}
    answer, fault = _answer(job, told)
    return Rehearsal(
        system_prompt=said.get("system", ""),
        prompt=said.get("user", ""),
        output=answer,
        faults=(fault,) if fault else (),
    )


def _faults(job: CronJob, parameters: Mapping[str, Any]) -> list[str]:
    found = [*prompts.parameter_faults(job.parameters), *prompts.parameter_faults(parameters)]
    found += [*prompts.faults(job.system_prompt), *prompts.faults(job.prompt)]
    if not job.prompt.strip():
        found.append("Write what the model is to be asked.")
    try:
        zone(job.zone)
    except ValueError as error:
        found.append(str(error))
    if job.output_format == outputs.JSON and job.output_schema is not None:
        found += outputs.schema_faults(job.output_schema)
    return found


def _answer(job: CronJob, told: list[dict[str, str]]) -> tuple[str, str]:
    """What the deterministic provider says, and what is wrong with it."""
    body: dict[str, Any] = {"messages": told}
    wanted = outputs.response_format(job.output_format, job.output_schema)
    if wanted:
        body["response_format"] = wanted
    request = ChatRequest(
        model=MODEL, body=body, output_cap=job.max_output_tokens or LONGEST_ANSWER
    )
    text = answer_text(chat.answer(request, digest_of(request)).body)
    try:
        kept = outputs.check(text, output_format=job.output_format, schema=job.output_schema)
    except outputs.OutputFault as unfit:
        return text, str(unfit)
    return kept, ""
