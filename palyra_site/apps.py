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
        """Have operators' mistakes found by system checks, people in the audit trail, and what
        signing in leaves behind deleted by upkeep."""
        from django.contrib.auth.models import Group, User  # noqa: PLC0415 - once there are models

        from governance import audit  # noqa: PLC0415
        from palyra_site.access import cache, expired, groups, records, sessions  # noqa: PLC0415
        from palyra_site.checks import register_checks  # noqa: PLC0415 - settings must be read first
        from scheduling.maintenance.cleaning import Leftover, register_leftover  # noqa: PLC0415

        register_checks()
        audit.track(User, *PERSON, secret={"password"})
        audit.track(Group, "name", "permissions")
        records.connect()
        nouns = ("mark of a session that is over", "marks of sessions that are over")
        register_leftover(Leftover(nouns=nouns, forget=sessions.forget_ended))
        nouns = ("count of sign-ins that is over", "counts of sign-ins that are over")
        register_leftover(Leftover(nouns=nouns, forget=expired.forget_expired))
        last = apps.get_app_config(groups.LAST)
        post_migrate.connect(groups.make_roles, sender=last, dispatch_uid="palyra-roles")
        post_migrate.connect(cache.make_table, sender=last, dispatch_uid="palyra-access-cache")
        post_migrate.connect(sessions.know_all, sender=last, dispatch_uid="palyra-sessions")
