"""What is left out of a look, because it was looked at, is nothing that could be wrong by now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.accessibility import colour_violations, violations
from tests.browser.looks import NARROW

pytestmark = [pytest.mark.browser, pytest.mark.any_database]

FAULTY = """<html lang="en"><title>A page</title><main id="content" style="background: #ffffff">
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><p style="color: #eeeeee">Pale words</p>
<input type="hidden" name="csrfmiddlewaretoken" value="one"></main>"""
RULES = {"image-alt", "color-contrast"}


@pytest.fixture
def faulty(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    page.set_content(FAULTY)
    yield page
    context.close()


def _rules(found: list[str]) -> set[str]:
    return {line.split()[1].removesuffix(":") for line in found}


def test_a_part_is_looked_at_once(faulty: Page) -> None:
    known: set[int] = set()

    assert _rules(violations(faulty, known=known)) == RULES
    faulty.evaluate("document.querySelector('input').setAttribute('value', 'another')")
    assert violations(faulty, known=known) == []
    assert _rules(violations(faulty)) == RULES


@pytest.mark.parametrize(
    "changing",
    [
        "document.querySelector('p').textContent = 'Other words'",
        "document.documentElement.classList.add('dark')",
        "document.body.className = 'wide'",
        "document.head.append(Object.assign(document.createElement('link'), "
        "{rel: 'stylesheet', href: 'data:text/css,p{margin:0}'}))",
    ],
)
def test_what_changed_is_looked_at_again(faulty: Page, changing: str) -> None:
    known: set[int] = set()
    violations(faulty, known=known)

    faulty.evaluate(changing)
    faulty.wait_for_function(
        "[...document.querySelectorAll('link')].every(one => one.sheet !== null)"
    )

    assert _rules(violations(faulty, known=known)) == RULES


def test_another_width_and_other_rules_are_other_looks(faulty: Page) -> None:
    known: set[int] = set()
    violations(faulty, known=known)

    assert _rules(colour_violations(faulty, known=known)) == {"color-contrast"}
    faulty.set_viewport_size(NARROW)
    assert _rules(violations(faulty, known=known)) == RULES


def test_the_rest_of_the_page_is_looked_at_each_time(faulty: Page) -> None:
    known: set[int] = set()
    violations(faulty, known=known)

    faulty.evaluate("document.body.append(document.querySelector('img').cloneNode())")
    faulty.evaluate("document.documentElement.removeAttribute('lang')")

    assert _rules(violations(faulty, known=known)) == {"image-alt", "html-has-lang"}
