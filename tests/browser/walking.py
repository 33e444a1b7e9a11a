"""A walk through the console as whoever is signed in: to every page that it leads them to, and what
each offers them to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import Page

from tests.browser.looks import page_faults

# Every page's history is of one making: of each app, one is looked at.
WITH_HISTORY = {"providers_provider", "governance_budgetpolicy", "scheduling_cronjob", "auth_user"}
# Addresses below the one given, without what a list is filtered by.
BELOW = """above => [...document.querySelectorAll('#main a[href], #content a[href]')]
  .map(one => new URL(one.href))
  .filter(one => one.origin === location.origin && one.pathname.startsWith(above))
  .map(one => one.pathname)"""
# What is sent by the page's forms, but for signing out, by what its buttons say.
SENT = """() => {
  const words = button => {
    const copy = button.cloneNode(true);
    copy.querySelectorAll('.material-symbols-outlined').forEach(icon => icon.remove());
    return copy.textContent.trim().replace(/\\s+/g, ' ');
  };
  return [...document.querySelectorAll('button')]
    .filter(one => one.type === 'submit' && one.form?.method === 'post')
    .filter(one => one.form.id !== 'logout-form')
    .map(words);
}"""


@dataclass(slots=True)
class Walk:
    """What was wrong with the pages that were visited, what they offer to do, and as files. `known`
    keeps what walks before it looked at."""

    page: Page
    known: set[int]
    faults: list[str] = field(default_factory=list)
    visited: list[str] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)

    def visit(self, address: str) -> None:
        """Look at a page in every look, with what opens on it."""
        response = self.page.goto(address)
        assert response is not None
        assert response.status == 200, f"{address} answers {response.status}"
        self.visited.append(address)
        self.offered.update(self.page.evaluate(SENT))
        self.faults += page_faults(self.page, opening=True, known=self.known)

    def visit_model(self, model: str) -> None:
        """Its list with the pages beside it, and the first object with the pages below it."""
        listed = reverse(f"admin:{model}_changelist")
        self.visit(listed)
        beside = self._offered_below(listed)
        first = self.page.locator("#result_list tbody th a").first
        found = str(first.get_attribute("href")).partition("?")[0] if first.count() else ""
        for address in beside:
            self.visit(address)
        if found:
            self.visit(found)
            for address in self._offered_below(found.removesuffix("change/")):
                if "/history/" not in address or model in WITH_HISTORY:
                    self.visit(address)

    def _offered_below(self, above: str) -> list[str]:
        """The pages one step below `above` that this page leads to; files are noted only."""
        found = {one.removeprefix(above) for one in self.page.evaluate(BELOW, above)}
        if "csv/" in found:
            self.files.append(f"{above}csv/")
        steps = {one for one in found if one.count("/") == 1} - {"csv/", "change/"}
        return [f"{above}{one}" for one in sorted(steps)]


def models(app: str) -> list[str]:
    """The models of the app that have pages in the console, by the names of their addresses."""
    return [
        f"{model._meta.app_label}_{model._meta.model_name}"
        for model in admin.site._registry
        if model._meta.app_label == app
    ]
