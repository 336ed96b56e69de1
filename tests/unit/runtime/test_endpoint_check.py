"""What `connections test` says: every fault of a connection has its own words and its own remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import SettingsError
from penstock.base.types import Finding
from penstock.runtime.connections import Connection
from penstock.runtime.endpoint_check import check_endpoint
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.openai_azure import AzureDoor
from penstock.sandbox.world import Fault, World
from penstock.vendor.deployments import Deployments
from penstock.vendor.http import Http
from penstock.vendor.openai import OpenAI

OPENAI = Connection(name="openai")
LUNA = "gpt-6-luna"


async def findings_of(
    app: Any,
    connection: Connection = OPENAI,
    *,
    key: Any = "sk-test",
    model: str = LUNA,
    world: World | None = None,
    url: str = "https://api.openai.com/v1",
) -> list[Finding]:
    http = Http(apps={"api.openai.com": app})
    names = Deployments({each: own for own, each in connection.models.items()}, connection.api_version)
    client = OpenAI(http, key, base_url=url, key_header=connection.key_header, deployments=names)
    try:
        findings = await check_endpoint(client, connection, model)
    finally:
        await http.close()
    assert all(finding.fix for finding in findings if finding.verdict != "ok")
    assert not any(str(key) in finding.message + finding.fix for finding in findings if isinstance(key, str) and key)
    assert world is None or not world.billed_calls
    return findings


def verdicts(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.name, finding.verdict) for finding in findings]


def refusal(status: int, code: str) -> Fault:
    return Fault("openai", "models", "status", status=status, code=code)


@pytest.mark.parametrize(
    ("key", "fault", "name", "verdict", "words"),
    [
        ("sk-invalid", None, "OpenAI key", "fail", "refused the key"),
        ("sk-test", refusal(401, "mismatched_organization"), "OpenAI key", "fail", "refused the organisation"),
        ("sk-test", refusal(401, "mismatched_project"), "OpenAI key", "fail", "refused the project"),
        ("sk-test", refusal(401, "ip_not_authorized"), "OpenAI key", "fail", "this machine's address"),
        ("sk-test", refusal(403, "forbidden"), "OpenAI key", "fail", "does not allow this"),
        ("sk-test", refusal(403, "unsupported_country_region_territory"), "OpenAI key", "fail", "country"),
        ("sk-test", refusal(404, "unknown_url"), "OpenAI", "fail", "rejected"),
        ("sk-test", refusal(429, "credit_balance_exhausted"), "OpenAI", "fail", "credit is used up"),
        ("sk-test", refusal(429, "rate_limit_exceeded"), "OpenAI", "warn", "too fast"),
        ("sk-test", Fault("openai", "models", "html"), "OpenAI", "fail", "not JSON"),
        ("sk-test", Fault("openai", "models", "malformed"), "OpenAI", "fail", "not JSON"),
        ("sk-test", Fault("openai", "models", "drop"), "OpenAI", "fail", "broke"),
    ],
)
async def test_the_faults_of_key_organisation_project_address_country_quota_and_network_are_told_apart(
    key: str, fault: Fault | None, name: str, verdict: str, words: str
) -> None:
    world = World(ManualClock(), faults=[fault] if fault else [])
    (finding,) = await findings_of(build_openai_app(world), key=key, world=world)
    assert (finding.name, finding.verdict) == (name, verdict)
    assert words in finding.message
    assert "api.openai.com" in finding.message


async def test_a_good_connection_names_the_organisation_and_costs_nothing() -> None:
    world = World(ManualClock())
    findings = await findings_of(build_openai_app(world), world=world)
    assert verdicts(findings) == [("OpenAI key", "ok"), ("OpenAI model", "ok")]
    assert "penstock-sandbox" in findings[0].message


async def test_a_model_that_the_key_may_not_use_is_named() -> None:
    findings = await findings_of(build_openai_app(World(ManualClock())), model="gpt-secret")
    assert verdicts(findings)[-1] == ("OpenAI model", "fail")
    assert "gpt-secret" in findings[-1].message


App = Callable[[Any, Any, Any], Awaitable[None]]


def answering(answers: dict[str, tuple[int, Any]]) -> App:
    """Return a server that answers each path with its status and body, and no other header."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        status, body = answers.get(scope["path"], (404, {"detail": "Not Found"}))
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"x/y")]})
        await send({"type": "http.response.body", "body": raw})

    return app


LIST = {"data": [{"id": LUNA}]}


async def test_a_gateway_in_openais_place_is_told_even_where_it_works() -> None:
    findings = await findings_of(answering({"/v1/models": (200, LIST)}))
    assert ("OpenAI host", "warn") in verdicts(findings)
    assert "gateway" in findings[1].message


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"<html>blocked</html>", "before any API saw it"),
        (401, {"error": "no token"}, "without OpenAI's headers"),
        (200, b"<html>login</html>", "not JSON"),
        (200, {"hello": 1}, "no such API"),
        (200, [1], "no answer of this API"),
        (302, b"", "sends calls on"),
    ],
)
async def test_what_is_not_openai_is_told(status: int, body: Any, words: str) -> None:
    findings = await findings_of(answering({"/v1/models": (status, body)}))
    assert findings[0].verdict == "fail"
    assert words in findings[0].message


LOCAL = Connection(name="local", kind="openai-compatible", base_url="https://api.openai.com/v1")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (400, {"error": "messages: too short"})}, "ok"),
        ({"/v1/chat/completions": (422, {"detail": []})}, "ok"),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (404, {"error": f"model '{LUNA}' not found"})}, "fail"),
        ({"/v1/models": (200, LIST)}, "fail"),
        ({}, "fail"),
        ({"/v1/models": (200, {"data": [{"id": "llama"}]})}, "warn"),
    ],
)
async def test_a_compatible_server_is_asked_with_a_call_that_makes_nothing(answers: Any, expected: str) -> None:
    findings = await findings_of(answering(answers), LOCAL, key="")
    assert findings[-1].name == "local model"
    assert findings[-1].verdict == expected


@pytest.mark.parametrize("version", ["", "2026-01-01"])
@pytest.mark.parametrize(("made", "verdict"), [({"judge-1": LUNA}, "ok"), ({}, "fail")])
async def test_azures_deployments_are_tested_one_by_one(version: str, made: dict[str, str], verdict: str) -> None:
    world = World(ManualClock())
    connection = Connection(
        name="az", kind="azure", base_url="https://api.openai.com", models={"judge-1": LUNA}, api_version=version
    )
    app = AzureDoor(build_openai_app(world), made)
    findings = await findings_of(app, connection, key="azure-key", url=connection.url, world=world)
    assert verdicts(findings) == [("az key", "ok"), ("az model", verdict)]
    assert "judge-1" in findings[-1].message
    assert verdict == "ok" or "deployment" in findings[-1].fix


async def test_a_command_that_makes_no_key_is_a_verdict_not_a_crash() -> None:
    async def key() -> str:
        raise SettingsError("the command failed", code="connection.command-failed", hint="Run it by hand.")

    (finding,) = await findings_of(build_openai_app(World(ManualClock())), key=key)
    assert (finding.verdict, finding.fix) == ("fail", "Run it by hand.")
