"""axe-core's word on a page: WCAG 2.2, levels A and AA."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OPTIONS = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}


def violations(page: Page) -> list[str]:
    """What axe finds wrong on the page, a line for each element."""
    found: list[dict[str, Any]] = Axe().run(page, options=OPTIONS).response["violations"]
    return [
        f"{page.url} {violation['id']}: {violation['help']}: {node['html'][:200]} "
        f"({node['failureSummary'].replace(chr(10), ' ')})"
        for violation in found
        for node in violation["nodes"]
    ]
