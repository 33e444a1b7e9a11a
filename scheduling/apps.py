from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    name = "scheduling"
    verbose_name = "Scheduling"

    def ready(self) -> None:
        """Have what operators do to scheduled prompts in the audit trail, and let budgets ask what
        they are called."""
        from governance import audit, scope_names  # noqa: PLC0415 - after models
        from scheduling.job_book import ScheduledJobs  # noqa: PLC0415
        from scheduling.models import DISPATCH_FIELDS, CronJob  # noqa: PLC0415

        scope_names.register_job_book(ScheduledJobs())
        audit.track(CronJob, apart_from={*DISPATCH_FIELDS, "revision"})
