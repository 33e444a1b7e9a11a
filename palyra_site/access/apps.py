"""allauth's rows that say whose each session is, filled in by Palyra."""

from __future__ import annotations

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """The model alone: allauth's own signals would note some of what `seen` notes, at other times,
    and take no address that names an interface."""

    name = "allauth.usersessions"
    label = "usersessions"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Sessions"

    def ready(self) -> None:
        """Have each session noted as it begins, also where no page of ours signs somebody in."""
        from django.contrib.auth.signals import user_logged_in  # noqa: PLC0415

        from palyra_site.access.seen import signed_in  # noqa: PLC0415 - once there are models

        user_logged_in.connect(signed_in, dispatch_uid="palyra-session-noted")
