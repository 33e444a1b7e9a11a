"""What is wrong with a page in light, in the dark and on a phone: one that is loaded once, for a
page takes longer to load than to be looked at again."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, ViewportSize

from tests.browser.accessibility import colour_violations, violations

WIDE, NARROW = (ViewportSize(width=width, height=900) for width in (1440, 390))
# Resolves when nothing more comes of itself: what scripts begin at once is asked for and in place.
AT_REST = """async () => {
  const frame = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
  const moving = () => document.getAnimations().filter(
    one => one.playState === 'running' && one.effect.getComputedTiming().endTime !== Infinity);
  await document.fonts.ready;
  await frame();
  do {
    await frame();
    await Promise.allSettled(moving().map(one => one.finished));
  } while (moving().length || document.querySelector('.htmx-request'));
}"""
PANELS = "details.palyra-action"


def page_faults(page: Page, *, opening: bool = False, known: set[int] | None = None) -> list[str]:
    """What is wrong with the page in each of its looks; with `opening`, with each action's panel
    opened as well. `known` is for `violations`."""
    page.evaluate(AT_REST)
    found = _look(page, "light", violations, opening, known)
    page.evaluate("document.documentElement.classList.add('dark')")
    page.evaluate(AT_REST)
    found += _look(page, "dark", colour_violations, opening, known)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size(NARROW)
    page.evaluate(AT_REST)
    found += _look(page, "phone", violations, opening, known)
    page.set_viewport_size(WIDE)
    return found


def _look(
    page: Page,
    name: str,
    check: Callable[..., list[str]],
    opening: bool,
    known: set[int] | None,
) -> list[str]:
    found = [*check(page, known=known), *overflow(page)]
    if opening:
        for number in range(page.locator(PANELS).count()):
            _set_open(page, number, True)
            found += [*check(page, f"{PANELS}[open]"), *overflow(page)]
            _set_open(page, number, False)
    return [f"{name} {fault}" for fault in found]


def _set_open(page: Page, number: int, is_open: bool) -> None:
    page.locator(PANELS).nth(number).evaluate("(panel, open) => { panel.open = open }", is_open)


def overflow(page: Page) -> list[str]:
    """That the page is wider than the screen, if it is."""
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [f"{page.url} is {wider} px wider than the screen"] if wider > 0 else []
