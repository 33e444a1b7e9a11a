"""Prompts and answers, kept where a team wants that, and what people set for themselves."""

from __future__ import annotations

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import governance.zones


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("governance", "0012_playground_permission"),
    ]

    operations = [
        migrations.CreateModel(
            name="Preferences",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="preferences",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "zone",
                    models.CharField(
                        blank=True,
                        help_text="An IANA name such as Europe/Prague. Empty takes the browser's.",
                        max_length=64,
                        validators=[governance.zones.validate_zone],
                        verbose_name="time zone",
                    ),
                ),
            ],
            options={"verbose_name_plural": "preferences", "default_permissions": ()},
        ),
        migrations.AddField(
            model_name="team",
            name="text_days",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Days. 0 keeps none, and deletes what was kept.",
                validators=[django.core.validators.MaxValueValidator(3650)],
                verbose_name="prompts and answers are kept for",
            ),
        ),
        migrations.CreateModel(
            name="CallText",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("admitted_at", models.DateTimeField(help_text="When the call was.")),
                ("asked", models.JSONField()),
                ("answered", models.JSONField(null=True)),
                (
                    "team",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="governance.team",
                    ),
                ),
            ],
            options={
                "verbose_name": "prompt and answer",
                "verbose_name_plural": "prompts and answers",
                "permissions": [("read_calltext", "Can read kept prompts and answers")],
                "default_permissions": (),
                "indexes": [models.Index(fields=["team", "admitted_at"], name="call_text_by_age")],
            },
        ),
    ]
