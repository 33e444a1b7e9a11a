from django.apps import AppConfig
from django.db.models.signals import post_delete


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Governance"

    def ready(self) -> None:
        """Let discovery ask about prices and set them, have the audit trail kept, and no secret
        outlive its channel."""
        from governance.alerts.handling import forget_secrets  # noqa: PLC0415 - after models
        from governance.audit.registrations import register  # noqa: PLC0415 - after models
        from governance.discovered_prices import GovernancePriceBook  # noqa: PLC0415 - after models
        from governance.provider_uses import GovernanceUses  # noqa: PLC0415 - after models
        from providers.discovery.price_book import register_price_book  # noqa: PLC0415
        from providers.used_by import register_use_finder  # noqa: PLC0415

        register_price_book(GovernancePriceBook())
        register_use_finder(GovernanceUses())
        register()
        post_delete.connect(forget_secrets, sender="governance.Channel")
