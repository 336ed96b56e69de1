"""`penstock run OPERATION`: one operation from the shell."""

from __future__ import annotations

import sys
from typing import Any

from penstock.base.errors import InputError
from penstock.cli import render
from penstock.cli.main import Given, run_async
from penstock.operations.catalogue import find_operation
from penstock.workspace import Workspace


def run_operation(given: Given, name: str, inputs: tuple[str, ...], as_json: bool) -> int:
    """Run one operation with `NAME=VALUE` inputs; `NAME=-` reads the value from standard input."""
    operation = find_operation(name)
    values = _read_inputs(inputs)

    async def work() -> dict[str, Any]:
        async with Workspace.open(given.folder, overrides=given.overrides, command=f"run {name}") as workspace:
            return await workspace.call(operation, values)

    result = run_async(work)
    if as_json:
        render.show_json(result)
    else:
        output = result.pop("output")
        render.show_facts(output.items())
        render.show_facts([("cost", result["cost"]), ("answers held", result["cached"])])
    return 0


def _read_inputs(inputs: tuple[str, ...]) -> dict[str, Any]:
    import msgspec

    values: dict[str, Any] = {}
    for pair in inputs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise InputError(f"{pair!r} is not NAME=VALUE", code="input.shape", hint="For example: -i text='Great!'")
        if text == "-":
            text = sys.stdin.read()
        if text[:1] in ("[", "{"):
            try:
                values[name] = msgspec.json.decode(text)
                continue
            except msgspec.DecodeError as error:
                raise InputError(f"the input {name} looks like JSON, but is not: {error}", code="input.json") from error
        values[name] = text
    return values
