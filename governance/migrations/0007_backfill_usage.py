from __future__ import annotations

from typing import Any

from django.db import migrations, models

from governance.ledger.exclusion import own_ledger
from governance.ledger.recounting import recounts


def sum_up_the_ledger(apps: Any, schema_editor: Any) -> None:
    """Give reports the sums of the calls that were made before."""
    own_ledger()
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        for recount in recounts(connection.vendor):
            # A process of this version may have begun to count, and the ledger has its calls too.
            cursor.execute(f"DELETE FROM {recount.table}")
            cursor.execute(recount.fill)


class Migration(migrations.Migration):
    """Sums of what was used by the day as well, and all of them from the ledger that is there."""

    dependencies = [("governance", "0006_audit_append_only")]

    operations = [
        migrations.CreateModel(
            name='UsageDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('calls', models.BigIntegerField(default=0)),
                ('succeeded', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('cancelled', models.BigIntegerField(default=0)),
                ('blocked', models.BigIntegerField(default=0)),
                ('denied', models.BigIntegerField(default=0)),
                ('unconfirmed', models.BigIntegerField(default=0)),
                ('unpriced', models.BigIntegerField(default=0)),
                ('cached', models.BigIntegerField(default=0)),
                ('requests', models.BigIntegerField(default=0)),
                ('uncached_input_tokens', models.BigIntegerField(default=0)),
                ('cache_read_tokens', models.BigIntegerField(default=0)),
                ('cache_write_5m_tokens', models.BigIntegerField(default=0)),
                ('cache_write_1h_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField(default=0)),
                ('cost', models.BigIntegerField(default=0)),
                ('overrun', models.BigIntegerField(default=0)),
                ('savings', models.BigIntegerField(default=0)),
                ('saved', models.BigIntegerField(default=0)),
                ('team_id', models.BigIntegerField()),
                ('api_key_id', models.BigIntegerField(default=0)),
                ('user_id', models.BigIntegerField(default=0)),
                ('job', models.CharField(blank=True, default='', max_length=36)),
                ('provider', models.CharField(blank=True, default='', max_length=50)),
                ('model', models.CharField(blank=True, default='', max_length=200)),
                ('task_class', models.CharField(max_length=32)),
                ('routing_mode', models.CharField(max_length=16)),
                ('day', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['team_id', 'day'], name='usage_day_by_team')],
                'constraints': [models.UniqueConstraint(fields=('day', 'team_id', 'api_key_id', 'user_id', 'job', 'provider', 'model', 'task_class', 'routing_mode'), name='usage_day_once')],
            },
        ),
        migrations.RunPython(sum_up_the_ledger, migrations.RunPython.noop, elidable=True),
    ]
