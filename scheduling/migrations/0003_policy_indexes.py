from __future__ import annotations

from django.db import migrations, models
from django.utils import timezone

from providers.online_indexes import AddIndexOnline, AddUniqueOnline


def _have_one_active_run_a_job(apps, schema_editor):
    """End what the version before cannot have: of a job's open runs all but the first, and any that
    waits for approval."""
    run = apps.get_model("scheduling", "CronRun").objects.using(schema_editor.connection.alias)
    first = set()
    open_runs = run.filter(status__in=["queued", "running", "waiting_for_approval"])
    for pk, job, status in open_runs.order_by("lane", "slot").values_list("pk", "job", "status"):
        if job in first or status == "waiting_for_approval":
            run.filter(pk=pk).update(
                status="skipped",
                finished_at=timezone.now(),
                reason="Palyra went back to a version that makes one run of a prompt at a time.",
            )
        else:
            first.add(job)


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
            index=models.Index(condition=models.Q(('finished_at', None)), fields=['owner'], name='run_open'),
        ),
        AddIndexOnline(
            model_name='cronrun',
            index=models.Index(condition=models.Q(('finished_at', None)), fields=['job'], name='run_open_of_job'),
        ),
        AddIndexOnline(
            model_name='cronrun',
            index=models.Index(condition=models.Q(('status', 'queued'), ('trigger', 'manual')), fields=['due_at'], name='run_by_person'),
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
        # Last, and so the first thing on the way back.
        migrations.RunPython(migrations.RunPython.noop, _have_one_active_run_a_job),
    ]
