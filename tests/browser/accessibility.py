"""axe-core's word on a page: WCAG 2.2, levels A and AA."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What can differ where only the colours do.
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]


def violations(page: Page, within: str = "html") -> list[str]:
    """What axe finds wrong on the page, or `within` a part of it, a line for each element."""
    return _run(page, {"type": "tag", "values": TAGS}, within)


def colour_violations(page: Page, within: str = "html") -> list[str]:
    """The same, of what depends on colours alone: for a page already looked at in others."""
    return _run(page, {"type": "rule", "values": RULES_OF_COLOUR}, within)


def _run(page: Page, only: dict[str, Any], within: str) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    options = {"runOnly": only, "resultTypes": ["violations"]}
    found: list[dict[str, Any]] = page.evaluate(
        "([within, options]) => axe.run(within, options).then(results => results.violations)",
        [within, options],
    )
    return [
        f"{page.url} {violation['id']}: {violation['help']}: {node['html'][:200]} "
        f"({node['failureSummary'].replace(chr(10), ' ')})"
        for violation in found
        for node in violation["nodes"]
    ]
