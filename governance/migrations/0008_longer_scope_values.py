"""A run's window names its run beside its scope's value."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("governance", "0007_backfill_usage")]

    operations = [
        migrations.AlterField(
            model_name="approval",
            name="scope_value",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=300
            ),
        ),
        migrations.AlterField(
            model_name="budgetwindow",
            name="scope_value",
            field=models.CharField(blank=True, max_length=300),
        ),
    ]
