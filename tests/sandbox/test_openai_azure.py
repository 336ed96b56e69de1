"""Azure's forms against the emulator, with our client and with the vendor's own SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import openai
import pytest

from openai_server import OpenAIServer
from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError, RejectedError
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.openai_azure import AzureDoor
from penstock.sandbox.world import World
from penstock.vendor.deployments import Deployments
from penstock.vendor.http import Http
from penstock.vendor.openai import Exchange, OpenAI

NAMES = {"judge-1": "gpt-6-luna", "vectors": "text-embedding-3-small"}
WIRE = {model: name for name, model in NAMES.items()}
HELLO = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
VERSION = "2026-01-01"


@asynccontextmanager
async def azure(
    *, version: str = "", names: dict[str, str] | None = None, key: str = "azure-key", header: Any = "api-key"
) -> AsyncIterator[OpenAI]:
    app = AzureDoor(build_openai_app(World(ManualClock())), NAMES)
    http = Http(apps={"me.openai.azure.com": app})
    path = "/openai" if version else "/openai/v1"
    deployments = Deployments(WIRE if names is None else names, version)
    yield OpenAI(
        http, key, base_url=f"https://me.openai.azure.com{path}", key_header=header, deployments=deployments, name="az"
    )
    await http.close()


async def send(client: OpenAI, path: str, body: Any) -> Exchange:
    return await client.post(path, msgspec.json.encode(body), "call_1")


@pytest.mark.parametrize("version", ["", VERSION])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", HELLO),
        ("/responses", {"model": "gpt-6-luna", "input": "Hello"}),
        ("/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
    ],
)
async def test_a_model_is_asked_by_its_deployment_in_both_forms(version: str, path: str, body: dict[str, Any]) -> None:
    async with azure(version=version) as client:
        exchange = await send(client, path, body)
    assert exchange.error is None
    assert exchange.model.startswith(body["model"])
    assert exchange.usage.input > 0


@pytest.mark.parametrize("version", ["", VERSION])
async def test_the_models_are_listed_in_both_forms(version: str) -> None:
    async with azure(version=version) as client:
        assert any(one["id"] == "gpt-6-luna" for one in (await client.get("/models"))["data"])


@pytest.mark.parametrize("version", ["", VERSION])
async def test_a_deployment_that_was_not_made_is_named_as_missing(version: str) -> None:
    async with azure(version=version, names={"gpt-6-luna": "never-made"}) as client:
        exchange = await send(client, "/chat/completions", HELLO)
    assert isinstance(exchange.error, RejectedError)
    assert (exchange.error.code, exchange.error.status) == ("openai.deployment-missing", 404)
    assert "me.openai.azure.com" in exchange.error.message


@pytest.mark.parametrize("header", ["api-key", "bearer"])
async def test_a_wrong_key_or_token_is_refused_in_azures_words(header: str) -> None:
    async with azure(key="an-invalid-key", header=header, version=VERSION) as client:
        exchange = await send(client, "/chat/completions", HELLO)
    assert isinstance(exchange.error, AccessError)
    assert exchange.error.code == "openai.key-refused"


async def test_a_token_of_the_identity_service_is_taken_in_place_of_a_key() -> None:
    async with azure(key="eyJ0eXAi.token", header="bearer", version=VERSION) as client:
        assert (await send(client, "/chat/completions", HELLO)).error is None


async def test_the_decisions_api_is_openais_own() -> None:
    async with azure() as client:
        exchange = await send(client, "/decisions", {"model": "gpt-6-luna", "input": "x", "questions": []})
    assert exchange.error is not None
    assert exchange.error.code == "openai.endpoint-missing"


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-6-luna\r\n'
    b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nHello\r\n--b--\r\n'
)


def test_form_data_is_sent_to_the_deployment_too() -> None:
    path, content = Deployments(WIRE, VERSION).place("/images/edits", FORM)
    assert path == f"/deployments/judge-1/images/edits?api-version={VERSION}"
    assert content == FORM.replace(b"gpt-6-luna", b"judge-1")


def test_without_names_nothing_is_touched_and_a_query_is_kept() -> None:
    body = b'{"model": "gpt-6-luna",  "x": 1}'
    assert Deployments().place("/responses", body) == ("/responses", body)
    assert Deployments({"other": "name"}).place("/responses", body) == ("/responses", body)
    assert Deployments({}, VERSION).place("/files?limit=2", b"")[0] == f"/files?limit=2&api-version={VERSION}"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with OpenAIServer() as running:
        yield running


async def test_the_vendors_own_azure_client_is_answered(server: Any) -> None:
    root = server.url.removesuffix("/openai/v1")
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=root, api_key="azure-key", api_version=VERSION, max_retries=0, _strict_response_validation=True
    ) as client:
        answer = await client.chat.completions.create(model="gpt-6-luna", messages=HELLO["messages"])  # type: ignore[arg-type]
        assert answer.choices[0].message.content
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="never-made", messages=HELLO["messages"])  # type: ignore[arg-type]
        assert missing.value.code == "DeploymentNotFound"
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=root, api_key="invalid", api_version=VERSION, max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="gpt-6-luna", messages=HELLO["messages"])  # type: ignore[arg-type]
