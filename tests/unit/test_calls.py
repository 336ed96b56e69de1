"""One operation through the Python doors: result, options, preview, many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import FixError, InputError, StoppedError
from penstock.calls import CallOptions, parse_options
from penstock.door import Penstock
from penstock.operations.result import Result
from penstock.workspace import Workspace

TEXT = "Write one line about rain."


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        yield workspace


async def test_a_result_says_what_was_used_paid_and_by_whom_it_was_answered(workspace: Workspace) -> None:
    result = await workspace.operations.respond(text=TEXT)
    assert result.output["text"]
    assert (result.operation, result.model, result.connection) == ("respond", "gpt-6-luna", "openai")
    assert (result.finish, result.cached, result.calls, result.warnings) == ("completed", False, 1, ())
    assert result.usage["input"] > 0
    assert result.cost_dollars == pytest.approx(result.usage["input"] * 0.1e-6 + result.usage["output"] * 0.5e-6)
    assert len(result.request_ids) == 1


async def test_a_held_answer_costs_nothing_and_says_what_it_saved(workspace: Workspace) -> None:
    first = await workspace.operations.respond(text=TEXT)
    again = await workspace.operations.respond(text=TEXT)
    assert (again.cached, again.calls, again.cost_dollars, again.saved_dollars) == (True, 0, 0.0, first.cost_dollars)
    assert again.output == first.output


async def test_a_fresh_call_neither_takes_nor_keeps_an_answer(workspace: Workspace) -> None:
    fresh = CallOptions(fresh=True)
    assert (await workspace.operations.respond(fresh, text=TEXT)).calls == 1
    assert (await workspace.operations.respond(text=TEXT)).calls == 1
    assert (await workspace.operations.respond(fresh, text=TEXT)).calls == 1


async def test_the_budget_of_a_call_is_a_hard_stop(workspace: Workspace) -> None:
    with pytest.raises(StoppedError):
        await workspace.operations.respond(CallOptions(budget=0.000001), text=TEXT)
    assert (await workspace.operations.respond(CallOptions(budget=0.01), text=TEXT)).calls == 1


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_budget_that_is_no_amount_is_refused(workspace: Workspace, budget: float) -> None:
    with pytest.raises(InputError, match="budget"):
        await workspace.operations.respond(CallOptions(budget=budget), text=TEXT)


async def test_an_unpriced_model_has_an_unknown_cost_and_never_zero(workspace: Workspace) -> None:
    preview = workspace.operations.preview("respond", {"text": TEXT}, CallOptions(model="somebody-elses-model"))
    assert (preview.likely_dollars, preview.most_dollars) == (None, None)


async def test_a_preview_shows_the_exact_request_and_sends_nothing(workspace: Workspace) -> None:
    preview = workspace.operations.preview("respond", {"text": TEXT})
    assert (preview.method, preview.path, preview.body["input"]) == ("POST", "/responses", TEXT)
    assert preview.likely_dollars is not None
    assert preview.most_dollars is not None
    assert preview.likely_dollars < preview.most_dollars
    assert (await workspace.operations.respond(text=TEXT)).calls == 1


async def test_many_inputs_each_get_their_own_result_or_error(workspace: Workspace) -> None:
    inputs: dict[str, dict[str, Any]] = {"good": {"text": TEXT}, "bad": {"text": ""}, "other": {"text": "Snow."}}
    results = await workspace.operations.call_many("respond", inputs)
    assert list(results) == list(inputs)
    assert isinstance(results["bad"], InputError)
    assert isinstance(results["good"], Result)
    assert isinstance(results["other"], Result)


async def test_an_operation_that_does_not_exist_is_no_attribute(workspace: Workspace) -> None:
    with pytest.raises(AttributeError):
        workspace.operations.fly_to_the_moon  # noqa: B018
    assert "analyze_sentiment" in dir(workspace.operations)


@pytest.mark.parametrize("wrong", [{"modell": "x"}, {"budget": "much"}, {"strict": "yes"}])
def test_wrong_options_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(FixError, match="call options"):
        parse_options(wrong)


def test_the_synchronous_door_opens_calls_and_closes(tmp_path: Path) -> None:
    with Penstock(tmp_path, sandbox=True) as penstock:
        first = penstock.respond(text=TEXT)
        assert penstock.call("respond", {"text": TEXT}).output == first.output
        assert "analyze_sentiment" in dir(penstock)
        with pytest.raises(InputError, match="text"):
            penstock.respond()
        with pytest.raises(AttributeError):
            penstock.fly_to_the_moon  # noqa: B018
