"""What a test needs set up, made the way an administrator makes it: through the JSON API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.support.client import Person
from tests.support.upstream import Upstream

# US dollars per million tokens, chosen so that every token costs whole nano-dollars.
INPUT_PRICE = "1.00"
OUTPUT_PRICE = "2.00"
INPUT_NANO_DOLLARS = 1_000
OUTPUT_NANO_DOLLARS = 2_000
LARGEST_ANSWER = 120
CREDENTIAL = "sk-upstream-credential-1234"


@dataclass(frozen=True, slots=True)
class TeamWithKey:
    """A team and a key of its own."""

    slug: str
    key: str


def register_upstream(administrator: Person, upstream: Upstream, *models: str) -> None:
    """Register the upstream as a provider with a credential, and each model with its price."""
    administrator.post(
        "/providers",
        {
            "name": "upstream",
            "kind": "openai_compatible",
            "base_url": upstream.base_url,
            # It is on this machine, and asked for more at once than a new provider's limits allow.
            "allow_private_base_url": True,
            "concurrency_limit": None,
            "credential_concurrency_limit": None,
            "credentials": [{"secret": CREDENTIAL}],
        },
    )
    for model in models:
        register_model(administrator, model)


def register_model(administrator: Person, name: str) -> None:
    """A model of the upstream, priced."""
    model = administrator.post(
        "/providers/upstream/models", {"name": name, "max_output_tokens": LARGEST_ANSWER}
    )
    administrator.post(
        "/prices",
        {"model": model["id"], "uncached_input": INPUT_PRICE, "output": OUTPUT_PRICE},
    )


def cost_of(prompt_tokens: int, completion_tokens: int) -> int:
    """The nano-dollars of a call of a registered model, worked out apart from the product."""
    return prompt_tokens * INPUT_NANO_DOLLARS + completion_tokens * OUTPUT_NANO_DOLLARS


def make_team(administrator: Person, slug: str) -> TeamWithKey:
    """A team of its own, so that no other test's calls are counted with its calls."""
    administrator.post("/teams", {"slug": slug, "name": slug.title()})
    key = administrator.post("/keys", {"team": slug, "name": "tests"})
    return TeamWithKey(slug, key["key"])


def limit_team(
    administrator: Person,
    team: str,
    *,
    metric: str,
    hard_limit: str | int,
    name: str,
    action: str = "block",
) -> None:
    """A hard limit on what a team uses in a month, and what is done at it; dollars for cost."""
    administrator.post(
        "/policies",
        {
            "name": name,
            "scope": "team",
            "team": team,
            "metric": metric,
            "interval": "month",
            "hard_limit": hard_limit,
            "action": action,
        },
    )


def schedule(administrator: Person, team: str, **job: Any) -> UUID:
    """A scheduled prompt of the team."""
    return UUID(administrator.post("/jobs", {"team": team, **job})["id"])
