from __future__ import annotations

from django.db import migrations, models

from providers.online_indexes import AddIndexOnline, AddUniqueOnline


class Migration(migrations.Migration):
    """What finds due jobs and open runs, and what keeps a time from having two runs."""

    atomic = False

    dependencies = [("scheduling", "0002_policies")]

    operations = [
        AddIndexOnline(
            model_name='cronrun',
            index=models.Index(condition=models.Q(('status', 'queued')), fields=['due_at'], name='run_queued'),
        ),
        AddIndexOnline(
            model_name='cronrun',
            index=models.Index(condition=models.Q(('status__in', ['running', 'waiting_for_approval'])), fields=['owner'], name='run_open'),
        ),
        AddIndexOnline(
            model_name='cronrun',
            index=models.Index(condition=models.Q(('needs_review', True)), fields=['job'], name='run_review'),
        ),
        AddUniqueOnline(
            model_name='cronrun',
            constraint=models.UniqueConstraint(condition=models.Q(('trigger', 'manual'), _negated=True), fields=('job', 'slot'), name='run_once_per_slot'),
        ),
        AddUniqueOnline(
            model_name='cronrun',
            constraint=models.UniqueConstraint(condition=models.Q(('lane__isnull', False), ('status__in', ['queued', 'running', 'waiting_for_approval'])), fields=('job', 'lane'), name='run_one_per_lane'),
        ),
        AddUniqueOnline(
            model_name='cronrun',
            constraint=models.UniqueConstraint(condition=models.Q(('lane__isnull', True), ('status', 'queued'), ('trigger', 'schedule')), fields=('job',), name='run_one_waiting_per_job'),
        ),
        AddIndexOnline(
            model_name='cronjob',
            index=models.Index(condition=models.Q(('enabled', True)), fields=['due_at'], name='job_due_at'),
        ),
        migrations.RemoveConstraint(
            model_name='cronrun',
            name='run_once_per_scheduled_time',
        ),
        migrations.RemoveConstraint(
            model_name='cronrun',
            name='run_one_active_per_job',
        ),
        migrations.RemoveIndex(
            model_name='cronjob',
            name='job_due',
        ),
    ]
