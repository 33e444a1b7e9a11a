"""How providers are doing, and what their hosts list, as the JSON API and the commands write it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field, StrictBool

from providers.api.conventions import Input, Moment, described
from providers.condition import BreakerCondition, CredentialCondition, ProviderCondition
from providers.discovery import (
    Applied,
    NoPrice,
    PriceComparison,
    Proposal,
    ProposedPrice,
    ProposedRates,
    ProposedTier,
    Review,
)
from providers.health import ConnectionTest, CredentialTest
from providers.metrics import MetricSummary
from providers.models import BreakerState, ProviderProbe

HOURS_KEPT = 24 * 31
MOST_PICKED = 5000

PriceStandingName = Annotated[
    Literal["new", "changed", "unchanged", "overridden", "told", "unknown"],
    Field(
        description="overridden: an operator set the price in force. told: the host itself did, so "
        "a list's does not replace it. unknown: nobody says what the model costs."
    ),
]
BreakerAction = Annotated[Literal["trip", "reset"], Field(description="What to do with it.")]


class CredentialTestOut(Schema):
    """How one credential of a provider fared."""

    credential: str = Field(description="The secret's name; empty where the provider has none.")
    ok: bool
    latency_ms: int
    failure_class: str = Field(description="Empty if it did well.")
    http_status: int | None
    cause: str = Field(description="What went wrong, in words.")
    advice: str = Field(description="What to do about it.")
    said: str = Field(description="What the host itself said.")
    models: int | None = Field(
        description="How many models the host's first page lists; null if it did not answer, and "
        "for a rehearsal, which has no host."
    )
    has_more: bool = Field(description="Whether the host lists more models than these.")

    @classmethod
    def of(cls, test: CredentialTest) -> CredentialTestOut:
        return cls(**{name: getattr(test, name) for name in cls.model_fields})


class ConnectionTestOut(Schema):
    """What asking the provider for its models came to. No tokens were spent."""

    provider: str
    ok: bool = Field(description="Whether it can be reached with every credential.")
    latency_ms: int | None = Field(description="The soonest answer's time.")
    results: list[CredentialTestOut]

    @classmethod
    def of(cls, test: ConnectionTest) -> ConnectionTestOut:
        return cls(
            provider=test.provider,
            ok=test.ok,
            latency_ms=test.latency_ms,
            results=[CredentialTestOut.of(one) for one in test.results],
        )


class BreakerOut(Schema):
    """The breaker of a provider's credential."""

    credential: str = Field(description="The secret's name; empty where the provider has none.")
    state: Annotated[str, described(BreakerState.values)]
    lets: Literal["pass", "probe", "refuse"] = Field(description="What it does with a call now.")
    failures: int = Field(description="Failures in a row.")
    failure_class: str
    last_failure: str
    opened_at: Moment | None
    retry_at: Moment | None
    tripped_by: str = Field(description="Who tripped it by hand; empty if nobody.")
    says: str = Field(description="The same in words.")

    @classmethod
    def of(cls, breaker: BreakerCondition) -> BreakerOut:
        return cls(**{name: getattr(breaker, name) for name in cls.model_fields})


class CredentialHealthOut(Schema):
    """Whether a credential can be sent."""

    name: str
    enabled: bool
    usable: bool
    fault: str = Field(description="Why it cannot be; empty if it can.")

    @classmethod
    def of(cls, credential: CredentialCondition) -> CredentialHealthOut:
        return cls(**{name: getattr(credential, name) for name in cls.model_fields})


class ProbeOut(Schema):
    """What the last look at a provider found."""

    checked_at: Moment
    ok: bool
    latency_ms: int | None
    failure_class: str
    message: str

    @classmethod
    def of(cls, probe: ProviderProbe | None) -> ProbeOut | None:
        if probe is None or probe.checked_at is None:
            return None
        return cls(**{name: getattr(probe, name) for name in cls.model_fields})


class HealthOut(Schema):
    """How a provider is doing."""

    provider: str
    enabled: bool
    well: bool = Field(description="Whether nothing is known against it.")
    credentials: list[CredentialHealthOut]
    breakers: list[BreakerOut]
    probe: ProbeOut | None = Field(description="null if nobody has looked yet.")

    @classmethod
    def of(cls, condition: ProviderCondition) -> HealthOut:
        return cls(
            provider=condition.provider.name,
            enabled=condition.provider.enabled,
            well=condition.is_well,
            credentials=[CredentialHealthOut.of(one) for one in condition.credentials],
            breakers=[BreakerOut.of(one) for one in condition.breakers],
            probe=ProbeOut.of(condition.probe),
        )


class BreakerIn(Input):
    """What to do with a provider's breakers."""

    action: BreakerAction


class DiscoverIn(Input):
    """How to discover."""

    refresh: StrictBool = Field(False, description="Ask the host even if it was asked just now.")


class ProposedRatesOut(Schema):
    """US dollars per million tokens of each bucket; null costs what input costs."""

    uncached_input: str
    output: str
    cache_read: str | None
    cache_write_5m: str | None
    cache_write_1h: str | None


class ProposedTierOut(ProposedRatesOut):
    """What a whole request costs whose input, cached or not, is more than so many tokens."""

    above: int

    @classmethod
    def of(cls, tier: ProposedTier) -> ProposedTierOut:
        return cls(above=tier.above, **_amounts(tier))


class ProposedPriceOut(ProposedRatesOut):
    """What a model may cost, in US dollars."""

    per_request: str
    source: str
    precision: str
    note: str = Field(description="What the numbers leave out.")
    tiers: list[ProposedTierOut] = Field(description="What long contexts cost.")

    @classmethod
    def of(cls, price: ProposedPrice | NoPrice | None) -> ProposedPriceOut | None:
        if not isinstance(price, ProposedPrice):
            return None
        return cls(
            **_amounts(price),
            per_request=_decimal(price.per_request),
            source=price.source,
            precision=price.precision,
            note=price.note,
            tiers=[ProposedTierOut.of(tier) for tier in price.tiers],
        )


class FieldChangeOut(Schema):
    """What would be different of a stored model."""

    field: str
    before: Any
    after: Any


class ProposalOut(Schema):
    """What discovery would do about one model."""

    listed_name: str = Field(description="What the host calls it: pick it by this.")
    name: str = Field(description="What it is, or would be, called here.")
    standing: Literal["new", "changed", "known", "gone", "unusable"]
    advised: bool = Field(description="Whether it is applied when everything is.")
    overridden: bool = Field(description="Whether an operator set what is stored of it.")
    role: str
    facts: dict[str, Any] = Field(description="What it would have; what is not known is absent.")
    changes: list[FieldChangeOut]
    note: str
    price: ProposedPriceOut | None = Field(description="null if nobody says what it costs.")
    price_in_force: ProposedPriceOut | None
    price_standing: PriceStandingName
    price_says: str = Field(description="What applying does about its price, in words.")

    @classmethod
    def of(cls, proposal: Proposal, price: PriceComparison | None) -> ProposalOut:
        reason = proposal.price.reason if isinstance(proposal.price, NoPrice) else ""
        return cls(
            listed_name=proposal.listed_name,
            name=proposal.name,
            standing=proposal.standing.value,
            advised=proposal.is_advised,
            overridden=proposal.overridden,
            role=proposal.role,
            facts=proposal.facts.known(),
            changes=[
                FieldChangeOut(field=one.field, before=one.before, after=one.after)
                for one in proposal.changes
            ],
            note=proposal.note,
            price=ProposedPriceOut.of(proposal.price),
            price_in_force=ProposedPriceOut.of(price.in_force if price else None),
            price_standing=price.standing.value if price else "unknown",
            price_says=price.says if price else reason,
        )


class DiscoveryOut(Schema):
    """What a host lists, and what that would change. Nothing is changed by it."""

    provider: str
    fetched_at: Moment
    complete: bool = Field(description="Whether the host listed no more than is read.")
    models: list[ProposalOut]

    @classmethod
    def of(cls, provider: str, review: Review) -> DiscoveryOut:
        return cls(
            provider=provider,
            fetched_at=review.listing.fetched_at,
            complete=review.listing.is_complete,
            models=[
                ProposalOut.of(one, review.prices.get(one.listed_name)) for one in review.proposals
            ],
        )


class ApplyIn(Input):
    """What to take over of the listing that is kept."""

    models: list[str] | None = Field(
        None,
        max_length=MOST_PICKED,
        description="By the host's names. Left out: all that are new, or changed and not set by an "
        "operator.",
    )
    prices: StrictBool = Field(True, description="Whether to set their prices as well.")


class AppliedOut(Schema):
    """What was taken over; nothing else was changed."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]
    priced: list[str] = Field(description="By the host's names.")
    unpriced: list[str] = Field(description="Those that have no price, by the host's names.")
    says: str

    @classmethod
    def of(cls, applied: Applied) -> AppliedOut:
        return cls(
            created=list(applied.created),
            updated=list(applied.updated),
            unchanged=list(applied.unchanged),
            priced=[name for name, one in applied.prices.items() if one.would_be_set],
            unpriced=[name for name, one in applied.prices.items() if one.is_missing],
            says=str(applied),
        )


class MetricOut(Schema):
    """How a provider's model did. Times are milliseconds, null where nothing was measured."""

    provider: str
    model: str
    attempts: int
    failures: dict[str, int] = Field(description="How many, by failure class.")
    latency_p50: float | None
    latency_p95: float | None
    first_token_p50: float | None
    first_token_p95: float | None
    tokens_per_second: float | None

    @classmethod
    def of(cls, summary: MetricSummary) -> MetricOut:
        return cls(**{name: getattr(summary, name) for name in cls.model_fields})


class MetricsOut(Schema):
    """How providers did over the last hours."""

    since: Moment
    items: list[MetricOut]


def _amounts(rates: ProposedRates) -> dict[str, Any]:
    return {
        bucket: None if amount is None else _decimal(amount)
        for bucket, amount in rates.amounts().items()
    }


def _decimal(value: Decimal) -> str:
    return f"{value.normalize():f}"
