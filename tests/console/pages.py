"""Reading the console's pages and filling in their forms, as a browser would."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any


class _Reader(HTMLParser):
    """Gathers the fields of one form as they would be sent, and the text of the page."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.fields: dict[str, Any] = {}
        self.text: list[str] = []
        self._inside = False
        self._silent = 0
        self._area: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == self.form_id
        elif tag in {"script", "style"}:
            self._silent += 1
        name = given.get("name", "")
        if not self._inside or not name or "__prefix__" in name:
            return
        if tag == "input" and given.get("type") in {"checkbox", "radio"}:
            if "checked" in given:
                self.fields[name] = given.get("value") or "on"
        elif tag == "input" and given.get("type") != "submit":
            self.fields[name] = given.get("value", "")
        elif tag == "textarea":
            self.fields[name], self._area = "", name
        elif tag == "select":
            self.fields.setdefault(name, "")
            self._select = name

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag in {"script", "style"}:
            self._silent -= 1
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.fields[self._area] += data
        if not self._silent:
            self.text.append(data)

    def choose(self, html: str) -> None:
        """Take the chosen option of each select."""
        parser = _Options(self.fields)
        parser.feed(html)


class _Options(HTMLParser):
    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__()
        self.fields = fields
        self.name = ""
        self.is_multiple = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "select":
            self.name, self.is_multiple = given.get("name", ""), "multiple" in given
            if self.is_multiple and self.name in self.fields:
                self.fields[self.name] = []
        elif tag == "option" and "selected" in given and self.name in self.fields:
            value = given.get("value", "")
            if self.is_multiple:
                self.fields[self.name].append(value)
            else:
                self.fields[self.name] = value


def filled(html: str, form_id: str) -> dict[str, Any]:
    """What a browser would send of the form if nothing were changed in it."""
    reader = _Reader(form_id)
    reader.feed(html)
    reader.choose(html)
    return reader.fields


def text_of(html: str) -> str:
    """What the page says, with single spaces."""
    reader = _Reader("")
    reader.feed(html)
    return " ".join(" ".join(reader.text).split())


def links_of(html: str) -> list[tuple[str, str]]:
    """Where an object's page leads on to, beside its actions: labels and addresses."""
    found = re.findall(
        r'<a class="palyra-button palyra-button-default" href="([^"]+)">\s*<span[^>]*>[^<]*</span>'
        r"([^<]+)</a>",
        html,
    )
    return [(label.strip(), unescape(address)) for address, label in found]
