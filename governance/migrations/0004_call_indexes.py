from __future__ import annotations

from django.db import migrations, models

from providers.online_indexes import AddIndexOnline


class Migration(migrations.Migration):
    """Windows of a session or a job open by looking its calls up in the ledger."""

    atomic = False

    dependencies = [("governance", "0003_budgets_that_hold")]

    operations = [
        AddIndexOnline(
            model_name="modelcall",
            index=models.Index(
                condition=models.Q(("session", ""), _negated=True),
                fields=["session", "-admitted_at"],
                name="call_by_session",
            ),
        ),
        AddIndexOnline(
            model_name="modelcall",
            index=models.Index(
                condition=models.Q(("job_id__isnull", False)),
                fields=["job_id", "-admitted_at"],
                name="call_by_job",
            ),
        ),
    ]
