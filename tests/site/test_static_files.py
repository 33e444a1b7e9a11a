"""Static files come from the web process, whole, by range, or not at all when unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

ADDRESS = "/static/team/team.css"


@pytest.fixture
def content() -> bytes:
    found = finders.find("team/team.css")
    assert isinstance(found, str)
    return Path(found).read_bytes()


def fetch(client: Client, **headers: str) -> Any:
    response = client.get(ADDRESS, headers=headers)
    # Not streamed: under ASGI Django warns of a file that is.
    assert not response.streaming
    return response


def test_a_file_is_served_whole(client: Client, content: bytes) -> None:
    response = fetch(client)
    assert response.status_code == 200
    assert response.content == content
    assert response["content-type"].startswith("text/css")
    assert response["content-length"] == str(len(content))


def test_a_part_of_a_file_is_served(client: Client, content: bytes) -> None:
    response = fetch(client, range="bytes=10-19")
    assert response.status_code == 206
    assert response.content == content[10:20]


def test_an_unchanged_file_is_not_sent_again(client: Client) -> None:
    changed = fetch(client)["last-modified"]
    response = fetch(client, if_modified_since=changed)
    assert response.status_code == 304
    assert response.content == b""


def test_only_the_head_is_sent_when_asked(client: Client, content: bytes) -> None:
    response = client.head(ADDRESS)
    assert response.status_code == 200
    assert response.content == b""
    assert response["content-length"] == str(len(content))


@pytest.mark.django_db
def test_what_is_not_there_is_not_found(client: Client) -> None:
    assert client.get("/static/team/nothing.css").status_code == 404
