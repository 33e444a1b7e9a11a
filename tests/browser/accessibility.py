"""axe-core's word on a page: WCAG 2.2, levels A and AA."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What can differ where only the colours do.
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
# It reads each colour anew for each element above another, which takes half of its time, though a
# page has a dozen of them.
READ_ONCE = """() => {
  const prototype = axe.commons.color.Color.prototype;
  const read = prototype.parseString, known = new Map();
  prototype.parseString = function (text) {
    if (!known.has(text)) {
      read.call(this, text);
      known.set(text, {r: this.r, g: this.g, b: this.b, alpha: this.alpha});
    }
    return Object.assign(this, known.get(text));
  };
}"""
# What many pages have in common: entries of the menu, and for several readers the same content.
PARTS = "#nav-sidebar li, #content"
# All that a part's looks depend on. No form's token is like another.
APPEARANCES = """selector => {
  const named = element => `${element.tagName} ${element.className}`;
  const above = element => element ? `${above(element.parentElement)} ${named(element)}` : '';
  const sheets = [...document.styleSheets].map(one => one.href).join();
  const token = /(name="csrfmiddlewaretoken" value=")[^"]*/g;
  return [...document.querySelectorAll(selector)].map(part => [
    innerWidth, sheets, above(part.parentElement), part.outerHTML.replace(token, '$1'),
  ].join());
}"""
RUN = """async ([within, parts, known, options]) => {
  const exclude = [...document.querySelectorAll(parts)].filter((_, number) => known[number]);
  const include = [...document.querySelectorAll(within)];
  return (await axe.run({include, exclude}, options)).violations;
}"""


def violations(page: Page, within: str = "html", known: set[int] | None = None) -> list[str]:
    """What axe finds wrong on the page, or `within` a part of it, a line for each element.

    For pages as they are loaded, `known` keeps which of their parts were looked at: one that is as
    it was, in the same look, is not looked at again.
    """
    return _run(page, {"type": "tag", "values": TAGS}, within, known)


def colour_violations(page: Page, within: str = "html", known: set[int] | None = None) -> list[str]:
    """The same, of what depends on colours alone: for a page already looked at in others."""
    return _run(page, {"type": "rule", "values": RULES_OF_COLOUR}, within, known)


def _run(page: Page, only: dict[str, Any], within: str, known: set[int] | None) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
        page.evaluate(READ_ONCE)
    looked_at = [] if known is None else page.evaluate(APPEARANCES, PARTS)
    parts = [hash((only["type"], appearance)) for appearance in looked_at]
    options = {"runOnly": only, "resultTypes": ["violations"]}
    found: list[dict[str, Any]] = page.evaluate(
        RUN, [within, PARTS, [part in (known or ()) for part in parts], options]
    )
    if known is not None:
        known.update(parts)
    return [
        f"{page.url} {violation['id']}: {violation['help']}: {node['html'][:200]} "
        f"({node['failureSummary'].replace(chr(10), ' ')})"
        for violation in found
        for node in violation["nodes"]
    ]
