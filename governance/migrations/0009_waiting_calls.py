from __future__ import annotations

from django.db import migrations, models

from providers.online_indexes import AddIndexOnline


class Migration(migrations.Migration):
    """Calls that wait for approval are few, and are looked for every few seconds."""

    atomic = False

    dependencies = [("governance", "0008_longer_scope_values")]

    operations = [
        AddIndexOnline(
            model_name="modelcall",
            index=models.Index(
                condition=models.Q(("status", "waiting")),
                fields=["admitted_at"],
                name="call_waiting",
            ),
        ),
    ]
