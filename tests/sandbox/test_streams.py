"""A streamed purchase: heard piece by piece, held like any other, and the books are true however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from call_desk import MODEL, Desk, open_desk
from penstock.base.errors import PenstockError, QuotaError, RejectedError, UnavailableError
from penstock.operations.talk import read_text
from penstock.runtime.ask import Ask
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.world import Fault
from penstock.vendor.http import Http

PATHS = {"responses": "/responses", "chat": "/chat/completions"}
APIS = pytest.mark.parametrize("api", list(PATHS))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, timeout=0.2) as desk:
        yield desk


def ask_for(api: str, text: str = "Say something about rain.", **rest: Any) -> Ask:
    said: dict[str, Any] = {"input": text} if api == "responses" else {"messages": [{"role": "user", "content": text}]}
    effort: dict[str, Any] = {"reasoning": {"effort": "none"}} if api == "responses" else {"reasoning_effort": "none"}
    limit = "max_output_tokens" if api == "responses" else "max_completion_tokens"
    body = {"model": MODEL, limit: 200, "store": False, **effort, **said, **rest.pop("body", {})}
    return Ask("respond", 1, PATHS[api], MODEL, body, 20, 200, **rest)


def plan(desk: Desk, api: str, kind: Any, **rest: Any) -> None:
    desk.world.faults.append(Fault("openai", api, kind, **rest))


async def listen(desk: Desk, ask: Ask) -> tuple[list[str], Any]:
    said: list[str] = []
    answer = await desk.run(desk.caller.ask(ask, run="r", listen=said.append))
    return said, answer


async def fail(desk: Desk, ask: Ask) -> tuple[list[str], PenstockError]:
    said: list[str] = []
    with pytest.raises(PenstockError) as caught:
        await desk.run(desk.caller.ask(ask, run="r", listen=said.append))
    return said, caught.value


def without_ids(content: Any) -> Any:
    """Leave out what differs between two calls."""
    if isinstance(content, list):
        return [without_ids(one) for one in content]
    if isinstance(content, dict):
        left_out = ("id", "created", "created_at", "completed_at", "call_id")
        return {name: without_ids(value) for name, value in content.items() if name not in left_out}
    return content


@APIS
async def test_the_answer_is_the_one_that_a_whole_reply_holds(desk: Desk, api: str) -> None:
    said, streamed = await listen(desk, ask_for(api, is_kept=False))
    whole = await desk.run(desk.caller.ask(ask_for(api, is_kept=False), run="r"))
    assert without_ids(streamed.content) == without_ids(whole.content)
    assert "".join(said) == read_text(streamed.content)
    assert len(said) > 5
    assert (streamed.usage, streamed.cost, streamed.tier) == (whole.usage, whole.cost, whole.tier)
    assert streamed.usage.output > 0
    assert streamed.request_id


@pytest.mark.parametrize(
    "body",
    [
        {
            "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
            "tool_choice": "required",
        },
        {"max_output_tokens": 16},
        {"text": {"format": {"type": "json_object"}}, "input": "JSON please"},
    ],
    ids=["a call", "cut off", "JSON"],
)
async def test_other_answers_are_put_together_the_same(desk: Desk, body: dict[str, Any]) -> None:
    _, streamed = await listen(desk, ask_for("responses", body=body, is_kept=False))
    whole = await desk.run(desk.caller.ask(ask_for("responses", body=body, is_kept=False)))
    assert without_ids(streamed.content) == without_ids(whole.content)


@pytest.mark.parametrize(
    "body",
    [
        {
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
            "tool_choice": "required",
        },
        {"max_completion_tokens": 3},
        {"n": 2},
        {"logprobs": True},
    ],
    ids=["a call", "cut off", "two choices", "chances"],
)
async def test_other_chat_answers_are_put_together_the_same(desk: Desk, body: dict[str, Any]) -> None:
    _, streamed = await listen(desk, ask_for("chat", body=body, is_kept=False))
    whole = await desk.run(desk.caller.ask(ask_for("chat", body=body, is_kept=False)))
    assert without_ids(streamed.content) == without_ids(whole.content)


@APIS
async def test_it_is_held_under_the_same_address_and_bought_once(desk: Desk, api: str) -> None:
    _, first = await listen(desk, ask_for(api))
    said, again = await listen(desk, ask_for(api))
    whole = await desk.run(desk.caller.ask(ask_for(api)))
    assert (said, again.cached, whole.cached) == ([], True, True)
    assert again.content == whole.content == first.content
    assert await desk.states() == ["done"]
    spent = await desk.spent()
    assert (spent.spent, spent.reserved, spent.held, spent.calls) == (first.cost, 0, 0, 1)


@APIS
async def test_equal_requests_under_way_share_one_stream_and_all_hear_all_of_it(desk: Desk, api: str) -> None:
    said: list[list[str]] = [[], [], []]

    async def late(pieces: list[str]) -> Any:
        while len(said[0]) < 3:  # noqa: ASYNC110 - the stream is under way
            await asyncio.sleep(0)
        return await desk.caller.ask(ask_for(api), run="r", listen=pieces.append)

    async def work() -> list[Any]:
        return await asyncio.gather(
            desk.caller.ask(ask_for(api), run="r", listen=said[0].append),
            desk.caller.ask(ask_for(api), run="r", listen=said[1].append),
            late(said[2]),
            desk.caller.ask(ask_for(api), run="r"),
        )

    answers = await desk.run(work())
    assert said[0] == said[1] == said[2]
    assert [answer.cached for answer in answers].count(False) == 1
    assert await desk.states() == ["done"]


@APIS
async def test_who_listens_to_a_purchase_that_is_not_streamed_gets_the_whole_answer(desk: Desk, api: str) -> None:
    said: list[str] = []

    async def work() -> list[Any]:
        return await asyncio.gather(desk.caller.ask(ask_for(api)), desk.caller.ask(ask_for(api), listen=said.append))

    answers = await desk.run(work())
    assert said == []
    assert answers[0].content == answers[1].content
    assert await desk.states() == ["done"]


@APIS
@pytest.mark.parametrize("kind", ["cut", "error", "malformed", "lost"])
async def test_a_stream_that_breaks_off_after_a_piece_is_not_asked_again_and_its_money_is_held(
    desk: Desk, api: str, kind: str
) -> None:
    plan(desk, api, kind, times=1)
    said, error = await fail(desk, ask_for(api))
    assert said
    assert isinstance(error, UnavailableError)
    assert error.sent
    assert await desk.states() == ["unknown"]
    spent = await desk.spent()
    assert (spent.spent, spent.reserved) == (0, 0)
    assert spent.held > 0
    said, answer = await listen(desk, ask_for(api))  # a new purchase, by choice
    assert "".join(said) == read_text(answer.content)
    assert await desk.states() == ["unknown", "done"]


@APIS
@pytest.mark.parametrize("kind", ["drop", "html"])
async def test_what_breaks_before_the_first_piece_is_asked_again(desk: Desk, api: str, kind: str) -> None:
    plan(desk, api, kind, times=2)
    said, answer = await listen(desk, ask_for(api))
    assert "".join(said) == read_text(answer.content)
    assert (await desk.states())[-1] == "done"
    assert len(await desk.states()) == 3


@APIS
async def test_refusals_for_speed_wait_and_are_free(desk: Desk, api: str) -> None:
    plan(desk, api, "status", status=429, code="rate_limit_exceeded", seconds=3.0, times=2)
    said, _ = await listen(desk, ask_for(api))
    assert said
    assert await desk.states() == ["failed", "failed", "done"]
    assert (await desk.spent()).held == 0


@APIS
async def test_errors_before_the_stream_are_the_typed_ones(desk: Desk, api: str) -> None:
    plan(desk, api, "status", status=429, code="insufficient_quota", times=1)
    assert isinstance((await fail(desk, ask_for(api)))[1], QuotaError)
    plan(desk, api, "status", status=400, code="context_length_exceeded", times=1)
    assert isinstance((await fail(desk, ask_for(api)))[1], RejectedError)
    assert await desk.states() == ["failed", "failed"]
    spent = await desk.spent()
    assert (spent.spent, spent.held, spent.reserved) == (0, 0, 0)


@APIS
async def test_a_stream_that_falls_silent_is_a_broken_one(desk: Desk, api: str) -> None:
    """The emulator waits on its clock, the client gives up on the wall's: 0.2 s here."""
    plan(desk, api, "hang", seconds=1e12, times=1)
    said: list[str] = []
    task = asyncio.ensure_future(desk.caller.ask(ask_for(api), run="r", listen=said.append))
    with pytest.raises(UnavailableError) as caught:
        await task
    assert caught.value.code == "http.timeout"
    assert said
    assert await desk.states() == ["unknown"]


@APIS
async def test_a_listener_who_leaves_cuts_the_answer_off_and_its_money_is_held(desk: Desk, api: str) -> None:
    heard = asyncio.Event()
    task = asyncio.ensure_future(desk.caller.ask(ask_for(api), run="r", listen=lambda _: heard.set()))
    await desk.run(heard.wait())
    task.cancel()
    await desk.run(asyncio.wait((task,)))
    assert task.cancelled()
    assert await desk.states() == ["unknown"]
    spent = await desk.spent()
    assert (spent.spent, spent.reserved) == (0, 0)
    assert spent.held > 0


@APIS
async def test_the_one_who_stays_hears_the_rest_when_another_leaves(desk: Desk, api: str) -> None:
    heard, said = asyncio.Event(), list[str]()
    first = asyncio.ensure_future(desk.caller.ask(ask_for(api), run="r", listen=lambda _: heard.set()))
    second = asyncio.ensure_future(desk.caller.ask(ask_for(api), run="r", listen=said.append))
    await desk.run(heard.wait())
    first.cancel()
    answer = await desk.run(second)
    assert "".join(said) == read_text(answer.content)
    assert await desk.states() == ["done"]


@APIS
async def test_who_only_waits_gets_another_answer_when_the_stream_breaks_off(desk: Desk, api: str) -> None:
    plan(desk, api, "cut", times=1)

    async def work() -> list[Any]:
        said: list[str] = []
        streamed = desk.caller.ask(ask_for(api), run="r", listen=said.append)
        plain = [desk.caller.ask(ask_for(api), run="r") for _ in range(3)]
        return await asyncio.gather(streamed, *plain, return_exceptions=True)

    broken, *answers = await desk.run(work())
    assert isinstance(broken, UnavailableError)
    assert [answer.cached for answer in answers].count(False) == 1
    assert await desk.states() == ["unknown", "done"]


async def test_a_server_that_tells_no_usage_costs_nobody_knows_what(desk: Desk) -> None:
    app = build_openai_app(desk.world, plain=True, fast=True)
    http = Http(apps={"api.openai.com": app})
    kept, desk.http = desk.http, http
    caller = desk.new_caller()
    desk.http = kept
    said: list[str] = []
    ask = ask_for("chat", body={"max_tokens": 200})
    del ask.body["max_completion_tokens"], ask.body["store"], ask.body["reasoning_effort"]
    answer = await desk.run(caller.ask(ask, run="r", listen=said.append))
    assert "".join(said) == read_text(answer.content)
    assert (answer.cost, answer.usage.output) == (None, 0)
    assert await desk.states() == ["done"]
    spent = await desk.spent()
    assert (spent.spent, spent.reserved) == (0, 0)
    assert spent.held > 0
    await http.close()


@APIS
async def test_a_parameter_that_was_refused_for_streams_is_left_out(desk: Desk, api: str) -> None:
    plan(desk, api, "status", status=400, code="unsupported_value", param="stream", times=1)
    said, error = await fail(desk, ask_for(api))
    assert await desk.caller.learn(ask_for(api), error) == "stream"
    said, answer = await listen(desk, ask_for(api))
    assert said == []
    assert read_text(answer.content)
    assert await desk.states() == ["failed", "done"]
