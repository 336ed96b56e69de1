"""A streamed answer: its visible text piece by piece, then the same content that a whole reply would have had.

Events and chunks: OpenAPI description of 2026-08-21 and SDK 3.51. An `error` event, and an end without a
terminal event, are a broken answer even with status 200.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from penstock.base.errors import PenstockError, UnavailableError
from penstock.base.types import Usage
from penstock.vendor.http import Incoming, Reply
from penstock.vendor.openai import Exchange, read_content, read_reply
from penstock.vendor.openai_errors import explain
from penstock.vendor.sse import Event, EventReader

Tell = Callable[[str], None]
"""Is told each piece of the visible text."""

GRACE_SECONDS = 0.25
"""How long the end of the connection is waited for after the last event."""
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_PASSING = {"rate_limit_exceeded": 429, "slow_down": 503, "server_error": 500, "": 500}
"""Status that a code of an `error` event stands for; with another code the request itself is at fault."""


async def hear(incoming: Incoming, tell: Tell, *, is_chat: bool) -> Exchange:
    """Read an answer to its end and return it as one exchange; `tell` hears each piece of visible text at once.

    A server that does not stream is read whole. Raises `UnavailableError` for an answer that breaks off.
    """
    if not _is_stream(incoming):
        return read_reply(await incoming.whole())
    reader = EventReader()
    answer: _Answer = _ChatAnswer() if is_chat else _ResponseAnswer()
    try:
        while not answer.is_ended and (part := await incoming.read()) is not None:
            for event in reader.feed(part):
                _take(answer, event, tell, incoming.host)
        for event in reader.end():
            _take(answer, event, tell, incoming.host)
    except _ErrorEvent as told:
        return _read_error(incoming, told.error)
    except UnavailableError:
        if not answer.is_complete:
            raise
    if not answer.is_complete:
        raise _broken(incoming.host, "the stream ended in the middle")
    await incoming.finish(GRACE_SECONDS)
    return read_content(answer.content(), incoming.headers, incoming.host)


class _ErrorEvent(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__()
        self.error = error


class _Answer(Protocol):
    """An answer that is put together: `is_complete` when all of it came, `is_ended` when nothing can follow."""

    is_complete: bool
    is_ended: bool

    def take(self, data: dict[str, Any]) -> str:
        """Take in one event; returns the visible text that it adds."""

    def end(self) -> None:
        """Hear that nothing follows."""

    def content(self) -> dict[str, Any]:
        """Return what a whole reply would have held."""


class _ResponseAnswer:
    """A response: the last event holds all of it."""

    def __init__(self) -> None:
        self.is_complete = self.is_ended = False
        self._items: dict[int, Any] = {}
        self._final: dict[str, Any] = {}

    def take(self, data: dict[str, Any]) -> str:
        kind = data.get("type")
        if kind == "response.output_text.delta":
            return _text(data.get("delta"))
        if kind == "response.output_item.done":
            self._items[_index(data.get("output_index"))] = data.get("item")
        elif kind in _ENDS and isinstance(data.get("response"), dict):
            self._final = data["response"]
            self.is_complete = self.is_ended = True
        return ""

    def end(self) -> None:
        self.is_ended = True

    def content(self) -> dict[str, Any]:
        if self._final.get("output"):
            return self._final
        return {**self._final, "output": [self._items[at] for at in sorted(self._items)]}  # some gateways send none


class _ChatAnswer:
    """A chat completion: put together from its chunks."""

    def __init__(self) -> None:
        self.is_complete = self.is_ended = False
        self._head: dict[str, Any] = {"object": "chat.completion"}
        self._choices: dict[int, dict[str, Any]] = {}

    def take(self, data: dict[str, Any]) -> str:
        shared = ((name, value) for name, value in data.items() if name not in ("object", "choices", "obfuscation"))
        self._head.update({name: value for name, value in shared if value is not None})
        return "".join([self._take_part(part) for part in _dicts(data.get("choices"))])

    def _take_part(self, part: dict[str, Any]) -> str:
        at = _index(part.get("index"))
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
        choice = self._choices.setdefault(
            at, {"index": at, "message": message, "logprobs": None, "finish_reason": None}
        )
        _add_chances(choice, part.get("logprobs"))
        delta = part.get("delta")
        added = _add_delta(choice["message"], delta) if isinstance(delta, dict) else ""
        if part.get("finish_reason"):
            choice["finish_reason"] = _text(part["finish_reason"])
        self.is_complete = all(one["finish_reason"] for one in self._choices.values())
        return added if at == 0 else ""

    def end(self) -> None:
        self.is_ended = True
        self.is_complete = bool(self._choices)  # some gateways give no finish reason

    def content(self) -> dict[str, Any]:
        return {**self._head, "choices": [self._choices[at] for at in sorted(self._choices)]}


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> str:
    """Add what a chunk says to a message; returns the visible text among it."""
    for name in ("content", "refusal"):
        if isinstance(delta.get(name), str):
            message[name] = (message[name] or "") + delta[name]
    message["annotations"] += _dicts(delta.get("annotations"))
    if isinstance(delta.get("function_call"), dict):
        _add_call(message.setdefault("function_call", {"name": "", "arguments": ""}), delta["function_call"])
    for part in _dicts(delta.get("tool_calls")):
        calls = message.setdefault("tool_calls", [])
        at = _index(part.get("index"))
        if at >= len(calls):
            at = len(calls)
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        calls[at] |= {name: part[name] for name in ("id", "type") if isinstance(part.get(name), str)}
        if isinstance(part.get("function"), dict):
            _add_call(calls[at]["function"], part["function"])
    return _text(delta.get("content"))


def _add_call(call: dict[str, Any], delta: dict[str, Any]) -> None:
    for name in ("name", "arguments"):
        call[name] += _text(delta.get(name))


def _add_chances(choice: dict[str, Any], chances: Any) -> None:
    if isinstance(chances, dict):
        known = choice["logprobs"] = choice["logprobs"] or {}
        for name, found in chances.items():
            known[name] = [*(known.get(name) or ()), *found] if isinstance(found, list) else known.get(name)


def _take(answer: _Answer, event: Event, tell: Tell, host: str) -> None:
    if answer.is_ended or not event.data.strip():
        return
    if event.data.strip() == b"[DONE]":
        answer.end()
        return
    try:
        data = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _broken(host, "an event is not JSON") from None
    if not isinstance(data, dict):
        raise _broken(host, "an event is no object")
    error = data.get("error")
    if data.get("type") == "error" or event.name == "error" or (error and "choices" not in data):
        raise _ErrorEvent(error if isinstance(error, dict) else {"message": error, **data, "error": None})
    piece = answer.take(data)
    if piece:
        tell(piece)


def _is_stream(incoming: Incoming) -> bool:
    """Tell an event stream from what is one reply: an error, JSON of a server that does not stream, a web page."""
    kind = (incoming.headers.get("content-type") or "").partition(";")[0].strip().lower()
    return incoming.status < 300 and not kind.endswith("json") and kind != "text/html"


def _read_error(incoming: Incoming, error: dict[str, Any]) -> Exchange:
    """Return the exchange of an answer that ended with an `error` event."""
    code = error.get("code")
    named = code if isinstance(code, str) and error.get("type") != "server_error" else ""
    request_id = incoming.headers.get("x-request-id") or ""
    reply = Reply(_PASSING.get(named, 400), incoming.headers, b"", incoming.host)
    failure: PenstockError = explain(reply, {"error": error}, request_id)
    return Exchange(incoming.headers, None, failure, Usage(), "", "", request_id)


def _broken(host: str, why: str) -> UnavailableError:
    return UnavailableError(
        f"{host} broke off its answer: {why}",
        code="openai.broken-stream",
        hint="It is asked again as long as nobody heard a part of it; it may have been billed.",
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: Any) -> int:
    return value if isinstance(value, int) else 0
