"""`python -m tests.browser.screenshots DIRECTORY [NAME …]`: pictures of the console as `palyra
demo` fills it; all of them, or those named."""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from playwright.sync_api import Page

from tests.browser.chromium import chromium, watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import console

# A picture of a day that has just begun shows nothing: it is taken where it is afternoon.
ZONES = ("Europe/Prague", "America/New_York", "America/Los_Angeles", "Asia/Tokyo", "Asia/Kolkata")
AFTERNOON = 15
# Named here, for Django's models are not read in this process.
DEMO_ADMINISTRATOR = "admin"
PAGES = {
    "overview": "/admin/",
    "spend": "/admin/spend/?by=model",
    "calls": "/admin/governance/modelcall/",
    "call": "/admin/governance/modelcall/?status__exact=succeeded&cached__exact=0",
    "budgets": "/admin/governance/budgetpolicy/",
    "approval": "/admin/governance/approval/?status__exact=pending",
    "schedule": "/admin/scheduling/cronjob/",
    "runs": "/admin/scheduling/cronrun/",
    "playground": "/admin/playground/",
}
OF_THE_FIRST_ROW = {"call", "approval", "schedule"}
ASKED = "Compare the refund policies of our three largest markets, step by step."
IN_OTHER_LOOKS = {"dark": ("overview", "call"), "phone": ("overview",)}


def take(directory: Path, wanted: Collection[str] = tuple(PAGES)) -> None:
    """Write every picture that is `wanted` into `directory`, as PNG."""
    directory.mkdir(parents=True, exist_ok=True)
    zone = min(ZONES, key=_from_afternoon)
    with console(demo=True) as running, chromium() as browser:
        for looks, names in {"light": tuple(PAGES), **IN_OTHER_LOOKS}.items():
            with watched_page(browser, running.base_url, looks, zone) as watched:
                sign_in(watched.page, DEMO_ADMINISTRATOR)
                for name in (one for one in names if one in wanted):
                    _open(watched.page, name)
                    ending = "" if looks == "light" else f"-{looks}"
                    watched.page.screenshot(path=directory / f"{name}{ending}.png")


def _from_afternoon(zone: str) -> int:
    return abs(datetime.now(UTC).astimezone(ZoneInfo(zone)).hour - AFTERNOON)


def _open(page: Page, name: str) -> None:
    page.goto(PAGES[name])
    if name in OF_THE_FIRST_ROW:
        page.locator("#result_list tbody th a").first.click()
    if name == "playground":
        page.get_by_label("Prompt", exact=True).fill(ASKED)
        page.get_by_role("button", name="Explain").click()
        page.locator("#playground-candidates").wait_for()
        # With the form above it, the explanation does not fit.
        page.locator(".playground-actions").evaluate("it => it.scrollIntoView({block: 'start'})")
    page.wait_for_load_state("networkidle")
    page.evaluate("document.activeElement?.blur()")


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2:] or tuple(PAGES))
