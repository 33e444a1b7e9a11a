"""Which models may answer, in which order, and in words why the others may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.candidates import Considered, Needs, eligible, order
from providers.models import ModelRole, ProviderKind
from providers.registry import ModelEntry, ProviderEntry, Registry
from tests.providers.entries import model_entry, provider_entry

CHAT = Needs(role=ModelRole.CHAT)
PROVIDERS = {name: provider_entry(name=name) for name in ("ada", "bob", "cyd", "dan")}


def model(qualified_name: str, **fields: Any) -> ModelEntry:
    provider, _, name = qualified_name.partition("/")
    return model_entry(PROVIDERS[provider], name=name, **fields)


def names(considered: tuple[Considered, ...]) -> list[str]:
    return [one.qualified_name for one in eligible(considered)]


def reason(considered: tuple[Considered, ...], name: str) -> str:
    (found,) = [one for one in considered if one.model.qualified_name == name]
    return found.reason


CHOSEN = model("ada/big")


def test_others_come_by_cost_then_latency_then_name() -> None:
    registry = Registry(
        (
            CHOSEN,
            model("bob/a", cost_tier=2, latency_tier=1),
            model("bob/b", cost_tier=1, latency_tier=3),
            model("cyd/c", cost_tier=1, latency_tier=2),
            model("bob/d", cost_tier=1, latency_tier=2),
        )
    )
    considered = order(CHOSEN, registry, CHAT)
    assert names(considered) == ["ada/big", "bob/d", "cyd/c", "bob/b", "bob/a"]
    assert reason(considered, "ada/big") == "It was chosen."
    assert reason(considered, "bob/a") == "It can take over."


def test_rehearsals_and_real_answers_do_not_stand_in_for_each_other() -> None:
    host = provider_entry(name="host", kind=ProviderKind.ANTHROPIC, base_url="https://a.example/v1")
    real, rehearsed = model_entry(host, name="real"), model("bob/rehearsed")
    registry = Registry((CHOSEN, real, rehearsed))
    assert names(order(real, registry, CHAT)) == ["host/real"]
    assert reason(order(real, registry, CHAT), "bob/rehearsed").startswith("Its provider is for")
    assert names(order(CHOSEN, registry, CHAT)) == ["ada/big", "bob/rehearsed"]
    assert reason(order(CHOSEN, registry, CHAT), "host/real").startswith("The model tried first is")
    # Whoever gives both of them one name wants either.
    both = (real, rehearsed)
    assert names(order(real, registry, CHAT, named=both)) == ["host/real", "bob/rehearsed"]


def test_embeddings_go_on_only_at_the_same_model_elsewhere() -> None:
    chosen = model("ada/embed", role=ModelRole.EMBEDDINGS, upstream_name="embed-3")
    registry = Registry(
        (
            chosen,
            model("bob/embed", role=ModelRole.EMBEDDINGS, upstream_name="bobs-embed-3"),
            model("cyd/e3", role=ModelRole.EMBEDDINGS, upstream_name="embed-3"),
            model("dan/other", role=ModelRole.EMBEDDINGS),
        )
    )
    considered = order(chosen, registry, Needs(role=ModelRole.EMBEDDINGS))
    assert names(considered) == ["ada/embed", "bob/embed", "cyd/e3"]
    assert "cannot be compared" in reason(considered, "dan/other")


def test_the_chosen_model_comes_first_however_dear_and_slow() -> None:
    dear = model("ada/dear", cost_tier=3, latency_tier=3)
    registry = Registry((model("bob/a", cost_tier=1), dear))
    assert names(order(dear, registry, CHAT)) == ["ada/dear", "bob/a"]


@pytest.mark.parametrize(
    ("other", "needs", "why"),
    [
        (
            model("ada/small"),
            CHAT,
            "It is at the same provider as the model tried first.",
        ),
        (
            model("bob/x", role=ModelRole.AUDIO_TRANSCRIPTION),
            CHAT,
            "Its role is audio transcription, and chat is needed.",
        ),
        (model("bob/x", tools=False), Needs(role="chat", tools=True), "It cannot call tools."),
        (
            model("bob/x", json_mode=False),
            Needs(role="chat", json_mode=True),
            "It cannot be held to JSON.",
        ),
        (
            model("bob/x", vision=False),
            Needs(role="chat", vision=True),
            "It cannot look at images.",
        ),
        (model("bob/x", audio=False), Needs(role="chat", audio=True), "It cannot listen."),
        (
            model("bob/x", context_window=8000),
            Needs(role="chat", input_tokens=8001),
            "Its context window has 8,000 tokens, and about 8,001 are expected.",
        ),
    ],
)
def test_who_is_no_candidate_and_why(other: ModelEntry, needs: Needs, why: str) -> None:
    considered = order(CHOSEN, Registry((CHOSEN, other)), needs)
    assert names(considered) == ["ada/big"]
    assert reason(considered, other.qualified_name) == why


@pytest.mark.parametrize(
    ("other", "needs"),
    [
        (model("bob/x", tools=True), Needs(role="chat", tools=True)),
        (model("bob/x", tools=False), CHAT),
        (model("bob/x", vision=True), Needs(role="chat", vision=True)),
        (model("bob/x", context_window=8000), Needs(role="chat", input_tokens=8000)),
    ],
)
def test_who_is_one(other: ModelEntry, needs: Needs) -> None:
    assert names(order(CHOSEN, Registry((CHOSEN, other)), needs)) == ["ada/big", "bob/x"]


def test_what_cannot_stream_is_one_and_says_so() -> None:
    needs = Needs(role="chat", streaming=True)
    whole = model("bob/x", streaming=False)
    considered = order(CHOSEN, Registry((CHOSEN, whole)), needs)
    assert names(considered) == ["ada/big", "bob/x"]
    assert reason(considered, "bob/x") == (
        "It can take over. It cannot stream, so its answer comes whole."
    )
    chosen = order(whole, Registry((whole,)), needs)[0]
    assert chosen.reason == "It was chosen. It cannot stream, so its answer comes whole."


def test_the_chosen_model_stays_first_whatever_is_recorded_of_it() -> None:
    blind = model("ada/blind", vision=False)
    registry = Registry((blind, model("bob/sees", vision=True)))
    considered = order(blind, registry, Needs(role="chat", vision=True), named=(blind,))
    assert considered[0] == Considered(
        blind, True, "The call names it. By the registry it may not do: it cannot look at images."
    )


PINNED = "The call names its model, and failover is off for calls that do."


@pytest.mark.parametrize(
    ("fields", "named", "expected", "why"),
    [
        ({}, False, ["ada/big", "bob/big", "cyd/x"], ""),
        ({}, True, ["ada/big", "bob/big"], PINNED),
        ({"failover_pinned": True}, True, ["ada/big", "bob/big", "cyd/x"], ""),
        ({"failover": False}, False, ["ada/big"], "Failover is off."),
        ({"failover": False, "failover_pinned": True}, True, ["ada/big"], "Failover is off."),
    ],
)
def test_whether_a_call_goes_on_elsewhere(
    fields: dict[str, Any], named: bool, expected: list[str], why: str
) -> None:
    registry = Registry(
        (CHOSEN, model("bob/big", cost_tier=2), model("cyd/x", cost_tier=3)), **fields
    )
    answering = registry.find("big") if named else ()
    considered = order(CHOSEN, registry, CHAT, named=answering)
    assert names(considered) == expected
    if why:
        assert reason(considered, "cyd/x") == why


def test_what_was_named_comes_before_what_is_cheaper() -> None:
    registry = Registry(
        (CHOSEN, model("bob/big", cost_tier=3), model("cyd/x", cost_tier=1)), failover_pinned=True
    )
    considered = order(CHOSEN, registry, CHAT, named=registry.find("big"))
    assert names(considered) == ["ada/big", "bob/big", "cyd/x"]
    assert reason(considered, "ada/big") == "The call names it."
    assert reason(considered, "bob/big") == "It answers to the name that was asked for."


def test_named_by_an_alias_too_but_not_without_the_capability() -> None:
    chosen = model("ada/big", aliases=("best",))
    registry = Registry(
        (
            chosen,
            model("bob/own", aliases=("best",)),
            model("cyd/other", aliases=("best",), tools=False),
        )
    )
    needs = Needs(role="chat", tools=True)
    considered = order(chosen, registry, needs, named=registry.find("best"))
    assert names(considered) == ["ada/big", "bob/own"]
    assert reason(considered, "cyd/other") == "It cannot call tools."


MODELS = st.lists(
    st.builds(
        lambda provider, name, tools, role, cost: model_entry(
            provider, name=name, tools=tools, role=role, cost_tier=cost
        ),
        st.sampled_from([*PROVIDERS.values()]),
        st.sampled_from("abc"),
        st.booleans(),
        st.sampled_from(["chat", "embeddings"]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.qualified_name,
)


@given(MODELS, st.booleans(), st.booleans(), st.booleans())
def test_every_model_is_considered_once_and_no_provider_of_the_chosen_twice(
    models: list[ModelEntry], failover: bool, pinned: bool, named: bool
) -> None:
    registry = Registry(tuple(models), failover=failover, failover_pinned=pinned)
    chosen = models[0]
    answering = registry.find(chosen.name, chosen.role) if named else ()
    needs = Needs(role=chosen.role, tools=True)
    considered = order(chosen, registry, needs, named=answering)
    assert sorted(one.model.qualified_name for one in considered) == sorted(
        one.qualified_name for one in models
    )
    assert all(one.reason for one in considered)
    candidates = eligible(considered)
    assert considered[: len(candidates)] == tuple(one for one in considered if one.eligible)
    assert candidates[0] is chosen
    others: list[ProviderEntry] = [one.provider for one in candidates[1:]]
    assert chosen.provider not in others
    assert all(one.role == chosen.role and one.tools for one in candidates[1:])
    assert failover or not others
