"""How money, amounts and states of governance are shown in the console."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.utils.html import format_html
from django.utils.safestring import SafeString

from governance.amounts import amount_text
from governance.models import (
    Alert,
    AlertSeverity,
    ApprovalStatus,
    CallStatus,
    Delivery,
    DeliveryStatus,
    ModelCall,
)
from governance.money import dollars_text
from governance.standing import Standing
from providers.display import NOTHING, Tone, badge, bar, moment_text

CALL_TONES: dict[str, Tone] = {
    CallStatus.IN_FLIGHT: "busy",
    CallStatus.SUCCEEDED: "good",
    CallStatus.FAILED: "bad",
    CallStatus.CANCELLED: "quiet",
    CallStatus.BLOCKED: "warning",
    CallStatus.UNCONFIRMED: "warning",
    CallStatus.WAITING: "busy",
    CallStatus.DENIED: "bad",
}
APPROVAL_TONES: dict[str, Tone] = {
    ApprovalStatus.PENDING: "busy",
    ApprovalStatus.APPROVED: "good",
    ApprovalStatus.DENIED: "bad",
}
DELIVERY_TONES: dict[str, Tone] = {
    DeliveryStatus.PENDING: "busy",
    DeliveryStatus.DELIVERED: "good",
    DeliveryStatus.FAILED: "bad",
}
SEVERITY_TONES: dict[str, Tone] = {
    AlertSeverity.INFO: "quiet",
    AlertSeverity.WARNING: "warning",
    AlertSeverity.CRITICAL: "bad",
}
STANDING_TONES: dict[str, tuple[str, Tone]] = {
    "ok": ("Within limits", "good"),
    "soft_limit": ("Past soft limit", "warning"),
    "hard_limit": ("At hard limit", "bad"),
}


def dollars(amount: int | None) -> str:
    """US dollars for people; an unknown cost is not zero."""
    return NOTHING if amount is None else dollars_text(amount)


def call_status(call: ModelCall) -> SafeString:
    """A call's status as a coloured word."""
    return badge(call.get_status_display(), CALL_TONES.get(call.status, "quiet"))


def standing_badge(standing: Standing) -> SafeString:
    """Where a budget stands, as a coloured word."""
    words, tone = STANDING_TONES.get(standing.state, (standing.state, "quiet"))
    return badge(words, tone)


def standing_meter(standing: Standing) -> SafeString:
    """Consumed and held against the limit: a bar, and the same in words."""
    metric = standing.policy.metric
    limit = standing.hard_limit if standing.hard_limit is not None else standing.soft_limit
    words = f"{amount_text(metric, standing.consumed)} consumed"
    if standing.held:
        words += f", {amount_text(metric, standing.held)} held"
    if limit is None:
        return format_html('<span class="palyra-meter-words">{}</span>', words)
    words += f" of {amount_text(metric, limit)}"
    if standing.hard_limit is None:
        words += " (warns only)"
    return format_html(
        '<span class="palyra-budget">{}<span class="palyra-meter-words">{}</span></span>',
        bar(
            consumed=_share(standing.consumed, limit),
            held=_share(standing.held, limit),
            label=words,
        ),
        words,
    )


def _share(amount: int, limit: int) -> float:
    if limit > 0:
        return amount * 100 / limit
    return 100.0 if amount else 0.0


def resets(standing: Standing) -> str:
    """When a budget starts again, in its policy's own zone."""
    if standing.resets_at is None:
        return "Never"
    return moment_text(standing.resets_at, ZoneInfo(standing.policy.zone))


def delivery_badge(delivery: Delivery) -> SafeString:
    """Where a message stands, as a coloured word."""
    return badge(delivery.get_status_display(), DELIVERY_TONES.get(delivery.status, "quiet"))


def severity_badge(alert: Alert) -> SafeString:
    """How soon somebody should look at an alert, as a coloured word."""
    return badge(alert.get_severity_display(), SEVERITY_TONES[alert.severity])
