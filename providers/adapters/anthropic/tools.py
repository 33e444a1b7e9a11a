"""Tools, and which of them is to be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.adapters import Untranslatable
from providers.adapters.anthropic.content import as_list
from providers.adapters.anthropic.schemas import is_enforceable

NO_ARGUMENTS = {"type": "object", "properties": {}}
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
FORCED = ("any", "tool")


def tools(body: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """The fields `tools` and `tool_choice`; none where no tool is in play.

    With `strict`, the model can be held to a tool's schema where the caller wants that.
    """
    _refuse_functions(body)
    given = [_tool(tool, index, strict) for index, tool in enumerate(as_list(body.get("tools")))]
    choice, allowed = _choice(body.get("tool_choice"))
    if allowed is not None:
        given = [tool for tool in given if tool["name"] in allowed]
    if not given:
        # A conversation in which tools were used must name them, though none is to be used now.
        used = _used(body["messages"])
        return {"tools": used, "tool_choice": {"type": "none"}} if used else {}
    if body.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    return {"tools": given, "tool_choice": choice} if choice else {"tools": given}


def is_forced(fields: Mapping[str, Any]) -> bool:
    """Whether the model must use a tool; it cannot think before it then."""
    return fields.get("tool_choice", {}).get("type") in FORCED


def _refuse_functions(body: Mapping[str, Any]) -> None:
    for name in ("functions", "function_call"):
        if body.get(name):
            raise Untranslatable(
                f"“{name}” is the old form, which this provider's protocol does not have. Use "
                "“tools” and “tool_choice”.",
                param=name,
            )


def _tool(tool: Any, index: int, strict: bool) -> dict[str, Any]:
    if isinstance(tool, Mapping) and isinstance(tool.get("input_schema"), Mapping):
        return {name: value for name, value in tool.items() if name != "type"}
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Untranslatable(
            "This provider's protocol has only tools of the type “function”, each with a name.",
            param=f"tools[{index}]",
        )
    schema = function.get("parameters")
    schema = schema if isinstance(schema, Mapping) and schema else NO_ARGUMENTS
    translated = {"name": function["name"], "input_schema": {"type": "object", **schema}}
    if function.get("description"):
        translated["description"] = function["description"]
    if strict and function.get("strict") is True and is_enforceable(schema):
        translated["strict"] = True
    if tool.get("cache_control") is not None:
        translated["cache_control"] = tool["cache_control"]
    return translated


def _choice(asked: Any) -> tuple[dict[str, Any], set[str] | None]:
    """The choice, and the names of the tools it is among (None: all of them)."""
    if asked is None:
        return {}, None
    if isinstance(asked, str) and asked in CHOICES:
        return {"type": CHOICES[asked]}, None
    if isinstance(asked, Mapping):
        name = _name(asked)
        if name is not None:
            return {"type": "tool", "name": name}, None
        among = asked.get("allowed_tools")
        if isinstance(among, Mapping):
            mode = CHOICES["required" if among.get("mode") == "required" else "auto"]
            return {"type": mode}, {_name(tool) or "" for tool in as_list(among.get("tools"))}
    raise Untranslatable(
        "This provider's protocol has the tool choices auto, required, none, and a function by "
        "its name.",
        param="tool_choice",
    )


def _name(choice: Any) -> str | None:
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None


def _used(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools that a conversation has used, once each."""
    calls = [call for message in messages for call in as_list(message.get("tool_calls"))]
    names = dict.fromkeys(name for call in calls if (name := _name(call)) is not None)
    return [{"name": name, "input_schema": NO_ARGUMENTS} for name in names]
