"""How values are shown to people in the console: times, states, amounts of time, links."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

NOTHING = "–"
MINUTE, HOUR, DAY = 60, 3600, 86400

Tone = Literal["good", "bad", "warning", "busy", "quiet"]
Precision = Literal["minute", "second", "millisecond"]
# What Python calls them.
PRECISIONS = {"minute": "minutes", "second": "seconds", "millisecond": "milliseconds"}


def moment(
    value: datetime | None, zone: tzinfo | None = None, *, precision: Precision = "minute"
) -> str:
    """A time in `zone` (the viewer's by default) with the zone stated; exact to the second in its
    tooltip, in UTC for machines."""
    if value is None:
        return NOTHING
    local = value.astimezone(zone or timezone.get_current_timezone())
    return format_html(
        '<time class="palyra-nowrap" datetime="{}" title="{}">{}</time>',
        value.astimezone(UTC).isoformat(timespec="milliseconds"),
        f"{local:%A, %d %B %Y, %H:%M:%S} {zone_label(local)}",
        moment_text(value, zone, precision=precision),
    )


def moment_text(
    value: datetime, zone: tzinfo | None = None, *, precision: Precision = "minute"
) -> str:
    """The same as plain text: 4 Nov 2026, 09:00 CET."""
    local = value.astimezone(zone or timezone.get_current_timezone())
    clock = local.time().isoformat(PRECISIONS[precision])
    return f"{local.day} {local:%b %Y}, {clock} {zone_label(local)}"


def shortest(value: datetime) -> Precision:
    """To the minute, unless the time is one of seconds."""
    return "second" if value.second else "minute"


def zone_label(local: datetime) -> str:
    """The zone's abbreviation, or its offset where it has none."""
    name = local.tzname() or ""
    return name if name[:1].isalpha() else f"UTC{name.replace('-', '−')}"


def viewers_zone_name() -> str:
    """The zone that forms read times in and lists show them in."""
    return timezone.get_current_timezone_name()


def duration(seconds: float) -> str:
    """A length of time in its largest sensible unit, such as 340 ms, 12 s or 3 h 5 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    larger, smaller, names = HOUR, MINUTE, ("h", "min")
    if seconds < HOUR:
        larger, smaller, names = MINUTE, 1, ("min", "s")
    elif seconds >= DAY:
        larger, smaller, names = DAY, HOUR, ("d", "h")
    whole, rest = divmod(round(seconds), larger)
    rest //= smaller
    return f"{whole} {names[0]} {rest} {names[1]}" if rest else f"{whole} {names[0]}"


def distance(value: datetime, now: datetime) -> str:
    """How far a time is from `now`: in 5 min, 3 h ago."""
    seconds = (value - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    away = abs(seconds)
    if MINUTE <= away < HOUR:
        # Nobody wants the seconds of half an hour.
        away = round(away / MINUTE) * MINUTE
    return f"in {duration(away)}" if seconds > 0 else f"{duration(away)} ago"


def badge(text: object, tone: Tone = "quiet") -> SafeString:
    """A state as a coloured word; the word alone says everything."""
    return format_html('<span class="palyra-badge palyra-badge-{}">{}</span>', tone, text)


def enabled_badge(enabled: bool) -> SafeString:
    """The state of what can be switched off."""
    return badge("Enabled", "good") if enabled else badge("Disabled", "quiet")


def link(address: str, text: object) -> SafeString:
    """A link within the console."""
    return format_html('<a class="palyra-link" href="{}">{}</a>', address, text)


def object_link(model: str, key: Any, text: object) -> SafeString:
    """A link to the page of an object; `model` is such as `governance_modelcall`."""
    return link(reverse(f"admin:{model}_change", args=[key]), text)


def muted(text: object) -> SafeString:
    """Secondary text beside a value."""
    return format_html('<span class="palyra-muted">{}</span>', text)


def two_lines(first: object, second: object) -> SafeString:
    """A value and, under it, what qualifies it."""
    return format_html(
        '<span class="palyra-two">{}<span class="palyra-second">{}</span></span>', first, second
    )


def number(value: int | None) -> str:
    """A whole number with separators; unknown is not zero."""
    return NOTHING if value is None else f"{value:,}"


def preformatted(text: str) -> str:
    """Text exactly as it was written, wrapped."""
    return format_html('<pre class="palyra-text">{}</pre>', text) if text else NOTHING


def bar(*, consumed: float, held: float, label: str) -> SafeString:
    """A meter of what is consumed and held, both in per cent of the limit; `label` says it."""
    used = min(max(consumed, 0.0), 100.0)
    waiting = min(max(held, 0.0), 100.0 - used)
    return format_html(
        '<span class="palyra-meter {}" role="img" aria-label="{}">'
        '<span class="palyra-meter-used" style="width:{}%"></span>'
        '<span class="palyra-meter-held" style="width:{}%"></span></span>',
        mark_safe("palyra-meter-full" if consumed + held >= 100 else ""),  # noqa: PLR2004, S308
        label,
        f"{used:.2f}",
        f"{waiting:.2f}",
    )
