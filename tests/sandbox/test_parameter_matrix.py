"""Every wish to every text model over every API: honoured, or left out with a warning; never refused by the vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import InputError, RejectedError
from penstock.calls import CallOptions
from penstock.sandbox.world import Fault, World
from penstock.vendor.models import load_catalogue
from penstock.workspace import Workspace

WISHES: dict[str, Any] = {
    "max_tokens": 300, "effort": "low", "temperature": 0.4, "top_p": 0.9, "stop": ["###"], "verbosity": "low",
    "frequency_penalty": 0.5, "presence_penalty": 0.5, "seed": 7, "suffix": "The end.",
    "answer_schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
                      "additionalProperties": False},
}  # fmt: skip
"""What the parameters of the body are called on either API: these, or one of `NAMES`."""
NAMES = {
    "max_tokens": ("max_output_tokens", "max_completion_tokens", "max_tokens"),
    "effort": ("reasoning", "reasoning_effort"),
    "verbosity": ("text", "verbosity"),
    "answer_schema": ("text", "response_format"),
}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MODELS = [one.id for one in load_catalogue().all() if one.kind == "chat" and {"responses", "chat"} & set(one.apis)]


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        yield workspace


def is_gone(workspace: Workspace, model: str) -> bool:
    ends = workspace.catalogue.find(model).shutdown
    return ends is not None and ends.isoformat() <= "2026-11-20"


@pytest.mark.parametrize("operation", ["respond", "chat"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_wish_is_sent_or_a_warning_says_why_not(workspace: Workspace, model: str, operation: str) -> None:
    if is_gone(workspace, model):
        pytest.skip(f"{model} is gone")
    options = CallOptions(model=model)
    for name, value in {**WISHES, **{f"effort {effort}": effort for effort in EFFORTS}}.items():
        field = name.partition(" ")[0]
        values = {"text": "Write one line about rain.", field: value}
        preview = workspace.operations.preview(operation, values, options)
        warned = [one for one in preview.warnings if one.startswith(f"{field}:")]
        sent = [one for one in NAMES.get(field, (field,)) if one in preview.body]
        assert sent or warned, f"{name} is lost without a word: {preview.body}"
        if field == "answer_schema" and warned:  # the schema is told in words, which the sandbox does not read
            continue
        result = await workspace.operations.call(operation, values, options)
        assert result.calls <= 1, (name, result)  # an equal request is held already
        assert set(warned) <= set(result.warnings)
        if warned and field not in ("answer_schema", "max_tokens", "suffix") and field in preview.body:
            assert preview.body[field] != value
    client = workspace.caller.connection("openai")
    assert workspace.caller.refusals.of(client.account, model) == frozenset(), "the catalogue knew it wrong"


@pytest.mark.parametrize("operation", ["respond", "chat"])
@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-6.1-sol", "gpt-5", "o3", "gpt-4.1", "gpt-4o"])
async def test_strict_refuses_exactly_what_is_otherwise_a_warning(
    workspace: Workspace, model: str, operation: str
) -> None:
    for name, value in WISHES.items():
        if name == "answer_schema":
            continue
        values = {"text": "Rain.", name: value}
        warned = [
            one
            for one in workspace.operations.preview(operation, values, CallOptions(model=model)).warnings
            if one.startswith(f"{name}:")
        ]
        if not warned:
            workspace.operations.preview(operation, values, CallOptions(model=model, strict=True))
            continue
        with pytest.raises(InputError, match=name) as caught:
            workspace.operations.preview(operation, values, CallOptions(model=model, strict=True))
        assert caught.value.code == "parameters.not-taken"
        assert "strict" in caught.value.hint


REFUSED = Fault(vendor="openai", status=400, code="unsupported_parameter", param="temperature", times=1)
WISH = {"text": "Rain.", "temperature": 0.4}


def asked(world: World) -> int:
    return sum(count for (vendor, _, _), count in world.calls.items() if vendor == "openai")


async def test_a_refusal_is_learnt_once_and_remembered_by_the_next_process(tmp_path: Path) -> None:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        world = workspace.vendors.world
        world.faults.append(REFUSED)
        first = await workspace.operations.call("respond", WISH)
        assert first.warnings == ("temperature: gpt-6-luna refused it; left out",)
        assert asked(world) == 2
        again = await workspace.operations.call("respond", {**WISH, "text": "Snow."})
        assert again.warnings == first.warnings
        assert asked(world) == 3
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        shown = workspace.operations.preview("respond", {**WISH, "text": "Hail."})
        assert ("temperature" in shown.body, shown.warnings) == (False, first.warnings)
        other = workspace.operations.preview("respond", WISH, CallOptions(model="gpt-4.1"))
        assert other.body["temperature"] == 0.4


async def test_a_strict_call_tells_the_refusal_and_learns_nothing(workspace: Workspace) -> None:
    workspace.vendors.world.faults.append(REFUSED)
    with pytest.raises(RejectedError) as caught:
        await workspace.operations.call("respond", WISH, CallOptions(strict=True))
    assert (caught.value.code, caught.value.param) == ("openai.unsupported-parameter", "temperature")
    assert (await workspace.operations.call("respond", WISH)).warnings == ()
