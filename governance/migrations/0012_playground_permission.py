"""A permission of its own for sending prompts from the console's playground."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("governance", "0011_deliveries_of_runs")]

    operations = [
        migrations.AlterModelOptions(
            name="modelcall",
            options={
                "ordering": ["-admitted_at", "-id"],
                "permissions": [("use_playground", "Can send prompts from the playground")],
                "verbose_name": "call",
            },
        ),
    ]
