from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    name = "scheduling"
    verbose_name = "Scheduling"

    def ready(self) -> None:
        """Have what operators do to scheduled prompts in the audit trail, let budgets ask what they
        are called, and have calls that were kept made by the workers."""
        from governance import audit, kept_calls, scope_names  # noqa: PLC0415 - after models
        from providers.used_by import register_use_finder  # noqa: PLC0415
        from scheduling.job_book import ScheduledJobs  # noqa: PLC0415
        from scheduling.messages import tell_of_kept_call  # noqa: PLC0415
        from scheduling.models import (  # noqa: PLC0415
            DISPATCH_FIELDS,
            CronJob,
            ExclusionCalendar,
            MaintenanceJob,
            RunDelivery,
        )
        from scheduling.provider_uses import SchedulingUses  # noqa: PLC0415

        kept_calls.register_teller(tell_of_kept_call)
        scope_names.register_job_book(ScheduledJobs())
        register_use_finder(SchedulingUses())
        operated = ("cron", "every_seconds", "enabled", "paused_reason")
        audit.track(MaintenanceJob, *operated, by_people_only=True)
        own = {*DISPATCH_FIELDS, "revision"}
        audit.track(CronJob, apart_from=own, with_lists=["calendars"])
        audit.track(RunDelivery, team_of=lambda wish: wish.job.team_id)
        audit.track(ExclusionCalendar)
