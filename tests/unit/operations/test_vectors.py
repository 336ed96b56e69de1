"""The planner of embeddings against a vendor that refuses, fails and changes its mind."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy
import pytest

from embedding_vendor import SMALL, Vendor, bad_among, choose, refuse, vector_of
from penstock.base.errors import (
    AccessError,
    InputError,
    OutputError,
    QuotaError,
    RejectedError,
    StoppedError,
    UnavailableError,
)
from penstock.operations.parcels import choose_room
from penstock.operations.vectors import Embedder, Vectors
from penstock.runtime.ask import Ask
from penstock.runtime.vectors import Held
from penstock.vendor.models import Model

HALF_A_CHARACTER = "cut \ud83d"


async def embed(vendor: Vendor, texts: list[str], **rest: object) -> Vectors:
    return await Embedder(vendor, choose(), **rest).embed(texts)


async def test_vectors_come_as_one_float32_array_in_order() -> None:
    vendor = Vendor()
    found = await embed(vendor, ["a", "b", "a"])
    assert (found.matrix.dtype, found.matrix.shape, found.model, found.dimensions) == (numpy.float32, (3, 2), SMALL, 2)
    assert found.matrix.tobytes() == vector_of("a") + vector_of("b") + vector_of("a")
    assert vendor.sold == [["a", "b"]]
    assert found.problems == {}


async def test_no_text_is_no_vector_and_no_call() -> None:
    vendor = Vendor()
    found = await embed(vendor, [], dimensions=8)
    assert (found.matrix.shape, vendor.asked) == ((0, 8), [])


async def test_calls_are_filled_to_the_limit_that_comes_first() -> None:
    vendor = Vendor()
    await embed(vendor, [f"short {at}" for at in range(5_000)])
    assert [len(call) for call in vendor.sold] == [2_048, 2_048, 904]
    vendor = Vendor()
    await embed(vendor, [f"{at}" + " word" * 4_999 for at in range(70)])
    assert [len(call) for call in vendor.sold] == [60, 10]


async def test_texts_that_are_held_leave_room_for_others_in_a_call() -> None:
    vendor = Vendor()
    texts = [f"text {at}" for at in range(6_000)]
    await embed(vendor, texts[::2])
    vendor.sold.clear()
    found = await embed(vendor, texts)
    assert [len(call) for call in vendor.sold] == [2_048, 952]
    assert found.matrix.tobytes() == b"".join(map(vector_of, texts))


async def test_a_bad_text_is_found_by_halves_and_the_others_are_bought_once() -> None:
    texts = [f"text {at}" for at in range(2_048)]
    vendor = Vendor(bad_among(["text 1500"]))
    found = await embed(vendor, texts)
    assert list(found.problems) == [1_500]
    assert isinstance(found.problems[1_500], RejectedError)
    assert numpy.isnan(found.matrix[1_500]).all()
    assert int(numpy.isnan(found.matrix).any(axis=1).sum()) == 1
    assert vendor.refusals == 1 + math.log2(2_048)
    assert sorted(text for call in vendor.sold for text in call) == sorted(set(texts) - {"text 1500"})


async def test_a_bad_text_is_asked_once_although_it_comes_again() -> None:
    texts = ["bad", *(f"text {at}" for at in range(5_000)), "bad"]
    vendor = Vendor(bad_among(["bad"]))
    found = await embed(vendor, texts)
    assert list(found.problems) == [0, 5_001]
    assert vendor.refusals == 12


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "embed.empty-text"),
        (HALF_A_CHARACTER, "embed.bad-text"),
        (None, "embed.no-text"),
        (["a"], "embed.no-text"),
        ("word " * 8_200, "embed.too-long"),
    ],
)
async def test_what_no_vendor_takes_is_never_sent(text: str, code: str) -> None:
    vendor = Vendor()
    found = await embed(vendor, ["good", text, text])
    assert [problem.code for problem in found.problems.values()] == [code, code]
    assert vendor.sold == [["good"]]
    assert numpy.isnan(found.matrix).all(axis=1).tolist() == [False, True, True]


async def test_a_limit_that_is_not_known_here_is_left_to_the_server() -> None:
    vendor = Vendor()
    found = await Embedder(vendor, choose("bge-m3")).embed(["word " * 8_200])
    assert not found.problems


async def test_a_call_that_can_never_fit_the_quota_is_split() -> None:
    def fault(texts: list[str]) -> InputError | None:
        return InputError("too much", code="governor.never-fits") if len(texts) > 30 else None

    vendor = Vendor(fault)
    found = await embed(vendor, [f"text {at}" for at in range(100)])
    assert [len(call) for call in vendor.sold] == [25, 25, 25, 25]
    assert not found.problems


@pytest.mark.parametrize(
    "error",
    [
        refuse(param="dimensions"),
        refuse(status=404, param="", code="openai.no-model"),
        QuotaError("no credit"),
        AccessError("wrong key"),
        StoppedError("budget"),
        InputError("no such connection", code="connection.unknown"),
    ],
)
async def test_what_concerns_every_text_stops_at_the_first_call(error: Exception) -> None:
    vendor = Vendor(lambda _: error)  # type: ignore[arg-type,return-value]
    with pytest.raises(type(error)):
        await embed(vendor, [f"text {at}" for at in range(2_000)])
    assert vendor.refusals == 1


async def test_refusals_of_everything_are_not_followed_down_to_each_text() -> None:
    vendor = Vendor(lambda _: refuse(param=""))
    with pytest.raises(RejectedError):
        await embed(vendor, [f"text {at}" for at in range(2_000)])
    assert vendor.refusals < 60


async def test_one_failed_call_costs_its_own_texts_and_an_outage_stops() -> None:
    vendor = Vendor(lambda texts: UnavailableError("down") if "text 0" in texts else None)
    texts = [f"text {at}" for at in range(5_000)]
    found = await embed(vendor, texts)
    assert list(found.problems) == list(range(2_048))
    vendor = Vendor(lambda _: UnavailableError("down"))
    with pytest.raises(UnavailableError):
        await Embedder(vendor, choose(), in_flight=1).embed([f"text {at}" for at in range(20_000)])
    assert vendor.refusals == 3


async def test_a_refused_encoding_is_learnt_and_left_out() -> None:
    known = refuse(code="openai.unsupported-parameter", param="encoding_format")
    vendor = Vendor()
    vendor.fault = lambda _: known if "encoding_format" in vendor.asked[-1].body else None
    found = await embed(vendor, ["a", "b"])
    assert not found.problems
    assert ["encoding_format" in ask.body for ask in vendor.asked] == [True, False]


@pytest.mark.parametrize("model", ["text-embedding-ada-002", "a-server-of-our-own"])
async def test_a_size_that_cannot_be_wished_is_left_out_or_refused_when_strict(model: str) -> None:
    vendor = Vendor()
    known = refuse(code="openai.unsupported-parameter", param="dimensions")
    vendor.fault = lambda _: known if "dimensions" in vendor.asked[-1].body else None
    found = await Embedder(vendor, choose(model), dimensions=1).embed(["a"])
    assert found.dimensions == 2
    assert "fixed size" in vendor.asked[-1].warnings[0]
    vendor.known.clear()
    with pytest.raises((InputError, RejectedError)):
        await Embedder(vendor, choose(model, strict=True), dimensions=1).embed(["b"])


async def test_vectors_of_another_model_or_size_are_never_mixed() -> None:
    vendor = Vendor()
    await embed(vendor, ["a"])
    vendor.model = "text-embedding-4"
    with pytest.raises(OutputError, match="text-embedding-4") as raised:
        await embed(vendor, ["a", "b"])
    assert raised.value.code == "embed.mixed-answers"
    vendor = Vendor()
    vendor.held["a"] = Held(vector_of("a", 3), SMALL, 0)
    with pytest.raises(OutputError, match="3 dimensions"):
        await embed(vendor, ["a", "b"])


async def test_vectors_say_whether_they_can_be_compared() -> None:
    small, again, other = [await embed(Vendor(size=size), ["a"]) for size in (2, 2, 3)]
    small.require_like(again)
    with pytest.raises(InputError, match="3"):
        small.require_like(other)


async def test_an_answer_without_its_vectors_is_no_vector() -> None:
    class Short(Vendor):
        async def ask(self, ask: Ask, **told: object) -> object:  # type: ignore[override]
            answer = await super().ask(ask)
            answer.content.pop()
            return answer

    found = await embed(Short(), ["a", "b"])
    assert [problem.code for problem in found.problems.values()] == ["output.shape", "output.shape"]


async def test_texts_may_come_as_they_are_read_and_leaving_early_ends_the_calls() -> None:
    async def read() -> AsyncIterator[str]:
        for at in range(100_000):
            yield f"text {at}"

    vendor = Vendor()
    stream = Embedder(vendor, choose()).stream(read())
    first = await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert first.matrix.shape == (2_048, 2)
    assert vendor.under_way == 0
    assert len(vendor.asked) < 30


async def test_what_was_held_is_one_answer_with_what_it_once_cost() -> None:
    vendor = Vendor()
    await embed(vendor, ["a", "b"])
    found = await embed(vendor, ["a", "b", "c"])
    assert [(answer.cached, answer.cost) for answer in found.answers] == [(False, 1), (True, 2)]
    vendor.held["a"] = Held(vector_of("a"), SMALL, None)
    (held,) = (await embed(vendor, ["a", "b"])).answers
    assert (held.cached, held.cost) == (True, None)


def test_a_model_without_an_entry_has_no_limits_of_its_own() -> None:
    assert choose("bge-m3").model == Model(id="bge-m3", known=False)


def test_without_numpy_the_operation_works_and_arrays_say_what_is_missing() -> None:
    script = """
import asyncio, sys
sys.modules["numpy"] = None
from embedding_vendor import Vendor, choose
from penstock.base.errors import SettingsError
from penstock.operations import embed
from penstock.operations.vectors import Embedder
print(asyncio.run(embed.run(Vendor(), embed.Input(text="a"), choose())).dimensions)
try:
    asyncio.run(Embedder(Vendor(), choose()).embed(["a"]))
except SettingsError as error:
    print(error.code)
"""
    tests = str(Path(__file__).parents[2])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "embed.needs-numpy"]


def test_a_call_is_filled_less_where_tokens_are_only_estimated() -> None:
    assert choose_room(choose()) == (2_048, 300_000)
    assert choose_room(choose("bge-m3")) == (2_048, 225_000)
