"""Tests a connection to OpenAI, Azure or a compatible server by harmless calls; names the fault and who answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.base.errors import AccessError, PenstockError, ThrottledError
from penstock.base.types import Finding
from penstock.runtime.connections import Connection
from penstock.vendor.openai import Exchange, OpenAI

_OWN_HEADERS = ("openai-version", "openai-organization", "openai-processing-ms")
_NOT_THERE = ("openai.model-not-found", "openai.deployment-missing", "openai.endpoint-missing")


def label_of(name: str) -> str:
    """Return what a verdict calls a connection: the vendor's name for those that the settings describe."""
    return {"openai": "OpenAI", "brevo": "Brevo", "conversions": "Conversions"}.get(name, name)


async def check_endpoint(client: OpenAI, connection: Connection, model: str) -> list[Finding]:
    """Ask which models there are, and whether `model` is among them: free, changes nothing.

    Where an endpoint does not list what can be asked (Azure's deployments, many compatible servers), a call without
    its input is sent, which is refused before anything is made.
    """
    label = label_of(connection.name)
    try:
        exchange = await client.look("/models")
        findings = _read_list(label, connection, client.host, exchange)
        if findings and findings[0].verdict == "fail":
            return findings
        names = _names(exchange.content)
        if connection.kind == "openai":
            return findings + _find_model(label, model, names)
        wanted = connection.models.values() or ([] if model not in names and names else [model])
        if not wanted:
            return [*findings, _unknown_model(label, model, names)]
        return findings + [await _probe(client, connection, label, each) for each in wanted]
    except PenstockError as error:
        return [_from_error(label, error)]


def _read_list(label: str, connection: Connection, host: str, exchange: Exchange) -> list[Finding]:
    """Judge the answer to the list of models: the key, and whether it is the vendor who answers."""
    error = exchange.error
    gateway = _is_gateway(connection, exchange.headers)
    if error is not None and error.code == "openai.endpoint-missing" and connection.kind != "openai":
        return [Finding(f"{label} host", "ok", f"{host} answers; it has no list of models")]
    if error is not None:
        finding = _from_error(label, error)
        more = f"; {host} answered without OpenAI's headers, so a gateway may be the cause" if gateway else ""
        return [Finding(finding.name, finding.verdict, finding.message + more, finding.fix)]
    if not isinstance(exchange.content, dict) or not isinstance(exchange.content.get("data"), list):
        fix = "Check the base URL: it usually ends in /v1."
        return [Finding(label, "fail", f"{host} answers, but not with a list of models: it is no such API", fix)]
    count = len(_names(exchange.content))
    owner = exchange.headers.get("openai-organization")
    by = f" by the organisation {owner}" if owner else f" by {host}"
    findings = [Finding(f"{label} key", "ok", f"accepted{by}, {count} models may be used")]
    if gateway:
        fix = "If that is not meant, remove the proxy or set the base URL to https://api.openai.com/v1."
        message = f"{host} answered without OpenAI's own headers: a gateway stands in between, or in its place"
        findings.append(Finding(f"{label} host", "warn", message, fix))
    return findings


def _is_gateway(connection: Connection, headers: Mapping[str, str]) -> bool:
    return connection.kind == "openai" and not any(name in headers for name in _OWN_HEADERS)


def _names(content: Any) -> set[str]:
    listed = content.get("data") if isinstance(content, dict) else None
    return {str(one.get("id")) for one in listed if isinstance(one, dict)} if isinstance(listed, list) else set()


def _find_model(label: str, model: str, names: set[str]) -> list[Finding]:
    if model in names:
        return [Finding(f"{label} model", "ok", f"the key may use {model}")]
    fix = "Grant it to the project (Limits, Model usage), or set another model."
    return [Finding(f"{label} model", "fail", f"the key may not use {model}", fix)] if names else []


def _unknown_model(label: str, model: str, names: set[str]) -> Finding:
    shown = ", ".join(sorted(names)[:5])
    fix = "Set the model that it has, or give it as `models` of the connection (its name = the catalogue's)."
    return Finding(f"{label} model", "warn", f"{model} is not there; it has {shown}", fix)


async def _probe(client: OpenAI, connection: Connection, label: str, model: str) -> Finding:
    """Send a call without its input: whoever refuses the input has the model."""
    path = "/responses" if connection.speaks == "responses" else "/chat/completions"
    body = {"model": model} if path == "/responses" else {"model": model, "messages": []}
    exchange = await client.post(path, msgspec.json.encode(body), "connection-test")
    own = next((name for name, each in connection.models.items() if each == model), model)
    error = exchange.error
    if error is None or (error.recovery == "isolate" and error.code not in _NOT_THERE):
        return Finding(f"{label} model", "ok", f"{own} answers {path}")
    if error.recovery == "isolate":
        return Finding(f"{label} model", "fail", f"{own}: {error.message}", error.hint)
    return _from_error(label, error)


def _from_error(label: str, error: PenstockError) -> Finding:
    """Turn an error into a verdict; what passes by itself is no fault of the connection."""
    if isinstance(error, ThrottledError):
        return Finding(label, "warn", error.message, "Wait until the quota has room, then look again.")
    name = f"{label} key" if isinstance(error, AccessError) else label
    return Finding(name, "fail", error.message, error.hint or "Check the base URL; a gateway may answer instead.")
