from __future__ import annotations

from typing import Any

from django.db import migrations

from governance.ledger.exclusion import own_ledger
from governance.ledger.recounting import recounts


def sum_up_the_ledger(apps: Any, schema_editor: Any) -> None:
    """Give reports the hours, sessions and latencies of the calls that were made before."""
    own_ledger()
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        for recount in recounts(connection.vendor):
            # A process of this version may have begun to count, and the ledger has its calls too.
            cursor.execute(f"DELETE FROM {recount.table}")
            cursor.execute(recount.fill)


class Migration(migrations.Migration):
    """Sums of what was used, from the ledger that is there."""

    dependencies = [("governance", "0006_audit_append_only")]

    operations = [migrations.RunPython(sum_up_the_ledger, migrations.RunPython.noop, elidable=True)]
