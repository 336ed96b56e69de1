"""Streams of the emulated OpenAI as server-sent events (contract of 2026-11-20, sections 2.3 and 2.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

_DELTA = re.compile(r"\s*\S+|\s+$")
DONE = b"data: [DONE]\n\n"


def frame(data: Any, event: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


def response_events(final: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the events of a finished response, numbered from 0; the last one says how it ended."""
    events = [{"sequence_number": at, **event} for at, event in enumerate(_response_events(final))]
    return tuple(frame(event, event["type"]) for event in events)


def _response_events(final: dict[str, Any]) -> Iterator[dict[str, Any]]:
    started = unfinished(final, "in_progress")
    first = unfinished(final, "queued") if final["background"] else started
    yield {"type": "response.created", "response": first}
    if final["background"]:
        yield {"type": "response.queued", "response": first}
    yield {"type": "response.in_progress", "response": started}
    for at, item in enumerate(final["output"]):
        yield from _item_events(at, item)
    yield {"type": f"response.{final['status']}", "response": final}


def unfinished(final: dict[str, Any], status: str) -> dict[str, Any]:
    """Return a response as it looks before it ended: queued, in progress or cancelled."""
    open_ends: dict[str, Any] = {
        "output": [],
        "usage": None,
        "completed_at": None,
        "incomplete_details": None,
        "error": None,
    }
    return {**final, "status": status, **open_ends}


def _item_events(at: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind = item["type"]
    empty: dict[str, Any] = {**item, **({} if kind == "reasoning" else {"status": "in_progress"})}
    starts: dict[str, dict[str, Any]] = {"message": {"content": []}, "function_call": {"arguments": ""}}
    empty |= starts.get(kind, {"summary": []})
    yield {"type": "response.output_item.added", "output_index": at, "item": empty}
    place = {"item_id": item["id"], "output_index": at}
    if kind == "message":
        yield from _part_events(place, item["content"][0])
    elif kind == "function_call":
        for delta in _cut(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **place, "delta": delta}
        said = {"name": item["name"], "arguments": item["arguments"]}
        yield {"type": "response.function_call_arguments.done", **place, **said}
    else:
        yield from _summary_events(place, item["summary"])
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def _part_events(place: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {**place, "content_index": 0}
    is_refusal = part["type"] == "refusal"
    name, key = ("response.refusal", "refusal") if is_refusal else ("response.output_text", "text")
    extra: dict[str, Any] = {} if is_refusal else {"logprobs": []}
    empty = {**part, key: "", **extra}
    yield {"type": "response.content_part.added", **place, "part": empty}
    for delta in _cut(part[key]):
        yield {"type": f"{name}.delta", **place, "delta": delta, **extra}
    done = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
    yield {"type": f"{name}.done", **place, key: part[key], **done}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(place: dict[str, Any], summary: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(summary):
        place = {**place, "summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
        for delta in _cut(part["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **place, "delta": delta}
        yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **place, "part": part}


def chat_chunks(final: dict[str, Any], *, include_usage: bool) -> tuple[bytes, ...]:
    """Return the chunks of a chat completion; with `include_usage` the last one has no choices but the usage."""
    names = ("id", "created", "model", "service_tier", "system_fingerprint", "moderation")
    shared: dict[str, Any] = {name: final[name] for name in names if name in final}
    shared |= {"object": "chat.completion.chunk", **({"usage": None} if include_usage else {})}
    chunks = []
    for choice in final["choices"]:
        for delta in _chat_deltas(choice["message"]):
            part = {"index": choice["index"], "delta": delta, "logprobs": None, "finish_reason": None}
            chunks.append({**shared, "choices": [part]})
        chances = choice["logprobs"]
        end = {"index": choice["index"], "delta": {}, "logprobs": chances, "finish_reason": choice["finish_reason"]}
        chunks.append({**shared, "choices": [end]})
    if include_usage:
        chunks.append({**shared, "choices": [], "usage": final["usage"]})
    return (*map(frame, chunks), DONE)


def _chat_deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message["content"] is not None else None}
    for name in ("content", "refusal"):
        for delta in _cut(message.get(name) or ""):
            yield {name: delta}
    if "function_call" in message:
        yield {"function_call": {"name": message["function_call"]["name"], "arguments": ""}}
        for delta in _cut(message["function_call"]["arguments"]):
            yield {"function_call": {"arguments": delta}}
    for at, call in enumerate(message.get("tool_calls") or []):
        empty = {"name": call["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{"index": at, "id": call["id"], "type": "function", "function": empty}]}
        for delta in _cut(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": at, "function": {"arguments": delta}}]}


def completion_chunks(final: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the chunks of a legacy completion."""
    shared: dict[str, Any] = {name: final[name] for name in ("id", "object", "created", "model")}
    parts = [
        part
        for choice in final["choices"]
        for part in (
            *({**choice, "text": delta, "finish_reason": None} for delta in _cut(choice["text"])),
            {**choice, "text": ""},
        )
    ]
    return (*(frame({**shared, "choices": [part]}) for part in parts), DONE)


def _cut(text: str) -> list[str]:
    """Cut a text into words with the space before them."""
    found = _DELTA.findall(text)
    return found if "".join(found) == text else [text] if text else []
