"""Messages as mail and as chats take them: within their bounds, and calling nobody."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.alerts import formats
from governance.models.alerts import AlertSeverity, ChannelFormat

CHATS = [one.value for one in ChannelFormat if one != ChannelFormat.STANDARD]
URL = "https://palyra.example/team/blue/schedules/1/?a=1&b=2"
BODY = {
    "type": "run.succeeded",
    "timestamp": "2026-03-10T12:00:00+00:00",
    "data": {
        "title": "*Daily* <!channel> report",
        "explanation": "It was due & done by [a](http://b) @everyone.",
        "severity": "warning",
        "output": "# Well\r\n\n<@U123> <!here> @everyone\n- one\n- two\x07",
        "output_cut": False,
        "url": URL,
    },
}
TEST = {"data": {"title": "This is a test."}}


def test_what_slack_takes() -> None:
    sent = formats.chat("slack", BODY)
    title = "*Daily* &lt;!channel&gt; report"
    explanation = "It was due &amp; done by [a](http://b) @everyone."
    assert sent["text"] == f"{title}\n{explanation}"
    sections = [block["text"] for block in sent["blocks"]]
    assert [one["text"] for one in sections] == [
        f"*{title}*\n{explanation}",
        "# Well\n\n&lt;@U123&gt; &lt;!here&gt; @everyone\n- one\n- two",
        "<https://palyra.example/team/blue/schedules/1/?a=1&amp;b=2|Open in Palyra>",
    ]
    assert all(one["type"] == "mrkdwn" and one["verbatim"] for one in sections)


def test_what_teams_takes() -> None:
    sent = formats.chat("teams", BODY)
    [attachment] = sent["attachments"]
    assert sent["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    title, explanation, output = card["body"]
    assert title["inlines"][0]["text"] == "*Daily* <!channel> report"
    assert title["inlines"][0]["color"] == "Warning"
    assert explanation["inlines"][0]["text"].endswith("[a](http://b) @everyone.")
    assert (output["type"], output["wrap"]) == ("TextBlock", True)
    assert output["text"].split("\n\n")[2:] == ["- one", "- two"]
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open in Palyra", "url": URL}]


def test_what_discord_takes() -> None:
    sent = formats.chat("discord", BODY)
    assert sent["content"] == r"**\*Daily\* \<!channel\> report**"
    assert sent["allowed_mentions"] == {"parse": []}
    [embed] = sent["embeds"]
    assert embed["description"].startswith(r"It was due & done by \[a\]\(http://b\) @everyone.")
    assert embed["description"].endswith(f"- two\n\n[Open in Palyra]({URL})")
    assert embed["color"] == formats.DISCORD_COLOURS[AlertSeverity.WARNING]


@pytest.mark.parametrize("chat", CHATS)
def test_a_message_may_have_a_title_alone(chat: str) -> None:
    text = orjson.dumps(formats.chat(chat, TEST)).decode()
    assert "This is a test." in text
    assert formats.OPEN not in text


def test_what_mail_says() -> None:
    subject, text = formats.mail(BODY)
    assert subject == "Palyra: *Daily* <!channel> report"
    assert text.split("\n\n")[0] == BODY["data"]["explanation"]  # type: ignore[index]
    assert text.endswith(f"- two\n\nOpen in Palyra: {URL}")
    assert formats.mail(TEST) == ("Palyra: This is a test.", "")
    cut = {"data": {"title": "a\r\nBcc: b", "output": "Much", "output_cut": True}}
    assert formats.mail(cut) == ("Palyra: a Bcc: b", "Much\n…")


# What is longer once it is escaped, encoded or counted as chats do.
ODD = st.text(st.sampled_from('x&<>*_\\\n \N{GRINNING FACE}\N{HIRAGANA LETTER A}\x00"'))


@pytest.mark.parametrize("chat", CHATS)
@given(title=ODD, explanation=ODD, output=ODD, times=st.sampled_from([1, 300, 5000]))
def test_no_message_is_too_long(
    chat: str, title: str, explanation: str, output: str, times: int
) -> None:
    data = {
        "title": (title * times)[:300],
        "explanation": (explanation * times)[:1500],
        "output": (output * times)[:10_000],
        "output_cut": True,
        "url": URL,
    }
    sent = formats.chat(chat, {"data": data})
    # Teams takes 28 KB; the others take more than this.
    assert len(orjson.dumps(sent)) < 28_000
    if chat == "slack":
        assert all(0 < units(block["text"]["text"]) <= 3000 for block in sent["blocks"])
        assert all(is_escaped(block["text"]["text"]) for block in sent["blocks"][:-1])
    if chat == "discord":
        assert units(sent["content"]) <= 2000
        assert all(units(embed["description"]) <= 4096 for embed in sent["embeds"])


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def is_escaped(text: str) -> bool:
    """Whether no character of Slack's markup is left, and no escape is torn."""
    rest: Any = re.sub("&amp;|&lt;|&gt;", "", text)
    return not set("&<>") & set(rest)


@pytest.mark.parametrize("chat", CHATS)
def test_an_output_that_is_not_whole_is_marked(chat: str) -> None:
    for output, cut in (("x" * 9000, False), ("short", True)):
        data = {"title": "Report", "output": output, "output_cut": cut}
        assert "…" in orjson.dumps(formats.chat(chat, {"data": data})).decode()
