"""Moves each provider's credential into a row of its own, and lets what worked go on working."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.db import migrations

LOCAL_ENDINGS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
KINDS_BEFORE = ("deterministic", "openai_compatible")


def fill(apps, schema_editor):
    providers = apps.get_model("providers", "Provider").objects.using(schema_editor.connection.alias)
    credentials = apps.get_model("providers", "Credential").objects.using(
        schema_editor.connection.alias
    )
    for provider in providers.all():
        if provider.credential_id is not None:
            credentials.get_or_create(
                provider_id=provider.pk, secret_id=provider.credential_id, defaults={"position": 0}
            )
        provider.allow_private_base_url = is_private(provider.base_url)
        provider.first_token_timeout = min(provider.first_token_timeout, provider.total_timeout)
        provider.save(update_fields=["allow_private_base_url", "first_token_timeout"])


def is_private(base_url):
    """Whether the host is plainly on this machine or a private network. No name is looked up."""
    host = (urlsplit(base_url).hostname or "").rstrip(".").lower()
    if not host:
        return False
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith(LOCAL_ENDINGS)
    address = getattr(address, "ipv4_mapped", None) or address
    return not address.is_global or address.is_multicast


def restore(apps, schema_editor):
    """Gives each provider its first credential back. What the version before cannot do, such as
    calling with a secret that is kept elsewhere, is disabled and not called wrongly.
    """
    alias = schema_editor.connection.alias
    providers = apps.get_model("providers", "Provider").objects.using(alias)
    credentials = apps.get_model("providers", "Credential").objects.using(alias)
    for provider in providers.all():
        enabled = credentials.filter(provider_id=provider.pk, enabled=True)
        first = enabled.filter(secret__reference="").order_by("position", "pk").first()
        provider.credential_id = first.secret_id if first else None
        if provider.kind not in KINDS_BEFORE or (first is None and enabled.exists()):
            provider.enabled = False
        provider.save(update_fields=["credential", "enabled"])
    credentials.all().delete()
    apps.get_model("providers", "Secret").objects.using(alias).exclude(reference="").delete()


class Migration(migrations.Migration):
    dependencies = [("providers", "0002_registry_and_health")]

    operations = [migrations.RunPython(fill, restore)]
