from __future__ import annotations

from django.db import migrations

from governance.audit.append_only import set_triggers, take_triggers_away


class Migration(migrations.Migration):
    """Have the database refuse to change or delete an entry of the audit trail."""

    dependencies = [("governance", "0005_going_back")]

    operations = [migrations.RunPython(set_triggers, take_triggers_away)]
