"""Runs of scheduled prompts in the console."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from governance.admin.call_links import calls_links
from governance.admin.periods import PeriodFilter
from governance.display import delivery_badge, dollars
from providers.admin.actions import object_action
from providers.admin.base import ObjectLink, ReadOnlyAdmin
from providers.display import (
    NOTHING,
    badge,
    duration,
    moment,
    muted,
    number,
    object_link,
    preformatted,
    two_lines,
)
from scheduling import handling
from scheduling.display import (
    RUN_TONES,
    can_cancel,
    lag,
    run_notes,
    run_status,
    slot_moment,
    took,
    zone_of,
)
from scheduling.forms import CancelForm
from scheduling.models import CronRun
from scheduling.run_story import (
    Attempt,
    approvals_of,
    attempts_of,
    cancelled_words,
    messages_of,
)

ATTEMPT_COLUMNS = ("Attempt", "Began", "What came of it", "Model", "Cost")


class SlotFilter(PeriodFilter):
    """By the day of the scheduled time."""

    field = "slot"


@admin.register(CronRun)
class CronRunAdmin(ReadOnlyAdmin):
    """Each firing: when it was due and when it began, how it ended, what it used and answered."""

    list_display = (
        "scheduled",
        "of_job",
        "state",
        "amount_lag",
        "amount_took",
        "amount_tokens",
        "amount_cost",
        "model",
    )
    list_filter = (SlotFilter, "status", "needs_review", "slow", "trigger", "job__team", "job")
    search_fields = ("job__name", "job__team__name", "reason")
    search_help_text = "Prompt, team or reason"
    list_select_related = ("job__team",)
    empty_text = "Runs appear here as soon as a scheduled prompt is due."
    empty_action = ("admin:scheduling_cronjob_changelist", "See scheduled prompts")
    object_actions = ("run_again", "cancel")
    parts = (
        (None, ("of_job", "why", "state", "reason", "missed", "approvals")),
        (
            "Times",
            (
                "scheduled",
                "due",
                "queued",
                "started",
                "finished",
                "amount_lag",
                "amount_took",
                "deferred",
            ),
        ),
        ("Attempts", ("attempt_number", "earlier")),
        (
            "Used",
            (
                "model_used",
                "explanation",
                "tokens_in",
                "tokens_out",
                "amount_cost",
                "ledger_call",
            ),
        ),
        ("Asked", ("prompt_sent", "given_parameters")),
        ("Output", ("answer",)),
        ("Told", ("told",)),
    )
    fieldsets = tuple((title, {"fields": names}) for title, names in parts)
    readonly_fields = tuple(name for _, names in parts for name in names)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronRun]:
        runs: QuerySet[CronRun] = super().get_queryset(request)
        match = request.resolver_match
        one = match is not None and "object_id" in match.kwargs
        # Long texts are for the page of one run.
        return runs.select_related("job__team") if one else runs.defer("output", "asked")

    def has_cancel_permission(self, request: HttpRequest, obj: CronRun | None = None) -> bool:
        return request.user.has_perm("scheduling.change_cronjob")

    def object_links(self, request: HttpRequest, obj: CronRun) -> list[ObjectLink]:
        return calls_links(request, q=obj.pk)

    def object_note(self, request: HttpRequest, obj: CronRun) -> str:
        if obj.needs_review:
            return "A person is to decide whether it is made up for: see its scheduled prompt."
        if obj.cancel_requested_at and obj.finished_at is None:
            return "It is being cancelled."
        return ""

    @object_action(
        label="Run again",
        permission="cancel",
        icon="replay",
        consequence="The prompt is sent now, as it is written now, with this run's parameters.",
        applies=handling.can_run_again,
    )
    def run_again(self, _request: HttpRequest, run: CronRun, _data: Any) -> SafeString:
        queued = handling.run_again(run, now=timezone.now())
        return format_html(
            "It is queued to run now: {}", object_link("scheduling_cronrun", queued.pk, queued)
        )

    @object_action(
        label="Cancel",
        permission="cancel",
        icon="cancel",
        tone="danger",
        consequence="A call under way is broken off, and charged as far as it got. The schedule "
        "stays as it is.",
        form_class=CancelForm,
        applies=can_cancel,
    )
    def cancel(self, _request: HttpRequest, run: CronRun, data: dict[str, Any]) -> str:
        cancelled = handling.cancel(run, now=timezone.now(), reason=data["reason"])
        return cancelled_words(cancelled, f"The run of {run}")

    @admin.display(description="scheduled", ordering="slot")
    def scheduled(self, run: CronRun) -> str:
        return slot_moment(run.slot, zone_of(run.job))

    @admin.display(description="prompt", ordering="job__name")
    def of_job(self, run: CronRun) -> str:
        name = object_link("scheduling_cronjob", run.job_id, run.job.name)
        return two_lines(name, muted(run.job.team))

    @admin.display(description="started by")
    def why(self, run: CronRun) -> str:
        return run.get_trigger_display()

    @admin.display(description="status", ordering="status")
    def state(self, run: CronRun) -> str:
        notes = ", ".join(run_notes(run))
        return two_lines(run_status(run), muted(notes)) if notes else run_status(run)

    @admin.display(description="requests for more budget")
    def approvals(self, run: CronRun) -> str:
        found = approvals_of(run)
        links = (
            (object_link("governance_approval", one.pk, one.policy), one.get_status_display())
            for one in found
        )
        return format_html_join(", ", "{} ({})", links) or "No request"

    @admin.display(description="due")
    def due(self, run: CronRun) -> str:
        return slot_moment(run.due_at, zone_of(run.job))

    @admin.display(description="queued", ordering="queued_at")
    def queued(self, run: CronRun) -> str:
        return moment(run.queued_at, zone_of(run.job), precision="millisecond")

    @admin.display(description="started")
    def started(self, run: CronRun) -> str:
        return moment(run.started_at, zone_of(run.job), precision="millisecond")

    @admin.display(description="finished")
    def finished(self, run: CronRun) -> str:
        return moment(run.finished_at, zone_of(run.job), precision="millisecond")

    @admin.display(description="lag")
    def amount_lag(self, run: CronRun) -> str:
        seconds = lag(run)
        return NOTHING if seconds is None else duration(max(seconds, 0))

    @admin.display(description="put off")
    def deferred(self, run: CronRun) -> str:
        if not run.deferrals:
            return "Never"
        times = "time" if run.deferrals == 1 else "times"
        return f"{run.deferrals:,} {times}, for want of a place for its call"

    @admin.display(description="attempts begun")
    def attempt_number(self, run: CronRun) -> str:
        return number(run.attempt)

    @admin.display(description="earlier attempts")
    def earlier(self, run: CronRun) -> str:
        rows = [_attempt_row(one, zone_of(run.job)) for one in attempts_of(run)]
        if not rows:
            return "No earlier attempt"
        return format_html(
            '<div class="palyra-scroll" tabindex="0" role="region" aria-label="Earlier attempts">'
            '<table class="palyra-table"><thead><tr>{}</tr></thead>'
            "<tbody>{}</tbody></table></div>",
            format_html_join("", '<th scope="col">{}</th>', ((one,) for one in ATTEMPT_COLUMNS)),
            format_html_join(
                "",
                '<tr><th scope="row">{}</th><td>{}</td><td class="palyra-said">{}</td>'
                '<td>{}</td><td class="palyra-number">{}</td></tr>',
                rows,
            ),
        )

    @admin.display(description="took")
    def amount_took(self, run: CronRun) -> str:
        seconds = took(run)
        said = NOTHING if seconds is None else duration(seconds)
        return two_lines(said, badge("slow", "warning")) if run.slow else said

    @admin.display(description="missed before it")
    def missed(self, run: CronRun) -> str:
        if not run.missed_before:
            return "Nothing"
        times = "time" if run.missed_before == 1 else "times"
        return f"{run.missed_before:,} scheduled {times}, when no scheduler was running"

    @admin.display(description="model")
    def model_used(self, run: CronRun) -> str:
        return run.model or NOTHING

    @admin.display(description="why this model")
    def explanation(self, run: CronRun) -> str:
        return run.explanation or NOTHING

    @admin.display(description="prompt as it was sent")
    def prompt_sent(self, run: CronRun) -> str:
        return preformatted(run.asked)

    @admin.display(description="parameters of this run")
    def given_parameters(self, run: CronRun) -> str:
        if not run.parameters:
            return "The prompt's own"
        return preformatted(json.dumps(run.parameters, indent=2, ensure_ascii=False))

    @admin.display(description="messages")
    def told(self, run: CronRun) -> str:
        links = (
            (object_link("governance_delivery", one.pk, one.channel), delivery_badge(one))
            for one in messages_of(run)
        )
        return format_html_join("", "<div>{} {}</div>", links) or "Nobody"

    @admin.display(description="input tokens")
    def tokens_in(self, run: CronRun) -> str:
        return number(run.input_tokens)

    @admin.display(description="output tokens")
    def tokens_out(self, run: CronRun) -> str:
        return number(run.output_tokens)

    @admin.display(description="tokens")
    def amount_tokens(self, run: CronRun) -> str:
        return number(run.total_tokens)

    @admin.display(description="cost", ordering="cost")
    def amount_cost(self, run: CronRun) -> str:
        return dollars(run.cost)

    @admin.display(description="in the ledger")
    def ledger_call(self, run: CronRun) -> Any:
        if run.call_id is None:
            return "No call was made"
        return object_link("governance_modelcall", run.call_id, run.call_id)

    @admin.display(description="output")
    def answer(self, run: CronRun) -> str:
        return preformatted(run.output)


def _attempt_row(attempt: Attempt, where: ZoneInfo) -> tuple[Any, ...]:
    """An attempt as a row of `ATTEMPT_COLUMNS`."""
    status = badge(attempt.status_words, RUN_TONES.get(attempt.status, "quiet"))
    return (
        attempt.number,
        moment(attempt.started_at, where, precision="millisecond"),
        two_lines(status, attempt.reason),
        attempt.model or NOTHING,
        dollars(attempt.cost),
    )
