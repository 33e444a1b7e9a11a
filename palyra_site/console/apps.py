"""Puts Palyra's own admin site in place of Django's."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """`django.contrib.admin` with the console as its site."""

    default_site = "palyra_site.console.site.ConsoleSite"
