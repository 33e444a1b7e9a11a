from __future__ import annotations

from django.db import migrations, models

from providers.online_indexes import AddIndexOnline


class Migration(migrations.Migration):
    """What finds the jobs that could not be dispatched and are to be tried again."""

    atomic = False

    dependencies = [("scheduling", "0003_policy_indexes")]

    operations = [
        AddIndexOnline(
            model_name="cronjob",
            index=models.Index(
                condition=models.Q(("retry_at__isnull", False)),
                fields=["retry_at"],
                name="job_set_aside",
            ),
        ),
    ]
