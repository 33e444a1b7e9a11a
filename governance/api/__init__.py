"""Governance's part of the JSON API, by what it is about."""

from ninja import Router

from governance.api import (
    alerts,
    approvals,
    audit,
    budgets,
    channels,
    ledger,
    price_import,
    prices,
    routing,
    settings,
    teams,
    usage,
)

router = Router()
router.add_router("", teams.router, tags=["Teams and keys"])
router.add_router("", prices.router, tags=["Providers and models"])
router.add_router("", price_import.router, tags=["Providers and models"])
router.add_router("", budgets.router, tags=["Budgets"])
router.add_router("", approvals.router, tags=["Budgets"])
router.add_router("", alerts.router, tags=["Alerts"])
router.add_router("", channels.router, tags=["Channels and deliveries"])
router.add_router("", ledger.router, tags=["Calls and usage"])
router.add_router("", usage.router, tags=["Calls and usage"])
router.add_router("", routing.router, tags=["Calls and usage"])
router.add_router("", audit.router, tags=["Audit trail"])
router.add_router("", settings.router, tags=["Settings"])

__all__ = ["router"]
