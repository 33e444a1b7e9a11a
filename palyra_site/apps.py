from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

# Not when a person last signed in: that is no change.
PERSON = (
    "username",
    "password",
    "first_name",
    "last_name",
    "email",
    "is_active",
    "is_staff",
    "is_superuser",
    "groups",
    "user_permissions",
)


class PalyraSiteConfig(AppConfig):
    name = "palyra_site"
    verbose_name = "Palyra"

    def ready(self) -> None:
        """Have operators' mistakes found by system checks, and people in the audit trail."""
        from django.contrib.auth.models import Group, User  # noqa: PLC0415 - once there are models

        from governance import audit  # noqa: PLC0415
        from palyra_site.access import cache, groups, records, sessions  # noqa: PLC0415
        from palyra_site.checks import register_checks  # noqa: PLC0415 - settings must be read first

        register_checks()
        audit.track(User, *PERSON, secret={"password"})
        audit.track(Group, "name", "permissions")
        records.connect()
        last = apps.get_app_config(groups.LAST)
        post_migrate.connect(groups.make_roles, sender=last, dispatch_uid="palyra-roles")
        post_migrate.connect(cache.make_table, sender=last, dispatch_uid="palyra-access-cache")
        post_migrate.connect(sessions.know_all, sender=last, dispatch_uid="palyra-sessions")
