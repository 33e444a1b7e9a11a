from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Governance"

    def ready(self) -> None:
        """Let discovery ask about prices and set them, and have the audit trail kept."""
        from governance.audit.registrations import register  # noqa: PLC0415 - after models
        from governance.discovered_prices import GovernancePriceBook  # noqa: PLC0415 - after models
        from governance.provider_uses import GovernanceUses  # noqa: PLC0415 - after models
        from providers.discovery.price_book import register_price_book  # noqa: PLC0415
        from providers.used_by import register_use_finder  # noqa: PLC0415

        register_price_book(GovernancePriceBook())
        register_use_finder(GovernanceUses())
        register()
