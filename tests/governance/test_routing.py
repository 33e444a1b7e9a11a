"""Which model a call goes to, and how the decision explains itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from governance import chat_request
from governance.errors import UnknownModel
from governance.pricing import PriceEntry
from governance.routing import (
    MOST_CANDIDATES,
    NO_CONDITIONS,
    SUGGEST,
    Candidate,
    Conditions,
    Mode,
    Route,
    decide,
)
from providers.registry import ModelEntry, Registry
from tests.providers.entries import model_entry, provider_entry, question

NOW = datetime(2026, 3, 15, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1000)
DOLLAR = 10**9
EAST, WEST = provider_entry(name="east"), provider_entry(name="west")

SMALL = model_entry(EAST, name="small", context_window=1000, max_output_tokens=100)
LARGE = model_entry(EAST, name="large", max_output_tokens=1000)
FREE = model_entry(WEST, name="unpriced")
NICE_EAST, NICE_WEST = model_entry(EAST, name="nice"), model_entry(WEST, name="nice")


def priced(model: ModelEntry, dollars: int, **fields: Any) -> PriceEntry:
    defaults: dict[str, Any] = {
        "id": model.id,
        "model_id": model.id,
        "effective_from": LONG_AGO,
        "uncached_input": dollars * DOLLAR,
        "output": dollars * DOLLAR,
    }
    return PriceEntry(**{**defaults, **fields})


PRICES = [
    priced(SMALL, 1),
    priced(LARGE, 10),
    priced(NICE_EAST, 3),
    priced(NICE_WEST, 2),
]


def route(
    model: str,
    *known: ModelEntry,
    prices: list[PriceEntry] | None = None,
    now: datetime = NOW,
    mode: str = SUGGEST,
    task_class: str = "primary_interactive",
    allowed: tuple[str, ...] = (),
    conditions: Conditions = NO_CONDITIONS,
    **body: Any,
) -> Route:
    by_model: dict[int, list[PriceEntry]] = {}
    for price in PRICES if prices is None else prices:
        by_model.setdefault(price.model_id, []).append(price)
    chat = chat_request.parse({"model": model, "messages": question("Hello."), **body})
    return decide(
        chat,
        registry=Registry(known),
        prices=by_model,
        task_class=task_class,
        now=now,
        mode_for=lambda _: Mode(mode, "installation"),
        allowed=allowed,
        conditions=conditions,
    )


def test_the_model_that_was_asked_for_is_used() -> None:
    found = route("large", SMALL, LARGE, max_tokens=10)
    decision = found.decision
    assert (found.chosen.model, found.chosen.price, found.chosen.output_cap) == (
        LARGE,
        PRICES[1],
        10,
    )
    assert (decision.requested, decision.actual) == ("large", "east/large")
    assert (decision.provider, decision.model) == ("east", "large")
    assert (decision.mode, decision.action) == ("suggest", "proceed")
    assert decision.task_class == "primary_interactive"
    assert decision.estimate is not None
    assert decision.estimate.upper > 0


def test_a_cheaper_model_is_published_and_not_used() -> None:
    decision = route("large", SMALL, LARGE, max_tokens=10).decision
    assert (decision.actual, decision.recommended) == ("east/large", "east/small")
    assert decision.reason_codes == ("model_requested", "cheaper_available", "score_low")
    assert decision.explanation[0] == "The call asked for “large”, which is east/large."
    exactly = route("east/large", SMALL, LARGE).decision
    assert exactly.explanation[0] == "The call asked for east/large."
    assert decision.explanation[1].startswith("It may cost up to $0.00")
    assert decision.explanation[1].endswith("with at most 10 output tokens.")
    assert decision.explanation[2].startswith("east/small would cost up to $0.00")
    assert decision.explanation[2].endswith("the mode is “suggest”, so this is only published.")


def test_the_cheapest_is_its_own_recommendation() -> None:
    decision = route("small", SMALL, LARGE, max_tokens=10).decision
    assert decision.recommended == decision.actual == "east/small"
    assert decision.reason_codes == ("model_requested", "score_low")
    assert not any("published" in sentence for sentence in decision.explanation)


def test_one_that_costs_the_same_is_not_cheaper() -> None:
    same = [priced(NICE_EAST, 2), priced(NICE_WEST, 2)]
    decision = route("west/nice", NICE_EAST, NICE_WEST, prices=same, max_tokens=10).decision
    assert decision.recommended == decision.actual == "west/nice"
    assert decision.reason_codes == ("model_requested", "score_low")


def test_an_ambiguous_name_picks_the_cheapest() -> None:
    assert route("nice", NICE_EAST, NICE_WEST).chosen.model == NICE_WEST
    assert route("east/nice", NICE_EAST, NICE_WEST).chosen.model == NICE_EAST


def test_an_ambiguous_name_picks_one_with_a_price() -> None:
    assert (
        route("nice", NICE_EAST, NICE_WEST, prices=[priced(NICE_EAST, 50)]).chosen.model
        == NICE_EAST
    )


def test_an_ambiguous_name_without_any_price_picks_by_name() -> None:
    assert route("nice", NICE_WEST, NICE_EAST, prices=[]).chosen.model == NICE_EAST


def test_an_ambiguous_name_picks_one_that_the_request_fits() -> None:
    narrow = model_entry(EAST, name="nice", context_window=5)
    found = route("nice", narrow, NICE_WEST, prices=[priced(narrow, 1), priced(NICE_WEST, 9)])
    assert found.chosen.model == NICE_WEST


def test_auto_is_the_default_model() -> None:
    default = model_entry(EAST, name="standard", is_default=True)
    decision = route("auto", SMALL, default).decision
    assert (decision.requested, decision.actual, decision.default) == (
        "auto",
        "east/standard",
        "east/standard",
    )
    assert "default_model" in decision.reason_codes
    assert decision.explanation[0].startswith("The call left the choice open")


def test_auto_is_the_only_model() -> None:
    decision = route("auto", SMALL).decision
    assert decision.actual == decision.default == "east/small"


def test_a_decision_names_the_default_even_if_it_was_not_used() -> None:
    default = model_entry(EAST, name="standard", is_default=True)
    assert route("small", SMALL, default).decision.default == "east/standard"
    assert route("small", SMALL, LARGE).decision.default is None


@pytest.mark.parametrize(
    ("model", "known", "message"),
    [
        pytest.param(
            "auto",
            (SMALL, LARGE),
            "There is no default chat model for “auto” to stand for. Name a model, or have an "
            "administrator mark one as the default.",
            id="auto without a default",
        ),
        pytest.param(
            "huge",
            (SMALL, LARGE),
            "There is no model “huge”. Enabled are: large, small.",
            id="unknown",
        ),
        pytest.param(
            "Small", (SMALL,), "There is no model “Small”. Enabled are: small.", id="another case"
        ),
        pytest.param(
            "west/small",
            (SMALL,),
            "There is no model “west/small”. Enabled are: small.",
            id="whose",
        ),
        pytest.param(
            "small",
            (),
            "There is no model “small”: no chat model is enabled yet.",
            id="none at all",
        ),
        pytest.param(
            "m",
            tuple(model_entry(name=f"model-{number}") for number in range(7)),
            "There is no model “m”. Enabled are: model-0, model-1, model-2, model-3, model-4 and "
            "others.",
            id="many others",
        ),
    ],
)
def test_what_no_model_answers_to_is_refused(
    model: str, known: tuple[ModelEntry, ...], message: str
) -> None:
    with pytest.raises(UnknownModel) as caught:
        route(model, *known)
    assert (caught.value.message, caught.value.param) == (message, "model")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_model_without_a_price_has_no_estimate() -> None:
    found = route("unpriced", FREE)
    assert found.chosen.price is None
    assert found.decision.estimate is None
    assert "unpriced" in found.decision.reason_codes
    assert found.decision.explanation[1] == "It has no price, so what it costs is not known."


def test_instead_of_one_without_a_price_one_with_a_price_is_recommended() -> None:
    decision = route("unpriced", FREE, LARGE).decision
    assert (decision.actual, decision.recommended) == ("west/unpriced", "east/large")
    assert "priced_available" in decision.reason_codes
    assert "cheaper_available" not in decision.reason_codes


def test_a_request_that_is_too_large_says_so_and_recommends_one_that_fits() -> None:
    long = question("word " * 2000)
    decision = route("small", SMALL, LARGE, messages=long).decision
    assert (decision.actual, decision.recommended) == ("east/small", "east/large")
    assert {"context_window_too_small", "fitting_available"} <= set(decision.reason_codes)
    assert (
        "The request is probably larger than its context window of 1,000 tokens."
        in decision.explanation
    )
    by_name = {candidate.model: candidate for candidate in decision.candidates}
    assert not by_name["east/small"].eligible
    assert by_name["east/small"].reason == "The request is larger than its context window."
    assert by_name["east/large"].eligible


@pytest.mark.parametrize(
    ("asked", "output_cap", "code"),
    [
        pytest.param({}, 100, "output_capped_by_model", id="nothing asked"),
        pytest.param({"max_tokens": 500}, 100, "output_limit_lowered", id="more than it gives"),
        pytest.param({"max_tokens": 100}, 100, None, id="just what it gives"),
        pytest.param({"max_completion_tokens": 7}, 7, None, id="less"),
    ],
)
def test_output_is_capped_by_the_model(
    asked: dict[str, Any], output_cap: int, code: str | None
) -> None:
    found = route("small", SMALL, **asked)
    assert found.chosen.output_cap == found.decision.output_cap == output_cap
    capped = {"output_capped_by_model", "output_limit_lowered"} & set(found.decision.reason_codes)
    assert capped == ({code} if code else set())


def test_all_choices_are_estimated() -> None:
    one, three = (route("small", SMALL, n=n, max_tokens=50).decision for n in (1, 3))
    assert one.estimate is not None
    assert three.estimate is not None
    # One dollar a million tokens is a thousand nano-dollars a token; the bodies are as long.
    assert three.estimate.upper - one.estimate.upper == 100 * 1000
    assert three.estimate.expected - one.estimate.expected == 100 * 1000
    assert "at most 150 output tokens" in three.explanation[1]


def test_the_price_of_the_moment_counts() -> None:
    later = priced(SMALL, 20, id=99, effective_from=NOW)
    prices = [priced(SMALL, 1), priced(LARGE, 10), later]
    before = route(
        "small", SMALL, LARGE, prices=prices, now=NOW - timedelta(seconds=1), max_tokens=9
    )
    after = route("small", SMALL, LARGE, prices=prices, max_tokens=9)
    assert (before.chosen.price, after.chosen.price) == (prices[0], later)
    assert after.decision.recommended == "east/large"


def test_only_chat_models_are_candidates() -> None:
    listening = model_entry(EAST, name="listen", role="audio_transcription", context_window=10**6)
    decision = route("small", SMALL, listening, prices=[priced(listening, 0)]).decision
    assert [candidate.model for candidate in decision.candidates] == ["east/small"]
    assert decision.recommended == "east/small"
    with pytest.raises(UnknownModel):
        route("listen", SMALL, listening)


def test_of_many_models_the_best_and_the_chosen_are_published() -> None:
    many = [model_entry(EAST, name=f"model-{number:02}") for number in range(30)]
    prices = [priced(model, 1 + number) for number, model in enumerate(many)]
    decision = route("model-29", *many, prices=prices).decision
    names = [candidate.model for candidate in decision.candidates]
    assert names == [f"east/model-{number:02}" for number in range(MOST_CANDIDATES)] + [
        "east/model-29"
    ]
    assert decision.recommended == "east/model-00"
    assert all(candidate.estimate_upper for candidate in decision.candidates)


def test_the_ledger_keeps_the_whole_decision() -> None:
    decision = route("large", SMALL, LARGE, FREE).decision
    row = orjson.loads(orjson.dumps(decision.as_json()))
    assert row["actual"] == "east/large"
    assert row["reason_codes"] == list(decision.reason_codes)
    assert row["explanation"] == list(decision.explanation)
    assert [Candidate(**candidate) for candidate in row["candidates"]] == list(decision.candidates)
    assert decision.estimate is not None
    assert row["estimate"]["upper"] == decision.estimate.upper
