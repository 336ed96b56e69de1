"""Azure's ways to reach the emulated OpenAI: deployments in the path or in the body, and the `api-key` header.

Written from the contract of 2026-11-20. What does not come Azure's way is handed on as it is. A deployment
is one that was made (`deployments`), or a model's own name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from penstock.sandbox.openai_models import load_models

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_DEPLOYMENT = re.compile(r"/deployments/([^/]+)(/.+)\Z")
_FORM_MODEL = re.compile(rb'name="model"\r\n\r\n([^\r\n]*)')
_MISSING = "The API deployment for this resource does not exist."
_DENIED = "Access denied due to invalid subscription key or wrong API endpoint."
_NOT_FOUND = "Resource not found"


class _RefusedError(Exception):
    """An answer in Azure's own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = msgspec.json.encode({"error": {"code": code, "message": message}})


class AzureDoor:
    """Stands before the emulated OpenAI as an ASGI application and turns Azure's form into the plain one."""

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], deployments: Mapping[str, str] | None = None
    ) -> None:
        """Hand on to `app`; `deployments` are the names made, and the model of each."""
        self._app = app
        self.deployments: dict[str, str] = dict(deployments or {})
        self._models = load_models()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = {bytes(name).lower(): bytes(value) for name, value in scope.get("headers", ())}
        path = str(scope["path"]).removeprefix("/openai")
        version = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("api-version", [""])[-1]
        if scope["type"] != "http" or not (b"api-key" in headers or version or path.startswith("/deployments/")):
            if scope["type"] == "http":
                scope = {**scope, "path": path}
            await self._app(scope, receive, send)
            return
        try:
            content = await _read(scope, receive)
            path, content = self._translate(path, version, content)
            plain = {**scope, "path": path, "headers": _sign(headers, len(content))}
        except _RefusedError as error:
            await _refuse(send, error)
            return
        await self._app(plain, _replay(content, receive), send)

    def _translate(self, path: str, version: str, content: bytes) -> tuple[str, bytes]:
        """Return the plain path, and the body with the model in place of the deployment."""
        found = _DEPLOYMENT.match(path)
        if found is not None:
            if not version:
                raise _RefusedError(404, "404", _NOT_FOUND)
            return f"/v1{found[2]}", _put_model(content, self._model_of(found[1]))
        if not path.startswith("/v1/"):
            if not version:
                raise _RefusedError(404, "404", _NOT_FOUND)
            path = f"/v1{path}"
        if path == "/v1/decisions":  # the beta is OpenAI's own
            raise _RefusedError(404, "404", _NOT_FOUND)
        deployment = _read_model(content)
        return path, _put_model(content, self._model_of(deployment)) if deployment else content

    def _model_of(self, deployment: str) -> str:
        known = {name for model in self._models.all for name in (model.id, *model.snapshots)}
        model = self.deployments.get(deployment) or (deployment if deployment in known else None)
        if model is None:
            raise _RefusedError(404, "DeploymentNotFound", _MISSING)
        return model


def _read_model(content: bytes) -> str:
    """Return the model that a body names, in JSON or in form data."""
    if content.startswith(b"{"):
        try:
            body = msgspec.json.decode(content)
        except msgspec.DecodeError:
            return ""
        model = body.get("model")
        return model if isinstance(model, str) else ""
    found = _FORM_MODEL.search(content)
    return found[1].decode("utf-8", "replace") if found else ""


def _put_model(content: bytes, model: str) -> bytes:
    if content.startswith(b"{"):
        try:
            return msgspec.json.encode({**msgspec.json.decode(content), "model": model})
        except msgspec.DecodeError:
            return content
    found = _FORM_MODEL.search(content)
    return content[: found.start(1)] + model.encode() + content[found.end(1) :] if found else content


def _sign(headers: Mapping[bytes, bytes], length: int) -> list[tuple[bytes, bytes]]:
    """Turn Azure's key or token into one that the plain emulator takes; a bad one is refused in Azure's words."""
    token = headers.get(b"authorization", b"").partition(b" ")[2]
    key = headers.get(b"api-key", b"") or token
    if not key or b"invalid" in key:
        raise _RefusedError(401, "401", _DENIED)
    kept = [(name, value) for name, value in headers.items() if name not in (b"api-key", b"authorization")]
    plain = b"sk-azure-" + hashlib.blake2b(key, digest_size=8).hexdigest().encode()
    plain += b"-noquota" if b"noquota" in key else b""
    kept = [(name, b"%d" % length if name == b"content-length" else value) for name, value in kept]
    return [*kept, (b"authorization", b"Bearer " + plain)]


async def _read(scope: Scope, receive: Receive) -> bytes:
    if scope["method"] == "GET":
        return b""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(content: bytes, receive: Receive) -> Receive:
    """Give the body again, then whatever the connection says next."""
    waiting = [{"type": "http.request", "body": content, "more_body": False}]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message


async def _refuse(send: Send, error: _RefusedError) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(error.body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": error.body})
