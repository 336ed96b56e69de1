"""Endpoints whose models have names of their own, as Azure's deployments: the name on the wire, and where it stands.

Two forms: the newer one has the deployment as `model` in the body, the older one has it in the path, together
with an `api-version` (SDK 3.52, `lib/azure.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

_IN_PATH = frozenset(
    [
        "/completions",
        "/chat/completions",
        "/embeddings",
        "/audio/transcriptions",
        "/audio/translations",
        "/audio/speech",
        "/images/generations",
        "/images/edits",
    ]
)
_FORM_MODEL = re.compile(rb'(name="model"\r\n\r\n)([^\r\n]*)')


class Deployments:
    """What an endpoint calls the models; `api_version` is set for the form that has the deployment in the path."""

    def __init__(self, names: Mapping[str, str] | None = None, api_version: str = "") -> None:
        """Take the wire name of each model; a model without one keeps its own name."""
        self._names = dict(names or {})
        self._version = api_version

    def place(self, path: str, content: bytes) -> tuple[str, bytes]:
        """Return path and body as the endpoint wants them."""
        if not self._names and not self._version:
            return path, content
        deployment, content = self._rename(content)
        if not self._version:
            return path, content
        if deployment and path in _IN_PATH:
            path = f"/deployments/{deployment}{path}"
        return f"{path}{'&' if '?' in path else '?'}api-version={self._version}", content

    def _rename(self, content: bytes) -> tuple[str, bytes]:
        """Put the deployment where the model stands, in JSON or in form data; returns its name."""
        if content.startswith(b"{"):
            body = msgspec.json.decode(content)
            model = body.get("model")
            if not isinstance(model, str):
                return "", content
            name = self._names.get(model, model)
            return name, content if name == model else msgspec.json.encode({**body, "model": name})
        found = _FORM_MODEL.search(content)
        if found is None:
            return "", content
        model = found[2].decode()
        name = self._names.get(model, model)
        return name, content[: found.start(2)] + name.encode() + content[found.end(2) :]
