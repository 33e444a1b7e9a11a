"""Asking a provider's host, in the console: is it reached, and which models has it? Each opens in a
dialog over the provider's page; without scripts, the first says so on that page, and the second is
a page of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from providers import discovery
from providers.admin.actions import faults_of, object_action
from providers.admin.dialogs import for_dialog, page_or_dialog
from providers.admin.discovery_rows import discovery_rows, to_review
from providers.condition import OPERATING
from providers.discovery.price_book import price_book
from providers.display import number
from providers.health import check_now
from providers.models import Provider, ProviderKind, ProviderModel

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

ASKING = "Asking the host for its models. No tokens are spent, and nothing changes."


def is_remote(provider: Provider) -> bool:
    """Whether the provider has a host that can be asked."""
    return provider.kind != ProviderKind.DETERMINISTIC


class HostActions(Base):
    """Mixed into the console's page of a provider."""

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

    def object_action_view(
        self, request: HttpRequest, object_id: str, action_name: str
    ) -> HttpResponse:
        """As everywhere; what a dialog asks for is answered there, and who discovers on a page goes
        on to what was found."""
        in_dialog = {"test_connection": self._test_shown, "discover_models": self._discover_shown}
        shown = in_dialog.get(action_name) if for_dialog(request) else None
        if shown is not None and request.method == "POST":
            provider, _ = self.asked_of(request, object_id, action_name)
            return shown(request, provider)
        response = super().object_action_view(request, object_id, action_name)
        if action_name == "discover_models" and isinstance(response, HttpResponseRedirect):
            return HttpResponseRedirect(_address("discover", unquote(object_id)))
        return response

    @object_action(
        label="Test connection", permission="operate", icon="network_check", dialog=ASKING
    )
    def test_connection(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Say of each credential whether the host takes it, and how soon it answered."""
        if not is_remote(provider):
            return f"{provider} answers by itself: there is no host to reach."
        test = check_now(provider)
        said = [str(result) for result in test.results]
        if not test.ok:
            raise ValidationError(said)
        return " ".join([f"{provider} can be reached.", *said])

    @object_action(
        label="Discover models",
        permission="discover",
        icon="travel_explore",
        applies=is_remote,
        dialog=ASKING,
    )
    def discover_models(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Ask the host for its models; the page that follows shows what would change."""
        try:
            listing = discovery.discover(provider, refresh=True)
        except discovery.DiscoveryFailed as error:
            raise ValidationError(str(error)) from None
        return str(discovery.review(provider, listing, now=timezone.now()))

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def discover_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the host listed last; posted, what was picked is applied."""
        provider = self.get_object(request, unquote(object_id))
        if provider is None or not self.has_discover_permission(request, provider):
            raise PermissionDenied
        if request.method != "POST":
            return self._discovered(request, provider)
        picked = None if "all" in request.POST else request.POST.getlist("models")
        asked = "prices" in request.POST
        priced = asked and self._may_price(request)
        try:
            done = discovery.apply(provider, picked, with_prices=priced, now=timezone.now())
        except ValidationError as error:
            return self._discovered(
                request, provider, picked or (), faults=faults_of(error), keeps_prices=not asked
            )
        self.log_change(request, provider, f"Discovered: {done}")
        if for_dialog(request):
            return self._discovered(request, provider, done=str(done))
        messages.success(request, str(done))
        return HttpResponseRedirect(_address("change", provider.pk))

    def _test_shown(self, request: HttpRequest, provider: Provider) -> HttpResponse:
        """The host tested, credential by credential."""
        test = check_now(provider) if is_remote(provider) else None
        if test is not None and test.ok:
            said = " ".join(str(result) for result in test.results)
            self.log_change(request, provider, f"{provider} can be reached. {said}")
        context = {
            "title": f"Connection to {provider}",
            "provider": provider,
            "test": test,
            "again": _address("do", provider.pk, "test_connection"),
            "discover": self.has_discover_permission(request, provider)
            and _address("do", provider.pk, "discover_models"),
            "asking": ASKING,
        }
        return page_or_dialog(request, "admin/providers/provider/tested.html", context)

    def _discover_shown(self, request: HttpRequest, provider: Provider) -> HttpResponse:
        """The host asked anew for its models, and what it said, or why it said nothing."""
        if not is_remote(provider):
            return self._discovered(request, provider)
        try:
            said = self.discover_models(request, provider, {})
        except ValidationError as error:
            return self._discovered(request, provider, faults=faults_of(error))
        self.log_change(request, provider, said)
        return self._discovered(request, provider)

    def _discovered(
        self,
        request: HttpRequest,
        provider: Provider,
        picked: Collection[str] = (),
        *,
        faults: Collection[str] = (),
        done: str = "",
        keeps_prices: bool = False,
    ) -> HttpResponse:
        listing = discovery.kept_listing(provider)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Models of {provider}",
            "original": provider,
            "provider": provider,
            "is_remote": is_remote(provider),
            "ask": _address("do", provider.pk, "discover_models"),
            "take_over": _address("discover", provider.pk),
            "asking": ASKING,
            "faults": faults,
            "done": done,
            "listing": listing,
            "may_price": self._may_price(request),
            "keeps_prices": keeps_prices,
            "usual_context": number(ProviderModel().context_window),
            "usual_output": number(ProviderModel().max_output_tokens),
        }
        if listing is not None:
            found = discovery.review(provider, listing, now=timezone.now())
            context["review"] = found
            context["rows"] = discovery_rows(found, picked)
            context["advised"] = sum(one.is_advised for one in found.proposals)
        return page_or_dialog(request, "admin/providers/provider/discover.html", context)

    def listing_to_review(self, request: HttpRequest, provider: Provider) -> dict[str, str]:
        """What the last listing has to take over and where that is done, for who may do it."""
        listing = discovery.kept_listing(provider)
        if listing is None or not self.has_discover_permission(request, provider):
            return {}
        says = to_review(discovery.review(provider, listing, now=timezone.now()))
        return {"says": says, "address": _address("discover", provider.pk)} if says else {}

    def _may_price(self, request: HttpRequest) -> bool:
        permission = price_book().permission
        return bool(permission) and request.user.has_perm(permission)


def _address(view: str, key: Any, *more: str) -> str:
    return reverse(f"admin:providers_provider_{view}", args=[quote(key), *more])
