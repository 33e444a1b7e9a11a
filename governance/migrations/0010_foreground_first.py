"""Calls in the background let those in the foreground that wait go first."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("governance", "0009_waiting_calls")]

    operations = [
        migrations.AddField(
            model_name="providerlease",
            name="waited_for_until",
            field=models.DateTimeField(
                help_text="Until when calls in the foreground may wait for a place.", null=True
            ),
        ),
    ]
