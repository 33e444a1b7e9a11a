from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    name = "scheduling"
    verbose_name = "Scheduling"

    def ready(self) -> None:
        """Have what operators do to scheduled prompts in the audit trail."""
        from governance import audit  # noqa: PLC0415 - after models
        from scheduling.models import DISPATCH_FIELDS, CronJob  # noqa: PLC0415

        audit.track(CronJob, apart_from={*DISPATCH_FIELDS, "revision"})
