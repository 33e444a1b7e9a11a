"""The lock check finds what it is there to find."""

from __future__ import annotations

import pytest

from tests import locks

HASH = "--hash=sha256:" + "0a" * 32
GOOD = f"""\
# a comment
django==5.2.19 \\
    {HASH} \\
    {HASH}
psycopg[binary,pool]==3.3.9 \\
    {HASH}
uvloop==0.23.0 ; sys_platform != 'win32' \\
    {HASH}
"""


def test_a_good_lock_has_no_fault() -> None:
    assert locks.faults(GOOD) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"--index-url https://packages.example\n{GOOD}", "line 1 names where packages come from"),
        (f"-i https://packages.example\n{GOOD}", "line 1 names where packages come from"),
        (f"--find-links wheels\n{GOOD}", "line 1 names where packages come from"),
        (f"# from https://packages.example\n{GOOD}", "line 1 names where packages come from"),
        (f"tool @ https://packages.example/tool.whl {HASH}", "line 1 names where"),
        (f"django>=5.2 \\\n    {HASH}", "not an exact version: django>=5.2"),
        (f"django \\\n    {HASH}", "not an exact version: django"),
        ("django==5.2.19", "without a SHA-256 hash: django==5.2.19"),
        ("django==5.2.19 \\\n    --hash=md5:00", "without a SHA-256 hash: django==5.2.19"),
        ("", "it requires nothing"),
        ("# nothing\n", "it requires nothing"),
    ],
)
def test_each_kind_of_fault(line: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in locks.faults(line)), locks.faults(line)


def test_the_locks_of_this_project_are_honest() -> None:
    paths = sorted(locks.REQUIREMENTS.glob("*.txt"))
    assert [path.name for path in paths] == ["run.txt", "test.txt"]
    assert locks.main() == 0
