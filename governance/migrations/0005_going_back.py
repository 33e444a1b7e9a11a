from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.models import Q


def drop_what_the_version_before_cannot_say(apps: Any, schema_editor: Any) -> None:
    """Leave what that version understands: of anything else it would read something wrong."""
    policies = apps.get_model("governance", "BudgetPolicy").objects
    unknown = policies.exclude(
        scope__in=["global", "team"],
        metric__in=["cost", "tokens", "requests"],
        interval__in=["day", "month", "total"],
        rolling=False,
    )
    gone = list(unknown.values_list("pk", flat=True))
    approvals = apps.get_model("governance", "Approval").objects
    approvals.filter(
        Q(policy_id__in=gone) | Q(requested_by__isnull=True) | ~Q(until="reset")
    ).delete()
    apps.get_model("governance", "BudgetWindow").objects.filter(policy_id__in=gone).delete()
    # What refers to them is gone, so nothing is left to be collected.
    policies.filter(pk__in=gone)._raw_delete(schema_editor.connection.alias)
    calls = apps.get_model("governance", "ModelCall").objects
    calls.filter(status__in=["waiting", "denied"]).update(status="blocked")


class Migration(migrations.Migration):
    """On the way back only; apart from the tables' own steps, which must find nothing pending."""

    dependencies = [("governance", "0004_call_indexes")]

    operations = [
        migrations.RunPython(
            migrations.RunPython.noop, drop_what_the_version_before_cannot_say, elidable=True
        )
    ]
