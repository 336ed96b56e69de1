"""Each input of each operation, wrong in each way: one clear error that names it, the same through every door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import open_service

from penstock.base.errors import InputError
from penstock.cli.main import execute
from penstock.operations.catalogue import Entry, all_operations
from penstock.operations.declare import Operation
from penstock.server.mcp import Terms, Tools, build_server
from wrong_values import Wrong, wrong_inputs

every_operation = pytest.mark.parametrize("entry", all_operations(), ids=lambda entry: entry.name)


LENIENT = {("analyze-sentiment", "known")}
"""Fields of records, which may lack them: whatever stands there is taken."""


def faults(entry: Entry) -> list[Wrong]:
    operation: Operation[Any, Any] = entry.load()
    found = wrong_inputs(operation.input_schema(), operation.example)
    return [fault for fault in found if (entry.name, fault.field) not in LENIENT]


def refuse(operation: Operation[Any, Any], fault: Wrong) -> InputError:
    """Return the error of a wrong input."""
    try:
        operation.parse(fault.values)
    except InputError as error:
        return error
    pytest.fail(f"{operation.name} takes {fault.field} with the fault: {fault.kind}")


@every_operation
def test_a_wrong_input_is_one_error_that_names_the_field(entry: Entry) -> None:
    operation: Operation[Any, Any] = entry.load()
    for fault in faults(entry):
        error = refuse(operation, fault)
        assert error.code == "operation.bad-input", fault
        assert fault.field in error.message, (fault, error.message)
        assert entry.name in error.message
        assert error.hint
        assert len(error.message) < 400, error.message


@every_operation
async def test_over_http_and_as_a_tool_it_is_the_same_error(entry: Entry, tmp_path: Path) -> None:
    from mcp.client.client import Client

    operation: Operation[Any, Any] = entry.load()
    async with open_service(tmp_path) as client:
        server = build_server(Tools(client.app.workspace, Terms()))
        async with Client(server) as model:
            for fault in faults(entry):
                error = refuse(operation, fault)
                answered = await client.post(f"/v1/operations/{entry.name}", {"input": fault.values})
                assert (answered.status, answered.problem["code"]) == (422, error.code), fault
                assert (answered.problem["detail"], answered.problem["hint"]) == (
                    error.message,
                    error.hint,
                )
                told = await model.call_tool(entry.name, fault.values)
                assert told.is_error
                assert told.structured_content["message"] == error.message
        assert sum(client.app.workspace.vendors.world.billed_calls.values()) == 0


def in_words(value: Any) -> str | None:
    """Return a value as a shell writes it; None for what cannot be written there."""
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return None if value is None or isinstance(value, bool) else str(value)


def first_of_each_kind(entry: Entry) -> Iterator[Wrong]:
    seen = set()
    for fault in faults(entry):
        is_number = fault.values.get(fault.field) == 7  # which is a text, to a shell
        can_be_written = fault.kind not in ("null", "huge") and None not in map(in_words, fault.values.values())
        if can_be_written and not is_number and fault.kind not in seen:
            seen.add(fault.kind)
            yield fault


@every_operation
def test_in_a_shell_it_is_the_same_error(entry: Entry, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    operation: Operation[Any, Any] = entry.load()
    for fault in first_of_each_kind(entry):
        written = {name: in_words(value) for name, value in fault.values.items()}
        error = refuse(operation, fault)
        pairs = [part for name, value in written.items() for part in ("-i", f"{name}={value}")]
        code = execute(["run", entry.name, "--sandbox", "--workspace", str(tmp_path), *pairs])
        told = capfd.readouterr()
        assert (code, told.out) == (2, ""), fault
        assert f"[{error.code}]" in told.err, told.err
        assert fault.field in told.err, told.err
        if fault.kind in ("type", "too small", "too large", "not offered"):
            options = [part for name, value in written.items() for part in (f"--{name.replace('_', '-')}", value)]
            code = execute([entry.name, "--sandbox", "--workspace", str(tmp_path), *options])
            assert (code, f"[{error.code}]" in capfd.readouterr().err) == (2, True), fault


@pytest.mark.parametrize("name", ["respond", "chat", "summarize", "translate-text"])
async def test_a_text_that_no_model_can_read_is_refused_before_it_is_sent(name: str, tmp_path: Path) -> None:
    more = {"to": "de"} if name == "translate-text" else {}
    async with open_service(tmp_path) as client:
        answered = await client.post(f"/v1/operations/{name}", {"input": {"text": "ab cd " * 900_000, **more}})
        assert (answered.status, answered.problem["code"]) == (422, "operation.too-long")
        assert sum(client.app.workspace.vendors.world.billed_calls.values()) == 0
