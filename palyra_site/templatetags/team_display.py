"""How the team pages show amounts, times and states."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from governance import approval_words
from governance.alerts.deliveries import last_try
from governance.amounts import amount_text
from governance.display import APPROVAL_TONES, CALL_TONES, DELIVERY_TONES, STANDING_TONES
from governance.display import dollars as dollars_or_nothing
from governance.models import BudgetPolicy, Delivery
from governance.policy_words import now_text
from governance.standing import Standing
from governance.zones import zone as named_zone
from providers.display import NOTHING, duration, number
from scheduling import display
from scheduling.display import JOB_STATES, RUN_TONES
from scheduling.handling import can_run_again
from scheduling.models import CronRun
from scheduling.schedule import Upcoming

register = template.Library()
register.filter("count", number)
register.filter("seconds", duration)
register.filter("last_try", last_try)
register.filter("can_run_again", can_run_again)
register.filter("dollars", dollars_or_nothing)
register.filter("lasts", approval_words.lasts)
register.filter("requester", approval_words.requester)

MINUTE, HOUR, DAY = 60, 3600, 86400
JUST_NOW = timedelta(seconds=5)
# Beyond this many of a unit the next larger one reads better: "80 minutes", but "2 hours".
PER_UNIT = ((90, 1, "second"), (90, MINUTE, "minute"), (36, HOUR, "hour"))

# Colour is never alone: each state has its word, and its tone also picks the mark before it.
TONES = {**CALL_TONES, **RUN_TONES, **APPROVAL_TONES}


def span_text(span: timedelta) -> str:
    """A length of time in one unit: "3 seconds", "80 minutes", "2 days"."""
    seconds = abs(span.total_seconds())
    for most, size, name in PER_UNIT:
        count = round(seconds / size)
        if count < most:
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{round(seconds / DAY)} days"


def relative_text(moment: datetime, now: datetime) -> str:
    """`moment` as seen from `now`: "in 3 hours", "2 minutes ago", "just now"."""
    away = moment - now
    if abs(away) < JUST_NOW:
        return "just now"
    return f"in {span_text(away)}" if away > timedelta() else f"{span_text(away)} ago"


def clock_text(moment: datetime, now: datetime, zone: str = "") -> str:
    """`moment` as clocks in `zone` (the page's own by default) show it; the year if not this one.

    Seconds are shown where there are any.
    """
    where = named_zone(zone) if zone else timezone.get_current_timezone()
    local, today = moment.astimezone(where), now.astimezone(where)
    year = "" if local.year == today.year else f" {local.year}"
    seconds = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{local:%a} {local.day} {local:%b}{year}, {seconds}"


@register.simple_tag
def moment(value: datetime, now: datetime) -> SafeString:
    """A time in the page's zone, and below it how far away it is."""
    return format_html(
        '{} <span class="muted under">{}</span>', clock(value, now), relative_text(value, now)
    )


@register.simple_tag
def clock(value: datetime, now: datetime, zone: str = "") -> SafeString:
    """A time in the page's zone or the one given; in UTC to the second where one points at it."""
    utc = value.astimezone(UTC)
    return format_html(
        '<time class="nowrap" datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(timespec="seconds"),
        f"{utc:%Y-%m-%d %H:%M:%S}",
        clock_text(value, now, zone),
    )


@register.simple_tag
def relative(value: datetime, now: datetime) -> str:
    return relative_text(value, now)


@register.filter
def this_interval(policy: BudgetPolicy) -> str:
    """What a budget's figure is of, as it is spoken of: "today", "in the last hour"."""
    return now_text(policy)


@register.simple_tag
def amount(metric: str, value: int | None) -> str:
    """An amount of a budget's metric, in words."""
    return NOTHING if value is None else amount_text(metric, value)


AT_LIMIT = {
    "alert": "Only alerts past {}; it stops nothing",
    "degrade": "Goes to a cheaper model past {}, and stops calls that none fits",
    "block": "Stops calls at {}",
    "approval": "Needs approval past {}",
}


@register.simple_tag
def at_limit(standing: Standing) -> str:
    """What becomes of calls at a budget's hard limit."""
    policy = standing.policy
    return AT_LIMIT[policy.action].format(amount_text(policy.metric, standing.hard_limit or 0))


@register.filter
def lag(run: CronRun) -> str:
    """How late a run began."""
    seconds = display.lag(run)
    return NOTHING if seconds is None else duration(seconds)


@register.filter
def took(run: CronRun) -> str:
    """How long a run was at work."""
    seconds = display.took(run)
    return NOTHING if seconds is None else duration(seconds)


@register.filter
def notes(run: CronRun) -> str:
    """What is said of a run beside its status."""
    return ", ".join([*display.run_notes(run), *([run.model] if run.model else [])])


@register.filter
def can_cancel(run: CronRun) -> bool:
    """Whether a run can still be stopped."""
    return display.can_cancel(run)


@register.filter
def marks(time: Upcoming, zone: str) -> list[str]:
    """What is unusual of a time to come: moved or repeated by a clock change, or put off."""
    return display.marks(time, named_zone(zone))


@register.filter
def as_json(value: Any) -> str:
    """A value as JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.simple_tag
def delivery_status(delivery: Delivery) -> SafeString:
    """Where a message stands, as a mark and a word."""
    return _status(delivery.get_status_display(), DELIVERY_TONES.get(delivery.status, "quiet"))


@register.simple_tag
def status(code: str, words: str) -> SafeString:
    """Where a call, a run or a request stands, as a mark and a word."""
    return _status(words, TONES.get(code, "quiet"))


@register.simple_tag
def job_status(state: str) -> SafeString:
    """Whether a schedule runs, as a mark and a word."""
    return _status(*JOB_STATES[state])


@register.simple_tag
def standing_status(standing: Standing) -> SafeString:
    """Which of its limits a budget has reached, as a mark and words."""
    return _status(*STANDING_TONES[standing.state])


def _status(words: str, tone: str) -> SafeString:
    return format_html('<span class="status status-{}">{}</span>', tone, words)


@register.simple_tag
def meter(standing: Standing) -> SafeString:
    """A budget as a bar: what is consumed, then what is held; the numbers stand beside it.

    Widths are attributes of an image, because the content policy allows no inline style.
    """
    whole = max(standing.limit, standing.consumed + standing.held, 1)
    return format_html(
        '<svg class="meter" role="img" aria-label="{}" height="10">'
        '<rect class="meter-whole" width="100%" height="10"/>'
        '<rect class="meter-consumed" width="{}%" height="10"/>'
        '<rect class="meter-held" x="{}%" width="{}%" height="10"/></svg>',
        f"{standing.percent} % consumed or held",
        _share(standing.consumed, whole),
        _share(standing.consumed, whole),
        _share(standing.held, whole),
    )


def _share(amount: int, whole: int) -> str:
    # A little is shown as a little, not as nothing.
    share = 100 * amount / whole
    return f"{max(share, 0.5) if amount else 0:.2f}"
