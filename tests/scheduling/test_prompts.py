"""Prompts with variables: what they make, and that nothing written in one gets out of hand."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes

from scheduling.prompting.evaluating import fill_in
from scheduling.prompting.values import MAX_TEXT
from scheduling.prompts import PromptContext, PromptFault, faults, literal, parameter_faults, render

PRAGUE = ZoneInfo("Europe/Prague")
# Several times what the dearest template takes on an idle core: other work goes on beside this.
PATIENCE = 1.0
PARAMETERS: dict[str, Any] = {
    "audience": "the board",
    "limit": 3,
    "share": 0.25,
    "urgent": True,
    "none": None,
    "tags": ["cost", "latency"],
    "owner": {"name": "Ada", "age": 36},
    "numbers": list(range(2_000)),
    "__class__": "only a key",
}


def context(**changes: Any) -> PromptContext:
    values: dict[str, Any] = {
        "now": datetime(2026, 10, 25, 9, 0, 4, tzinfo=PRAGUE),
        "scheduled_at": datetime(2026, 10, 25, 9, 0, tzinfo=PRAGUE),
        "job_name": "Daily figures",
        "team_name": "Operations",
        "previous_output": "All is well. " * 4,
        "previous_at": datetime(2026, 10, 24, 9, 0, tzinfo=PRAGUE),
        "parameters": PARAMETERS,
    }
    return PromptContext(**values | changes)


def refused(text: str, **changes: Any) -> str:
    with pytest.raises(PromptFault) as caught:
        render(text, context(**changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Plain { text } with 100 % of it\n", "Plain { text } with 100 % of it\n"),
        ("{{ job }} of {{ team }}", "Daily figures of Operations"),
        ("{{ now }}", "2026-10-25 09:00:04+01:00"),
        ("{{ scheduled_at|date('%A %d %B %Y, %H:%M %Z') }}", "Sunday 25 October 2026, 09:00 CET"),
        ("{{ now|plus_days(-1)|date }}", "2026-10-24"),
        ("{{ now.year }}-{{ now.month }}", "2026-10"),
        ("{{ previous.output|trim|truncate(12) }}", "All is well…"),
        ("{{ previous.output[:3] }} {{ previous.at|date }}", "All 2026-10-24"),
        ("For {{ parameters.audience|upper }}", "For THE BOARD"),
        ("{{ parameters['audience'] }}", "the board"),
        ("{{ parameters.owner.name }} {{ parameters.owner }}", 'Ada {"name": "Ada", "age": 36}'),
        ("{{ parameters.tags|join(', ') }} {{ parameters.tags[0] }}", "cost, latency cost"),
        ("{{ parameters.tags }} {{ parameters.urgent }}", '["cost", "latency"] true'),
        ("{{ parameters.limit * 2 + 1 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ -1 + +2 }}", "7 3 3 1"),
        ("{{ 1 / 4 }} {{ 2.567|round(1) }} {{ ' 12 '|int + 1 }}", "0.25 2.6 13"),
        ("{{ 'a' ~ 1 ~ 'b' }}{{ 'c' + 'd' }}", "a1bcd"),
        ("{{ 'big' if parameters.limit > 2 else 'small' }}", "big"),
        ("{% if parameters.urgent and not parameters.none %}Now!{% endif %}", "Now!"),
        ("{% if 1 > 2 %}a{% elif 'cost' in parameters.tags %}b{% else %}c{% endif %}", "b"),
        ("{% if 1 < parameters.limit <= 3 %}yes{% endif %}", "yes"),
        ("{% if now > previous.at %}later{% endif %}", "later"),
        (
            "Look at:\n{% for tag in parameters.tags %}\n- {{ loop.index }}. {{ tag }}\n"
            "{% endfor %}",
            "Look at:\n- 1. cost\n- 2. latency\n",
        ),
        (
            "{% for k, v in parameters.owner|items %}{{ k }}={{ v }};{% endfor %}",
            "name=Ada;age=36;",
        ),
        ("{% for n in parameters.numbers if n > 1997 %}{{ n }} {% endfor %}", "1998 1999 "),
        ("{% for n in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% set who = parameters.audience|title %}Dear {{ who }}", "Dear The Board"),
        ("{{ parameters.nobody|default('all') }}{{ parameters.none|default('!') }}", "all!"),
        ("{% if parameters.nobody %}a{% endif %}{{ parameters.nobody is defined }}", "false"),
        ("{{ parameters.none }}|{{ 'x' if false }}", "|"),
        ("{{ parameters.tags|length }} {{ 'abc'|replace('b', '--') }}", "2 a--c"),
        ("{{ parameters.owner|tojson }} {{ 'q\"'|tojson }}", '{"name": "Ada", "age": 36} "q\\""'),
        ("{% raw %}{{ as it is }}{% endraw %}{# a remark #}", "{{ as it is }}"),
        ("{{ 'ß'|upper }} 🎉 {{ true == 1 }}", "SS 🎉 false"),
        ("{{ parameters.__class__ }}", "only a key"),
    ],
)
def test_what_a_prompt_makes(text: str, made: str) -> None:
    assert faults(text) == []
    assert render(text, context()) == made


def test_before_the_first_success_there_is_no_previous_output() -> None:
    text = "{{ previous.output }}|{{ previous.at|date|default('never') }}|{{ previous.output[:9] }}"

    assert render(text, context(previous_output=None, previous_at=None)) == "|never|"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{{ now", "end of print statement"),
        ('{{"a": 1}}', "{% raw %}"),
        ("{% if job %}", "endif"),
        ("{{ nobody }}", "nobody"),
        ("{{ loop.index }}", "loop"),
        ("{{ previous.answer }}", "output and at"),
        ("{{ now.__class__ }}", "__class__"),
        ("{{ job.format }}", "has no parts"),
        ("{{ ''.__class__.mro() }}", "called"),
        ("{{ range(9) }}", "called"),
        ("{{ job|attr('x') }}", "attr"),
        ("{{ job|format }}", "format"),
        ("{{ parameters.tags|map('upper') }}", "map"),
        ("{{ job is sameas(team) }}", "sameas"),
        ("{{ job is string(1) }}", "no arguments"),
        ("{{ job|replace('a') }}", "arguments"),
        ("{{ job|replace(*parameters.tags) }}", "one by one"),
        ("{{ now|date('%Q') }}", "%Q"),
        ("{{ now|date('%-d') }}", "%-"),
        ("{{ 9 ** 9 }}", "Powers"),
        ("{{ {'a': 1} }}", "parameters"),
        ("{{ 'abc'[::-1] }}", "third number"),
        ("{{ 'abc'[0:1,1:2] }}", "without a comma"),
        ("{{ parameters.tags[0, 1:2] }}", "without a comma"),
        ("{% autoescape true %}{% endautoescape %}", "“autoescape” is not available"),
        ("{{ '\\x00' }}", "NUL"),
        ("{{ '\\ud800' }}", "NUL"),
        ("a\0b", "NUL"),
        ("{{ 1e999 }}", "too large"),
        (f"{{{{ {'9' * 4000} }}}}", "too large"),
        (f"{{{{ {'9' * 50_000} }}}}", "too large"),
        ("{% set now = 1 %}", "own meaning"),
        ("{% set a.b = 1 %}", "plain name"),
        ("{% set a %}x{% endset %}", "set"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% from 'x' import y %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block a %}{% endblock %}", "block"),
        ("{% macro a() %}{% endmacro %}", "macro"),
        ("{% filter upper %}a{% endfilter %}", "filter"),
        ("{% with a = 1 %}{% endwith %}", "with"),
        ("{% for a in parameters.tags recursive %}{% endfor %}", "recursive"),
        (f"{{{{ {'(' * 900}1{')' * 900} }}}}", "deeply"),
        (f"{{{{ {'not ' * 1900}1 }}}}", "deeply"),
        (f"{{{{ {'+'.join('1' * 400)} }}}}", "deeply"),
        ("{% if job %}" * 60 + "{% endif %}" * 60, "deeply"),
        ("{{ job }}" * 2000, "too much"),
    ],
)
def test_what_is_refused_before_it_is_filled_in(text: str, word: str) -> None:
    found = faults(text)

    assert word in " ".join(found)
    assert refused(text) in found


@pytest.mark.parametrize("kind", [nodes.Slice, nodes.Keyword, nodes.Pow, nodes.Dict, nodes.Call])
def test_what_is_not_read_is_not_filled_in_either(kind: type[nodes.Expr]) -> None:
    tree = nodes.Template([nodes.Output([kind(lineno=1)])], lineno=1)

    with pytest.raises(PromptFault, match="not available here"):
        fill_in(tree, {})


def test_all_faults_are_said_at_once_and_where() -> None:
    found = faults("{{ nobody }}\n{{ job|nothing }}\n{% include 'x' %}")

    assert {fault[:7] for fault in found} == {"Line 1:", "Line 2:", "Line 3:"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{{ parameters.nobody }}", "parameters.nobody"),
        ("{{ parameters.tags[7] }}", "item 7"),
        ("{{ parameters.owner['__class__'] }}", "no value"),
        ("{{ ''.__class__ }}", "no value"),
        ("{{ now['__class__'] }}", "no value"),
        ("{{ parameters.tags.append }}", "no value"),
        ("{{ '%999999999d' % 1 }}", "takes numbers"),
        ("{{ 'a' * 1000000000 }}", "takes numbers"),
        ("{{ parameters.tags + parameters.tags }}", "takes numbers"),
        ("{{ true + 1 }}", "takes numbers"),
        (f"{{{{ {' * '.join(['999999999'] * 9)} }}}}", "too large"),
        ("{{ 1 / 0 }}", "by zero"),
        ("{{ 1 < 'a' }}", "no order"),
        ("{{ 1 in 2 }}", "looks through"),
        ("{{ job|date }}", "takes a time"),
        ("{{ now|date('%' ~ '99d') }}", "%9"),
        ("{{ now|plus_days(99999) }}", "36,600"),
        ("{{ job|truncate(0) }}", "truncate"),
        ("{{ job|int }}", "whole number"),
        ("{{ job|replace('', 'x') }}", "replace"),
        ("{% for a in previous.output %}{% endfor %}", "lists"),
        ("{% for a, b in parameters.tags %}{% endfor %}", "2 names"),
        ("{{ [parameters.nobody] }}", "nobody"),
    ],
)
def test_what_is_refused_when_it_is_filled_in(text: str, word: str) -> None:
    assert word in refused(text)


LONG = "abc" * 40_000
DOUBLED = "{% set a = 'aaaaaaaaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 60
NESTED = "{% set a = [1, 1, 1, 1, 1, 1] %}" + "{% set a = [a, a, a, a, a, a] %}" * 60


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in parameters.numbers %}{% for b in parameters.numbers %}"
        "{% for c in parameters.numbers %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in parameters.numbers %}{% if a in parameters.numbers %}{% endif %}{% endfor %}",
        "{% for a in parameters.numbers %}{{ previous.output|replace('a', 'xx')|length }}"
        "{% endfor %}",
        "{% for a in parameters.numbers %}{% if previous.output == previous.output %}{% endif %}"
        "{% endfor %}",
        "{% for a in parameters.numbers %}{{ previous.output|truncate(100) }}{% endfor %}",
        "{{ previous.output|replace('a', previous.output) }}",
        "{{ previous.output }}{{ previous.output }}",
        f"{{{{ {' ~ '.join(['previous.output'] * 300)} }}}}",
        f"{{{{ [{', '.join(['previous.output'] * 300)}]|join(previous.output) }}}}",
        DOUBLED + "{{ a }}",
        NESTED + "{{ a }}",
        NESTED + "{{ a == a }}",
        "{% for a in parameters.numbers %}{{ parameters.numbers|tojson|length }}{% endfor %}",
    ],
)
def test_nothing_takes_long_or_much(text: str) -> None:
    started = time.process_time()

    refused(text, previous_output=LONG)

    assert time.process_time() - started < PATIENCE


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{%",
        "{#",
        "{{ '",
        "{{ 1_",
        "\n",
        " \n",
        "{% raw %}",
        "{{ \\",
        "{{ job }}\r\n",
        "{{a}}",
    ],
)
def test_reading_a_large_text_does_not_take_long(text: str) -> None:
    started = time.process_time()

    faults((text * MAX_TEXT)[:MAX_TEXT] + "{{ job }}")

    assert time.process_time() - started < PATIENCE


TAGS = ["{{", "}}", "{%", "%}", "{#", "#}", "if", "else", "elif", "endif", "for", "in", "endfor"]
NAMES = ["set", "raw", "endraw", "loop", "now", "job", "previous", ".output", "parameters", ".tags"]
FILTERS = ["|", "upper", "replace", "join", "date", "truncate", "default", "(", ")", ",", ":"]
SIGNS = ["~", "+", "-", "*", "/", "//", "%", "==", "<", "not", "and", "or", "is", "defined", "[:5]"]
VALUES = ["'a'", '"', "[", "]", "1", "9999999999", "1e9", "'\\x00'", "\0", "é", "\n", ".", "none"]
PIECES = st.sampled_from(TAGS + NAMES + FILTERS + SIGNS + VALUES)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=40), st.booleans())
def test_whatever_is_written_is_filled_in_or_refused(pieces: list[str], spaced: bool) -> None:
    text = (" " if spaced else "").join(pieces)
    try:
        assert len(render(text, context())) <= MAX_TEXT
    except PromptFault as fault:
        assert str(fault)
    assert all(faults(text))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([], "object"),
        ({"a b": 1}, "name"),
        ({"": 1}, "name"),
        ({1: 1}, "name"),
        ({f"p{n}": 1 for n in range(51)}, "at most 50"),
        ({"a": "x" * 20_000}, "characters"),
        ({"a": "\0"}, "NUL"),
        ({"a": {"\ud800": 1}}, "NUL"),
        ({"a": float("nan")}, "numbers"),
        ({"a": 10**30}, "too large"),
        ({"a": 10**400}, "too large"),
        ({"a": -(10**400)}, "too large"),
        ({"a": [1e300]}, "too large"),
        ({"a": float("inf")}, "numbers"),
        ({"a": 10**5000}, "JSON"),
        ({"a": {1, 2}}, "JSON"),
        ({"a": [[[[[[[[[]]]]]]]]]}, "deep"),
    ],
)
def test_parameters_that_cannot_be_used(value: Any, word: str) -> None:
    assert word in " ".join(parameter_faults(value))


def test_a_stored_number_that_is_too_large_is_refused_when_it_is_used() -> None:
    for number in (10**400, float("inf"), float("nan")):
        assert "too large" in refused("{{ parameters.a + 1 }}", parameters={"a": number})


def test_parameters_of_every_kind_can_be_used() -> None:
    assert parameter_faults(PARAMETERS) == []
    assert parameter_faults({}) == []


@given(st.text(alphabet="-{}%#'\"\\ \nax-"))
def test_a_text_taken_literally_says_itself(text: str) -> None:
    assert render(literal(text), context()) == text


def test_a_text_without_tags_is_a_template_as_it_is() -> None:
    assert literal("{ a } 'b' }}") == "{ a } 'b' }}"
