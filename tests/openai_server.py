"""The sandbox as a server for the vendor's own SDK, and the vendor's description to hold bodies against."""

from __future__ import annotations

import json
import os
import threading
from functools import cache
from pathlib import Path

import openai
import pytest
import uvicorn

from penstock.base.clock import SystemClock
from penstock.sandbox.limits import Limit, Limiter
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.server import build_app, make_config
from penstock.sandbox.world import World

DESCRIPTION = "specs/openai-2026-08-21.openapi.json"


class OpenAIServer:
    """A sandbox on a free loopback port, in a thread with its own loop."""

    def __init__(self):
        self.world = World(SystemClock())
        self.limiter = Limiter(self.world.clock, {}, default=Limit())
        app = build_app(self.world, openai=build_openai_app(self.world, limiter=self.limiter))
        self.server = uvicorn.Server(make_config(app, "127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.005)
            assert self.thread.is_alive()
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/openai/v1"
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()

    def client(self, **settings):
        """Return the official client, which validates every answer strictly."""
        settings = {"api_key": "sk-test", "max_retries": 0, **settings}
        return openai.AsyncOpenAI(base_url=self.url, _strict_response_validation=True, **settings)


def make_check():
    """Return a check of bodies against the published description; skips where that is not at hand."""
    root = Path(os.environ.get("PENSTOCK_SHARED", Path(__file__).parents[1].parent / "shared"))
    path = root / DESCRIPTION
    if not path.is_file():
        pytest.skip(f"{path} is not here: bodies are not held against the published description")
    import jsonschema_rs

    components = json.loads(path.read_text())["components"]

    @cache
    def validator(name):
        return jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", "components": components})

    def check(name, value):
        errors = [error.message for error in validator(name).iter_errors(value)]
        assert not errors, errors[:5]

    return check


def without_nulls(value):
    """Leave out empty fields: the service writes them as null, its description says that they are absent."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value
