"""The emulated Responses endpoints: create, stream, retrieve, cancel, delete, list input items, count and compact."""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import Any

import msgspec

from penstock.base.types import Usage
from penstock.sandbox.openai_answers import judge_inline
from penstock.sandbox.openai_conversations import Conversations, as_items, page_of
from penstock.sandbox.openai_meter import charge_of
from penstock.sandbox.openai_models import Model
from penstock.sandbox.openai_replies import response_body, response_usage
from penstock.sandbox.openai_requests import ApiError, check_response, find_model, missing
from penstock.sandbox.openai_routes import EVENTS, Call, Done, Job, Route, Service, act, answer_json
from penstock.sandbox.openai_shapes import check_items, check_response_tools, check_shape
from penstock.sandbox.openai_streams import response_events, unfinished
from penstock.sandbox.openai_tools import read_choice, read_tools
from penstock.sandbox.openai_writer import Order, Text, write_text
from penstock.sandbox.prompt import Prompt, read_prompt
from penstock.sandbox.summary import summarise

Item = dict[str, Any]


class _Kept:
    """A stored response: its final form, the items it was asked with, and how far a background run is."""

    __slots__ = ("content", "items", "status")

    def __init__(self, content: bytes, items: list[Item], status: str = "") -> None:
        self.content = content
        self.items = items
        self.status = status

    def look(self) -> dict[str, Any]:
        """Return the response as it is now."""
        final: dict[str, Any] = msgspec.json.decode(self.content)
        return unfinished(final, self.status) if self.status else final


class Responses:
    """Keeps the stored responses of one emulated service."""

    def __init__(self, service: Service, conversations: Conversations, *, keep: int = 10_000) -> None:
        self._service = service
        self._clock = service.world.clock
        self._meter = service.meter
        self._conversations = conversations
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._keep = keep

    def create(self, call: Call) -> Job:
        """Check a request; the work writes, keeps and perhaps streams the answer."""
        body = check_shape("responses", call.read_json())
        check_items(body.get("input"), "input")
        quirks = self._service.quirks
        model = find_model(self._service.models, "responses", body, self._clock.now(), quirks.retired_status)
        effort = check_response(body, model, quirks)
        check_response_tools(body.get("tools"))
        context = self._context(body)
        wanted = (body.get("text") or {}).get("format")
        prompt = self._read(body, context)
        limit = body.get("max_output_tokens")
        self._meter.check_size(prompt, model, limit, can_cut=body.get("truncation") == "auto")
        order = Order(
            wanted=wanted,
            effort=effort,
            limit=limit,
            tools=read_tools(body.get("tools")),
            choice=read_choice(body.get("tool_choice")),
            parallel=body.get("parallel_tool_calls") is not False,
        )
        moderation = judge_inline(body, prompt.user)

        def run() -> Done:
            text = write_text(prompt, order, self._meter.tokenizer)
            if moderation and moderation.add_output(text.text):
                text = Text("", False, 0, text.reasoning_tokens, "filter")
            usage = self._meter.usage(prompt, body, model, text.visible_tokens, text.reasoning_tokens)
            reply = response_body(self._clock.new_id("resp"), self._clock.now(), body, text, usage, effort)
            if moderation:
                reply["moderation"] = moderation.as_response()
            return self._finish(call, body, model, context, reply, usage)

        return Job(model, charge_of(prompt, limit), run)

    def _read(self, body: dict[str, Any], context: list[Item]) -> Prompt:
        given = body["input"]
        items = [*context, *as_items(given, "")] if context else given
        wanted = (body.get("text") or {}).get("format")
        return read_prompt(items, body.get("instructions"), wanted, body.get("tools"))

    def _context(self, body: dict[str, Any]) -> list[Item]:
        """Return the items before the input: of the previous response, of the conversation, or referenced ones."""
        previous, conversation = body.get("previous_response_id"), body.get("conversation")
        if previous:
            kept = self._kept.get(previous)
            if kept is None:
                text = f"Previous response with id '{previous}' not found."
                raise ApiError(400, text, code="previous_response_not_found", param="previous_response_id")
            return [*kept.items, *kept.look()["output"]]
        if conversation:
            body["conversation"] = conversation["id"] if isinstance(conversation, dict) else conversation
            return self._conversations.items_of(body["conversation"])
        references = [item["id"] for item in _items_in(body) if item.get("type") == "item_reference"]
        return [self._find_item(identity) for identity in references]

    def _find_item(self, identity: str) -> Item:
        for kept in reversed(self._kept.values()):
            items: list[Item] = [*kept.items, *kept.look()["output"]]
            for item in items:
                if item["id"] == identity:
                    return item
        raise ApiError(404, f"Item with id '{identity}' not found.", param="input")

    def _finish(
        self, call: Call, body: dict[str, Any], model: Model, context: list[Item], reply: dict[str, Any], usage: Usage
    ) -> Done:
        """Keep a response, and answer with it, with its stream, or with a promise."""
        identity, content = reply["id"], msgspec.json.encode(reply)
        streamed = bool(body.get("stream"))
        if body.get("store") is not False or body.get("conversation"):
            items = [*context, *as_items(body["input"], identity.removeprefix("resp_"))]
            if body.get("conversation"):
                self._conversations.append(body["conversation"], [*items[len(context) :], *reply["output"]])
        if body.get("store") is not False:
            kept = self._kept[identity] = _Kept(content, items)
            if len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            if body.get("background") and not streamed:
                kept.status = "queued"
                self._run_later(call, identity, kept, model, reply["status"], usage)
                return answer_json(kept.look())
        if streamed:
            return Done(b"", usage, EVENTS, pieces=response_events(reply))
        return Done(content, usage)

    def _run_later(self, call: Call, identity: str, kept: _Kept, model: Model, end: str, usage: Usage) -> None:
        def start() -> None:
            if kept.status == "queued":
                kept.status = "in_progress"

        def finish() -> None:
            if kept.status == "cancelled":
                return
            kept.status = ""
            caller = call.headers.get(b"x-client-request-id", b"").decode("ascii", "replace")
            self._service.world.bill(call.operation, call.content, model.id, usage, caller)
            self._service.announce(f"response.{end}", identity)

        quirks = self._service.quirks
        self._service.later(quirks.queued_seconds, start)
        self._service.later(quirks.queued_seconds + quirks.running_seconds, finish)

    def _stored(self, call: Call) -> tuple[str, _Kept]:
        identity = call.names["id"]
        if identity not in self._kept:
            raise ApiError(404, f"Response with id '{identity}' not found.", param="id")
        return identity, self._kept[identity]

    def retrieve(self, call: Call) -> Done:
        """Return a stored response, or its events after a given one."""
        _, kept = self._stored(call)
        if call.asked("stream") != "true":
            return Done(kept.content) if not kept.status else answer_json(kept.look())
        if kept.status:
            raise ApiError(400, "This response is not streamed: it is still running.", param="stream")
        after = call.asked("starting_after", "-1")
        if not after.lstrip("-").isdigit():
            raise ApiError(400, "Invalid 'starting_after': expected an integer.", param="starting_after")
        return Done(b"", None, EVENTS, pieces=response_events(kept.look())[int(after) + 1 :])

    def cancel(self, call: Call) -> Done:
        """Stop a background response; a finished one stays as it is."""
        identity, kept = self._stored(call)
        if not kept.look()["background"]:
            raise ApiError(400, "Cannot cancel a synchronous response.", param="id")
        if kept.status in ("queued", "in_progress"):
            kept.status = "cancelled"
            self._service.announce("response.cancelled", identity)
        return answer_json(kept.look())

    def delete(self, call: Call) -> Done:
        """Forget a stored response."""
        identity, _ = self._stored(call)
        del self._kept[identity]
        return answer_json({"id": identity, "object": "response", "deleted": True})

    def list_items(self, call: Call) -> Done:
        """List what a stored response was asked with, the newest first unless asked otherwise."""
        return answer_json(page_of(self._stored(call)[1].items, call))

    def count(self, call: Call) -> Job:
        """Count the tokens that a request would have as input."""
        body = check_shape("input_tokens", call.read_json())
        check_items(body.get("input"), "input")
        model = find_model(self._service.models, "input_tokens", body, self._clock.now())
        if body.get("input") is None:
            raise missing("input")
        prompt = self._read(body, self._context(body))

        def run() -> Done:
            return answer_json({"object": "response.input_tokens", "input_tokens": self._meter.count(prompt)})

        return Job(model, None, run)

    def compact(self, call: Call) -> Job:
        """Shorten a conversation to one item that stands for it."""
        body = check_shape("compact", call.read_json())
        check_items(body.get("input"), "input")
        model = find_model(self._service.models, "compact", body, self._clock.now())
        body["input"] = body.get("input") or ""
        prompt = self._read(body, self._context(body))
        self._meter.check_size(prompt, model, None)

        def run() -> Done:
            identity = self._clock.new_id("resp")
            hidden = base64.b64encode(summarise(prompt.text, 5, 2000).encode()).decode()
            item = {"id": f"cmp_{identity.removeprefix('resp_')}", "type": "compaction", "encrypted_content": hidden}
            usage = self._meter.usage(prompt, body, model, self._meter.tokenizer.count(hidden))
            reply = {"id": identity, "object": "response.compaction", "created_at": int(self._clock.now())}
            return answer_json({**reply, "output": [item], "usage": response_usage(usage)}, usage)

        return Job(model, charge_of(prompt, None), run)


def _items_in(body: dict[str, Any]) -> list[Item]:
    given: Any = body["input"]
    return given if isinstance(given, list) else []


def make_routes(service: Service) -> list[Route]:
    """Return the endpoints of this part, conversations among them."""
    conversations = Conversations(service)
    desk = Responses(service, conversations)
    return [
        Route("POST", "/v1/responses", "responses", desk.create),
        Route("GET", "/v1/responses/{id}", "responses.retrieve", desk.retrieve),
        Route("DELETE", "/v1/responses/{id}", "responses.delete", act(desk.delete)),
        Route("POST", "/v1/responses/{id}/cancel", "responses.cancel", act(desk.cancel)),
        Route("GET", "/v1/responses/{id}/input_items", "responses.input_items", desk.list_items),
        Route("POST", "/v1/responses/input_tokens", "input_tokens", desk.count),
        Route("POST", "/v1/responses/compact", "responses.compact", desk.compact),
        *conversations.routes(),
    ]
