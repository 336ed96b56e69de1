"""`embed` through the Python door, in the sandbox."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from embedding_vendor import SMALL, Vendor, choose
from penstock.base.errors import InputError, QuotaError, RejectedError, StoppedError
from penstock.calls import CallOptions
from penstock.operations import embed
from penstock.operations.vectors import Embedder
from penstock.runtime.ask import Answer
from penstock.sandbox.world import Fault
from penstock.workspace import Workspace

TEXTS = ["The parcel came late.", "The parcel came very late.", "Lovely colour", "The parcel came late."]


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    models = "[models.text-embedding-3-small]\nmax_input_tokens = 100000\n"  # so that the vendor has to refuse
    (tmp_path / "models.toml").write_text(models)
    async with Workspace.open(tmp_path, overrides={"sandbox": True}, environ={}) as workspace:
        yield workspace


def billed(workspace: Workspace) -> int:
    world = workspace.vendors.world
    assert world is not None
    return world.billed_calls["embeddings"]


async def test_texts_become_unit_vectors_that_lie_near_for_near_texts(workspace: Workspace) -> None:
    result = await workspace.operations.embed(texts=TEXTS)
    rows = numpy.array(result.output["vectors"])
    assert rows.shape == (4, 1536)
    assert numpy.allclose((rows**2).sum(axis=1), 1.0, atol=1e-5)
    assert rows[0].tolist() == rows[3].tolist()
    assert rows[0] @ rows[1] > 0.7 > 0.3 > rows[0] @ rows[2]
    assert (result.model, result.calls, result.output["problems"]) == (SMALL, 1, [])
    assert result.cost_dollars == pytest.approx(result.usage["input"] * 0.02e-6)


@pytest.mark.parametrize("size", [16, 64, 512])
async def test_shortened_vectors_still_tell_near_from_far(workspace: Workspace, size: int) -> None:
    result = await workspace.operations.embed(texts=TEXTS, dimensions=size)
    rows = numpy.array(result.output["vectors"])
    assert (rows.shape, result.output["dimensions"]) == ((4, size), size)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2


async def test_both_encodings_hold_the_same_numbers_and_share_what_is_held(workspace: Workspace) -> None:
    plain = await workspace.operations.embed(texts=TEXTS, dimensions=8)
    coded = await workspace.operations.embed(texts=TEXTS, dimensions=8, encoding="base64")
    rows = [numpy.frombuffer(base64.b64decode(row), "<f4").tolist() for row in coded.output["vectors"]]
    assert rows == plain.output["vectors"]
    assert (coded.cached, coded.calls, coded.cost_dollars) == (True, 0, 0.0)
    assert coded.saved_dollars == pytest.approx(plain.cost_dollars, abs=2e-12)
    assert billed(workspace) == 1


async def test_a_text_is_never_bought_again_whatever_comes_with_it(workspace: Workspace) -> None:
    first = await workspace.operations.embed(text=TEXTS[0])
    more = await workspace.operations.embed(texts=["Another", TEXTS[0]])
    assert more.output["vectors"][1] == first.output["vectors"][0]
    assert more.usage["input"] < 3
    again = await workspace.operations.embed(CallOptions(fresh=True), texts=["Another", TEXTS[0]])
    assert (again.calls, again.output["vectors"]) == (1, more.output["vectors"])
    assert (await workspace.operations.embed(text="Another", dimensions=16)).calls == 1


async def test_a_text_that_the_vendor_refuses_has_its_error_and_the_others_their_vectors(workspace: Workspace) -> None:
    texts = ["one", "word " * 9_000, "two", "", "three"]
    result = await workspace.operations.embed(texts=texts, dimensions=2)
    assert [row is None for row in result.output["vectors"]] == [False, True, False, True, False]
    codes = {problem["place"]: problem["code"] for problem in result.output["problems"]}
    assert codes == {1: "openai.too-long", 3: "embed.empty-text"}
    assert all(problem["hint"] for problem in result.output["problems"])
    states = await workspace.store.look(
        lambda tx: tx._raw.execute("select state, count(*) from calls group by 1 order by 1").fetchall()  # type: ignore[attr-defined]
    )
    assert dict(states)["done"] == billed(workspace)


async def test_when_no_text_can_be_embedded_the_first_error_is_raised(workspace: Workspace) -> None:
    with pytest.raises(RejectedError) as raised:
        await workspace.operations.embed(text="word " * 9_000)
    assert raised.value.code == "openai.too-long"
    with pytest.raises(InputError) as empty:
        await workspace.operations.embed(texts=["", ""])
    assert empty.value.code == "embed.empty-text"


@pytest.mark.parametrize("values", [{}, {"text": ""}, {"texts": []}, {"text": "a", "texts": ["b"]}])
async def test_there_is_one_way_to_give_texts(workspace: Workspace, values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="either text or texts"):
        await workspace.operations.embed(**values)


async def test_a_size_that_the_model_cannot_have_is_a_warning_or_an_error(workspace: Workspace) -> None:
    old = CallOptions(model="text-embedding-ada-002")
    result = await workspace.operations.embed(old, text="a", dimensions=8)
    assert result.output["dimensions"] == 1536
    assert result.warnings == ("dimensions: text-embedding-ada-002 has a fixed size of 1536, so they were left out",)
    with pytest.raises(InputError) as raised:
        await workspace.operations.embed(
            CallOptions(model="text-embedding-ada-002", strict=True), text="a", dimensions=8
        )
    assert raised.value.code == "embed.fixed-size"
    with pytest.raises(RejectedError, match="dimensions"):
        await workspace.operations.embed(text="a", dimensions=2_000)


async def test_a_budget_stops_and_what_was_bought_is_held(workspace: Workspace) -> None:
    with pytest.raises(StoppedError):
        await workspace.operations.embed(CallOptions(budget=1e-9), texts=TEXTS)
    assert billed(workspace) == 0


async def test_the_preview_is_the_first_call_and_its_price(workspace: Workspace) -> None:
    seen = workspace.operations.preview("embed", {"texts": ["a", "", "a", *map(str, range(3_000))], "dimensions": 8})
    assert (seen.path, seen.body["encoding_format"], seen.body["dimensions"]) == ("/embeddings", "base64", 8)
    assert seen.body["input"][:3] == ["a", "0", "1"]
    assert len(seen.body["input"]) == 2_048
    assert seen.likely_dollars is not None
    assert seen.likely_dollars > 0
    with pytest.raises(InputError):
        workspace.operations.preview("embed", {"texts": [""]})


async def test_forgotten_texts_are_bought_again(workspace: Workspace) -> None:
    await workspace.operations.embed(texts=TEXTS, dimensions=8)
    ask = workspace.operations.choose("embedding")
    keys = workspace.caller.addresses(embed.prepare(embed.Input(texts=TEXTS[:1], dimensions=8), ask))
    assert await workspace.answers.forget(keys) == 1
    assert (await workspace.operations.embed(texts=TEXTS, dimensions=8)).calls == 1


async def test_an_embedder_works_over_the_caller_of_a_workspace(workspace: Workspace) -> None:
    embedder = Embedder(workspace.caller, workspace.operations.choose("embedding"), flow="segments", run="run_1")
    found = await embedder.embed(f"text {at % 3_000}" for at in range(5_000))
    assert found.matrix.shape == (5_000, 1536)
    assert (found.matrix[0] == found.matrix[3_000]).all()
    assert billed(workspace) == 2
    spent = await workspace.caller.ledger.spent("flow:segments")
    assert (spent.calls, spent.spent) == (2, sum(answer.cost or 0 for answer in found.answers))


async def test_the_output_says_how_vectors_are_written_and_reads_one_answer() -> None:
    rows = (await Vendor().ask(embed.prepare(embed.Input(texts=["a", "b"]), choose()))).content
    answer = Answer(rows, None, 0, SMALL, "default", "", 0.0)  # type: ignore[arg-type]
    output = embed.read(embed.Input(texts=["a", "b"], encoding="base64"), answer)
    assert output.vectors == [base64.b64encode(row).decode() for row in rows]
    made = await embed.run(Vendor(), embed.Input(texts=["a", "b"], encoding="base64"), choose())
    assert (made.vectors, made.encoding) == (output.vectors, "base64")


async def test_what_was_bought_before_an_end_of_credit_is_not_bought_again(workspace: Workspace) -> None:
    world = workspace.vendors.world
    assert world is not None
    world.faults.append(Fault("openai", "embeddings", "status", status=429, code="insufficient_quota", after=1))
    texts = [f"text {at}" for at in range(5_000)]
    embedder = Embedder(workspace.caller, workspace.operations.choose("embedding"), dimensions=4, in_flight=1)
    with pytest.raises(QuotaError):
        await embedder.embed(texts)
    assert billed(workspace) == 1
    world.faults.clear()
    found = await embedder.embed(texts)
    assert not found.problems
    assert [answer.cached for answer in found.answers].count(False) == 2
    assert billed(workspace) == 3
    assert world.bought_twice() == 0
