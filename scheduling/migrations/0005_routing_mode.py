from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A scheduled prompt's own routing mode; empty, as every one was, for its team's."""

    dependencies = [("scheduling", "0004_jobs_set_aside")]

    operations = [
        migrations.AddField(
            model_name="cronjob",
            name="routing_mode",
            field=models.CharField(
                blank=True,
                choices=[
                    ("suggest", "Suggest: publish it, use the default"),
                    ("dry_run", "Dry run: publish it and record what it would have cost"),
                    ("enforced", "Enforced: use it"),
                ],
                db_default="",
                default="",
                help_text="What a recommendation of another model does. Empty: as the team is set.",
                max_length=16,
                verbose_name="routing",
            ),
        ),
    ]
