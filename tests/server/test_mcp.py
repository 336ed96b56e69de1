"""The operations as tools, driven by the official client of the Model Context Protocol."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import mcp_types as wire
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from openai_server import OpenAIServer
from penstock.base.errors import InputError
from penstock.operations.catalogue import all_operations, find_operation
from penstock.server.auth import Tokens
from penstock.server.listen import Server, open_socket
from penstock.server.mcp import Terms, Tools, build_server
from penstock.server.mcp_http import McpApp
from penstock.workspace import Workspace
from throw_away import with_one_more_operation

TEXT = {"text": "Write one line about rain."}


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        yield workspace


@asynccontextmanager
async def connect(workspace: Workspace, mode: str = "auto", ask: Any = None, **terms: Any) -> AsyncIterator[Client]:
    server = build_server(Tools(workspace, Terms(**terms)))
    async with Client(server, mode=mode, elicitation_callback=ask) as client:
        yield client


def problem(result: wire.CallToolResult) -> dict[str, Any]:
    assert result.is_error
    told: dict[str, Any] = result.structured_content
    assert told["code"] in result.content[0].text
    return told


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_every_operation_is_a_tool_with_its_declaration(workspace: Workspace, mode: str) -> None:
    async with connect(workspace, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == [entry.name for entry in all_operations()]
    for entry in all_operations():
        tool, operation = tools[entry.name], entry.load()
        assert (tool.title, tool.input_schema["examples"]) == (entry.title, [dict(operation.example)])
        assert set(tool.input_schema["properties"]) == {*operation.input.model_fields, "options"}
        assert tool.description.startswith(f"{entry.title}.")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_call_gives_text_and_the_whole_result(workspace: Workspace, mode: str) -> None:
    async with connect(workspace, mode) as client:
        result = await client.call_tool("respond", TEXT)
        again = await client.call_tool("respond", TEXT)
    assert not result.is_error
    told = result.structured_content
    assert result.content[0].text == told["output"]["text"]
    assert told["usage"]["input"] > 0
    assert told["cost_dollars"] > 0
    assert (again.structured_content["cached"], again.structured_content["cost_dollars"]) == (True, 0.0)


async def test_the_hints_tell_free_paid_and_dangerous_tools_apart(workspace: Workspace) -> None:
    async with connect(workspace) as client:
        hints = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}
    assert hints["list-models"].read_only_hint
    assert not hints["respond"].read_only_hint
    assert hints["respond"].idempotent_hint
    assert [name for name, hint in hints.items() if hint.destructive_hint] == ["raw"]


async def test_a_server_that_only_reads_offers_what_is_free_and_nothing_else(workspace: Workspace) -> None:
    async with connect(workspace, read_only=True) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"count-tokens", "list-models", "moderate", "show-model"}
        assert problem(await client.call_tool("respond", TEXT))["code"] == "mcp.not-offered"
        assert not (await client.call_tool("list-models", {})).is_error
    assert workspace.vendors.world.billed_calls["openai"] == 0


async def test_only_the_named_operations_are_offered(workspace: Workspace) -> None:
    async with connect(workspace, only=("respond",)) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["respond"]
        assert problem(await client.call_tool("chat", TEXT))["code"] == "mcp.not-offered"
    with pytest.raises(InputError, match="respnd"):
        Tools(workspace, Terms(only=("respnd",)))


async def test_the_budget_holds_for_all_calls_together_even_where_each_has_its_own(workspace: Workspace) -> None:
    async with connect(workspace, budget=0.001) as client:
        results = [
            await client.call_tool("respond", {"text": f"Rain {number}.", "options": {"budget": 0.01}})
            for number in range(100)
        ]
        done = [one for one in results if not one.is_error]
        assert 2 <= len(done) < 100
        assert problem(results[-1])["code"] == "budget.reached"
        assert sum(one.structured_content["cost_dollars"] for one in done) <= 0.001
    with pytest.raises(InputError, match="budget"):
        Tools(workspace, Terms(budget=-1))


@pytest.mark.parametrize(
    ("name", "arguments", "code", "says"),
    [
        ("respond", {}, "operation.bad-input", "text"),
        ("respond", {"text": 7}, "operation.bad-input", "text"),
        ("respond", {**TEXT, "temprature": 1}, "operation.bad-input", "temprature"),
        ("respond", {**TEXT, "options": {"modle": "x"}}, "call.options", "modle"),
        ("respond", {**TEXT, "options": []}, "call.options", "object"),
        ("respond", {**TEXT, "options": {"budget": 0}}, "call.budget", "dollars"),
        ("respond", {**TEXT, "options": {"connection": "nowhere"}}, "connection.unknown", "nowhere"),
        ("respnd", TEXT, "operation.unknown", "respond"),
    ],
)
async def test_what_is_wrong_is_a_tool_error_with_code_and_hint(
    workspace: Workspace, name: str, arguments: dict[str, Any], code: str, says: str
) -> None:
    async with connect(workspace) as client:
        told = problem(await client.call_tool(name, arguments))
    assert told["code"] == code
    assert says in told["message"] + told["hint"]


@pytest.fixture
def vendor() -> Iterator[OpenAIServer]:
    """A vendor that is taken for a real one, so that people are asked."""
    with OpenAIServer() as server:
        yield server


def with_a_key(folder: Path, vendor: OpenAIServer, **overrides: Any) -> AbstractAsyncContextManager[Workspace]:
    own = {"openai.base-url": vendor.url, "openai.api-key": "sk-test", **overrides}
    return Workspace.open(folder, overrides=own, environ={})


class Asked:
    """A person who always says the same."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.questions: list[str] = []

    async def __call__(self, _context: Any, params: wire.ElicitRequestParams) -> wire.ElicitResult:
        self.questions.append(params.message)
        return wire.ElicitResult(action=self.action)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_person_is_asked_before_calls_may_come_to_more_than_the_setting(
    tmp_path: Path, vendor: OpenAIServer, mode: str
) -> None:
    person = Asked("accept")
    async with (
        with_a_key(tmp_path, vendor, **{"ask-above": 0.0006}) as workspace,
        connect(workspace, mode, person) as client,
    ):
        first = await client.call_tool("respond", {"text": "Rain."})
        assert (first.is_error, person.questions) == (False, [])
        big = await client.call_tool("respond", {"text": "Snow.", "max_tokens": 5000})
        assert not big.is_error
        assert len(person.questions) == 1
        assert "respond may cost $0.0025" in person.questions[0]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_a_person_declines_is_not_bought(tmp_path: Path, vendor: OpenAIServer, mode: str) -> None:
    person = Asked("decline")
    async with (
        with_a_key(tmp_path, vendor, **{"ask-above": 0.0}) as workspace,
        connect(workspace, mode, person) as client,
    ):
        assert problem(await client.call_tool("respond", TEXT))["code"] == "budget.declined"
        assert not (await client.call_tool("list-models", {})).is_error
        assert sum(vendor.world.billed_calls.values()) == 0


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_that_cannot_ask_is_told_to_set_a_budget(
    tmp_path: Path, vendor: OpenAIServer, mode: str
) -> None:
    async with with_a_key(tmp_path, vendor, **{"ask-above": 0.0}) as workspace:
        async with connect(workspace, mode) as client:
            told = problem(await client.call_tool("respond", TEXT))
            assert (told["code"], "--budget" in told["hint"]) == ("budget.not-confirmed", True)
        async with connect(workspace, mode, budget=0.1) as client:
            assert not (await client.call_tool("respond", TEXT)).is_error


async def test_a_model_of_unknown_price_is_asked_about(tmp_path: Path, vendor: OpenAIServer) -> None:
    person = Asked("decline")
    async with with_a_key(tmp_path, vendor) as workspace, connect(workspace, "auto", person) as client:
        await client.call_tool("respond", {**TEXT, "options": {"model": "somebody-elses-model"}})
    assert "an unknown amount" in person.questions[0]


def over_pipes(folder: Path, *arguments: str, packages: Path | None = None) -> Any:
    environ = {"PYTHONPATH": str(packages)} if packages else {}
    return stdio_client(
        StdioServerParameters(
            command=sys.executable,
            args=["-m", "penstock", "mcp", "--sandbox", "--workspace", str(folder), *arguments],
            env=environ,
        )
    )


async def test_the_command_serves_over_standard_input_and_output(tmp_path: Path) -> None:
    async with Client(over_pipes(tmp_path, "--budget", "0.01")) as client:
        result = await client.call_tool("respond", TEXT)
        assert result.structured_content["output"]["text"] == result.content[0].text


async def test_one_new_file_is_a_new_tool(tmp_path: Path) -> None:
    program = with_one_more_operation(tmp_path)
    async with Client(over_pipes(program.folder, packages=program.packages)) as client:
        assert "echo-text" in [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("echo-text", {"text": "hello"})
    assert result.structured_content["output"] == {"text": "hello"}


@asynccontextmanager
async def over_http(workspace: Workspace, *, with_tokens: bool) -> AsyncIterator[str]:
    """Serve on a free port; yields the address."""
    tokens = Tokens(workspace.store, workspace.clock) if with_tokens else None
    app = McpApp(Tools(workspace, Terms()), tokens, "127.0.0.1")
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with open_socket("127.0.0.1", 0) as place:
        server = Server(app, "127.0.0.1", address.set_result)
        serving = asyncio.create_task(server.serve([place]))
        try:
            yield f"{await address}/mcp"
        finally:
            server.stop()
            await serving


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_tools_are_called_over_http(workspace: Workspace, mode: str) -> None:
    async with over_http(workspace, with_tokens=False) as url, Client(url, mode=mode) as client:
        result = await client.call_tool("respond", TEXT)
        assert result.structured_content["output"]["text"]


async def test_over_http_a_token_is_needed(workspace: Workspace) -> None:
    tokens = Tokens(workspace.store, workspace.clock)
    good, wrong = await tokens.add("model"), await tokens.add("shop", allow=("events",))
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    async with over_http(workspace, with_tokens=True) as url, httpx.AsyncClient() as client:
        told = []
        for token in ("", wrong, good):
            answered = await client.post(url, json=call, headers={"authorization": f"Bearer {token}"} if token else {})
            told.append((answered.status_code, answered.json().get("code")))
    assert told[:2] == [(401, "token.missing"), (403, "token.not-allowed")]
    assert told[2][0] not in (401, 403)


async def test_a_page_of_another_site_gets_nothing(workspace: Workspace) -> None:
    async with over_http(workspace, with_tokens=False) as url, httpx.AsyncClient() as client:
        foreign = await client.post(url, json={}, headers={"origin": "https://evil.example"})
        rebound = await client.post(url, json={}, headers={"host": "evil.example"})
    assert (foreign.status_code, rebound.status_code) == (403, 421)


async def test_files_are_read_by_path_only_where_that_is_allowed(workspace: Workspace, tmp_path: Path) -> None:
    picture = find_operation("edit-image").example["images"][0]
    inside, outside = tmp_path / "pictures", tmp_path / "secret.png"
    inside.mkdir()
    for path in (inside / "shoe.png", outside):
        path.write_bytes(base64.b64decode(picture.partition(",")[2]))
    values = {"text": "Make it red."}
    async with connect(workspace) as client:
        refused = problem(await client.call_tool("edit-image", {**values, "images": [str(outside)]}))
        assert refused["code"] == "operation.bad-input"
    async with connect(workspace, allow_files=inside) as client:
        made = await client.call_tool("edit-image", {**values, "images": ["shoe.png"]})
        assert not made.is_error, made.content
        assert [block.type for block in made.content] == ["text", "image", "text"]
        assert made.content[1].data == made.structured_content["output"]["images"][0]["base64"]
        assert "base64" not in made.content[0].text
        for path in (str(outside), "../secret.png"):
            refused = problem(await client.call_tool("edit-image", {**values, "images": [path]}))
            assert "outside of the folders" in refused["message"]
