"""The same call from a program: as a curl line, and with OpenAI's client for Python."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.models import TaskClass

KEY_VARIABLE = "PALYRA_API_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippets:
    """Text to be copied; in place of a key each names the environment's `PALYRA_API_KEY`."""

    curl: str
    python: str


def snippets(
    base_url: str, body: Mapping[str, Any], *, task_class: str, routing_mode: str | None
) -> Snippets:
    """The call of `body`, a request in OpenAI's format, to the Palyra at `base_url`."""
    headers = _headers(task_class, routing_mode)
    return Snippets(curl=_curl(base_url, body, headers), python=_python(base_url, body, headers))


def _headers(task_class: str, routing_mode: str | None) -> dict[str, str]:
    """What Palyra is told beside the request; what it takes for granted is left out."""
    headers = {}
    if task_class != TaskClass.PRIMARY_INTERACTIVE:
        headers["X-Palyra-Task-Class"] = task_class
    if routing_mode:
        headers["X-Palyra-Routing-Mode"] = routing_mode
    return headers


def _curl(base_url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    lines = [
        f"curl {shlex.quote(f'{base_url}/v1/chat/completions')}",
        f'  -H "Authorization: Bearer ${KEY_VARIABLE}"',
        "  -H 'Content-Type: application/json'",
        *(f"  -H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()),
        f"  --data-raw {shlex.quote(json.dumps(body, ensure_ascii=False, indent=2))}",
    ]
    return " \\\n".join(lines)


def _python(base_url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    arguments = [f"    {name}={_literal(value)}," for name, value in body.items()]
    if headers:
        arguments.append(f"    extra_headers={_literal(dict(headers))},")
    return "\n".join(
        [
            "import os",
            "",
            "from openai import OpenAI",
            "",
            f"client = OpenAI(base_url={_literal(f'{base_url}/v1')}, "
            f'api_key=os.environ["{KEY_VARIABLE}"])',
            "completion = client.chat.completions.create(",
            *arguments,
            ")",
            "print(completion.choices[0].message.content)",
        ]
    )


def _literal(value: Any) -> str:
    """A value as Python writes it, one entry of a list a line."""
    if isinstance(value, list):
        entries = "".join(f"        {_literal(one)},\n" for one in value)
        return f"[\n{entries}    ]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    return repr(value)
