"""The page on scheduled prompts names everything that there is."""

from __future__ import annotations

import re
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

from scheduling import prompts
from scheduling.management.cron_arguments import add_arguments
from scheduling.output_schemas import FORMATS, LONGEST_SCHEMA, MOST_PARTS, WHY_NOT
from scheduling.prompting.filters import FILTERS, TESTS
from scheduling.prompting.reading import PREVIOUS, ROOTS, TIME_PARTS
from scheduling.prompting.values import MAX_CHARACTERS, MAX_STEPS, MAX_TEXT

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scheduled-prompts.md").read_text("utf-8")
WITHOUT_BLOCKS = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
IN_CODE = " ".join(re.findall(r"`([^`]+)`", WITHOUT_BLOCKS))
SAID = set(re.findall(r"[a-z_$][a-zA-Z_0-9.-]*", IN_CODE))
RETIRED = {"additionalItems", "dependencies", "$id"}


def test_variables_filters_and_tests_are_named() -> None:
    plain = {*ROOTS, *TIME_PARTS, *FILTERS, *TESTS} - {"previous", "parameters"}

    assert plain - SAID == set()
    assert {f"previous.{part}" for part in PREVIOUS} <= SAID


def test_what_schemas_may_not_have_and_what_is_checked_is_named() -> None:
    assert set(WHY_NOT) - RETIRED - SAID == set()
    assert set(FORMATS.checkers) - SAID == set()


def test_commands_are_named() -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    commands = next(one for one in parser._actions if isinstance(one, _SubParsersAction))

    assert set(commands.choices or ()) - SAID == set()


def test_bounds_are_as_they_are() -> None:
    bounds = (MAX_TEXT, MAX_STEPS, MAX_CHARACTERS, LONGEST_SCHEMA, MOST_PARTS)

    for bound in (*bounds, prompts.LONGEST_PARAMETERS):
        assert f"{bound:,}" in PAGE


def test_the_example_is_a_prompt() -> None:
    example = PAGE.split("```")[1]

    assert prompts.faults(example) == []
