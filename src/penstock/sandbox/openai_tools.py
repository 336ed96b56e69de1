"""Function calls of the emulated OpenAI: which tool it calls is read off the words, the arguments fit the schema."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from penstock.sandbox.fill import Filler
from penstock.sandbox.judge import Judgement
from penstock.sandbox.prompt import Entry, Prompt

_WORD = re.compile(r"[^\W_]{3,}")


class Tool(NamedTuple):
    """A function that the caller offers."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolCall(NamedTuple):
    """A function that the answer calls, with its arguments as JSON."""

    name: str
    arguments: str


def read_tools(tools: Any) -> tuple[Tool, ...]:
    """Read the function tools of responses (flat) or of chat (under `function`), or the old `functions`."""
    found = []
    for tool in tools or []:
        inner = tool.get("function") or tool
        found.append(Tool(inner["name"], inner.get("description") or "", inner.get("parameters") or {}))
    return tuple(found)


def read_choice(choice: Any) -> str:
    """Return `auto`, `none`, `required`, or the name of the one tool to call."""
    if isinstance(choice, dict):
        return str(choice.get("name") or (choice.get("function") or {}).get("name") or "required")
    return choice or "auto"


def call_tools(
    tools: tuple[Tool, ...],
    choice: str,
    parallel: bool,
    prompt: Prompt,
    entries: list[tuple[Entry, Judgement]],
    triggers: dict[str, str],
) -> tuple[ToolCall, ...]:
    """Return the calls of an answer: those a phrase names, the one that is required, or one whose name is mentioned."""
    if not tools or choice == "none":
        return ()
    by_name = {tool.name: tool for tool in tools}
    named = [by_name[name] for name in triggers.get("call", "").split() if name in by_name]
    answered = bool(prompt.turns) and prompt.turns[-1].role == "tool"
    if choice in by_name:
        chosen = [by_name[choice]]
    elif answered and choice == "auto":
        chosen = []
    elif named:
        chosen = named if parallel else named[:1]
    else:
        asked = set(_WORD.findall(prompt.user.lower()))
        shared = [len(asked.intersection(_WORD.findall(tool.name.lower()))) for tool in tools]
        best = max(range(len(tools)), key=shared.__getitem__)
        chosen = [tools[best]] if shared[best] or choice == "required" else []
    return tuple(ToolCall(tool.name, _fill(tool, entries)) for tool in chosen)


def _fill(tool: Tool, entries: list[tuple[Entry, Judgement]]) -> str:
    return msgspec.json.encode(Filler(tool.parameters or {"type": "object"}, entries).fill()).decode()
