"""What is run on one kind of database only is nothing that is about databases."""

from __future__ import annotations

import pytest

from tests.selecting import is_about_the_database


def test_what_asks_for_nothing_is_not(request: pytest.FixtureRequest) -> None:
    assert not is_about_the_database(request.node)


@pytest.mark.django_db
def test_what_is_marked_is(request: pytest.FixtureRequest) -> None:
    assert is_about_the_database(request.node)


def test_what_asks_for_a_fixture_is(request: pytest.FixtureRequest, db: None) -> None:
    assert is_about_the_database(request.node)


@pytest.fixture
def behind_its_back(django_db_blocker: object) -> None:
    """Could let a test at the database."""


def test_what_a_fixture_lets_at_it_is(
    request: pytest.FixtureRequest, behind_its_back: None
) -> None:
    assert is_about_the_database(request.node)


@pytest.mark.processes
def test_what_starts_processes_is(request: pytest.FixtureRequest) -> None:
    assert is_about_the_database(request.node)


@pytest.mark.processes
@pytest.mark.any_database
def test_what_says_that_it_is_not_is_not(request: pytest.FixtureRequest) -> None:
    assert not is_about_the_database(request.node)


@pytest.mark.any_database
@pytest.mark.every_database
def test_what_is_about_it_in_a_module_that_is_not_is(request: pytest.FixtureRequest) -> None:
    assert is_about_the_database(request.node)
