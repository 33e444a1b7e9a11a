"""Whether the locked requirements are what they claim: exact, hashed, and from no named index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z0-9,._-]+\])?==[^\s;]+( ; .+)?$")
HASH = re.compile(r"^--hash=sha256:[0-9a-f]{64}$")
ADDRESS = re.compile(r"://|--(extra-)?index-url|--find-links|--trusted-host|(^|\s)-[if]\s")


def faults(text: str) -> list[str]:
    """What is wrong with the text of a lock, a line each."""
    return [*_addresses(text), *_requirements(text)]


def _addresses(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if ADDRESS.search(line):
            yield f"line {number} names where packages come from: {line.strip()}"


def _requirements(text: str) -> Iterator[str]:
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines()]
    requirements = [line for line in lines if line and not line.startswith("#")]
    if not requirements:
        yield "it requires nothing"
    for line in requirements:
        requirement, *hashes = re.split(r"\s+(?=--hash)", line)
        if not PINNED.match(requirement.strip()):
            yield f"not an exact version: {requirement.strip()}"
        elif not hashes or not all(HASH.match(word.strip()) for word in hashes):
            yield f"without a SHA-256 hash: {requirement.strip()}"


def main() -> int:
    """Check every lock; the number of faulty ones."""
    faulty = 0
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        found = faults(path.read_text(encoding="utf-8"))
        faulty += bool(found)
        for fault in found:
            print(f"{path.name}: {fault}")  # noqa: T201 - it is a command
    return faulty


if __name__ == "__main__":
    raise SystemExit(main())
