"""Where settings are given: in the environment, and below it in the `.env` file."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import environ

PACKAGE_PARENT = Path(__file__).resolve().parent.parent.parent
# A checkout keeps `.env` and `var/` beside manage.py; an installed wheel, where it is started.
HOME = PACKAGE_PARENT if (PACKAGE_PARENT / "manage.py").is_file() else Path.cwd()
ENV_FILE = "PALYRA_ENV_FILE"
ENV_LINE = re.compile(r"(export )?[A-Za-z_][A-Za-z_0-9]*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFile:
    """A settings file as it was when it was read: what it gives, or what is wrong with it.

    `digest` is of its bytes, and None if there was no such file.
    """

    path: Path
    digest: str | None = None
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The environment over the settings file, as both were at one moment."""

    environment: Mapping[str, str] = field(repr=False)
    file: EnvFile

    @property
    def given(self) -> dict[str, str]:
        """The variables given. One of the environment also outranks its `_FILE` form in the file,
        and the reverse."""
        below = {
            name: text
            for name, text in self.file.given.items()
            if f"{name}_FILE" not in self.environment
            and name.removesuffix("_FILE") not in self.environment
        }
        return {**below, **self.environment}


NOTHING = Layers(environment={}, file=EnvFile(path=HOME / ".env"))


def layers(environment: Mapping[str, str] | None = None) -> Layers:
    """What `environment` (the process's own by default) and the file it leads to give now."""
    variables = dict(os.environ if environment is None else environment)
    named = variables.get(ENV_FILE, "").strip()
    path = Path(named).expanduser() if named else HOME / ".env"
    return Layers(environment=variables, file=read_env_file(path, must_exist=bool(named)))


def read_env_file(path: Path, *, must_exist: bool) -> EnvFile:
    """The file at `path`. A fault of it is in words, and then it gives nothing."""
    unreadable = (f"{ENV_FILE}: {path} cannot be read.",)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return EnvFile(path=path, faults=unreadable if must_exist else ())
    except OSError:
        return EnvFile(path=path, digest="", faults=unreadable)
    digest = hashlib.sha256(raw).hexdigest()
    try:
        lines = [line.strip() for line in raw.decode().splitlines()]
    except UnicodeDecodeError:
        return EnvFile(path=path, digest=digest, faults=unreadable)
    faults = _faults(path, lines)
    given = {} if faults else _given(lines)
    return EnvFile(path=path, digest=digest, given=given, faults=faults)


def _faults(path: Path, lines: list[str]) -> tuple[str, ...]:
    return tuple(
        f"{ENV_FILE}: line {number} of {path} is not NAME=value."
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#") and not ENV_LINE.match(line)
    )


def _given(lines: list[str]) -> dict[str, str]:
    class Source(environ.Env):  # type: ignore[misc]
        ENVIRON: dict[str, str] = {}

    Source.read_env(io.StringIO("\n".join(lines)))
    return dict(Source.ENVIRON)
