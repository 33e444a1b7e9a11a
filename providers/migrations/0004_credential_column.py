import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("providers", "0003_credentials")]

    operations = [
        migrations.RemoveField(model_name="provider", name="credential"),
        migrations.AlterField(
            model_name="provider",
            name="concurrency_limit",
            field=models.PositiveIntegerField(blank=True, default=4, help_text='Calls under way at once, over all processes; empty for no limit.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)]),
        ),
        migrations.AlterField(
            model_name="provider",
            name="credential_concurrency_limit",
            field=models.PositiveIntegerField(blank=True, default=2, help_text='Calls under way at once with each credential; empty for no limit.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)], verbose_name='concurrency limit per credential'),
        ),
    ]
