from django.apps import AppConfig


class PalyraSiteConfig(AppConfig):
    name = "palyra_site"
    verbose_name = "Palyra"
