"""What people do with alerts and channels: acknowledge, mute, resolve, and set up."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import ProtectedError, Q, QuerySet

from governance.alerts import signing
from governance.alerts.rules import KNOWN, WITHOUT_BEGINNING
from governance.models import (
    Alert,
    AlertKind,
    Channel,
    ChannelFormat,
    ChannelKind,
    ChannelPurpose,
)
from providers.models import Secret

ACKNOWLEDGE_PERMISSION = "governance.acknowledge_alert"
# Hosts of chats' webhooks, a leading dot standing for any name before it, and how their paths
# begin. Only those that are nothing else: of others nobody can tell what is behind them.
CHAT_ADDRESSES = (
    ("hooks.slack.com", "/", ChannelFormat.SLACK),
    (".webhook.office.com", "/", ChannelFormat.TEAMS),
    ("discord.com", "/api/webhooks/", ChannelFormat.DISCORD),
    (".discord.com", "/api/webhooks/", ChannelFormat.DISCORD),
    ("discordapp.com", "/api/webhooks/", ChannelFormat.DISCORD),
)


def acknowledge(alert: Alert, by: User, now: datetime) -> None:
    """Say that `by` looks after it; the first who says so stays."""
    Alert.objects.filter(pk=alert.pk, acknowledged_at=None).update(
        acknowledged_by=by, acknowledged_at=now
    )


def mute(alert: Alert, until: datetime, now: datetime) -> None:
    """Send nothing of it until then, even if it ends and comes back."""
    if until <= now:
        raise ValidationError({"until": "Give a time that is still to come."})
    Alert.objects.filter(pk=alert.pk).update(muted_until=until)


def unmute(alert: Alert) -> None:
    """Send what comes of it again."""
    Alert.objects.filter(pk=alert.pk).update(muted_until=None)


def resolve(alert: Alert, now: datetime) -> None:
    """Close it. It is raised again only if it becomes true anew."""
    known = {KNOWN: True} if alert.kind == WITHOUT_BEGINNING else {}
    Alert.objects.filter(pk=alert.pk, resolved_at=None).update(
        resolved_at=now, detail={**alert.detail, **known}
    )


def usable_for_runs(teams: Iterable[Any]) -> QuerySet[Channel]:
    """The channels by which those teams may be told of their runs: their own and everyone's, of
    those that are not for alerts alone. One that is switched off is among them.
    """
    usable = Channel.objects.filter(Q(team__in=teams) | Q(team=None))
    return usable.exclude(purpose=ChannelPurpose.ALERTS).order_by("name")


def check_channel(channel: Channel, secret: str) -> None:
    """Raise `ValidationError` with every fault of `channel`, to be signed for with `secret` or
    with what it has."""
    faults: dict[str, Any] = {}
    fault = _recipients_fault(channel)
    if fault:
        faults["recipients"] = fault
    if channel.kind == ChannelKind.WEBHOOK:
        fault = _address_fault(channel)
        if fault:
            faults["url"] = fault
        elif not channel.is_chat and (chat := _chat_at(channel.url)) is not None:
            faults["format"] = f"Choose the format of that chat: the address is {chat.label}’s."
        if not channel.is_chat and not secret and channel.secret_id is None:
            faults["secret"] = "Give the secret that its messages are signed with."  # noqa: S105
    if not isinstance(channel.kinds, list) or not set(channel.kinds) <= set(AlertKind.values):
        faults["kinds"] = "Give a list of kinds of alert; an empty one is every kind."
    if secret:
        try:
            signing.key_of(secret)
        except signing.UnusableSecret as error:
            faults["secret"] = str(error)
    if faults:
        raise ValidationError(faults)


def _address_fault(channel: Channel) -> str:
    """Why nothing can be sent to its address.

    Of a chat's only the host is shown: given back as it was, it stands for the address that is
    kept, as long as that is a chat's.
    """
    if not channel.url.startswith(("http://", "https://")):
        return "Give the http or https address that is sent to."
    if channel.address_id is not None and channel.url == _stored_url(channel):
        told = "It was kept as a secret: give the whole address again."
        return "" if channel.is_chat else told
    if channel.is_chat and _is_host_alone(channel.url):
        return "Give the whole address that the chat gave you: its host alone is not enough."
    return ""


def _chat_at(url: str) -> ChannelFormat | None:
    """The chat that an address is surely of; None if nobody can tell."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    for known, path, chat in CHAT_ADDRESSES:
        there = host.endswith(known) if known.startswith(".") else host == known
        if there and parts.path.startswith(path):
            return chat
    return None


def _stored_url(channel: Channel) -> str | None:
    return Channel.objects.filter(pk=channel.pk).values_list("url", flat=True).first()


def _is_host_alone(url: str) -> bool:
    return url.removesuffix("/") == _host_of(url)


def _host_of(url: str) -> str:
    """The address without what follows the host, and without a name before it; empty for none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _recipients_fault(channel: Channel) -> str:
    """Why nothing can be sent to its recipients; a webhook needs none, but a list of them."""
    recipients = channel.recipients
    if not isinstance(recipients, list) or not all(isinstance(one, str) for one in recipients):
        return "Give a list of e-mail addresses."
    if channel.kind != ChannelKind.EMAIL:
        return ""
    if not recipients:
        return "Give one e-mail address or more: a channel of this kind sends to them."
    wrong = [one for one in recipients if not _is_address(one)]
    return f"Not an e-mail address: {', '.join(wrong)}." if wrong else ""


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def save_channel(channel: Channel, secret: str) -> None:
    """Store it, already checked; a new `secret` takes the place of the one it had, and so does a
    new address of a chat's webhook. What is no webhook keeps no address."""
    with transaction.atomic():
        if channel.kind != ChannelKind.WEBHOOK:
            channel.url = ""
        if secret:
            channel.secret = _kept(channel.secret, secret)
        if channel.is_chat and not _is_host_alone(channel.url):
            channel.address = _kept(channel.address, channel.url)
            channel.url = _host_of(channel.url)
        dropped = None if channel.is_chat else channel.address
        if dropped is not None:
            channel.address = None
        channel.save()
        if dropped is not None:
            dropped.delete()


def delete_channel(channel: Channel) -> None:
    """Delete it with the log of its deliveries, its signing secret and its chat's address."""
    with transaction.atomic():
        channel.delete()


def forget_secrets(instance: Channel, **_: Any) -> None:
    """Delete what only the channel knew, once it is deleted: alone, or with its team."""
    for secret in Secret.objects.filter(pk__in=[instance.secret_id, instance.address_id]):
        # Somebody may have chosen it for something else as well.
        with suppress(ProtectedError):
            secret.delete()


def _kept(row: Secret | None, text: str) -> Secret:
    row = row or Secret(name=_name_of_secret())
    row.set_text(text)
    row.save()
    return row


def _name_of_secret() -> str:
    taken = Secret.objects.filter(name__startswith="webhook-").values_list("name", flat=True)
    names, number = set(taken), 1
    while f"webhook-{number}" in names:
        number += 1
    return f"webhook-{number}"
