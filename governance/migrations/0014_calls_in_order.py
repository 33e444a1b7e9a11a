"""The console's list of calls, narrowed by anything, is found in the order of an index."""

from __future__ import annotations

from django.db import migrations, models

from governance.models.dearest import DearestIndex
from providers.online_indexes import AddIndexOnline

INDEXES = (
    models.Index(fields=["status", "-admitted_at"], name="call_by_status"),
    models.Index(fields=["model", "-admitted_at"], name="call_by_model"),
    models.Index(fields=["provider", "-admitted_at"], name="call_by_provider"),
    models.Index(fields=["surface", "-admitted_at"], name="call_by_surface"),
    DearestIndex(fields=["-cost", "-id"], name="call_by_cost"),
    models.Index(
        fields=["user", "-admitted_at"],
        name="call_by_person",
        condition=models.Q(user__isnull=False),
    ),
    models.Index(
        fields=["-admitted_at"], name="call_from_cache", condition=models.Q(cached=True)
    ),
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("governance", "0013_prompts_and_answers")]

    operations = [AddIndexOnline(model_name="modelcall", index=index) for index in INDEXES]
