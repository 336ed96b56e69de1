"""The emulated Chat Completions, stored ones too, and the legacy Completions that only plain servers still have."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.openai_answers import judge_inline
from penstock.sandbox.openai_conversations import page_of
from penstock.sandbox.openai_meter import charge_of
from penstock.sandbox.openai_plain import check_plain_chat, find_plain_model
from penstock.sandbox.openai_replies import chat_body, completion_body
from penstock.sandbox.openai_requests import ApiError, check_chat, find_model
from penstock.sandbox.openai_routes import EVENTS, Call, Done, Job, Route, Service, act, answer_json
from penstock.sandbox.openai_shapes import check_shape
from penstock.sandbox.openai_streams import chat_chunks, completion_chunks
from penstock.sandbox.openai_tools import read_choice, read_tools
from penstock.sandbox.openai_writer import Order, Text, write_text
from penstock.sandbox.prompt import read_prompt

_COMPLETION_TOKENS = 16
"""What a legacy completion writes at most when `max_tokens` is not given."""


class Chat:
    """Answers chats and keeps those that are to be stored."""

    def __init__(self, service: Service, *, keep: int = 10_000) -> None:
        self._service = service
        self._clock = service.world.clock
        self._meter = service.meter
        self._kept: OrderedDict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = OrderedDict()
        self._keep = keep

    def create(self, call: Call) -> Job:
        """Check a request; the work writes, keeps and perhaps streams the answer."""
        body = check_shape("chat", call.read_json())
        if self._service.plain:
            model = find_plain_model(body["model"])
            effort = None
            check_plain_chat(body)
        else:
            quirks = self._service.quirks
            model = find_model(self._service.models, "chat", body, self._clock.now(), quirks.retired_status)
            effort = check_chat(body, model, quirks)
        wanted = body.get("response_format")
        if wanted and wanted["type"] == "json_schema":
            wanted = {"type": "json_schema", **wanted["json_schema"]}
        prompt = read_prompt(body["messages"], wanted, body.get("tools"), body.get("functions"))
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        self._meter.check_size(prompt, model, limit)
        order = _read_order(body, wanted, effort, limit)
        moderation = judge_inline(body, prompt.user)

        def run() -> Done:
            text = write_text(prompt, order, self._meter.tokenizer)
            if text.end == "failed":
                raise ApiError(500, "The sandbox was asked to fail.", code="server_error", kind="server_error")
            if moderation and moderation.add_output(text.text):
                text = Text("", False, 0, text.reasoning_tokens, "filter")
            usage = self._meter.usage(prompt, body, model, text.visible_tokens, text.reasoning_tokens)
            identity = self._clock.new_id("chatcmpl")
            reply = chat_body(identity, self._clock.now(), body, text, usage, plain=self._service.plain)
            if moderation:
                reply["moderation"] = moderation.as_chat()
            return self._finish(body, reply, usage)

        return Job(model, charge_of(prompt, limit, body.get("n") or 1), run)

    def _finish(self, body: dict[str, Any], reply: dict[str, Any], usage: Usage) -> Done:
        if body.get("store"):
            suffix = reply["id"]
            asked = [{"id": f"{suffix}-{at}", **one} for at, one in enumerate(body["messages"])]
            self._kept[suffix] = (reply, asked)
            if len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        if not body.get("stream"):
            return Done(msgspec.json.encode(reply), usage)
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage")) and not self._service.plain
        return Done(b"", usage, EVENTS, pieces=chat_chunks(reply, include_usage=wants_usage))

    def _find(self, call: Call) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        identity = call.names["id"]
        if identity not in self._kept:
            raise ApiError(404, f"Chat completion with id '{identity}' not found.", param="completion_id")
        return self._kept[identity]

    def list_all(self, call: Call) -> Done:
        """List stored completions, the oldest first unless asked otherwise."""
        wanted = {name[9:-1]: values[-1] for name, values in call.query.items() if name.startswith("metadata[")}
        found = [
            reply
            for reply, _ in self._kept.values()
            if call.asked("model") in ("", reply["model"]) and wanted.items() <= reply["metadata"].items()
        ]
        query = {"order": ["asc"], **call.query}
        return answer_json(page_of(found, call._replace(query=query)))

    def retrieve(self, call: Call) -> Done:
        """Return a stored completion."""
        return answer_json(self._find(call)[0])

    def update(self, call: Call) -> Done:
        """Replace the metadata of a stored completion."""
        body = check_shape("chat.update", call.read_json())
        reply, _ = self._find(call)
        reply["metadata"] = body["metadata"] or {}
        return answer_json(reply)

    def delete(self, call: Call) -> Done:
        """Forget a stored completion."""
        reply, _ = self._find(call)
        del self._kept[reply["id"]]
        return answer_json({"id": reply["id"], "object": "chat.completion.deleted", "deleted": True})

    def list_messages(self, call: Call) -> Done:
        """List the messages that a stored completion was asked with."""
        query = {"order": ["asc"], **call.query}
        return answer_json(page_of([_as_stored(one) for one in self._find(call)[1]], call._replace(query=query)))

    def complete(self, call: Call) -> Job:
        """Continue a text, or fill the room before a suffix."""
        body = check_shape("completions", call.read_json())
        if self._service.plain:
            model = find_plain_model(body["model"])
        else:
            model = find_model(self._service.models, "completions", body, self._clock.now())
        given = body["prompt"]
        prompts = [given] if isinstance(given, str) else given
        if any(not isinstance(one, str) for one in prompts):
            raise ApiError(400, "The Penstock sandbox reads prompts as text only.", code="sandbox_unsupported")
        prompt = read_prompt("\n".join(prompts), body.get("suffix"))
        limit = _COMPLETION_TOKENS if body.get("max_tokens") is None else body["max_tokens"]
        order = Order(limit=limit, stop=_stops(body), suffix=body.get("suffix") or "")

        def run() -> Done:
            written = [write_text(read_prompt(one), order, self._meter.tokenizer) for one in prompts]
            start = [one if body.get("echo") else "" for one in prompts]
            texts = [
                head + one.text for head, one in zip(start, written, strict=True) for _ in range(body.get("n") or 1)
            ]
            usage = self._meter.usage(prompt, body, model, sum(one.visible_tokens for one in written))
            identity = self._clock.new_id("cmpl")
            reply = completion_body(identity, self._clock.now(), body, texts, written[0], usage)
            if body.get("stream"):
                return Done(b"", usage, EVENTS, pieces=completion_chunks(reply))
            return Done(msgspec.json.encode(reply), usage)

        return Job(model, charge_of(prompt, limit), run)


def _read_order(body: dict[str, Any], wanted: Any, effort: str | None, limit: int | None) -> Order:
    return Order(
        wanted=wanted,
        effort=effort,
        limit=limit,
        stop=_stops(body),
        tools=read_tools(body.get("tools") or body.get("functions")),
        choice=read_choice(body.get("tool_choice") or body.get("function_call")),
        parallel=body.get("parallel_tool_calls") is not False and not body.get("functions"),
    )


def _stops(body: dict[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop") or ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _as_stored(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as the list of stored messages has it: parts of text stand beside the content."""
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return {"refusal": None, **message, "content_parts": None}
    return {"refusal": None, **message, "content": None, "content_parts": content}


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of this part."""
    desk = Chat(service)
    path = "/v1/chat/completions"
    return [
        Route("POST", path, "chat", desk.create),
        Route("GET", path, "chat.list", desk.list_all),
        Route("GET", f"{path}/{{id}}", "chat.retrieve", desk.retrieve),
        Route("POST", f"{path}/{{id}}", "chat.update", act(desk.update)),
        Route("DELETE", f"{path}/{{id}}", "chat.delete", act(desk.delete)),
        Route("GET", f"{path}/{{id}}/messages", "chat.messages", desk.list_messages),
        Route("POST", "/v1/completions", "completions", desk.complete),
    ]
