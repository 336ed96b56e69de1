"""Listens to what goes over the wire between a client and the emulated OpenAI, and holds it against the description.

Needs the vendor's published description; where that is older than the service is named in `LATER`.
"""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn

from openai_server import DESCRIPTION, OpenAIServer
from penstock.base.clock import SystemClock
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.server import build_app, make_config
from penstock.sandbox.world import World

ONE = r"/[^/]+"
SCHEMAS = [
    ("POST", "/responses", "CreateResponse", "Response"),
    ("GET", f"/responses{ONE}", None, "Response"),
    ("POST", f"/responses{ONE}/cancel", None, "Response"),
    ("GET", f"/responses{ONE}/input_items", None, "ResponseItemList"),
    ("POST", "/responses/input_tokens", "TokenCountsBody", "TokenCountsResource"),
    ("POST", "/responses/compact", "CompactResponseMethodPublicBody", "CompactResource"),
    ("POST", "/conversations", "CreateConversationBody", "ConversationResource"),
    ("GET", f"/conversations{ONE}", None, "ConversationResource"),
    ("POST", f"/conversations{ONE}", "UpdateConversationBody", "ConversationResource"),
    ("DELETE", f"/conversations{ONE}", None, "DeletedConversationResource"),
    ("GET", f"/conversations{ONE}/items", None, "ConversationItemList"),
    ("POST", f"/conversations{ONE}/items", None, "ConversationItemList"),
    ("GET", f"/conversations{ONE}/items{ONE}", None, "ConversationItem"),
    ("POST", "/chat/completions", "CreateChatCompletionRequest", "CreateChatCompletionResponse"),
    ("GET", "/chat/completions", None, "ChatCompletionList"),
    ("GET", f"/chat/completions{ONE}", None, "CreateChatCompletionResponse"),
    ("POST", f"/chat/completions{ONE}", None, "CreateChatCompletionResponse"),
    ("DELETE", f"/chat/completions{ONE}", None, "ChatCompletionDeleted"),
    ("POST", "/embeddings", "CreateEmbeddingRequest", "CreateEmbeddingResponse"),
    ("POST", "/moderations", "CreateModerationRequest", "CreateModerationResponse"),
    ("GET", "/models", None, "ListModelsResponse"),
]
LATER = {"completed_at", "usage"}
"""Fields that may be null although the description, which is older, leaves them out until they are known."""


class Description:
    """The published description as a set of checks, one per schema or kind of event."""

    def __init__(self, components):
        self._components = _with_nulls(components)
        self._validators = {}
        self._events = {}
        for name, schema in self._components["schemas"].items():
            kinds = ((schema.get("properties") or {}).get("type") or {}).get("enum") or []
            if name.startswith("Response") and len(kinds) == 1:
                self._events[kinds[0]] = name

    def check(self, name, value):
        """Hold a body against a schema."""
        import jsonschema_rs

        if name not in self._validators:
            schema = {"$ref": f"#/components/schemas/{name}", "components": self._components}
            self._validators[name] = jsonschema_rs.validator_for(schema)
        errors = [
            f"{error.message[:300]} at {error.instance_path}" for error in self._validators[name].iter_errors(value)
        ]
        assert not errors, (name, errors[:5])

    def check_event(self, value):
        """Hold an event of a response's stream against the schema of its type."""
        self.check(self._events[value["type"]], value)


def read_description():
    """Return the description; skips where it is not at hand."""
    root = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[1].parent / "shared"))
    if not (root / DESCRIPTION).is_file():
        pytest.skip(f"{root / DESCRIPTION} is not here: bodies are not held against the published description")
    return Description(json.loads((root / DESCRIPTION).read_text())["components"])


def _with_nulls(schema):
    """Write `nullable`, which is of an older language than the rest of the description, as a union with null.

    `oneOf` becomes `anyOf`: some of its alternatives overlap, such as the two forms of an input message.
    """
    if isinstance(schema, list):
        return [_with_nulls(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {"anyOf" if name == "oneOf" else name: _with_nulls(one) for name, one in schema.items()}
    return {"anyOf": [inner, {"type": "null"}]} if inner.pop("nullable", None) is True else inner


class Heard(NamedTuple):
    """One exchange."""

    method: str
    path: str
    asked: bytes
    status: int
    kind: str
    answered: bytes


class Wire:
    """An application that records what another one is asked and answers."""

    def __init__(self, app):
        self.app = app
        self.heard = []

    async def __call__(self, scope, receive, send):
        path = scope["path"].partition("/v1")[2]
        asked, answered, start = [], [], {"status": 0, "headers": []}

        async def listen():
            message = await receive()
            asked.append(message.get("body", b""))
            return message

        async def tell(message):
            if message["type"] == "http.response.start":
                start.update(message)
            answered.append(message.get("body", b""))
            await send(message)

        await self.app(scope, listen, tell)
        kind = dict(start["headers"]).get(b"content-type", b"").decode()
        self.heard.append(Heard(scope["method"], path, b"".join(asked), start["status"], kind, b"".join(answered)))

    def check(self, description):
        """Hold everything that was heard since the last check against the description; returns how much that was."""
        heard, self.heard = self.heard, []
        for one in heard:
            _check(one, description)
        return len(heard)


def _check(one, description):
    if one.status >= 400:
        description.check("ErrorResponse", json.loads(one.answered))
        return
    fits = [names for method, path, *names in SCHEMAS if method == one.method and re.fullmatch(path, one.path)]
    if not fits:
        return
    request, reply = fits[0]
    if request and one.asked:
        description.check(request, json.loads(one.asked))
    if not one.kind.startswith("text/event-stream"):
        description.check(reply, as_described(json.loads(one.answered)))
        return
    for data in events_of(one.answered):
        if one.path == "/chat/completions":
            description.check("CreateChatCompletionStreamResponse", as_described(data))
        else:
            description.check_event(as_described(data))


def events_of(body):
    """Return the data of server-sent events without the end mark of chats."""
    frames = [frame for frame in body.decode().split("\n\n") if frame]
    found = [frame.partition("data: ")[2] for frame in frames]
    return [json.loads(data) for data in found if data != "[DONE]"]


def as_described(value):
    """Leave out the nulls that the description does not know."""
    if isinstance(value, dict):
        return {name: as_described(one) for name, one in value.items() if one is not None or name not in LATER}
    return [as_described(one) for one in value] if isinstance(value, list) else value


class RecordedServer(OpenAIServer):
    """A sandbox server that is listened to; `plain` answers as a server that copies OpenAI's chat."""

    def __init__(self, *, clock=None, quirks=None, plain=False):
        self.world = World(clock or SystemClock())
        self.limiter = Limiter(self.world.clock, {}, default=Limit())
        openai = build_openai_app(self.world, limiter=self.limiter, quirks=quirks, plain=plain)
        self.wire = Wire(build_app(self.world, openai=openai))
        self.server = uvicorn.Server(make_config(self.wire, "127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
