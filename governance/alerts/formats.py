"""A message as people read it: by mail, and as the incoming webhooks of chats take it. Pure.

What a message says of itself is in its body's `data`: `title` and, where there is more to say,
`explanation`, `severity`, `output` with `output_cut`, and `url`. Titles and explanations hold names
that others chose, so they are written to be taken literally; an output is shown as the model wrote
it. Nothing in either calls anybody: no `@everyone`, no `<!channel>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from governance.models.alerts import AlertSeverity, ChannelFormat

OPEN = "Open in Palyra"
# What each chat takes, in UTF-16 units, less some room for what it may count besides. Teams counts
# 28 KB of JSON, of which a character may take four bytes.
SLACK_SECTION = 2900
TEAMS_OUTPUT = 5000
DISCORD_CONTENT, DISCORD_DESCRIPTION = 1900, 3800
SLACK_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
DISCORD_ESCAPES = {ord(one): f"\\{one}" for one in "\\*_~`|>#[]()<"}
TEAMS_COLOURS = {AlertSeverity.WARNING: "Warning", AlertSeverity.CRITICAL: "Attention"}
DISCORD_COLOURS = {AlertSeverity.WARNING: 0xF59E0B, AlertSeverity.CRITICAL: 0xDC2626}
DISCORD_QUIET = 0x3B82F6
# Of these JSON makes six bytes, and no chat shows them.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a message says to people; only `title` is always there. It is one line, as is
    `explanation`."""

    title: str
    explanation: str = ""
    severity: str = AlertSeverity.INFO
    output: str = ""
    output_cut: bool = False
    url: str = ""


def words_of(body: Mapping[str, Any]) -> Words:
    """The words in a message's body."""
    data = body["data"]
    return Words(
        title=_one_line(data["title"]),
        explanation=_one_line(data.get("explanation", "")),
        severity=data.get("severity", AlertSeverity.INFO),
        output=CONTROLS.sub("", data.get("output", "")).strip(),
        output_cut=bool(data.get("output_cut")),
        url=data.get("url", ""),
    )


def mail(body: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and text."""
    words = words_of(body)
    output = f"{words.output}\n…" if words.output_cut else words.output
    parts = [words.explanation, output, f"{OPEN}: {words.url}" if words.url else ""]
    return f"Palyra: {words.title}", "\n\n".join(part for part in parts if part)


def chat(channel_format: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the chat's webhook takes. Raises `KeyError` for a format that is no chat's."""
    return CHATS[channel_format](words_of(body))


def _slack(words: Words) -> dict[str, Any]:
    """Text for what shows no blocks, such as a notification; then a section for each part."""
    title = _written(words.title, SLACK_SECTION // 4, SLACK_ESCAPES)
    explanation = _written(words.explanation, SLACK_SECTION // 2, SLACK_ESCAPES)
    parts = [f"*{title}*\n{explanation}".strip(), _output(words, SLACK_SECTION, SLACK_ESCAPES)]
    if words.url:
        parts.append(f"<{words.url.translate(SLACK_ESCAPES)}|{OPEN}>")
    return {
        "text": f"{title}\n{explanation}".strip(),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": part, "verbatim": True}}
            for part in parts
            if part
        ],
    }


def _teams(words: Words) -> dict[str, Any]:
    """The message that a workflow takes when a webhook request is received: an adaptive card."""
    colour = TEAMS_COLOURS.get(AlertSeverity(words.severity), "Default")
    card: list[dict[str, Any]] = [
        _literal(words.title, weight="Bolder", size="Medium", color=colour)
    ]
    if words.explanation:
        card.append(_literal(words.explanation))
    if words.output:
        # Only an empty line ends a line there.
        text = re.sub(r"\n+", "\n\n", _output(words, TEAMS_OUTPUT // 2, {}))
        card.append({"type": "TextBlock", "text": text, "wrap": True})
    action = {"type": "Action.OpenUrl", "title": OPEN, "url": words.url}
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": card,
        "actions": [action] if words.url else [],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "attachments": [attachment]}


def _literal(text: str, **style: str) -> dict[str, Any]:
    """A paragraph in which no Markdown is looked for."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _discord(words: Words) -> dict[str, Any]:
    """The title, which notifications show, and the rest as an embed."""
    explanation = _written(words.explanation, DISCORD_DESCRIPTION // 2, DISCORD_ESCAPES)
    output = _output(words, DISCORD_DESCRIPTION - _units(explanation) - _units(words.url), {})
    parts = [explanation, output, f"[{OPEN}]({words.url})" if words.url else ""]
    description = "\n\n".join(part for part in parts if part)
    colour = DISCORD_COLOURS.get(AlertSeverity(words.severity), DISCORD_QUIET)
    return {
        "content": f"**{_written(words.title, DISCORD_CONTENT, DISCORD_ESCAPES)}**",
        "embeds": [{"description": description, "color": colour}] if description else [],
        "allowed_mentions": {"parse": []},
    }


CHATS: dict[str, Callable[[Words], dict[str, Any]]] = {
    ChannelFormat.SLACK: _slack,
    ChannelFormat.TEAMS: _teams,
    ChannelFormat.DISCORD: _discord,
}


def _one_line(text: str) -> str:
    return " ".join(CONTROLS.sub(" ", text).split())


def _output(words: Words, limit: int, escapes: dict[int, str]) -> str:
    """The output, marked if it is not the whole."""
    text = _written(words.output, limit, escapes)
    return f"{text}…" if words.output_cut and not text.endswith("…") else text


def _written(text: str, limit: int, escapes: dict[int, str]) -> str:
    """`text` with `escapes`, cut where it would be longer than `limit`; no escape is torn."""
    whole = text.translate(escapes)
    if _units(whole) <= limit:
        return whole
    room = limit - 1
    for place, character in enumerate(text):
        room -= _units(character.translate(escapes))
        if room < 0:
            return f"{text[:place].translate(escapes)}…"
    return whole


def _units(text: str) -> int:
    """How long it is as chats count: an emoji may be two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
