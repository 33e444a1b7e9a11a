"""Upkeep that looks whether all is well, and says what is not. Nothing is changed."""

from __future__ import annotations

from datetime import timedelta

from django.db import OperationalError

from governance.ledger.rebuilding import NAMES, differing_since, rebuild
from governance.listing import listed
from governance.models import ModelCall
from governance.price_ages import price_ages
from providers.discovery import ask_all, record_all, with_hosts
from scheduling.maintenance.database import bounded
from scheduling.maintenance.turn import NotWell, Turn
from scheduling.maintenance.words import counted, named

# A ledger as small as this is compared whole, windows and all, within a blink: calls wait for it.
SMALL_LEDGER = 2000
COMPARED_DAYS = 2
STATEMENT_SECONDS = 120
REMEDY = "Run “palyra usage rebuild” to put them right."


def check_usage(turn: Turn) -> str:
    """Compare what is kept beside the ledger with it. Raises `NotWell` where they differ."""
    if ModelCall.objects.order_by().values("pk")[: SMALL_LEDGER + 1].count() <= SMALL_LEDGER:
        found = rebuild(mend=False)
        differing = {**found.sums, "windows": len(found.windows)}
        whole = "All sums and budget windows"
    else:
        since = turn.now.replace(hour=0, minute=0, second=0, microsecond=0)
        since -= timedelta(days=COMPARED_DAYS - 1)
        try:
            with bounded(turn.goes_on, STATEMENT_SECONDS):
                differing = differing_since(since)
        except OperationalError as error:
            raise NotWell(
                f"Comparing the sums with the ledger was given up after {STATEMENT_SECONDS} s. "
                "Run “palyra usage rebuild --check” when few calls are made."
            ) from error
        whole = f"The sums from {since:%Y-%m-%d} on"
    wrong = [
        f"{count:,} of the {NAMES.get(name, name)}" for name, count in differing.items() if count
    ]
    if wrong:
        raise NotWell(f"{listed(wrong)} differ from the ledger. {REMEDY}")
    return f"{whole} are what the ledger says."


def refresh_discovery(turn: Turn) -> str:
    """Ask every host for its models, and say what has changed since it was asked last."""
    providers = with_hosts()
    if not providers:
        return "There is no provider to ask."
    answers = turn.ask(lambda transport: ask_all(providers, transport))
    found = record_all(answers, turn.clock())
    words = [f"Asked {counted(len(found), 'provider')}."]
    words += [f"{one.provider}: {one.words}" for one in found if one.words]
    if len(words) == 1:
        words.append("Nothing is new and nothing gone.")
    return " ".join(words)


def look_at_prices(turn: Turn) -> str:
    """Say which prices are stale or missing; alerts are raised for those in use."""
    ages = price_ages(turn.now)
    sentences = []
    if ages.stale:
        shown = named([f"{model} ({days:,} days)" for model, days in ages.stale])
        whose = counted(len(ages.stale), "price is", "prices are")
        sentences.append(f"{whose} older than {ages.stale_days:,} days: {shown}.")
    if ages.unpriced:
        whose = counted(len(ages.unpriced), "model has", "models have")
        sentences.append(f"{whose} no price: {named(ages.unpriced)}.")
    return " ".join(sentences) or f"All {counted(ages.priced, 'price')} are fresh."
