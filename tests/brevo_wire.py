"""The emulated Brevo behind a socket, driven by the vendor's SDK, every answer held against its OpenAPI file."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pydantic
import uvicorn
from brevo import Brevo

from penstock.base.clock import ManualClock
from penstock.sandbox.brevo import BrevoApp, build_brevo_app
from penstock.sandbox.brevo_limits import BrevoLimits
from penstock.sandbox.server import make_config
from penstock.sandbox.world import World

SPEC = "brevo-v3-openapi-3.0.1-2025-07-xdev.yml"


class Server:
    """An emulated account behind a real socket, and what its last answer was."""

    def __init__(self, address: str, app: BrevoApp, clock: ManualClock) -> None:
        self.address = address
        self.app = app
        self.state = app.state
        self.world = app.world
        self.clock = clock
        self.answers: list[httpx.Response] = []
        self._clients: list[httpx.Client] = []

    def client(self, key: str = "xkeysib-test") -> Brevo:
        def keep(response: httpx.Response) -> None:
            response.read()
            self.answers.append(response)

        transport = httpx.Client(event_hooks={"response": [keep]}, timeout=10)
        self._clients.append(transport)
        return Brevo(base_url=self.address, api_key=key, max_retries=0, httpx_client=transport)

    @property
    def last(self) -> httpx.Response:
        return self.answers[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Site:
    """One socket for many accounts: the newest one answers."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.apps: list[BrevoApp] = []

    @contextmanager
    def open(self, **settings: Any) -> Iterator[Server]:
        """Open a fresh account; at the end every answer is held against the vendor's file."""
        clock = ManualClock()
        app = build_brevo_app(World(clock), limits=BrevoLimits(enabled=False))
        for name, value in settings.items():
            setattr(app.state.behaviour, name, value)
        self.apps.append(app)
        server = Server(self.address, app, clock)
        try:
            yield server
            for answer in server.answers:
                check_against_specification(answer)
        finally:
            server.close()


@contextmanager
def serve_newest() -> Iterator[Site]:
    """Serve on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}/brevo/v3")

    async def newest(scope: Any, receive: Any, send: Any) -> None:
        await site.apps[-1](scope, receive, send)

    server = uvicorn.Server(make_config(newest, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield site
    server.should_exit = True
    thread.join(10)
    listener.close()


def checked(model: Any) -> Any:
    """Validate what the SDK builds without a look: every required field there, every type right."""
    if isinstance(model, pydantic.BaseModel):
        type(model).model_validate(model.model_dump(by_alias=True))
    return model


@cache
def load_specification() -> dict[str, Any] | None:
    shared = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[1].parent / "shared"))
    file = shared / "specs" / SPEC
    if not file.is_file():
        return None
    from ruamel.yaml import YAML

    found: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(file), default=str))
    return found


@cache
def build_validator(path: str, method: str, status: str) -> Any:
    import jsonschema_rs

    specification = load_specification() or {"paths": {}}
    answers = specification["paths"].get(path, {}).get(method, {}).get("responses", {})
    schema = answers.get(status, {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return None
    root = {"$schema": "http://json-schema.org/draft-04/schema#", **schema, "components": specification["components"]}
    if "$ref" in root:
        root = {"$schema": root["$schema"], "allOf": [{"$ref": root["$ref"]}], "components": root["components"]}
    return jsonschema_rs.validator_for(root, validate_formats=False)


def find_template(path: str) -> str | None:
    if "/consent-groups" in path or path in ("/products", "/categories"):
        return None  # newer than the file: it takes the first for a contact, and ids of the others for numbers
    specification = load_specification()
    templates = sorted(specification["paths"] if specification else (), key=lambda one: one.count("{"))
    for template in templates:
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            return template
    return None


def check_against_specification(answer: httpx.Response) -> None:
    """Compare a body with the vendor's OpenAPI file of July 2025, where that covers it and is at hand."""
    path = answer.request.url.raw_path.decode().split("?")[0].split("/v3", 1)[1]
    template = find_template(path)
    kind = answer.headers.get("content-type", "")
    if template is None or kind != "application/json" or not answer.content:
        return
    validator = build_validator(template, answer.request.method.lower(), str(answer.status_code))
    content = answer.json()
    if isinstance(content.get("contacts"), dict):  # an empty list fits both of the file's alternatives, so neither
        content["contacts"] = {name: value for name, value in content["contacts"].items() if value != []}
    if answer.status_code >= 400:
        content.pop("metadata", None)
        if content["code"] in ("too_many_requests", "account_in_process", "CONSENT_GROUP_NOT_ENABLED"):
            return
    if validator is not None:
        validator.validate(content)
