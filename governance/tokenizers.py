"""Exact counts of tokens, for models of which it is known how they are counted: a thin door to the
package that ships their vocabularies, so that nothing leaves the machine.

A count must never be lower than the host's own. So a model is known by its maker's own host and its
family; elsewhere a name says little of the model behind it (at Azure it is whatever an operator
called the deployment).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

import httpx

from providers.models import ProviderKind
from providers.registry import ModelEntry

Count = Callable[[str], int]

PACKAGE, EXTENSION = "bpe_openai", "_bindings"
HOST = "api.openai.com"
FAMILIES = {
    "o200k_base": re.compile(
        r"(?:gpt-5(?:\.\d+)?|gpt-4\.[15]|(?:chat)?gpt-4o|o[13]|o4-mini)(?:-.+)?"
    ),
    "cl100k_base": re.compile(
        r"(?:gpt-4|gpt-3\.5-turbo)(?:-.+)?|text-embedding-(?:3-small|3-large|ada-002)"
    ),
}
# Members of those families that read more than the text they are sent.
READS_MORE = re.compile(r"-(?:audio|realtime|search|transcribe|tts|image|deep-research)(?:-|$)")
FINE_TUNED = "ft:"
# The bytes of the longest token in any of the vocabularies.
LONGEST_TOKEN = 128


def encoding_of(model: ModelEntry) -> str | None:
    """The vocabulary that the model's host surely counts by; None where none is known for sure or
    the package is not there."""
    provider = model.provider
    if provider.kind != ProviderKind.OPENAI_COMPATIBLE or not _is_makers(provider.base_url):
        return None
    return _family(model.upstream_name) if _package() is not None else None


@lru_cache(maxsize=256)
def _is_makers(base_url: str) -> bool:
    host = httpx.URL(base_url).host
    return host == HOST or host.endswith(f".{HOST}")


@lru_cache(maxsize=1024)
def _family(name: str) -> str | None:
    """The vocabulary of a model of that name; a fine-tuned one has that of the model it is from."""
    if name.startswith(FINE_TUNED):
        name = name.removeprefix(FINE_TUNED).partition(":")[0]
    if READS_MORE.search(name):
        return None
    return next((one for one, names in FAMILIES.items() if names.fullmatch(name)), None)


@cache
def counter(encoding: str) -> Count:
    """Counts the tokens of a text, where what is spelled like a special token is text as well.

    The first one takes a moment to load, and tens of megabytes; it is kept.
    """
    count: Count = _extension().tokenizer_for_encoding(encoding).count
    return count


@cache
def _package() -> list[str] | None:
    """Where the package is; None on platforms for which it has no wheel."""
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return places if places and PathFinder.find_spec(EXTENSION, places) else None


@cache
def _extension() -> Any:
    # The package's own front decodes every vocabulary it has in Python: seconds and 70 MB for
    # nothing that is used here.
    spec = PathFinder.find_spec(EXTENSION, _package())
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
