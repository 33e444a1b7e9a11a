from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("providers", "0004_credential_column")]

    operations = [
        migrations.AlterModelOptions(
            name="provider",
            options={
                "ordering": ["name"],
                "permissions": [
                    ("operate_provider", "Can test a provider, trip and reset its breaker")
                ],
            },
        ),
    ]
