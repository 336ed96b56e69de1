"""Writes the answers of the emulated OpenAI: text, JSON or function calls, always the same for the same request.

Phrases in the last user message ask for what a model does rarely: `[sandbox:refuse]`, `[sandbox:filter]`,
`[sandbox:fail]`, `[sandbox:broken]`, `[sandbox:echo]`, `[sandbox:words 40]`, `[sandbox:call name]`.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.sandbox.copywriter import write_copy
from penstock.sandbox.fill import Filler
from penstock.sandbox.judge import Judgement, choose, judge
from penstock.sandbox.openai_tools import Tool, ToolCall, call_tools
from penstock.sandbox.prompt import Entry, Prompt
from penstock.sandbox.summary import summarise
from penstock.sandbox.tokens import Tokenizer

REASONING_TOKENS = {"none": 0, "minimal": 32, "low": 96, "medium": 256, "high": 640, "xhigh": 1280, "max": 2560}
BROKEN = '{"broken": '
"""What `[sandbox:broken]` answers the first time where JSON was asked for."""

_TRIGGER = re.compile(r"\[sandbox:(\w+)(?: ([^\]]*))?\]")
_PIECE = re.compile(r"\w+|\W")
_MOODS = frozenset(["positive", "neutral", "negative", "mixed"])


class Order(NamedTuple):
    """What an answer must keep to: format, effort, token limit, stop texts, tools, and the text that comes after it."""

    wanted: dict[str, Any] | None = None
    effort: str | None = None
    limit: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    suffix: str = ""


class Text(NamedTuple):
    """What was written: text or refusal, function calls, tokens by kind, why it stopped, and how sure it is."""

    text: str
    refused: bool
    visible_tokens: int
    reasoning_tokens: int
    end: Literal["", "length", "filter", "failed"] = ""
    sure: float = 1.0
    calls: tuple[ToolCall, ...] = ()

    @property
    def is_cut(self) -> bool:
        """Tell whether the token limit or the content filter cut it."""
        return self.end in ("length", "filter")


def write_text(prompt: Prompt, order: Order, tokenizer: Tokenizer) -> Text:
    """Write an answer; reasoning tokens come off the limit first."""
    entries = [(entry, judge(entry.text)) for entry in prompt.entries()]
    triggers = dict(_TRIGGER.findall(prompt.user)) if "[sandbox:" in prompt.user else {}
    refused = entries[0][1].refused or "refuse" in triggers
    reasoning = REASONING_TOKENS[order.effort or "none"]
    if "fail" in triggers:
        return Text("", False, 0, reasoning, "failed")
    calls = () if refused else call_tools(order.tools, order.choice, order.parallel, prompt, entries, triggers)
    text = "" if calls else _compose(prompt, order, entries, triggers, refused=refused)
    visible = tokenizer.count(text) + sum(tokenizer.count(one.name + one.arguments) + 4 for one in calls)
    if "filter" in triggers:
        text = text[: len(text) // 2]
        return Text(text, False, tokenizer.count(text), reasoning, "filter")
    if order.limit is None or reasoning + visible <= order.limit:
        return Text(text, refused, visible, reasoning, "", entries[0][1].confidence, calls)
    room = max(0, order.limit - reasoning)
    calls = tuple(one._replace(arguments=one.arguments[: len(one.arguments) * room // visible]) for one in calls)
    kept = text[: len(text) * room // max(visible, 1)]
    return Text(kept, refused, room, min(reasoning, order.limit), "length", 1.0, calls if room else ())


def _compose(
    prompt: Prompt,
    order: Order,
    entries: list[tuple[Entry, Judgement]],
    triggers: dict[str, str],
    *,
    refused: bool,
) -> str:
    kind = (order.wanted or {}).get("type", "text")
    if refused:
        return "I'm sorry, but I can't help with that."
    if kind != "text" and "broken" in triggers and BROKEN not in prompt.text:
        return BROKEN
    if kind == "json_schema":
        schema = (order.wanted or {}).get("schema") or {}
        value = write_copy(schema, prompt)
        return msgspec.json.encode(Filler(schema, entries).fill() if value is None else value).decode()
    if kind == "json_object":
        found = entries[0][1]
        fields = {"score": found.score, "label": found.label, "confidence": found.confidence}
        return msgspec.json.encode({**fields, "language": found.language}).decode()
    text = _say(prompt, entries[0][1], triggers) + (f" It leads to: {order.suffix}" if order.suffix else "")
    for stop in order.stop:
        text = text.partition(stop)[0] if stop else text
    return text


def _say(prompt: Prompt, judgement: Judgement, triggers: dict[str, str]) -> str:
    """Answer in words: what a phrase asks for, what a tool said, the task of the instructions, or the mood."""
    if "words" in triggers:
        count = int(triggers["words"]) if triggers["words"].isdigit() else 100
        return " ".join(f"word{at}" for at in range(1, min(count, 100_000) + 1))
    if "echo" in triggers:
        return "\n".join(f"{turn.role}: {turn.text}" for turn in prompt.turns)
    if prompt.turns and prompt.turns[-1].role == "tool":
        said = [turn.text for turn in prompt.turns if turn.role == "tool"]
        return f"Answer of the sandbox: the tool said {' and '.join(said)[:2000]}"
    orders = "\n".join(turn.text for turn in prompt.turns if turn.role == "system")
    done = _do_task(f"{orders}\n{prompt.user.replace(judgement.text, '')}", judgement)
    if done:
        return done
    text = (
        f"Answer of the sandbox: the words read as {judgement.label}, {judgement.score:+.2f} on a scale from -1 to 1."
    )
    earlier = sum(turn.role in ("user", "assistant") for turn in prompt.turns) - 1
    if orders:
        text += f" Instructions: {' '.join(orders.split())[:120]}"
    return text + (f" Earlier messages: {earlier}." if earlier > 0 else "")


_LANGUAGE = re.compile(r"(?:in)?to (?:the language )?[\"'`]?([A-Z][a-z]+|[a-z]{2}(?:-[A-Z]{2})?)\b")
_LABELS = re.compile(r"(?:one of|labels?|categor(?:y|ies)|class(?:es)?)[^:\n]{0,60}:\s*([^\n.]+)", re.IGNORECASE)
_DIVIDER = re.compile(r"\s*(?:,|;|\||/|\bor\b|\band\b)\s*")


def _do_task(orders: str, judgement: Judgement) -> str:
    """Do what needs no model: pick sentences for a summary, a label that is named; what is not done says so."""
    lower = orders.lower()
    if "translat" in lower:
        language = _LANGUAGE.search(orders)
        return f"[not translated by the sandbox{' to ' + language.group(1) if language else ''}] {judgement.text}"
    labels = _LABELS.search(orders)
    if labels and ("classif" in lower or "label" in lower or "categor" in lower):
        names = [name.strip(" \"'`[]") for name in _DIVIDER.split(labels.group(1)) if name.strip(" \"'`[]")]
        if len(names) > 1:
            shares = choose([(name, "") for name in names], judgement)
            return names[max(range(len(names)), key=shares.__getitem__)]
    if "summar" in lower:
        return summarise(judgement.text)
    return ""


def token_chances(text: Text) -> list[dict[str, Any]]:
    """Return log probabilities of the pieces of a text: the lexicon's for a word that names a mood, else near 0."""
    pieces = []
    for piece in _PIECE.findall(text.text):
        logprob = round(math.log(text.sure), 6) if piece in _MOODS else -0.0001
        pieces.append({"token": piece, "bytes": list(piece.encode()), "logprob": logprob, "top_logprobs": []})
    return pieces
