"""Reading a template: Jinja's parser, and what of its language a prompt may use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from governance.listing import listed
from scheduling.prompting.filters import FILTERS, TESTS, format_fault, takes
from scheduling.prompting.values import MAX_NUMBER, PromptFault, is_number
from scheduling.storable_text import UNSTORABLE

ROOTS = ("now", "scheduled_at", "previous", "job", "team", "parameters")
PREVIOUS = ("output", "at")
TIME_PARTS = ("year", "month", "day", "hour", "minute", "second")
MOST_TOKENS = 2_000
DEEPEST = 40
MOST_FAULTS = 10
REMEMBERED = 16
TAG = re.compile(r"\{[{%#]")
ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.If,
    nodes.CondExpr,
    nodes.For,
    nodes.Assign,
    nodes.Filter,
    nodes.Test,
    nodes.Keyword,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Concat,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Neg,
    nodes.Pos,
    nodes.List,
    nodes.Tuple,
)
REFUSED: dict[type[nodes.Node], str] = {
    nodes.Call: "Nothing can be called. Use a filter, such as “{{ job|upper }}”",
    nodes.Pow: "Powers are not computed",
    nodes.Dict: "Objects cannot be written in a template. Give them as parameters",
    nodes.Include: "“include” is not available",
    nodes.Import: "“import” is not available",
    nodes.FromImport: "“import” is not available",
    nodes.Extends: "“extends” is not available",
    nodes.Block: "“block” is not available",
    nodes.Macro: "“macro” is not available",
    nodes.CallBlock: "“call” is not available",
    nodes.FilterBlock: "“filter” is not available as a tag. Use “|” in an expression",
    nodes.With: "“with” is not available. Use “set”",
    nodes.AssignBlock: "“set” takes a value here: {% set name = value %}",
    nodes.Scope: "“autoescape” is not available",
    nodes.NSRef: "“set” takes a plain name",
}
RAW = "To have braces in a prompt as they are, write {% raw %}…{% endraw %} around them."


class _Bounded(Extension):
    """Stops the parser at a template that has too much in its tags."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for seen, token in enumerate(stream):
            if seen > MOST_TOKENS:
                raise PromptFault(
                    "There is too much in the prompt's tags. Write more of it as plain text."
                )
            yield token


# A line with nothing but a tag leaves no line behind.
ENVIRONMENT = Environment(  # noqa: S701 - parses only, and what comes of it is no HTML
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, extensions=[_Bounded]
)


def is_template(source: str) -> bool:
    """Whether there is anything in it to be filled in."""
    return TAG.search(source) is not None


def parse(source: str) -> nodes.Template:
    """The tree of a template that may be used. Raises `PromptFault` with the first fault."""
    tree = _tree(source)
    fault = next(iter(_faults(tree)), None)
    if fault:
        raise PromptFault(fault)
    return tree


def faults(source: str) -> list[str]:
    """Everything that can be said against a template without filling it in.

    It is remembered for a while.
    """
    return list(_known_faults(source))


@lru_cache(maxsize=REMEMBERED)
def _known_faults(source: str) -> tuple[str, ...]:
    try:
        tree = _tree(source)
    except PromptFault as fault:
        return (str(fault),)
    return tuple(dict.fromkeys(_faults(tree)))[:MOST_FAULTS]


def _tree(source: str) -> nodes.Template:
    try:
        tree = ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        reason = (error.message or "it cannot be read").rstrip(".")
        raise PromptFault(f"Line {error.lineno}: {reason}. {RAW}") from None
    except RecursionError:
        raise PromptFault(_too_deep()) from None
    except ValueError:
        # Python's own limit on the digits of a number.
        raise PromptFault("A number in the prompt's template is too large.") from None
    if _is_deep(tree):
        raise PromptFault(_too_deep())
    return tree


def _is_deep(tree: nodes.Template) -> bool:
    level: list[nodes.Node] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in node.iter_child_nodes()]
    return bool(level)


def _too_deep() -> str:
    return "The prompt's template is nested too deeply."


def _faults(tree: nodes.Template) -> Iterator[str]:
    known = {*ROOTS, *_own_names(tree)}
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop(0)
        if not isinstance(node, ALLOWED):
            words = REFUSED.get(type(node)) or f"“{type(node).__name__}” is not available"
            yield f"Line {node.lineno}: {words}."
            continue
        fault = _fault(node, known)
        if fault:
            yield f"Line {node.lineno}: {fault}"
        waiting += node.iter_child_nodes()


def _own_names(tree: nodes.Template) -> set[str]:
    """The names that a template gives values itself."""
    names = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    return names | ({"loop"} if tree.find(nodes.For) else set())


def _fault(node: nodes.Node, known: set[str]) -> str | None:
    if isinstance(node, nodes.Name):
        return _name_fault(node, known)
    look = LOOKS.get(type(node))
    return look(node) if look else None


def _const_fault(node: nodes.Const) -> str | None:
    value = node.value
    if isinstance(value, str):
        found = UNSTORABLE.search(value)
        return "A text has the character NUL or half a character in it." if found else None
    if is_number(value) and not abs(value) <= MAX_NUMBER:
        return "A number is too large."
    return None


def _name_fault(node: nodes.Name, known: set[str]) -> str | None:
    if node.ctx == "store":
        taken = node.name in (*ROOTS, "loop")
        return f"“{node.name}” has its own meaning. Take another name." if taken else None
    if node.name in known:
        return None
    return f"“{node.name}” is not known. A prompt can use {listed(ROOTS)}. {RAW}"


def _attribute_fault(node: nodes.Getattr) -> str | None:
    if not isinstance(node.node, nodes.Name):
        return None
    root = node.node.name
    if root in ("job", "team"):
        return f"“{root}” is a name and has no parts."
    offered = {"previous": PREVIOUS, "now": TIME_PARTS, "scheduled_at": TIME_PARTS}.get(root)
    if offered is None or node.attr in offered:
        return None
    return f"“{root}” has no “{node.attr}”. It has {listed(offered)}."


def _filter_fault(node: nodes.Filter) -> str | None:
    if node.name not in FILTERS:
        return f"There is no filter “{node.name}”. There are {listed(sorted(FILTERS))}."
    given = node.args
    if node.dyn_args or node.dyn_kwargs:
        return "Arguments are written one by one."
    pairs: list[Any] = node.kwargs
    if not takes(node.name, len(given), [pair.key for pair in pairs]):
        return f"“{node.name}” does not take these arguments."
    if node.name == "date" and given and isinstance(given[0], nodes.Const):
        return format_fault(given[0].value)
    return None


def _test_fault(node: nodes.Test) -> str | None:
    if node.name not in TESTS:
        return f"There is no test “{node.name}”. There are {listed(sorted(TESTS))}."
    if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
        return f"“{node.name}” takes no arguments."
    return None


def _for_fault(node: nodes.For) -> str | None:
    return "“recursive” is not available." if node.recursive else None


def _slice_fault(node: nodes.Slice) -> str | None:
    if node.step is None:
        return None
    return "A part of a text is written [from:to], without a third number."


def _item_fault(node: nodes.Getitem) -> str | None:
    if isinstance(node.arg, nodes.Tuple) and node.arg.find(nodes.Slice) is not None:
        return "A part of a text is written [from:to], without a comma."
    return None


LOOKS: dict[type[nodes.Node], Callable[[Any], str | None]] = {
    nodes.Const: _const_fault,
    nodes.Getattr: _attribute_fault,
    nodes.Getitem: _item_fault,
    nodes.Filter: _filter_fault,
    nodes.Test: _test_fault,
    nodes.For: _for_fault,
    nodes.Slice: _slice_fault,
}
