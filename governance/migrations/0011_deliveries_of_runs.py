"""Deliveries tell of runs too, to chats and in the console; channels so far go on with alerts.

Deliveries have been of alerts alone, so their table is small: its indexes take no time to build.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q


def _switch_off(apps, schema_editor):
    """What the version before knows nothing of would be sent what it is not for."""
    channels = apps.get_model("governance", "Channel").objects
    new = Q(kind="console") | Q(purpose="runs") | ~Q(format="standard")
    channels.filter(new).update(enabled=False)
    channels.filter(kind="console").update(kind="webhook")


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0010_foreground_first'),
        ('providers', '0004_credential_column'),
    ]

    operations = [
        migrations.AddField(
            model_name='channel',
            name='address',
            field=models.ForeignKey(blank=True, help_text="The whole address of a chat's webhook.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='providers.secret'),
        ),
        migrations.AddField(
            model_name='channel',
            name='format',
            field=models.CharField(choices=[('standard', 'Signed JSON'), ('slack', 'Slack'), ('teams', 'Microsoft Teams'), ('discord', 'Discord')], db_default='standard', default='standard', help_text='Of a webhook: JSON that is signed, or messages as a chat takes them.', max_length=16),
        ),
        # Nobody has said of the channels there are that teams may use them for their runs.
        migrations.AddField(
            model_name='channel',
            name='purpose',
            field=models.CharField(choices=[('alerts', 'Alerts'), ('runs', 'Runs of scheduled prompts'), ('both', 'Alerts and runs')], db_default='alerts', default='alerts', help_text='Runs are told of where a scheduled prompt asks for it.', max_length=16, verbose_name='told of'),
        ),
        migrations.AlterField(
            model_name='channel',
            name='purpose',
            field=models.CharField(choices=[('alerts', 'Alerts'), ('runs', 'Runs of scheduled prompts'), ('both', 'Alerts and runs')], db_default='both', default='both', help_text='Runs are told of where a scheduled prompt asks for it.', max_length=16, verbose_name='told of'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='run_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='delivery',
            name='team',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='governance.team'),
        ),
        migrations.AlterField(
            model_name='channel',
            name='kind',
            field=models.CharField(choices=[('email', 'E-mail'), ('webhook', 'Webhook'), ('console', 'In the console')], default='webhook', max_length=16),
        ),
        migrations.AlterField(
            model_name='channel',
            name='team',
            field=models.ForeignKey(blank=True, help_text="Only that team's alerts and runs; empty for all.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name='channels', to='governance.team'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['-created_at'], name='delivery_latest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('team__isnull', False)), fields=['team', '-created_at'], name='delivery_of_team'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('run_id__isnull', False)), fields=['run_id'], name='delivery_of_run'),
        ),
        migrations.RunPython(migrations.RunPython.noop, _switch_off, elidable=True),
    ]
