"""What routing and caches saved, against always the default or always the dearest model.

Read from the sums alone. Its formulas, in nano-dollars, `t` being tokens of each bucket and `r` a
model's rates in force now, without those of long contexts:

- always at a model: sum of `t × r / 1,000,000`, and its price per request for each request, of all
  calls: also of those whose own cost nobody knows, which the cost that it is compared with is
  without (`unpriced`). The sums do not have their tokens apart;
- answers kept: cached answers × what an answer of the same model cost on average;
- the provider's cache: `t × (r of uncached input − r of the bucket) / 1,000,000`, which is negative
  where writing to it costs more than was read;
- routing: what the ledger recorded call by call (see `reports.Savings`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from governance.models import Price, Team
from governance.pricing import INPUT_BUCKETS, TOKENS_PER_PRICE, PriceEntry, effective
from governance.snapshot import price_entry
from governance.usage.reports import Totals, breakdown, together
from providers.models import ModelRole, ProviderModel

# Far more models than anybody has; the rest would be left out of the comparison.
MOST_MODELS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedModel:
    """A chat model as it is compared with: `price` is the one in force, None without."""

    name: str
    is_usable: bool
    is_default: bool
    price: PriceEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWorth:
    """One model's chats: what they cost, and what they would have at the default, None if that has
    no price. Those whose cost is not known (`totals.unpriced`) are in the latter alone."""

    model: str
    totals: Totals
    at_default: int | None
    kept_answers: int
    prompt_cache: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The whole: `default` and `dearest` are names of models, empty where there is none.

    `unlike` counts calls that are not in it: of models that are gone or are not for chats.
    """

    rows: tuple[ModelWorth, ...]
    totals: Totals
    default: str
    at_default: int | None
    dearest: str
    at_dearest: int | None
    unlike: int

    @property
    def unpriced(self) -> int:
        """Calls whose cost is not known: in what all would have cost elsewhere, in no cost."""
        return self.totals.unpriced

    @property
    def kept_answers(self) -> int:
        """What was saved by answers kept of a call just before."""
        return sum(one.kept_answers for one in self.rows)

    @property
    def prompt_cache(self) -> int:
        """What was saved by prompts that providers had cached."""
        return sum(one.prompt_cache for one in self.rows)


def worth(*, since: datetime, until: datetime, now: datetime, team: Team | None = None) -> Worth:
    """What the calls of that time were worth: seven queries at most."""
    found = breakdown(by="model", since=since, until=until, team=team, most=MOST_MODELS)
    models = _models(now)
    used = {one.named.label: one.totals for one in found.parts}
    return compare(used, models)


def compare(used: Mapping[str, Totals], models: Mapping[str, PricedModel]) -> Worth:
    """The same of what was used by model, and the chat models that there are: pure."""
    chats = {name: totals for name, totals in used.items() if name in models}
    whole = together(chats.values())
    default = next((one for one in models.values() if one.is_default and one.is_usable), None)
    dearest = _dearest(models.values(), whole)
    rows = tuple(
        _worth(models[name], totals, default)
        for name, totals in sorted(chats.items(), key=lambda one: (-one[1].cost, one[0]))
    )
    return Worth(
        rows=rows,
        totals=whole,
        default=default.name if default else "",
        at_default=_at(default, whole),
        dearest=dearest.name if dearest else "",
        at_dearest=_at(dearest, whole),
        unlike=sum(one.calls for name, one in used.items() if name not in models),
    )


def _worth(model: PricedModel, totals: Totals, default: PricedModel | None) -> ModelWorth:
    return ModelWorth(
        model=model.name,
        totals=totals,
        at_default=_at(default, totals),
        kept_answers=_kept_answers(totals),
        prompt_cache=0 if model.price is None else _prompt_cache(model.price, totals),
    )


def _kept_answers(totals: Totals) -> int:
    # The cost of the others is not in the sum.
    answered = totals.succeeded - totals.cached - totals.unpriced
    return totals.cached * totals.cost // answered if answered > 0 else 0


def _prompt_cache(price: PriceEntry, totals: Totals) -> int:
    saved = sum(
        _tokens(totals, bucket) * (price.uncached_input - price.rate(bucket))
        for bucket in INPUT_BUCKETS
    )
    return saved // TOKENS_PER_PRICE


def _at(model: PricedModel | None, totals: Totals) -> int | None:
    """What the same tokens cost at one model; None without it, or its price."""
    if model is None or model.price is None:
        return None
    price = model.price
    tokens = sum(_tokens(totals, bucket) * price.rate(bucket) for bucket in INPUT_BUCKETS)
    tokens += totals.output_tokens * price.output
    return tokens // TOKENS_PER_PRICE + price.per_request * (totals.requests - totals.cached)


def _tokens(totals: Totals, bucket: str) -> int:
    tokens: int = getattr(totals, f"{bucket}_tokens")
    return tokens


def _dearest(models: Iterable[PricedModel], totals: Totals) -> PricedModel | None:
    usable = [one for one in models if one.is_usable and one.price]
    return max(usable, key=lambda one: (_at(one, totals) or 0, one.name), default=None)


def _models(now: datetime) -> dict[str, PricedModel]:
    """Every chat model by `provider/model`: three queries."""
    prices: dict[int, list[PriceEntry]] = {}
    for row in Price.objects.prefetch_related("tiers"):
        prices.setdefault(row.model_id, []).append(price_entry(row))
    rows = ProviderModel.objects.filter(role=ModelRole.CHAT).select_related("provider")
    return {
        f"{row.provider.name}/{row.name}": PricedModel(
            name=f"{row.provider.name}/{row.name}",
            is_usable=row.enabled and row.provider.enabled,
            is_default=row.is_default,
            price=effective(prices.get(row.pk, ()), now),
        )
        for row in rows
    }
