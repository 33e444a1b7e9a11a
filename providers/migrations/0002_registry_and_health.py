import django.core.validators
import django.db.models.deletion
import providers.models.catalogue
import providers.references
from django.db import migrations, models


class Migration(migrations.Migration):
    """New columns and tables. A limit is added without its default, which is for new providers only:
    an upgrade throttles nobody. Rows are filled in by 0003, and the old column goes in 0004, because
    PostgreSQL alters no table whose rows the same transaction has changed.
    """

    dependencies = [
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Breaker',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('closed', 'Closed'), ('open', 'Open'), ('half_open', 'Half open')], default='closed', max_length=16)),
                ('failures', models.PositiveIntegerField(default=0, help_text='Failures in a row.')),
                ('opened_at', models.DateTimeField(null=True)),
                ('retry_at', models.DateTimeField(help_text='When a probe may go through.', null=True)),
                ('probe', models.UUIDField(help_text='The probe under way.', null=True)),
                ('probe_expires_at', models.DateTimeField(null=True)),
                ('failure_class', models.CharField(blank=True, max_length=32)),
                ('message', models.CharField(blank=True, max_length=500)),
                ('tripped_by', models.CharField(blank=True, help_text='Who tripped it by hand.', max_length=150)),
                ('revision', models.PositiveBigIntegerField(default=0)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['provider__name', 'credential__position'],
            },
        ),
        migrations.CreateModel(
            name='Credential',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField(default=0, help_text='The lowest is tried first.')),
                ('enabled', models.BooleanField(default=True)),
            ],
            options={
                'ordering': ['provider__name', 'position', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='DiscoveryListing',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fetched_at', models.DateTimeField()),
                ('models_json', models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name='FailoverPolicy',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('enabled', models.BooleanField(default=True, help_text='Go on at another provider that has a compatible model.')),
                ('pinned', models.BooleanField(default=False, help_text='Go on at another model even where the caller named one.', verbose_name='also where a model was named')),
            ],
            options={
                'verbose_name': 'failover policy',
                'verbose_name_plural': 'failover policy',
            },
        ),
        migrations.CreateModel(
            name='ProviderMetric',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=200)),
                ('hour', models.DateTimeField()),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('failures', models.JSONField(default=dict, help_text='How many, by failure class.')),
                ('latency', models.JSONField(default=dict, help_text="Answered attempts by latency's bucket.")),
                ('first_token', models.JSONField(default=dict, help_text="Streams by first token's bucket.")),
                ('output_tokens', models.PositiveBigIntegerField(default=0)),
                ('answering_ms', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'ordering': ['-hour', 'provider__name', 'model'],
            },
        ),
        migrations.CreateModel(
            name='ProviderProbe',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('claimed_at', models.DateTimeField(null=True)),
                ('checked_at', models.DateTimeField(null=True)),
                ('ok', models.BooleanField(default=False)),
                ('latency_ms', models.PositiveIntegerField(null=True)),
                ('failure_class', models.CharField(blank=True, max_length=32)),
                ('message', models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.AddField(
            model_name='provider',
            name='allow_private_base_url',
            field=models.BooleanField(default=False, help_text='Let the base URL lead to this machine or a private network, as for Ollama.', verbose_name='allow private addresses'),
        ),
        migrations.AddField(
            model_name='provider',
            name='breaker_cooldown',
            field=models.FloatField(default=30.0, help_text='Seconds until one call is let through to see whether it is well again.', validators=[django.core.validators.MinValueValidator(0.1), django.core.validators.MaxValueValidator(3600)]),
        ),
        migrations.AddField(
            model_name='provider',
            name='breaker_threshold',
            field=models.PositiveSmallIntegerField(default=3, help_text='Failures in a row that stop calls for a while.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)]),
        ),
        migrations.AddField(
            model_name='provider',
            name='cache_seconds',
            field=models.PositiveIntegerField(default=30, help_text="Seconds in which the same team's same question gets the same answer; 0 never.", validators=[django.core.validators.MaxValueValidator(86400)], verbose_name='answers kept for'),
        ),
        migrations.AddField(
            model_name='provider',
            name='concurrency_limit',
            field=models.PositiveIntegerField(blank=True, help_text='Calls under way at once, over all processes; empty for no limit.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)]),
        ),
        migrations.AddField(
            model_name='provider',
            name='credential_concurrency_limit',
            field=models.PositiveIntegerField(blank=True, help_text='Calls under way at once with each credential; empty for no limit.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)], verbose_name='concurrency limit per credential'),
        ),
        migrations.AddField(
            model_name='provider',
            name='first_token_timeout',
            field=models.FloatField(default=30.0, help_text='Seconds a streamed answer may take to begin.', validators=[django.core.validators.MinValueValidator(0.1), django.core.validators.MaxValueValidator(900)]),
        ),
        migrations.AddField(
            model_name='provider',
            name='max_retries',
            field=models.PositiveSmallIntegerField(default=2, help_text='How often a failed attempt is repeated here before another provider is tried.', validators=[django.core.validators.MaxValueValidator(10)]),
        ),
        migrations.AddField(
            model_name='provider',
            name='output_cap_field',
            field=models.CharField(blank=True, choices=[('max_tokens', 'max_tokens'), ('max_completion_tokens', 'max_completion_tokens')], help_text="The field this host obeys as the output's limit; empty to go by its address.", max_length=32),
        ),
        migrations.AddField(
            model_name='provider',
            name='rehearsal_failure_class',
            field=models.CharField(choices=[('auth_invalid', 'Auth invalid'), ('auth_expired', 'Auth expired'), ('permission_denied', 'Permission denied'), ('rate_limited', 'Rate limited'), ('quota_exceeded', 'Quota exceeded'), ('transient_upstream', 'Transient upstream'), ('permanent_upstream', 'Permanent upstream'), ('context_window_exceeded', 'Context window exceeded'), ('content_policy_blocked', 'Content policy blocked'), ('malformed_response', 'Malformed response'), ('network_unavailable', 'Network unavailable'), ('provider_timeout', 'Provider timeout')], default='transient_upstream', help_text='Deterministic only: how they fail.', max_length=32, verbose_name='rehearsed failure'),
        ),
        migrations.AddField(
            model_name='provider',
            name='retry_backoff_ms',
            field=models.PositiveIntegerField(default=150, help_text='Milliseconds before the first retry; doubled for each one after it.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(60000)], verbose_name='retry backoff'),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='aliases',
            field=models.JSONField(blank=True, default=list, help_text='Other names that clients may send for it.', validators=[providers.models.catalogue.validate_aliases]),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='audio',
            field=models.BooleanField(default=False, help_text='Can listen.'),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='cost_tier',
            field=models.PositiveSmallIntegerField(choices=[(1, 'Low'), (2, 'Standard'), (3, 'Premium')], default=2),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='json_mode',
            field=models.BooleanField(default=True, help_text='Can be held to JSON.', verbose_name='JSON'),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='latency_tier',
            field=models.PositiveSmallIntegerField(choices=[(1, 'Fast'), (2, 'Standard'), (3, 'Slow')], default=2),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='metadata_source',
            field=models.CharField(choices=[('static', 'Built in'), ('discovery', 'Told by the host'), ('operator_override', 'Set by an operator')], default='operator_override', max_length=32),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='streaming',
            field=models.BooleanField(default=True, help_text='Can answer in pieces.'),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='tools',
            field=models.BooleanField(default=True, help_text='Can call tools.'),
        ),
        migrations.AddField(
            model_name='providermodel',
            name='vision',
            field=models.BooleanField(default=False, help_text='Can look at images.'),
        ),
        migrations.AddField(
            model_name='secret',
            name='reference',
            field=models.CharField(blank=True, help_text='Instead of a stored text: env:NAME or file:/path, read where Palyra runs.', max_length=300, validators=[providers.references.validate_reference]),
        ),
        migrations.AlterField(
            model_name='provider',
            name='kind',
            field=models.CharField(choices=[('deterministic', 'Deterministic (no network, for rehearsals)'), ('openai_compatible', 'OpenAI-compatible'), ('anthropic', 'Anthropic')], max_length=32),
        ),
        migrations.AlterField(
            model_name='provider',
            name='total_timeout',
            field=models.FloatField(default=60.0, help_text='Seconds for a whole answer.', validators=[django.core.validators.MinValueValidator(0.5), django.core.validators.MaxValueValidator(900)]),
        ),
        migrations.AlterField(
            model_name='providermodel',
            name='role',
            field=models.CharField(choices=[('chat', 'Chat'), ('embeddings', 'Embeddings'), ('audio_transcription', 'Audio transcription')], default='chat', max_length=32),
        ),
        migrations.AlterField(
            model_name='secret',
            name='ciphertext',
            field=models.TextField(blank=True, editable=False),
        ),
        migrations.AlterField(
            model_name='secret',
            name='name',
            field=models.SlugField(help_text='How providers refer to it, as vault:name.', unique=True),
        ),
        migrations.AddConstraint(
            model_name='secret',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('reference', ''), models.Q(('ciphertext', ''), _negated=True)), models.Q(models.Q(('reference', ''), _negated=True), ('ciphertext', '')), _connector='OR'), name='secret_stored_or_referred_to'),
        ),
        migrations.AddField(
            model_name='breaker',
            name='provider',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='breakers', to='providers.provider'),
        ),
        migrations.AddField(
            model_name='credential',
            name='provider',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='credentials', to='providers.provider'),
        ),
        migrations.AddField(
            model_name='credential',
            name='secret',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='credentials', to='providers.secret'),
        ),
        migrations.AddField(
            model_name='breaker',
            name='credential',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='breakers', to='providers.credential'),
        ),
        migrations.AddField(
            model_name='discoverylisting',
            name='provider',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='listing', to='providers.provider'),
        ),
        migrations.AddConstraint(
            model_name='failoverpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('id', 1)), name='failover_policy_once'),
        ),
        migrations.AddField(
            model_name='providermetric',
            name='provider',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metrics', to='providers.provider'),
        ),
        migrations.AddField(
            model_name='providerprobe',
            name='provider',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='probe', to='providers.provider'),
        ),
        migrations.AddConstraint(
            model_name='credential',
            constraint=models.UniqueConstraint(models.F('provider'), models.F('secret'), name='credential_once', violation_error_message='This provider has that secret already.'),
        ),
        migrations.AddConstraint(
            model_name='breaker',
            constraint=models.UniqueConstraint(condition=models.Q(('credential', None)), fields=('provider',), name='breaker_once'),
        ),
        migrations.AddConstraint(
            model_name='breaker',
            constraint=models.UniqueConstraint(condition=models.Q(('credential__isnull', False)), fields=('credential',), name='breaker_once_per_credential'),
        ),
        migrations.AddConstraint(
            model_name='providermetric',
            constraint=models.UniqueConstraint(fields=('provider', 'model', 'hour'), name='provider_metric_once'),
        ),
    ]
