"""The channels that alerts and runs are told through in the console, and the log of sending."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.views.decorators.debug import sensitive_post_parameters

from governance.admin.teams import PatternsField
from governance.alerts import deliveries, formats, handling, signing
from governance.display import delivery_badge
from governance.models import AlertKind, Channel, ChannelKind, Delivery, DeliveryStatus
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ReadOnlyAdmin
from providers.display import NOTHING, moment, muted, object_link, preformatted, two_lines

if TYPE_CHECKING:
    from django.forms import PasswordInput as UnfoldAdminPasswordWidget
    from django.forms import SelectMultiple as UnfoldAdminSelectMultipleWidget
    from django.forms import URLInput as UnfoldAdminURLInputWidget
else:
    from unfold.widgets import (
        UnfoldAdminPasswordWidget,
        UnfoldAdminSelectMultipleWidget,
        UnfoldAdminURLInputWidget,
    )

LAST_DELIVERIES = 10

# What events begin with, and what such ones are of.
EVENTS = (
    ("alert.", "Alerts"),
    ("run.", "Runs"),
    ("run.succeeded", "Runs that succeeded"),
    ("run.failed", "Runs that failed"),
    ("channel.", "Tests"),
)


class AddressesField(PatternsField):
    """E-mail addresses, one a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(one) for one in value) if isinstance(value, list) else value


class ChannelForm(forms.ModelForm[Channel]):
    """Takes the signing secret and never gives it back."""

    signing_secret = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="whsec_ and 24 to 64 random bytes in Base64. Encrypted when stored and never "
        "shown again; leave empty to keep the one that is stored.",
    )
    url = forms.URLField(
        label="Address",
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="Of a chat, the whole address that it gave you. Whoever knows it may write "
        "there: it is encrypted, and only its host is shown again.",
    )
    recipients = AddressesField(
        help_text="E-mail addresses, one a line, for a channel of that kind."
    )
    kinds = forms.MultipleChoiceField(
        label="Kinds of alert",
        required=False,
        choices=AlertKind.choices,
        widget=UnfoldAdminSelectMultipleWidget,
        help_text="Which alerts; none chosen is every kind.",
    )

    class Meta:
        model = Channel
        fields = (
            "name",
            "kind",
            "format",
            "team",
            "purpose",
            "url",
            "recipients",
            "allow_private_addresses",
            "enabled",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One that comes back with a fault offers none: another may be at the receiver already.
        secret = None if self.is_bound else self.fields.get("signing_secret")
        if secret:
            told = f"{secret.help_text} One that nobody has yet, to copy here and to the receiver: "
            offered = format_html('<code class="palyra-code">{}</code>', signing.new_secret())
            secret.help_text = format_html("{}{}", told, offered)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self.instance.kinds = self.cleaned_data.get("kinds", [])
        try:
            handling.check_channel(self.instance, self.cleaned_data.get("signing_secret", ""))
        except ValidationError as error:
            for name, texts in error.message_dict.items():
                self.add_error("signing_secret" if name == "secret" else name, texts)


@admin.register(Channel)
class ChannelAdmin(ConsoleAdmin):
    """Where alerts and what came of scheduled prompts are sent."""

    form = ChannelForm
    list_display = ("name", "sends", "team", "purpose", "enabled")
    list_filter = ("kind", "format", "purpose", "enabled", "team")
    search_fields = ("name",)
    list_select_related = ("team",)
    empty_text = "Alerts are shown here only, until there is a channel to send them to."
    empty_action = ("admin:governance_channel_add", "Add the first channel")
    readonly_fields = ("latest",)
    fields = (
        "name",
        "kind",
        "format",
        "url",
        "signing_secret",
        "allow_private_addresses",
        "recipients",
        "team",
        "purpose",
        "kinds",
        "enabled",
        "latest",
    )
    conditional_fields = {
        "format": "kind == 'webhook'",
        "url": "kind == 'webhook'",
        "signing_secret": "kind == 'webhook' && format == 'standard'",
        "allow_private_addresses": "kind == 'webhook'",
        "recipients": "kind == 'email'",
        "kinds": "purpose != 'runs'",
    }
    object_actions = ("test",)

    @method_decorator(sensitive_post_parameters("signing_secret", "url"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        handling.save_channel(obj, form.cleaned_data.get("signing_secret", ""))

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        handling.delete_channel(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        for channel in queryset:
            handling.delete_channel(channel)

    @object_action(label="Send a test", permission="change", icon="send")
    def test(self, request: HttpRequest, channel: Channel, data: dict[str, Any]) -> str:
        deliveries.send_test(channel, timezone.now())
        return "A test is on its way; see the last deliveries."

    @admin.display(description="sends", ordering="kind")
    def sends(self, channel: Channel) -> str:
        if channel.kind != ChannelKind.WEBHOOK:
            return channel.get_kind_display()
        return two_lines(channel.get_kind_display(), muted(channel.get_format_display()))

    @admin.display(description="last deliveries", empty_value=NOTHING)
    def latest(self, channel: Channel) -> str:
        rows = channel.deliveries.all()[:LAST_DELIVERIES] if channel.pk else ()
        links = (
            (object_link("governance_delivery", row.pk, row.event), row.get_status_display())
            for row in rows
        )
        return format_html_join(", ", "{} ({})", links) or "None yet"


class EventFilter(admin.SimpleListFilter):
    """By what happened. The table is long: it is not searched for the names of events."""

    title = "event"
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return EVENTS

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        beginning = self.value()
        return (
            queryset.filter(event__startswith=beginning) if beginning in dict(EVENTS) else queryset
        )


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Every message, and each try to send it."""

    list_display = ("what", "channel", "team", "state", "amount_tries", "made")
    list_filter = ("status", EventFilter, "channel", "team")
    list_select_related = ("channel", "alert", "team")
    empty_text = "Nothing was sent yet. Channels say where alerts and runs are told of."
    empty_action = ("admin:governance_channel_changelist", "See channels")
    object_actions = ("redeliver",)
    readonly_fields = (*list_display, "alert", "run", "says", "body", "tried")
    fields = readonly_fields

    def has_redeliver_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return request.user.has_perm("governance.change_delivery")

    @object_action(
        label="Send again",
        permission="redeliver",
        icon="replay",
        applies=lambda delivery: delivery.status != DeliveryStatus.PENDING,
    )
    def redeliver(self, request: HttpRequest, delivery: Delivery, data: dict[str, Any]) -> str:
        deliveries.redeliver(delivery, timezone.now())
        return "It is on its way again."

    @admin.display(description="event")
    def what(self, delivery: Delivery) -> str:
        return two_lines(delivery.event, muted(delivery.title))

    @admin.display(description="run")
    def run(self, delivery: Delivery) -> str:
        if delivery.run_id is None:
            return NOTHING
        return object_link("scheduling_cronrun", delivery.run_id, delivery.run_id)

    @admin.display(description="message")
    def says(self, delivery: Delivery) -> str:
        return preformatted(formats.mail(delivery.body)[1])

    @admin.display(description="state", ordering="status")
    def state(self, delivery: Delivery) -> str:
        return delivery_badge(delivery)

    @admin.display(description="tries", ordering="tries")
    def amount_tries(self, delivery: Delivery) -> str:
        return str(delivery.tries)

    @admin.display(description="made", ordering="created_at")
    def made(self, delivery: Delivery) -> str:
        return moment(delivery.created_at, precision="second")

    @admin.display(description="each try")
    def tried(self, delivery: Delivery) -> str:
        lines = (
            (moment(datetime.fromisoformat(one["at"])), _came(one), one["milliseconds"])
            for one in delivery.log
        )
        shown = format_html_join("", "<div>{}: {} ({} ms)</div>", lines)
        if shown or delivery.status == DeliveryStatus.PENDING:
            return shown or "Not yet"
        return "Nothing had to be sent: it is shown in the console."


def _came(tried: dict[str, Any]) -> str:
    """What came of one try."""
    if tried["status"]:
        return f"it answered {tried['status']}"
    return tried["fault"] or "it was taken"
