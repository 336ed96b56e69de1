"""Reads a request's prompt: all of its text for counting, and the customer's own words for judging."""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

import msgspec

_ENVELOPE = (
    r"[\w-]*(?:text|feedback|review|comment|message|customer|document|record|content|input|body|ticket|email)[\w-]*"
)
_TAGGED = re.compile(rf"<({_ENVELOPE})(?:\s[^>]*)?>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(r'("""|\'\'\'|```|~~~)(?:\w*\n)?(.*)\1', re.DOTALL)
_TEXT_KEYS = ("text", "feedback", "review", "comment", "message", "content", "body")


class Entry(NamedTuple):
    """One customer text of a request, with the id it came under when several are packed together."""

    id: Any
    text: str


class Turn(NamedTuple):
    """One message of a conversation, or the result of a tool (role `tool`)."""

    role: str
    text: str


class Prompt(NamedTuple):
    """A prompt: all that is counted, the last user message, how many messages and images, and the messages in order.

    `turns` begins with the instructions, as a turn of the role `system`.
    """

    text: str
    user: str
    messages: int
    images: int
    turns: tuple[Turn, ...] = ()

    def entries(self) -> list[Entry]:
        """Return the customer texts inside the last user message, without the envelope around them."""
        return unwrap(self.user)


def read_prompt(items: Any, *instructions: Any) -> Prompt:
    """Read `input` of responses and decisions or `messages` of chat; instructions are counted, never judged."""
    texts = [text for part in instructions if part for text in [part if isinstance(part, str) else _compact(part)]]
    turns = [Turn("system", part) for part in instructions if part and isinstance(part, str)]
    if isinstance(items, str):
        turns.append(Turn("user", items))
        return Prompt("\n".join([*texts, items]), items, 1 + bool(texts), 0, tuple(turns))
    user, images = "", 0
    for item in items or []:
        text, pictures = _read_item(item)
        images += pictures
        texts.append(text)
        turns.append(Turn(_role_of(item), text))
        if isinstance(item, dict) and item.get("role") == "user" and text:
            user = text
    return Prompt("\n".join(texts), user, max(1, len(items or [])), images, tuple(turns))


def _role_of(item: Any) -> str:
    role = item.get("role") if isinstance(item, dict) else "user"
    if role is None:
        role = "tool" if str(item.get("type", "")).endswith("_output") else "assistant"
    return {"developer": "system", "function": "tool"}.get(role, role)


def _read_item(item: Any) -> tuple[str, int]:
    if isinstance(item, str):
        return item, 0
    if not isinstance(item, dict):
        return "", 0
    if item.get("type") == "compaction":
        return _uncover(item["encrypted_content"]), 0
    content = item.get("content", item.get("output", item.get("arguments", item.get("input", ""))))
    if item.get("tool_calls"):
        return "\n".join([str(content or ""), *(_compact(one.get("function")) for one in item["tool_calls"])]), 0
    if isinstance(content, str):
        return content, 0
    texts, images = [], 0
    for part in content or []:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_image", "image_url"):
            images += 1
        elif kind == "input_json":
            texts.append(_compact(part.get("data")))
        elif isinstance(part, dict):
            texts.append(str(part.get("text") or part.get("refusal") or ""))
    return "\n".join(texts), images


def _uncover(hidden: str) -> str:
    """Return what stands in a compacted item; nothing when it is not the sandbox's own."""
    try:
        return base64.b64decode(hidden, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def unwrap(text: str) -> list[Entry]:
    """Return the texts inside JSON, tags or fences; the whole text when there is no envelope."""
    stripped = text.strip()
    start = min((at for at in (stripped.find("{"), stripped.find("[")) if at >= 0), default=-1)
    if start >= 0 and stripped[-1] in "}]":
        try:
            return _from_json(msgspec.json.decode(stripped[start:])) or [Entry(None, "")]
        except (msgspec.DecodeError, RecursionError):
            pass
    tagged = [match.group(2).strip() for match in _TAGGED.finditer(text)]
    if tagged:
        return [Entry(None, "\n".join(tagged))]
    fenced = _FENCED.search(text)
    return [Entry(None, fenced.group(2).strip() if fenced else stripped)]


def _from_json(value: Any) -> list[Entry]:
    if isinstance(value, dict):
        for key in ("records", "items", "texts", "feedbacks", "documents", "rows"):
            if isinstance(value.get(key), list):
                return _from_json(value[key])
        return [Entry(value.get("id", value.get("key")), "\n".join(_strings(value)))]
    if isinstance(value, list):
        return [entry for one in value for entry in _from_json(one)]
    return [Entry(None, value)] if isinstance(value, str) else []


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    if isinstance(value, dict):
        named = [text for key in _TEXT_KEYS if key in value for text in _strings(value[key])]
        return named or [text for key, one in value.items() if key not in ("id", "key") for text in _strings(one)]
    return []
