"""Keys in files: made once, whole, for their owner only."""

from __future__ import annotations

import itertools
import os
import stat
import threading
from pathlib import Path

import pytest

from palyra_site.configuration import ConfigurationError
from palyra_site.keyfiles import read_or_create


def forbidden() -> str:
    raise AssertionError("no key may be made where there is one")


def test_a_key_is_made_once_and_then_read(data_dir: Path) -> None:
    path = data_dir / "below" / "a.key"
    assert read_or_create(path, lambda: "first") == "first"
    assert read_or_create(path, forbidden) == "first"
    assert path.read_text() == "first\n"


def test_only_the_owner_may_read_it_and_its_directory(data_dir: Path) -> None:
    path = data_dir / "below" / "a.key"
    before = os.umask(0)
    try:
        read_or_create(path, lambda: "first")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_draft_is_left(data_dir: Path) -> None:
    read_or_create(data_dir / "a.key", lambda: "first")
    assert [path.name for path in data_dir.iterdir()] == ["a.key"]


def test_a_failure_leaves_nothing(data_dir: Path) -> None:
    with pytest.raises(AssertionError):
        read_or_create(data_dir / "a.key", forbidden)
    assert list(data_dir.iterdir()) == []


def test_of_many_that_start_at_once_the_first_wins(data_dir: Path) -> None:
    path = data_dir / "a.key"
    count = 8
    together = threading.Barrier(count)
    number = itertools.count()
    found: list[str] = []

    def generate() -> str:
        # Everyone has seen that there is no key before anyone writes one.
        together.wait(10)
        return f"key {next(number)}"

    threads = [
        threading.Thread(target=lambda: found.append(read_or_create(path, generate)))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == count
    assert set(found) == {path.read_text().strip()}


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff", "cannot be read")]
)
def test_a_file_without_a_key_is_never_replaced(data_dir: Path, content: bytes, why: str) -> None:
    path = data_dir / "a.key"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_or_create(path, forbidden)
    (fault,) = caught.value.faults
    assert fault.startswith(f"PALYRA_DATA_DIR: the key file {path} {why}")
    assert path.read_bytes() == content


@pytest.mark.parametrize("where", ["/proc/palyra/a.key", "/dev/null/a.key"])
def test_where_no_file_can_be_made_one_line_says_so(where: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_or_create(Path(where), lambda: "first")
    (fault,) = caught.value.faults
    assert fault.startswith(f"PALYRA_DATA_DIR: the key file {where} cannot be read or made")
