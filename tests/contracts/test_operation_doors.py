"""One declaration, every door: the same call gives the same result in a shell, over HTTP, in Python and as a tool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from mcp.client.client import Client
from service import open_service

from penstock.calls import CallOptions, Preview
from penstock.cli.main import execute
from penstock.door import Penstock
from penstock.flows.engine import Report
from penstock.operations.catalogue import Entry, all_operations
from penstock.operations.result import Result
from penstock.server.mcp import Terms, Tools, build_server
from penstock.workspace import Workspace
from throw_away import with_one_more_operation

every_operation = pytest.mark.parametrize("entry", all_operations(), ids=lambda entry: entry.name)

OWN_TO_A_CALL = {"raw": ("id", "created_at", "completed_at")}
"""What the vendor makes anew for each call, and an operation hands on as it is."""


async def in_python(folder: Path, work: Callable[[Workspace], Awaitable[Any]]) -> Any:
    async with Workspace.open(folder, overrides={"sandbox": True}, environ={}) as workspace:
        return await work(workspace)


def plain(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(msgspec.json.encode(result))
    return told


def over_python(entry: Entry, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    async def work(workspace: Workspace) -> Result:
        return await workspace.operations.call(entry.name, values)

    return plain(asyncio.run(in_python(folder, work)))


def over_the_door(entry: Entry, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    with Penstock(folder, sandbox=True) as penstock:
        return plain(getattr(penstock, entry.name.replace("-", "_"))(**values))


def over_http(entry: Entry, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with open_service(folder) as client:
            answered = await client.post(f"/v1/operations/{entry.name}", {"input": values})
            assert answered.status == 200, answered.body
            result: dict[str, Any] = answered.json()
            return result

    return asyncio.run(work())


def over_mcp(entry: Entry, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    async def work(workspace: Workspace) -> dict[str, Any]:
        async with Client(build_server(Tools(workspace, Terms()))) as client:
            called = await client.call_tool(entry.name, values)
            assert not called.is_error, called.content
            result: dict[str, Any] = called.structured_content
            return result

    told: dict[str, Any] = asyncio.run(in_python(folder, work))
    return told


def in_words(values: dict[str, Any], fields: dict[str, Any]) -> list[str]:
    """Write values as options of a command."""
    words: list[str] = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list) and {"type": "string"}.items() <= first_kind(fields[name]["items"]).items():
            words += [part for one in value for part in (option, one)]
        else:
            words += [option, value if isinstance(value, str) else json.dumps(value)]
    return words


def first_kind(part: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = part.get("anyOf", [part])[0]
    return found


def comparable(entry: Entry, result: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from call to call."""
    own = OWN_TO_A_CALL.get(entry.name, ())

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: clean(part) for name, part in value.items() if name not in own}
        return [clean(part) for part in value] if isinstance(value, list) else value

    assert bool(result["request_ids"]) == bool(result["calls"]) or result["cost_dollars"] == 0
    return {name: clean(part) for name, part in result.items() if name != "request_ids"}


@every_operation
def test_the_result_is_the_same_through_every_door(
    entry: Entry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    operation = entry.load()
    values = dict(operation.example)
    code = execute(
        [
            *(entry.name, "--sandbox", "--json", "--workspace", str(tmp_path / "cli")),
            *in_words(values, operation.input_schema()["properties"]),
        ]
    )
    told = capfd.readouterr()
    assert code == 0, told.err
    results = {"shell": json.loads(told.out)}
    for door in (over_python, over_the_door, over_http, over_mcp):
        folder = tmp_path / door.__name__
        folder.mkdir()
        results[door.__name__] = door(entry, folder, values)
    expected = comparable(entry, results["shell"])
    for name, result in results.items():
        assert comparable(entry, result) == expected, name
    jsonschema_rs.validate(operation.output_schema(), expected["output"])
    assert set(expected["usage"]) >= {"input", "output"}


@every_operation
async def test_the_example_is_estimated_and_costs_no_more_than_that(entry: Entry, tmp_path: Path) -> None:
    operation = entry.load()

    async def work(workspace: Workspace) -> tuple[Preview, Result]:
        preview = workspace.operations.preview(entry.name, operation.example)
        assert sum(workspace.vendors.world.billed_calls.values()) == 0
        return preview, await workspace.operations.call(entry.name, operation.example)

    preview, result = await in_python(tmp_path, work)
    assert (preview.operation, preview.method) == (entry.name, "GET" if "model" in entry.name else "POST")
    assert preview.path.startswith("/")
    assert preview.likely_dollars is not None
    assert preview.most_dollars is not None
    assert 0 <= preview.likely_dollars <= preview.most_dollars
    assert result.cost_dollars is not None
    if operation.work is None:
        assert result.cost_dollars <= preview.most_dollars
        assert result.calls <= 2
    is_free = preview.most_dollars == 0
    assert (result.cost_dollars == 0) == is_free


@every_operation
async def test_a_repeated_call_is_answered_from_what_is_held(entry: Entry, tmp_path: Path) -> None:
    operation = entry.load()
    if entry.name in ("raw", "list-models", "show-model"):
        pytest.skip("what changes by itself is not held")

    async def work(workspace: Workspace) -> tuple[Result, Result, Result]:
        call = workspace.operations.call
        first, again = await call(entry.name, operation.example), await call(entry.name, operation.example)
        return first, again, await call(entry.name, operation.example, CallOptions(fresh=True))

    first, again, fresh = await in_python(tmp_path, work)
    assert (again.output, again.cached, again.calls, again.cost_dollars) == (first.output, True, 0, 0)
    assert again.saved_dollars == pytest.approx(first.cost_dollars, rel=1e-4)  # shared out over the parts of a call
    assert fresh.calls == first.calls


def test_one_new_file_is_a_step_of_flows_and_a_page_of_the_reference(tmp_path: Path) -> None:
    program = with_one_more_operation(tmp_path)
    (program.folder / "texts.csv").write_text("id,text\n1,hello\n", encoding="utf-8")
    (program.folder / "flow.yaml").write_text(FLOW, encoding="utf-8")
    program.run("run", "flow.yaml", "--sandbox", "--yes")
    assert (program.folder / "out.csv").read_text(encoding="utf-8").splitlines()[1] == "1,1,hello"
    scripts = Path(__file__).parents[2] / "scripts"
    page = program.script(f"import sys; sys.path.insert(0, {str(scripts)!r}); import docs; print(docs.operations())")
    assert "## echo-text" in page


FLOW = """
name: echo
source: {files: {path: texts.csv, key: id}}
steps:
  - echo-text: {text: "${{ record.text }}"}
    as: echo
sink: {files: {path: out.csv, match: "${{ record.id }}", columns: {id: "${{ record.id }}", text: "${{ echo.text }}"}}}
"""


@every_operation
async def test_an_operation_is_a_step_of_a_flow(entry: Entry, tmp_path: Path) -> None:
    """Its inputs stand in the flow file; texts come from the record, and its output goes into the sink."""
    operation = entry.load()
    inputs = dict(operation.example)
    record = {"id": "1", "text": inputs["text"]} if isinstance(inputs.get("text"), str) else {"id": "1", "text": ""}
    if record["text"]:
        inputs["text"] = "${{ record.text }}"
    first = next(iter(operation.output.model_fields))
    columns = {"id": "${{ record.id }}", "made": f"${{{{ step.{first} | string }}}}"}
    flow = {
        "name": "one",
        "source": {"files": {"path": "in.jsonl", "key": "id"}},
        "steps": [{entry.name: inputs, "as": "step"}],
        "sink": {"files": {"path": "out.jsonl", "match": "${{ record.id }}", "columns": columns}},
    }
    (tmp_path / "in.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    (tmp_path / "flow.yaml").write_text(json.dumps(flow), encoding="utf-8")

    async def work(workspace: Workspace) -> tuple[Report, Result]:
        alone = await workspace.operations.call(entry.name, operation.example, CallOptions(fresh=True))
        return await workspace.run(tmp_path / "flow.yaml"), alone

    report, alone = await in_python(tmp_path, work)
    assert (report.exit_code, report.counts.written) == (0, 1), report
    (row,) = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert row["made"] == str(alone.output[first]) or entry.name == "raw"
