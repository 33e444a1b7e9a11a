from django.apps import AppConfig


class PalyraSiteConfig(AppConfig):
    name = "palyra_site"
    verbose_name = "Palyra"

    def ready(self) -> None:
        """Have operators' mistakes found by Django's system checks."""
        from palyra_site.checks import register_checks  # noqa: PLC0415 - settings must be read first

        register_checks()
