import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

RAW, END_RAW = "{% raw %}", "{% endraw %}"


def _carry_over(apps, schema_editor):
    """What is due goes on being due, what is under way has the first of its job's places, and what
    looks like a template, as prompts are from now on, is sent as it was."""
    job, run = apps.get_model("scheduling", "CronJob"), apps.get_model("scheduling", "CronRun")
    job.objects.filter(next_slot__isnull=False).update(due_at=models.F("next_slot"))
    under_way = run.objects.filter(status__in=["queued", "running"])
    under_way.update(lane=0, due_at=models.F("queued_at"), sent_at=models.F("queued_at"))
    for name in ("prompt", "system_prompt"):
        looks_so = models.Q()
        for mark in ("{{", "{%", "{#"):
            looks_so |= models.Q(**{f"{name}__contains": mark})
        for pk, text in job.objects.filter(looks_so).values_list("pk", name).iterator():
            job.objects.filter(pk=pk).update(**{name: f"{RAW}{text}{END_RAW}"})
    # What has ended says when: by that, what is open is found.
    ended = run.objects.filter(finished_at=None).exclude(status__in=["queued", "running"])
    ended.update(finished_at=models.F("queued_at"))


def _carry_back(apps, schema_editor):
    """What was wrapped so as to be sent as it was needs no wrapping before."""
    job = apps.get_model("scheduling", "CronJob")
    for name in ("prompt", "system_prompt"):
        wrapped = job.objects.filter(**{f"{name}__startswith": RAW, f"{name}__endswith": END_RAW})
        for pk, text in wrapped.values_list("pk", name).iterator():
            bare = text.removeprefix(RAW).removesuffix(END_RAW)
            job.objects.filter(pk=pk).update(**{name: bare})


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0010_foreground_first'),
        ('scheduling', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ExclusionCalendar',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('dates', models.JSONField(blank=True, default=list, help_text='Days as 2026-12-25, in order.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'verbose_name': 'exclusion calendar',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='MaintenanceJob',
            fields=[
                ('name', models.SlugField(primary_key=True, serialize=False)),
                ('cron', models.CharField(blank=True, max_length=256, verbose_name='cron expression')),
                ('every_seconds', models.PositiveIntegerField(blank=True, null=True, verbose_name='every')),
                ('enabled', models.BooleanField(default=True)),
                ('paused_reason', models.CharField(blank=True, max_length=200)),
                ('next_at', models.DateTimeField(db_index=True, editable=False, null=True)),
                ('owner', models.UUIDField(editable=False, null=True)),
                ('lease_until', models.DateTimeField(editable=False, null=True)),
                ('last_started_at', models.DateTimeField(editable=False, null=True)),
                ('last_finished_at', models.DateTimeField(editable=False, null=True)),
                ('last_status', models.CharField(blank=True, choices=[('', 'Has not run'), ('ok', 'Done'), ('failed', 'Failed')], default='', editable=False, max_length=16)),
                ('last_result', models.CharField(blank=True, editable=False, max_length=500)),
                ('failures_in_a_row', models.PositiveIntegerField(default=0, editable=False)),
            ],
            options={
                'verbose_name': 'maintenance job',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='RunDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('on', models.CharField(choices=[('success', 'Success'), ('failure', 'Failure'), ('change', 'Change of output'), ('always', 'Every end')], default='failure', max_length=16, verbose_name='after')),
            ],
            options={
                'verbose_name': 'delivery of runs',
                'verbose_name_plural': 'deliveries of runs',
                'ordering': ['pk'],
            },
        ),
        migrations.AddField(
            model_name='cronjob',
            name='backoff_seconds',
            field=models.PositiveSmallIntegerField(db_default=10, default=10, help_text='Seconds before the second attempt; doubled for each one after it.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(60)], verbose_name='first pause'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='catch_up_hours',
            field=models.PositiveSmallIntegerField(db_default=24, default=24, help_text='How long ago these may have been.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(720)]),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='catch_up_limit',
            field=models.PositiveSmallIntegerField(db_default=3, default=3, help_text='How many missed times are caught up with at most.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)]),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='due_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='ends_at',
            field=models.DateTimeField(blank=True, help_text='Not after then.', null=True),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='expected_seconds',
            field=models.PositiveIntegerField(blank=True, help_text='Seconds; a run that takes longer is marked as slow.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3600)], verbose_name='expected to take'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='failures_in_a_row',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='jitter_seconds',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Seconds over which its beginning is spread: the same for each scheduled time.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(3600)], verbose_name='jitter'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='max_attempts',
            field=models.PositiveSmallIntegerField(db_default=1, default=1, help_text='How often a run is tried, where its failure may pass.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(16)], verbose_name='attempts'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='max_parallel',
            field=models.PositiveSmallIntegerField(db_default=2, default=2, help_text='At most, where runs may run beside each other.', validators=[django.core.validators.MinValueValidator(2), django.core.validators.MaxValueValidator(20)], verbose_name='runs at once'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='max_runs',
            field=models.PositiveIntegerField(blank=True, help_text='After so many scheduled runs it is finished.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000000)]),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='max_runtime_seconds',
            field=models.PositiveIntegerField(db_default=600, default=600, help_text='Seconds after which an attempt is given up.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3600)], verbose_name='longest run'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='misfire',
            field=models.CharField(choices=[('skip', 'Skip them'), ('run_once', 'Run once for all'), ('catch_up', 'Catch up'), ('review', 'Ask a person')], db_default='run_once', default='run_once', max_length=16, verbose_name='missed times'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='output_format',
            field=models.CharField(choices=[('text', 'Text'), ('json', 'JSON')], db_default='text', default='text', max_length=8),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='output_schema',
            field=models.JSONField(blank=True, help_text='The JSON schema an answer in JSON must satisfy.', null=True),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='overlap',
            field=models.CharField(choices=[('forbid', 'Skip it'), ('queue_one', 'Let one wait'), ('replace', 'Cancel the one under way'), ('allow', 'Run beside it')], db_default='forbid', default='forbid', max_length=16, verbose_name='while another runs'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='parameters',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, help_text="Values the prompt's template may use, by name."),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='pause_after_failures',
            field=models.PositiveSmallIntegerField(blank=True, help_text='So many in a row.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)], verbose_name='pause after failures'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='retry_unconfirmed',
            field=models.BooleanField(db_default=False, default=False, help_text='Also if the provider may have answered: the prompt may be paid for twice.', verbose_name='retry unconfirmed runs'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='run_count',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='starts_at',
            field=models.DateTimeField(blank=True, help_text='Not before then.', null=True),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='task_class',
            field=models.CharField(choices=[('primary_interactive', 'Primary, interactive'), ('background_automation', 'Background automation'), ('auxiliary_summary', 'Auxiliary: summary'), ('auxiliary_recall', 'Auxiliary: recall'), ('auxiliary_classification', 'Auxiliary: classification'), ('auxiliary_extraction', 'Auxiliary: extraction'), ('auxiliary_vision', 'Auxiliary: vision')], db_default='background_automation', default='background_automation', max_length=32),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='asked',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='prompt as sent'),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='attempt',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text='Attempts begun so far.'),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='attempts',
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='What came of each attempt before the last.'),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='cancel_requested_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='deferrals',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text='How often it was put off because there was no place for its call.'),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='deferred_since',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='due_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='explanation',
            field=models.CharField(blank=True, db_default='', default='', max_length=500, verbose_name='why this model'),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='failure_class',
            field=models.CharField(blank=True, db_default='', default='', max_length=32),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='lane',
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='needs_review',
            field=models.BooleanField(db_default=False, default=False, help_text='A person is to say whether this missed time is made up for.'),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='parameters',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='sent_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='cronrun',
            name='slow',
            field=models.BooleanField(db_default=False, default=False, help_text='It took longer than the job expects.'),
        ),
        migrations.AlterField(
            model_name='cronrun',
            name='missed_before',
            field=models.PositiveIntegerField(default=0, help_text='Scheduled times before this one that have no row of their own.'),
        ),
        migrations.AlterField(
            model_name='cronrun',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('waiting_for_approval', 'Waiting for approval'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('skipped', 'Skipped'), ('missed', 'Missed'), ('cancelled', 'Cancelled'), ('blocked_by_budget', 'Blocked by budget'), ('denied', 'Denied'), ('unconfirmed', 'Unconfirmed')], default='queued', max_length=24),
        ),
        migrations.AlterField(
            model_name='cronrun',
            name='trigger',
            field=models.CharField(choices=[('schedule', 'Schedule'), ('catch_up', 'Catching up'), ('replay', 'Replayed after review'), ('manual', 'Run now')], default='schedule', max_length=16),
        ),
        migrations.AddField(
            model_name='exclusioncalendar',
            name='team',
            field=models.ForeignKey(blank=True, help_text='Whose it is; every team may use it if empty.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='calendars', to='governance.team'),
        ),
        migrations.AddField(
            model_name='cronjob',
            name='calendars',
            field=models.ManyToManyField(blank=True, help_text='It does not run on the days these name.', related_name='jobs', to='scheduling.exclusioncalendar'),
        ),
        migrations.AddField(
            model_name='rundelivery',
            name='channel',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='governance.channel'),
        ),
        migrations.AddField(
            model_name='rundelivery',
            name='job',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='scheduling.cronjob'),
        ),
        migrations.AddConstraint(
            model_name='exclusioncalendar',
            constraint=models.UniqueConstraint(fields=('team', 'name'), name='calendar_name_once_per_team', violation_error_message='The team already has a calendar of that name.'),
        ),
        migrations.AddConstraint(
            model_name='exclusioncalendar',
            constraint=models.UniqueConstraint(condition=models.Q(('team__isnull', True)), fields=('name',), name='calendar_name_once_for_everyone', violation_error_message='There is a calendar of that name for everyone already.'),
        ),
        migrations.AddConstraint(
            model_name='rundelivery',
            constraint=models.UniqueConstraint(fields=('job', 'channel', 'on'), name='run_delivery_once', violation_error_message='The job already has this delivery.'),
        ),
        migrations.RunPython(_carry_over, _carry_back),
    ]
