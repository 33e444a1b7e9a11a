"""What a process knows without asking: registry, keys, teams, policies and prices, all at once.

A `Snapshot` is immutable and read from memory by every call. `SnapshotKeeper` replaces it within a
second of any change that any process commits: a thread of its own compares one number.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models.functions import Now

from governance.budgets import Override, Policy
from governance.errors import in_one_line
from governance.models import (
    ApiKey,
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetPolicy,
    GovernanceSettings,
    Price,
    PriceTier,
    Team,
)
from governance.pricing import PriceEntry, TierEntry
from providers import registry as provider_registry
from providers import versioned
from providers.registry import Registry

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.25
RETRY_SECONDS = 1.0
# An unknown key makes the keeper look again, but no more often than this.
SHORTEST_INTERVAL = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """An API key as calls see it."""

    id: int
    public_id: str
    secret_hash: str
    team_id: int
    team_slug: str
    team_enabled: bool
    expires_at: datetime | None
    revoked: bool
    routing_mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamEntry:
    """A team as calls see it. `routing_mode` is empty where the installation's holds; `text_days`
    is how long prompts and answers are kept, 0 for not at all."""

    id: int
    slug: str
    name: str
    enabled: bool
    allowed_models: tuple[str, ...] = ()
    routing_mode: str = ""
    text_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsEntry:
    """What holds where nothing nearer says otherwise; `output_floor` is tokens."""

    routing_mode: str = "suggest"
    output_floor: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a call needs to be decided, as of one `version`."""

    version: int
    registry: Registry
    keys: dict[str, KeyEntry]
    policies: tuple[Policy, ...]
    prices: dict[int, tuple[PriceEntry, ...]]
    teams: dict[int, TeamEntry] = field(default_factory=dict)
    settings: SettingsEntry = SettingsEntry()
    _key_modes: dict[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        modes = {key.id: key.routing_mode for key in self.keys.values() if key.routing_mode}
        object.__setattr__(self, "_key_modes", modes)

    def key_mode(self, key_id: int | None) -> str:
        """The routing mode that a key is set to; empty if to none, or if there is no key."""
        return "" if key_id is None else self._key_modes.get(key_id, "")


def load() -> Snapshot:
    """Read the whole snapshot: a handful of queries.

    The version is read first: a change that is committed in between is then read again, rather
    than missed.
    """
    return Snapshot(
        version=versioned.current_version(),
        registry=provider_registry.load(),
        keys={key.public_id: key for key in _keys()},
        policies=load_policies(),
        prices=_prices(),
        teams={team.id: team for team in _teams()},
        settings=_settings(),
    )


def _keys() -> list[KeyEntry]:
    return [
        KeyEntry(
            id=key.pk,
            public_id=key.public_id,
            secret_hash=key.secret_hash,
            team_id=key.team_id,
            team_slug=key.team.slug,
            team_enabled=key.team.enabled,
            expires_at=key.expires_at,
            revoked=key.revoked_at is not None,
            routing_mode=key.routing_mode,
        )
        for key in ApiKey.objects.select_related("team")
    ]


def _teams() -> list[TeamEntry]:
    return [
        TeamEntry(
            id=team.pk,
            slug=team.slug,
            name=team.name,
            enabled=team.enabled,
            allowed_models=tuple(team.allowed_models),
            routing_mode=team.routing_mode,
            text_days=team.text_days,
        )
        for team in Team.objects.all()
    ]


def _settings() -> SettingsEntry:
    row = GovernanceSettings.objects.first()
    if row is None:
        return SettingsEntry()
    return SettingsEntry(routing_mode=row.routing_mode, output_floor=row.output_floor)


def load_policies() -> tuple[Policy, ...]:
    """Every policy, by id. A disabled one stops nothing, but goes on counting."""
    overrides = load_overrides()
    rows = BudgetPolicy.objects.order_by("pk")
    return tuple(policy_entry(row, overrides.get(row.pk, ())) for row in rows)


def load_overrides() -> dict[int, tuple[Override, ...]]:
    """What was approved until a date that has not come yet, by policy's id."""
    found: dict[int, tuple[Override, ...]] = {}
    approved = Approval.objects.filter(
        status=ApprovalStatus.APPROVED, until=ApprovalUntil.DATE, expires_at__gt=Now()
    ).order_by("pk")
    for row in approved:
        assert row.expires_at is not None
        one = Override(row.scope_value, row.amount, row.expires_at)
        found[row.policy_id] = (*found.get(row.policy_id, ()), one)
    return found


def policy_entry(row: BudgetPolicy, overrides: tuple[Override, ...] = ()) -> Policy:
    """A policy's row as the pure core sees it."""
    return Policy(
        id=row.pk,
        name=row.name,
        scope=row.scope,
        team_id=row.team_id,
        metric=row.metric,
        interval=row.interval,
        zone=row.zone,
        soft_limit=row.soft_limit,
        hard_limit=row.hard_limit,
        enabled=row.enabled,
        value=row.value,
        rolling=row.rolling,
        action=row.action,
        thresholds=tuple(row.thresholds),
        routing_mode=row.routing_mode,
        counts_since=row.created_at,
        overrides=overrides,
    )


def _prices() -> dict[int, tuple[PriceEntry, ...]]:
    prices: dict[int, list[PriceEntry]] = defaultdict(list)
    rows = Price.objects.order_by("model_id", "effective_from").prefetch_related("tiers")
    for row in rows:
        prices[row.model_id].append(price_entry(row))
    return {model_id: tuple(entries) for model_id, entries in prices.items()}


def price_entry(row: Price) -> PriceEntry:
    """A price's row, with its tiers, as the pure core sees it."""
    return PriceEntry(
        id=row.pk,
        model_id=row.model_id,
        effective_from=row.effective_from,
        uncached_input=row.uncached_input,
        output=row.output,
        cache_read=row.cache_read,
        cache_write_5m=row.cache_write_5m,
        cache_write_1h=row.cache_write_1h,
        per_request=row.per_request,
        source=row.source,
        precision=row.precision,
        tiers=tuple(_tier(tier) for tier in row.tiers.all()),
    )


def _tier(row: PriceTier) -> TierEntry:
    return TierEntry(
        above=row.above,
        uncached_input=row.uncached_input,
        output=row.output,
        cache_read=row.cache_read,
        cache_write_5m=row.cache_write_5m,
        cache_write_1h=row.cache_write_1h,
    )


class SnapshotKeeper:
    """Keeps the process's snapshot fresh. `start` before use, `stop` at the end."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._looked = threading.Condition()
        self._looks = 0
        self._looked_well = True
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)

    @property
    def current(self) -> Snapshot:
        """The snapshot of this moment. Reading it costs nothing."""
        if self._snapshot is None:
            raise RuntimeError("The snapshot is read before the keeper was started.")
        return self._snapshot

    def start(self) -> None:
        """Read the first snapshot, here and now, and begin to keep it fresh."""
        self._snapshot = load()
        versioned.on_change(self._wake.set)
        self._thread.start()

    def stop(self) -> None:
        """Stop keeping; the last snapshot stays readable."""
        versioned.forget(self._wake.set)
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> bool:
        """Return once the keeper has looked for a change that was committed before this call, and
        whether it could: False while the database is away.

        Blocks, without a query of its own: however many ask, the keeper looks once for all of
        them, and no more often than every `SHORTEST_INTERVAL`.
        """
        with self._looked:
            # A look under way may have begun too early, so the one after it is waited for.
            wanted = self._looks + 2
            while self._looks < wanted and not self._stopped.is_set():
                self._wake.set()
                if not self._looked.wait(RETRY_SECONDS):
                    return False
            return self._looked_well

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            well = self._look()
            pause = POLL_SECONDS if well else RETRY_SECONDS
            with self._looked:
                self._looked_well = well
                self._looks += 1
                self._looked.notify_all()
            self._stopped.wait(SHORTEST_INTERVAL)
            self._wake.wait(pause)
        connection.close()

    def _look(self) -> bool:
        try:
            if versioned.current_version() != self.current.version:
                self._snapshot = load()
        except Exception as error:
            # Calls go on with the last snapshot; the ledger decides whether they may be held.
            logger.warning("The snapshot cannot be read, trying again: %s", in_one_line(error))
            connection.close()
            return False
        return True
