"""The processes that are alive, in the console."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import admin
from django.utils import timezone

from governance.models import ProcessHeartbeat
from providers.admin.base import ReadOnlyAdmin
from providers.display import badge, distance, moment, muted, two_lines


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(ReadOnlyAdmin):
    """Each process beats every few seconds; what a silent one held is settled by the sweeper."""

    list_display = ("what", "host", "amount_pid", "seen", "state", "started")
    list_filter = ("role",)
    search_fields = ("host", "role")
    search_help_text = "Host or role"
    list_display_links = None
    fields = readonly_fields = list_display
    empty_text = "No process has reported. Start Palyra with “palyra up”."
    empty_action = ("admin:index", "Go to the overview")

    @admin.display(description="process", ordering="role")
    def what(self, process: ProcessHeartbeat) -> str:
        return process.role.capitalize()

    @admin.display(description="process number", ordering="pid")
    def amount_pid(self, process: ProcessHeartbeat) -> str:
        return str(process.pid)

    @admin.display(description="heard of", ordering="seen_at")
    def seen(self, process: ProcessHeartbeat) -> str:
        return two_lines(moment(process.seen_at), muted(distance(process.seen_at, timezone.now())))

    @admin.display(description="state")
    def state(self, process: ProcessHeartbeat) -> str:
        silent_since = timezone.now() - timedelta(seconds=settings.PALYRA_OWNER_TIMEOUT)
        return badge("Alive", "good") if process.seen_at > silent_since else badge("Silent", "bad")

    @admin.display(description="started", ordering="started_at")
    def started(self, process: ProcessHeartbeat) -> str:
        return moment(process.started_at)
