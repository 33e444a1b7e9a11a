"""Filling in a template that has been read: a walk over its tree, paid for step by step."""

from __future__ import annotations

import operator
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from jinja2 import nodes

from scheduling.prompting.filters import FILTERS, TESTS
from scheduling.prompting.reading import TIME_PARTS
from scheduling.prompting.values import (
    MAX_TEXT,
    Allowance,
    Missing,
    PromptFault,
    given,
    is_number,
    named,
    number,
    size,
    too_long,
)

Names = ChainMap[str, Any]
ARITHMETIC: dict[type[nodes.Node], tuple[str, Callable[[Any, Any], Any]]] = {
    nodes.Add: ("+", operator.add),
    nodes.Sub: ("-", operator.sub),
    nodes.Mul: ("*", operator.mul),
    nodes.Div: ("/", operator.truediv),
    nodes.FloorDiv: ("//", operator.floordiv),
    nodes.Mod: ("%", operator.mod),
}
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def fill_in(tree: nodes.Template, names: Mapping[str, Any]) -> str:
    """The text that a template from `reading.parse` makes with `names`. Raises `PromptFault`."""
    try:
        return _Filling(Allowance()).made(tree, dict(names))
    except RecursionError:
        raise PromptFault("What the prompt is filled with is nested too deeply.") from None


class _Filling:
    """One walk over a tree."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._pieces: list[str] = []
        self._length = 0

    def made(self, tree: nodes.Template, names: dict[str, Any]) -> str:
        """The whole text."""
        self._write(tree.body, ChainMap(names))
        return "".join(self._pieces)

    def _write(self, body: Iterable[nodes.Node], names: Names) -> None:
        for node in body:
            self._allowance.step()
            if isinstance(node, nodes.Output):
                for part in node.nodes:
                    self._add(part, names)
            elif isinstance(node, nodes.If):
                self._write(self._branch(node, names), names)
            elif isinstance(node, nodes.For):
                self._loop(node, names)
            elif isinstance(node, nodes.Assign):
                self._assign(node.target, self._value(node.node, names), names)
            else:
                raise _unexpected(node)

    def _add(self, part: nodes.Expr, names: Names) -> None:
        if isinstance(part, nodes.TemplateData):
            self._allowance.step()
            piece = part.data
        else:
            piece = self._allowance.text(self._value(part, names))
        self._length += len(piece)
        if self._length > MAX_TEXT:
            raise PromptFault(too_long())
        self._pieces.append(piece)

    def _branch(self, node: nodes.If, names: Names) -> list[nodes.Node]:
        for branch in (node, *node.elif_):
            if self._value(branch.test, names):
                return branch.body
        return node.else_

    def _loop(self, node: nodes.For, names: Names) -> None:
        items = given(self._value(node.iter, names))
        if not isinstance(items, list):
            raise PromptFault(f"“for” goes through lists, and this is {named(items)}.")
        if node.test is not None:
            items = [one for one in items if self._value(node.test, self._inside(node, one, names))]
        for index, item in enumerate(items):
            inside = self._inside(node, item, names)
            inside["loop"] = _loop_facts(index, len(items))
            self._write(node.body, inside)
        if not items:
            self._write(node.else_, names.new_child())

    def _inside(self, node: nodes.For, item: Any, names: Names) -> Names:
        self._allowance.step()
        inside = names.new_child()
        self._assign(node.target, item, inside)
        return inside

    def _assign(self, target: nodes.Node, value: Any, names: Names) -> None:
        if isinstance(target, nodes.Name):
            names[target.name] = value
            return
        if not isinstance(target, nodes.Tuple):
            raise _unexpected(target)
        if not isinstance(value, list) or len(value) != len(target.items):
            raise PromptFault(f"{len(target.items)} names are to get {named(given(value))}.")
        for name, one in zip(target.items, value, strict=True):
            self._assign(name, one, names)

    def _value(self, node: nodes.Node, names: Names) -> Any:
        self._allowance.step()
        evaluate = VALUES.get(type(node))
        if evaluate is None:
            raise _unexpected(node)
        return evaluate(self, node, names)

    def _const(self, node: Any, names: Names) -> Any:
        return node.value

    def _name(self, node: nodes.Name, names: Names) -> Any:
        if node.name in names:
            return names[node.name]
        return Missing(f"“{node.name}” has no value here.")

    def _attribute(self, node: nodes.Getattr, names: Names) -> Any:
        return _part(self._value(node.node, names), node.attr, _in_words(node))

    def _item(self, node: nodes.Getitem, names: Names) -> Any:
        whole = self._value(node.node, names)
        if isinstance(node.arg, nodes.Slice):
            return self._cut(whole, node.arg, names)
        key = given(self._value(node.arg, names))
        if not isinstance(whole, list):
            return _part(whole, key, f"{_in_words(node.node)}[…]")
        if not isinstance(key, int) or isinstance(key, bool):
            raise PromptFault(f"A list is counted in whole numbers, and this is {named(key)}.")
        if -len(whole) <= key < len(whole):
            return whole[key]
        return Missing(f"The prompt uses item {key} of a list of {len(whole)}.")

    def _cut(self, whole: Any, cut: nodes.Slice, names: Names) -> Any:
        if given(whole) is None:
            return None
        if not isinstance(whole, str | list):
            raise PromptFault(f"Text and lists can be cut, and this is {named(whole)}.")
        ends = [None if end is None else self._value(end, names) for end in (cut.start, cut.stop)]
        for end in ends:
            if end is not None and not isinstance(number(end, "[from:to]"), int):
                raise PromptFault("A text is cut at whole numbers.")
        self._allowance.pay(len(whole))
        return whole[ends[0] : ends[1]]

    def _filtered(self, node: nodes.Filter, names: Names) -> Any:
        if node.node is None:
            raise _unexpected(node)
        value = self._value(node.node, names)
        args = [self._value(one, names) for one in node.args]
        pairs: list[Any] = node.kwargs
        named_args = {pair.key: self._value(pair.value, names) for pair in pairs}
        return FILTERS[node.name](self._allowance, value, *args, **named_args)

    def _tested(self, node: nodes.Test, names: Names) -> bool:
        return TESTS[node.name](self._value(node.node, names))

    def _either(self, node: nodes.CondExpr, names: Names) -> Any:
        if self._value(node.test, names):
            return self._value(node.expr1, names)
        return None if node.expr2 is None else self._value(node.expr2, names)

    def _and(self, node: nodes.And, names: Names) -> Any:
        return self._value(node.left, names) and self._value(node.right, names)

    def _or(self, node: nodes.Or, names: Names) -> Any:
        return self._value(node.left, names) or self._value(node.right, names)

    def _not(self, node: nodes.Not, names: Names) -> bool:
        return not self._value(node.node, names)

    def _joined(self, node: nodes.Concat, names: Names) -> str:
        words = [self._allowance.text(self._value(one, names)) for one in node.nodes]
        self._allowance.pay(sum(map(len, words)))
        return "".join(words)

    def _listed(self, node: nodes.List | nodes.Tuple, names: Names) -> list[Any]:
        made = [given(self._value(one, names)) for one in node.items]
        self._allowance.pay(size(made))
        return made

    def _computed(self, node: nodes.BinExpr, names: Names) -> Any:
        left, right = (given(self._value(one, names)) for one in (node.left, node.right))
        sign, compute = ARITHMETIC[type(node)]
        if sign == "+" and isinstance(left, str) and isinstance(right, str):
            self._allowance.pay(len(left) + len(right))
            return left + right
        left, right = (number(one, f"“{sign}”") for one in (left, right))
        try:
            return _finite(compute(left, right))
        except ZeroDivisionError:
            raise PromptFault("The prompt's template divides by zero.") from None

    def _negative(self, node: nodes.Neg, names: Names) -> Any:
        return -number(self._value(node.node, names), "“-”")

    def _positive(self, node: nodes.Pos, names: Names) -> Any:
        return number(self._value(node.node, names), "“+”")

    def _compared(self, node: nodes.Compare, names: Names) -> bool:
        left = self._value(node.expr, names)
        for operand in node.ops:
            right = self._value(operand.expr, names)
            if not self._holds(operand.op, given(left), given(right)):
                return False
            left = right
        return True

    def _holds(self, sign: str, left: Any, right: Any) -> bool:
        self._allowance.pay(size(left))
        self._allowance.pay(size(right))
        if sign in ("eq", "ne"):
            return _same(left, right) == (sign == "eq")
        if sign in ("in", "notin"):
            return _is_in(left, right) == (sign == "in")
        if not any(_are(kind, left, right) for kind in (is_number, _is_text, _is_time)):
            raise PromptFault(f"{named(left)} and {named(right)} have no order.".capitalize())
        return ORDER[sign](left, right)


VALUES: dict[type[nodes.Node], Callable[[_Filling, Any, Names], Any]] = {
    nodes.Const: _Filling._const,
    nodes.Name: _Filling._name,
    nodes.Getattr: _Filling._attribute,
    nodes.Getitem: _Filling._item,
    nodes.Filter: _Filling._filtered,
    nodes.Test: _Filling._tested,
    nodes.CondExpr: _Filling._either,
    nodes.And: _Filling._and,
    nodes.Or: _Filling._or,
    nodes.Not: _Filling._not,
    nodes.Concat: _Filling._joined,
    nodes.List: _Filling._listed,
    nodes.Tuple: _Filling._listed,
    nodes.Neg: _Filling._negative,
    nodes.Pos: _Filling._positive,
    nodes.Compare: _Filling._compared,
    **dict.fromkeys(ARITHMETIC, _Filling._computed),
}


def _part(whole: Any, name: Any, words: str) -> Any:
    """What an object holds under a name, or a time is made up of: never an attribute of ours."""
    if isinstance(given(whole), datetime) and name in TIME_PARTS:
        return getattr(whole, name)
    if isinstance(whole, Mapping) and isinstance(name, str) and name in whole:
        return whole[name]
    return Missing(f"The prompt uses “{words}”, which has no value.")


def _in_words(node: nodes.Node) -> str:
    if isinstance(node, nodes.Getattr):
        return f"{_in_words(node.node)}.{node.attr}"
    return node.name if isinstance(node, nodes.Name) else "…"


def _loop_facts(index: int, length: int) -> dict[str, Any]:
    return {
        "index": index + 1,
        "index0": index,
        "first": index == 0,
        "last": index == length - 1,
        "length": length,
    }


def _same(left: Any, right: Any) -> bool:
    """Whether two values are equal; true is not 1."""
    return bool(isinstance(left, bool) == isinstance(right, bool) and left == right)


def _is_in(left: Any, right: Any) -> bool:
    if isinstance(right, str) and isinstance(left, str):
        return left in right
    if isinstance(right, Mapping):
        return isinstance(left, str) and left in right
    if isinstance(right, list):
        return any(_same(left, one) for one in right)
    raise PromptFault(f"“in” looks through texts, lists and objects, and this is {named(right)}.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    return isinstance(value, datetime)


def _are(kind: Callable[[Any], bool], *values: Any) -> bool:
    return all(map(kind, values))


def _finite(value: int | float) -> int | float:
    if not isfinite(value):
        raise PromptFault("A number in the prompt's template is too large.")
    return value


def _unexpected(node: nodes.Node) -> PromptFault:
    return PromptFault(f"Line {node.lineno}: “{type(node).__name__}” is not available here.")
