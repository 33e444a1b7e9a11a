"""What the console does with a provider's host: test it, discover its models, trip and reset its
breakers, and show how it is doing. `ProviderAdmin` inherits and offers all of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from providers import discovery, metrics
from providers.admin.actions import faults_of, object_action
from providers.admin.condition_facts import breaker_facts, metric_rows, probe_fact
from providers.admin.discovery_rows import discovery_rows
from providers.admin.reliability_facts import reliability
from providers.condition import OPERATING, condition, reset, trip
from providers.discovery.price_book import price_book
from providers.display import number
from providers.health import check_now
from providers.models import Breaker, BreakerState, Provider, ProviderKind, ProviderModel
from providers.used_by import uses_of

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

MEASURED = timedelta(hours=24)


def _is_remote(provider: Provider) -> bool:
    return provider.kind != ProviderKind.DETERMINISTIC


def _is_tripped(provider: Provider) -> bool:
    return Breaker.objects.filter(provider=provider).exclude(tripped_by="").exists()


def _is_harmed(provider: Provider) -> bool:
    kept = Breaker.objects.filter(provider=provider)
    return kept.exclude(state=BreakerState.CLOSED, failures=0).exists()


def what_tripping_does(provider: Provider) -> str:
    """What no longer works once the provider's breakers are tripped."""
    count = provider.models.filter(enabled=True).count()
    models = "its one model" if count == 1 else f"its {count} models"
    return (
        f"No call goes to this provider until somebody resets it. Calls to {models} go on at "
        "another provider where failover allows it, and are refused otherwise. Calls under way "
        "finish. It is seen everywhere within a second."
    )


class ProviderOperations(Base):
    """Mixed into the console's page of a provider. `operation_actions` joins its object actions."""

    operation_actions: tuple[str, ...] = (
        "test_connection",
        "discover_models",
        "trip_breaker",
        "reset_breaker",
    )
    change_form_outer_before_template = "admin/providers/provider/condition.html"
    change_form_outer_after_template = "admin/providers/provider/metrics.html"

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/discover/",
            self.admin_site.admin_view(self.discover_view),
            name="providers_provider_discover",
        )
        return [own, *super().get_urls()]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this person may test the provider and take it out of use for a while."""
        return any(request.user.has_perm(one) for one in OPERATING)

    def has_discover_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether this person may ask the host for its models, and take them over."""
        return all(request.user.has_perm(one) for one in discovery.TAKING_OVER)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        obj = self.get_object(request, unquote(object_id)) if object_id else None
        shown = {} if obj is None else self._condition_context(obj, request.GET.get("span", ""))
        return super().changeform_view(
            request, object_id, form_url, {**shown, **(extra_context or {})}
        )

    def object_action_view(
        self, request: HttpRequest, object_id: str, action_name: str
    ) -> HttpResponse:
        """As everywhere; who discovers goes on to what was found."""
        response = super().object_action_view(request, object_id, action_name)
        if action_name == "discover_models" and isinstance(response, HttpResponseRedirect):
            return HttpResponseRedirect(_discover_page(unquote(object_id)))
        return response

    @object_action(label="Test connection", permission="operate", icon="network_check")
    def test_connection(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Say of each credential whether the host takes it, and how soon it answered."""
        if not _is_remote(provider):
            return f"{provider} answers by itself: there is no host to reach."
        test = check_now(provider)
        said = [str(result) for result in test.results]
        if not test.ok:
            raise ValidationError(said)
        return " ".join([f"{provider} can be reached.", *said])

    @object_action(
        label="Discover models", permission="discover", icon="travel_explore", applies=_is_remote
    )
    def discover_models(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Ask the host for its models; the page that follows shows what would change."""
        try:
            listing = discovery.discover(provider, refresh=True)
        except discovery.DiscoveryFailed as error:
            raise ValidationError(str(error)) from None
        return str(discovery.review(provider, listing, now=timezone.now()))

    @object_action(
        label="Trip breaker",
        permission="operate",
        icon="power_off",
        tone="danger",
        consequence=what_tripping_does,
        applies=lambda provider: not _is_tripped(provider),
    )
    def trip_breaker(self, request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Take the provider out of use."""
        trip(provider, by=request.user.get_username())
        return f"{provider} is out of use until it is reset."

    @object_action(
        label="Reset breaker",
        permission="operate",
        icon="restart_alt",
        consequence="Calls go to this provider again at once. If it is still not well, the calls "
        "until its breaker opens again fail, or go on elsewhere.",
        applies=_is_harmed,
    )
    def reset_breaker(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Let calls through again."""
        reset(provider)
        return f"Calls go to {provider} again."

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def discover_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the host listed last; posted, what was picked is applied."""
        provider = self.get_object(request, unquote(object_id))
        if provider is None or not self.has_discover_permission(request, provider):
            raise PermissionDenied
        if request.method != "POST":
            return self._discovered(request, provider)
        picked = None if "all" in request.POST else request.POST.getlist("models")
        priced = "prices" in request.POST and self._may_price(request)
        try:
            done = discovery.apply(provider, picked, with_prices=priced, now=timezone.now())
        except ValidationError as error:
            for fault in faults_of(error):
                messages.error(request, fault)
            return self._discovered(request, provider, picked or ())
        self.log_change(request, provider, f"Discovered: {done}")
        messages.success(request, str(done))
        return HttpResponseRedirect(
            reverse("admin:providers_provider_change", args=[quote(provider.pk)])
        )

    def _discovered(
        self, request: HttpRequest, provider: Provider, picked: Collection[str] = ()
    ) -> HttpResponse:
        listing = discovery.kept_listing(provider)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Models of {provider}",
            "original": provider,
            "provider": provider,
            "is_remote": _is_remote(provider),
            "ask": reverse(
                "admin:providers_provider_do", args=[quote(provider.pk), "discover_models"]
            ),
            "listing": listing,
            "may_price": self._may_price(request),
            "usual_context": number(ProviderModel().context_window),
            "usual_output": number(ProviderModel().max_output_tokens),
        }
        if listing is not None:
            found = discovery.review(provider, listing, now=timezone.now())
            context["review"] = found
            context["rows"] = discovery_rows(found, picked)
            context["advised"] = sum(one.is_advised for one in found.proposals)
        return TemplateResponse(request, "admin/providers/provider/discover.html", context)

    def _may_price(self, request: HttpRequest) -> bool:
        permission = price_book().permission
        return bool(permission) and request.user.has_perm(permission)

    def _condition_context(self, provider: Provider, span: str) -> dict[str, Any]:
        now = timezone.now()
        found = condition(provider, now)
        measured = metrics.summaries(since=now - MEASURED)
        return {
            "condition": found,
            "uses": uses_of(provider),
            "reliability": reliability(provider, span, now),
            "breaker_facts": breaker_facts(found, now),
            "probe_fact": probe_fact(found),
            "metric_rows": metric_rows(one for one in measured if one.provider == provider.name),
        }


def _discover_page(key: Any) -> str:
    return reverse("admin:providers_provider_discover", args=[quote(key)])
