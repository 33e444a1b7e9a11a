"""Secrets kept outside Palyra: what may be named, and what is found there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from providers.references import MOST_BYTES, ReferenceUnreadable, resolve, validate_reference

# The address of a database is only a text here.
pytestmark = pytest.mark.any_database
TEXT = "sk-kept-elsewhere-0123456789"


@pytest.mark.parametrize(
    "reference",
    ["env:OPENAI_API_KEY", "env:_x1", "file:/run/secrets/openai", "file:/a b/ü"],
)
def test_what_may_be_named(reference: str) -> None:
    validate_reference(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "OPENAI_API_KEY",
        "env:",
        "env:1X",
        "env:A B",
        "env:A\n",
        "ENV:A",
        "file:",
        "file:relative/path",
        "file:~/key",
        "file:/a\0b",
        "file:/\ud800",
        "vault:openai",
        "https://example.com/key",
    ],
)
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_reference(reference)
    assert caught.value.code == "reference"


@pytest.mark.parametrize(
    "name",
    [
        "PALYRA_SECRET_KEY",
        "PALYRA_VAULT_KEY",
        "palyra_vault_key",
        "DATABASE_URL",
        "PGPASSWORD",
        "REDIS_URL",
        "DJANGO_SETTINGS_MODULE",
    ],
)
def test_palyras_own_variables_are_not_lent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, TEXT)
    with pytest.raises(ReferenceUnreadable) as caught:
        resolve(f"env:{name}")
    assert "Palyra's own" in str(caught.value)
    assert TEXT not in str(caught.value)


def test_palyras_own_files_are_not_lent(settings: Settings, data_dir: Path) -> None:
    settings.DATA_DIR = data_dir / "palyra"
    settings.DATA_DIR.mkdir()
    (settings.DATA_DIR / "vault.key").write_text(TEXT)
    (data_dir / "link").symlink_to(settings.DATA_DIR / "vault.key")
    ways = ("palyra/vault.key", "palyra/../palyra/vault.key", "link", "palyra")
    for way in ways:
        with pytest.raises(ReferenceUnreadable, match="not lent"):
            resolve(f"file:{data_dir}/{way}")
    (data_dir / "palyra-other").write_text(TEXT)
    assert resolve(f"file:{data_dir}/palyra-other") == TEXT


def test_nor_the_files_that_its_settings_are_in(settings: Settings, data_dir: Path) -> None:
    (data_dir / "vault").write_text(TEXT)
    (data_dir / "link").symlink_to(data_dir / "vault")
    assert resolve(f"file:{data_dir}/link") == TEXT
    settings.PALYRA_OWN_FILES = (data_dir / "link",)
    for name in ("vault", "link"):
        with pytest.raises(ReferenceUnreadable, match="not lent"):
            resolve(f"file:{data_dir}/{name}")


@pytest.mark.parametrize("path", ["/proc/self/environ", "/dev/stdin", "/sys/kernel/profiling"])
def test_nor_what_the_system_tells_of_processes(path: str) -> None:
    with pytest.raises(ReferenceUnreadable, match="not lent"):
        resolve(f"file:{path}")


def test_links_that_lead_in_a_circle_lead_nowhere(data_dir: Path) -> None:
    (data_dir / "one").symlink_to(data_dir / "two")
    (data_dir / "two").symlink_to(data_dir / "one")
    with pytest.raises(ReferenceUnreadable, match="cannot be read"):
        resolve(f"file:{data_dir}/one")


def test_a_pipe_is_not_waited_for(data_dir: Path) -> None:
    os.mkfifo(data_dir / "pipe")
    with pytest.raises(ReferenceUnreadable, match="is not a file"):
        resolve(f"file:{data_dir}/pipe")


def test_a_variable_is_read_without_its_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFERENCE_TEST", f"  {TEXT}\n")
    assert resolve("env:REFERENCE_TEST") == TEXT


def test_a_file_is_read_without_its_blanks(data_dir: Path) -> None:
    (data_dir / "key").write_text(f"{TEXT}\n")
    assert resolve(f"file:{data_dir}/key") == TEXT


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read where Palyra runs (No such file or directory)"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "it is not text"),
        (b"x" * (MOST_BYTES + 1), "larger than any credential"),
    ],
)
def test_a_file_that_holds_no_secret(data_dir: Path, content: bytes | None, says: str) -> None:
    path = data_dir / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReferenceUnreadable) as caught:
        resolve(f"file:{path}")
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_directory_holds_no_secret(data_dir: Path) -> None:
    with pytest.raises(ReferenceUnreadable, match="Is a directory"):
        resolve(f"file:{data_dir}")


@pytest.mark.parametrize(("text", "says"), [(None, "is not set"), ("  ", "is empty")])
def test_a_variable_that_holds_no_secret(
    text: str | None, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFERENCE_TEST", raising=False)
    if text is not None:
        monkeypatch.setenv("REFERENCE_TEST", text)
    with pytest.raises(ReferenceUnreadable, match=says):
        resolve("env:REFERENCE_TEST")
