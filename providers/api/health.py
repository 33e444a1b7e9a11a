"""What the JSON API can do about how providers are doing, and about what their hosts list."""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from ninja.errors import HttpError
from pydantic import Field

from providers import discovery, metrics
from providers.api.conventions import find, refusals
from providers.api.health_schemas import (
    HOURS_KEPT,
    AppliedOut,
    ApplyIn,
    BreakerIn,
    ConnectionTestOut,
    DiscoverIn,
    DiscoveryOut,
    HealthOut,
    MetricOut,
    MetricsOut,
)
from providers.api.operations import ActorRequest
from providers.condition import OPERATING, condition, reset, trip
from providers.discovery.price_book import price_book
from providers.health import check_now
from providers.models import Provider

router = Router()
HOST_FAILED = 502


class MetricsQuery(Schema):
    """How far back."""

    hours: int = Field(24, ge=1, le=HOURS_KEPT, description="How many hours to look back.")


@router.get(
    "/providers/{slug:name}/health",
    response=HealthOut,
    operation_id="get_provider_health",
    summary="Show how a provider is doing",
)
def get_provider_health(request: ActorRequest, name: str) -> HealthOut:
    """Its credentials, breakers and the last probe. Needs `providers.view_provider`."""
    request.auth.require("providers.view_provider")
    return HealthOut.of(condition(_provider(name), timezone.now()))


@router.post(
    "/providers/{slug:name}/test-connection",
    response=ConnectionTestOut,
    operation_id="test_provider_connection",
    summary="Test the connection to a provider",
)
def test_provider_connection(request: ActorRequest, name: str) -> ConnectionTestOut:
    """Asks the host for its models with each credential, which spends no tokens. What goes wrong is
    part of the answer. Needs `providers.operate_provider` or `providers.change_provider`."""
    _require_operating(request)
    return ConnectionTestOut.of(check_now(_provider(name)))


@router.post(
    "/providers/{slug:name}/breaker",
    response=HealthOut,
    operation_id="set_provider_breaker",
    summary="Trip or reset a provider's breakers",
)
def set_provider_breaker(request: ActorRequest, name: str, body: BreakerIn) -> HealthOut:
    """Tripped, no call goes to the provider until they are reset; reset, calls go through again.
    Needs `providers.operate_provider` or `providers.change_provider`."""
    _require_operating(request)
    provider = _provider(name)
    if body.action == "trip":
        trip(provider, by=_name_of(request))
    else:
        reset(provider)
    return HealthOut.of(condition(provider, timezone.now()))


@router.post(
    "/providers/{slug:name}/discover",
    response=DiscoveryOut,
    operation_id="discover_models",
    summary="Discover the models of a provider's host",
    openapi_extra=refusals({HOST_FAILED: "The host did not say which models it has."}),
)
def discover_models(request: ActorRequest, name: str, body: DiscoverIn) -> DiscoveryOut:
    """What the host lists, at most five minutes old, and what that would change. Changes nothing.
    Needs `providers.change_provider`."""
    request.auth.require("providers.change_provider")
    provider = _provider(name)
    try:
        listing = discovery.discover(provider, refresh=body.refresh)
    except discovery.DiscoveryFailed as error:
        raise HttpError(HOST_FAILED, str(error)) from None
    return DiscoveryOut.of(provider.name, discovery.review(provider, listing, now=timezone.now()))


@router.post(
    "/providers/{slug:name}/discover/apply",
    response=AppliedOut,
    operation_id="apply_discovered_models",
    summary="Take over discovered models",
)
def apply_discovered_models(request: ActorRequest, name: str, body: ApplyIn) -> AppliedOut:
    """Adds and updates the models picked from what was discovered last; all of them or none. Needs
    `providers.change_provider`, `providers.add_providermodel` and `providers.change_providermodel`,
    and `governance.add_price` if prices are set as well."""
    for permission in discovery.TAKING_OVER:
        request.auth.require(permission)
    if body.prices and price_book().permission:
        request.auth.require(price_book().permission)
    applied = discovery.apply(
        _provider(name), body.models, with_prices=body.prices, now=timezone.now()
    )
    return AppliedOut.of(applied)


@router.get(
    "/provider-metrics",
    response=MetricsOut,
    operation_id="list_provider_metrics",
    summary="Show how providers did",
)
def list_provider_metrics(request: ActorRequest, query: Query[MetricsQuery]) -> MetricsOut:
    """Attempts, failures and times of each provider's models over the last hours. Needs
    `providers.view_provider`."""
    request.auth.require("providers.view_provider")
    since = timezone.now() - timedelta(hours=query.hours)
    found = metrics.summaries(since=since)
    return MetricsOut(since=since, items=[MetricOut.of(one) for one in found])


def _provider(name: str) -> Provider:
    return find(Provider.objects.all(), name=name)


def _name_of(request: HttpRequest) -> str:
    """Who asks, for whoever wonders later why the provider is out of use."""
    return str(getattr(request, "user", "")) or "the API"


def _require_operating(request: ActorRequest) -> None:
    """Raise `PermissionDenied` unless they may test providers and use their levers."""
    only, more = OPERATING
    try:
        request.auth.require(only)
    except PermissionDenied:
        request.auth.require(more)
