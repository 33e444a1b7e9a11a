"""Runs of scheduled prompts in the console."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from governance.admin.periods import PeriodFilter
from governance.display import dollars
from providers.admin.base import ReadOnlyAdmin
from providers.display import (
    NOTHING,
    duration,
    moment,
    muted,
    number,
    object_link,
    preformatted,
    two_lines,
)
from scheduling.display import lag, run_status, took, zone_of
from scheduling.models import CronRun


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
    list_filter = (SlotFilter, "status", "trigger", "job__team", "job")
    search_fields = ("job__name", "job__team__name", "reason")
    search_help_text = "Prompt, team or reason"
    list_select_related = ("job__team",)
    empty_text = "Runs appear here as soon as a scheduled prompt is due."
    empty_action = ("admin:scheduling_cronjob_changelist", "See scheduled prompts")
    readonly_fields = (
        "of_job",
        "why",
        "state",
        "reason",
        "scheduled",
        "queued",
        "started",
        "finished",
        "amount_lag",
        "amount_took",
        "missed",
        "model_used",
        "tokens_in",
        "tokens_out",
        "amount_cost",
        "ledger_call",
        "answer",
    )
    fieldsets = (
        (None, {"fields": ("of_job", "why", "state", "reason", "missed")}),
        (
            "Times",
            {
                "fields": (
                    "scheduled",
                    "queued",
                    "started",
                    "finished",
                    "amount_lag",
                    "amount_took",
                )
            },
        ),
        (
            "Used",
            {"fields": ("model_used", "tokens_in", "tokens_out", "amount_cost", "ledger_call")},
        ),
        ("Output", {"fields": ("answer",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronRun]:
        runs: QuerySet[CronRun] = super().get_queryset(request)
        match = request.resolver_match
        one = match is not None and "object_id" in match.kwargs
        return runs.select_related("job__team") if one else runs.defer("output")

    @admin.display(description="scheduled", ordering="slot")
    def scheduled(self, run: CronRun) -> str:
        return moment(run.slot, zone_of(run.job))

    @admin.display(description="prompt", ordering="job__name")
    def of_job(self, run: CronRun) -> str:
        name = object_link("scheduling_cronjob", run.job_id, run.job.name)
        return two_lines(name, muted(run.job.team))

    @admin.display(description="started by")
    def why(self, run: CronRun) -> str:
        return run.get_trigger_display()

    @admin.display(description="status", ordering="status")
    def state(self, run: CronRun) -> str:
        return run_status(run)

    @admin.display(description="queued", ordering="queued_at")
    def queued(self, run: CronRun) -> str:
        return moment(run.queued_at, zone_of(run.job))

    @admin.display(description="started")
    def started(self, run: CronRun) -> str:
        return moment(run.started_at, zone_of(run.job))

    @admin.display(description="finished")
    def finished(self, run: CronRun) -> str:
        return moment(run.finished_at, zone_of(run.job))

    @admin.display(description="lag")
    def amount_lag(self, run: CronRun) -> str:
        seconds = lag(run)
        return NOTHING if seconds is None else duration(max(seconds, 0))

    @admin.display(description="took")
    def amount_took(self, run: CronRun) -> str:
        seconds = took(run)
        return NOTHING if seconds is None else duration(seconds)

    @admin.display(description="missed before it")
    def missed(self, run: CronRun) -> str:
        if not run.missed_before:
            return "Nothing"
        times = "time" if run.missed_before == 1 else "times"
        return f"{run.missed_before:,} scheduled {times}, when no scheduler was running"

    @admin.display(description="model")
    def model_used(self, run: CronRun) -> str:
        return run.model or NOTHING

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
