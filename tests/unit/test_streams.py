"""The text of an answer as it comes, through the Python doors: pieces first, then one result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from fake_asker import FakeAsker, choose, respond_with
from penstock.base.errors import InputError, OutputError, PenstockError, RejectedError, UnavailableError
from penstock.calls import CallOptions, Piece
from penstock.door import Penstock
from penstock.operations.respond import OPERATION, Input
from penstock.operations.result import Result
from penstock.operations.talk import list_parts
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.stream import HALF_HEARD, Speaker
from penstock.sandbox.world import Fault
from penstock.workspace import Workspace

TEXT = "Write one line about rain."
APIS = pytest.mark.parametrize("name", ["respond", "chat"])
FORM = {"type": "object", "properties": {"title": {"type": "string"}}}


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        yield workspace


async def gather(
    workspace: Workspace,
    name: str,
    options: CallOptions = CallOptions(),  # noqa: B008
    **values: Any,
) -> tuple[list[str], Result]:
    parts = [part async for part in workspace.operations.stream(name, values, options)]
    assert [type(part) for part in parts] == [Piece] * (len(parts) - 1) + [Result]
    result = parts.pop()
    assert isinstance(result, Result)
    return [part.text for part in parts if isinstance(part, Piece)], result


def plan(workspace: Workspace, operation: str, kind: Any, **rest: Any) -> None:
    world = workspace.vendors.world
    assert world is not None
    world.faults.append(Fault("openai", operation, kind, times=1, **rest))


@APIS
async def test_the_pieces_are_the_text_of_the_result(workspace: Workspace, name: str) -> None:
    pieces, result = await gather(workspace, name, text=TEXT)
    assert len(pieces) > 5
    assert "".join(pieces) == result.output["text"]
    assert (result.calls, result.cached, result.warnings) == (1, False, ())
    assert result.cost_dollars


@APIS
async def test_a_held_answer_comes_in_one_piece_and_costs_nothing(workspace: Workspace, name: str) -> None:
    _, first = await gather(workspace, name, text=TEXT)
    pieces, again = await gather(workspace, name, text=TEXT)
    assert pieces == [first.output["text"]]
    assert (again.cached, again.cost_dollars, again.saved_dollars) == (True, 0.0, first.cost_dollars)
    assert (await workspace.operations.call(name, {"text": TEXT})).cached


@APIS
async def test_a_fresh_stream_is_bought_again(workspace: Workspace, name: str) -> None:
    for _ in range(2):
        pieces, result = await gather(workspace, name, CallOptions(fresh=True), text=TEXT)
        assert (len(pieces) > 5, result.cached) == (True, False)


@APIS
@pytest.mark.parametrize("stop", [["sandbox"], ["words read"], ["Answer"], ["x", "of the", "nowhere"], ["nowhere"]])
async def test_a_stop_text_ends_the_pieces_and_the_result_alike(
    workspace: Workspace, name: str, stop: list[str]
) -> None:
    _, whole = await gather(workspace, name, text=TEXT)
    pieces, result = await gather(workspace, name, text=TEXT, stop=stop, max_tokens=700)
    assert "".join(pieces) == result.output["text"]
    assert not any(one in result.output["text"] for one in stop)
    assert whole.output["text"].startswith(result.output["text"])
    assert result.usage["output"] == whole.usage["output"]  # what is written beyond is billed


@APIS
async def test_an_answer_that_must_fit_a_schema_is_judged_at_the_end(workspace: Workspace, name: str) -> None:
    pieces, result = await gather(workspace, name, text=TEXT, answer_schema=FORM)
    assert "".join(pieces) == result.output["text"]
    assert set(result.output["data"]) == {"title"}


async def fail(workspace: Workspace, name: str, **values: Any) -> tuple[list[str], PenstockError]:
    pieces: list[str] = []
    try:
        async for part in workspace.operations.stream(name, values):
            assert isinstance(part, Piece)
            pieces.append(part.text)
    except PenstockError as error:
        return pieces, error
    raise AssertionError("it ended well")


@APIS
async def test_an_answer_that_is_cut_short_is_told_after_its_pieces(workspace: Workspace, name: str) -> None:
    pieces, error = await fail(workspace, name, text=TEXT, max_tokens=16)
    assert isinstance(error, OutputError)
    assert (error.code, error.text) == ("output.truncated", "".join(pieces))
    assert pieces


@APIS
@pytest.mark.parametrize("kind", ["cut", "error", "malformed"])
async def test_a_stream_that_breaks_off_raises_after_its_pieces(workspace: Workspace, name: str, kind: str) -> None:
    plan(workspace, "responses" if name == "respond" else "chat", kind)
    pieces, error = await fail(workspace, name, text=TEXT)
    assert isinstance(error, UnavailableError)
    assert error.hint == HALF_HEARD
    assert pieces


def speak(*contents: Any) -> tuple[Any, Speaker, list[str]]:
    """Return an asker whose answers are heard as one piece each, with who gives them out."""
    said: list[str] = []
    speaker = Speaker(said.append, ["END"])

    class Asker(FakeAsker):
        async def ask(self, ask: Ask, **told: Any) -> Answer:
            answer = await super().ask(ask, **told)
            for part in list_parts(answer.content):
                speaker.hear(part["text"])
            return answer

    return Asker(*contents), speaker, said


async def test_an_answer_is_repaired_as_long_as_nothing_of_it_was_given_out() -> None:
    empty = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    for first in (empty, respond_with("EN", status="incomplete")):  # the second may be the beginning of a stop text
        asker, speaker, said = speak(first, respond_with("Rain again."))
        done = await OPERATION.perform(asker, Input(text=TEXT, stop=["END"]), choose(), speaker=speaker)
        assert said == [done.output.text] == ["Rain again."]


async def test_an_answer_that_was_given_out_is_not_repaired() -> None:
    asker, speaker, said = speak(respond_with("Rai", status="incomplete"), respond_with("Rain again."))
    with pytest.raises(OutputError):
        await OPERATION.perform(asker, Input(text=TEXT), choose(), speaker=speaker)
    assert (said, len(asker.asked)) == (["Rai"], 1)


async def test_a_refusal_is_told_as_such_and_nothing_of_it_is_given_out_as_text() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I cannot.", "text": ""}]}
    asker, speaker, said = speak({"status": "completed", "output": [refusal]})
    with pytest.raises(OutputError) as caught:
        await OPERATION.perform(asker, Input(text=TEXT), choose(), speaker=speaker)
    assert (caught.value.code, said) == ("output.refused", [])


@APIS
async def test_a_model_that_does_not_stream_answers_in_one_piece_with_a_warning(
    workspace: Workspace, name: str
) -> None:
    plan(workspace, "responses" if name == "respond" else "chat", "status", status=400, code="unsupported_value",
         param="stream")  # fmt: skip
    pieces, result = await gather(workspace, name, text=TEXT)
    assert pieces == [result.output["text"]]
    assert result.warnings == ("stream: gpt-6-luna refused it; the answer came in one piece",)
    assert (await gather(workspace, name, text="Another one."))[0] != []


async def test_a_server_that_does_not_tell_usage_on_wish_is_asked_without(workspace: Workspace) -> None:
    plan(workspace, "chat", "status", status=400, code="unsupported_parameter", param="stream_options")
    pieces, result = await gather(workspace, "chat", text=TEXT)
    assert len(pieces) > 5
    assert (result.cost_dollars, result.warnings) == (None, ())


async def test_strict_makes_an_error_of_a_model_that_does_not_stream(workspace: Workspace) -> None:
    plan(workspace, "responses", "status", status=400, code="unsupported_value", param="stream")
    with pytest.raises(RejectedError):
        await gather(workspace, "respond", CallOptions(strict=True), text=TEXT)


async def test_an_operation_that_writes_no_text_gives_its_result_alone(workspace: Workspace) -> None:
    pieces, result = await gather(workspace, "count-tokens", text=TEXT)
    assert (pieces, result.operation) == ([], "count-tokens")


async def test_wrong_input_is_told_at_the_first_step(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="text"):
        await gather(workspace, "respond", texxt=TEXT)


async def test_a_raw_call_does_not_buy_a_stream_that_it_cannot_read(workspace: Workspace) -> None:
    body = {"model": "gpt-6-luna", "input": TEXT, "stream": True}
    with pytest.raises(InputError, match="stream"):
        await workspace.operations.raw(path="/responses", body=body)


async def test_closing_early_leaves_true_books(workspace: Workspace) -> None:
    async with aclosing(workspace.operations.stream("respond", {"text": TEXT}, CallOptions(budget=1.0))) as parts:
        assert isinstance(await anext(parts), Piece)
    (row,) = await workspace.ledger.costs()
    assert (row.state, row.cost) == ("unknown", 0)
    assert row.held > 0


@pytest.mark.parametrize("is_derived", [False, True])
async def test_a_workspace_that_closes_cuts_off_what_nobody_ended(tmp_path: Path, is_derived: bool) -> None:
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        operations = workspace.operations.under("tools", None) if is_derived else workspace.operations
        parts = operations.stream("respond", {"text": TEXT})
        await anext(parts)
    await parts.aclose()
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        (row,) = await workspace.ledger.costs()
        assert (row.state, row.cost) == ("unknown", 0)
        assert row.held > 0


def test_the_synchronous_door_is_a_plain_iterator(tmp_path: Path) -> None:
    with Penstock(tmp_path, sandbox=True) as penstock:
        *pieces, result = penstock.stream("respond", {"text": TEXT})
        assert isinstance(result, Result)
        assert "".join(part.text for part in pieces if isinstance(part, Piece)) == result.output["text"]
        for part in penstock.stream("chat", {"text": TEXT}, fresh=True):
            assert isinstance(part, Piece)
            break
        with pytest.raises(OutputError):
            list(penstock.stream("chat", {"text": TEXT, "max_tokens": 16}))
