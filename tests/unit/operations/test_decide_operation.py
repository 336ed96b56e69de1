import copy
from typing import Any

import pytest
from pydantic import TypeAdapter

from fake_asker import FakeAsker, answer, choose
from penstock.base.errors import InputError, OutputError
from penstock.operations import decide

INPUT = decide.Input.model_validate(
    {
        "text": "Arrived late.",
        "instructions": "A customer wrote this.",
        "questions": [
            {"type": "predicate", "instructions": "It is about delivery."},
            {
                "type": "choice",
                "name": "mood",
                "instructions": "Mood?",
                "choices": [{"value": "good"}, {"value": True}],
            },
            {"type": "score", "instructions": "How good?", "levels": [{"label": "bad"}, {"label": "good"}]},
        ],
    }
)
GOOD: dict[str, Any] = {
    "model": "gpt-6-luna",
    "answers": [
        {"type": "predicate", "name": None, "probability": 0.9},
        {
            "type": "choice",
            "name": "mood",
            "choice": True,
            "confidence": 0.7,
            "probabilities": [{"value": "good", "probability": 0.3}, {"value": True, "probability": 0.7}],
        },
        {
            "type": "score",
            "name": None,
            "score": 0.25,
            "confidence": 0.75,
            "probabilities": [
                {"label": "bad", "value": 0, "probability": 0.75},
                {"label": "good", "value": 1, "probability": 0.25},
            ],
        },
    ],
}


def test_the_request_is_what_the_vendors_own_client_would_send() -> None:
    types = pytest.importorskip("openai.types.decision_create_params")
    body = decide.prepare(INPUT, choose()).body
    TypeAdapter(types.DecisionCreateParams).validate_python(body)
    assert body["questions"][1]["choices"] == [{"value": "good"}, {"value": True}]
    assert [message["role"] for message in body["input"]] == ["developer", "user"]


def test_output_is_free_and_reserves_nothing() -> None:
    ask = decide.prepare(INPUT, choose(tier="flex"))
    assert (ask.path, ask.max_output_tokens, ask.tier) == ("/decisions", 0, "default")
    assert ask.prompt_tokens > 10


@pytest.mark.parametrize("choice", [choose("gpt-4.1"), choose(decisions=False)])
def test_a_model_or_connection_without_decisions_is_refused_before_sending(choice: Any) -> None:
    with pytest.raises(InputError) as caught:
        decide.prepare(INPUT, choice)
    assert caught.value.code == "decide.no-decisions"


async def test_answers_are_typed_and_in_order() -> None:
    output = await decide.run(FakeAsker(GOOD), INPUT, choose())
    assert [one.type for one in output.answers] == ["predicate", "choice", "score"]
    assert output.answers[1].choice is True


async def test_a_refused_question_is_a_value_and_the_others_stand() -> None:
    content = copy.deepcopy(GOOD)
    content["answers"][1] = {"type": "refusal", "name": "mood"}
    output = await decide.run(FakeAsker(content), INPUT, choose())
    assert [one.type for one in output.answers] == ["predicate", "refusal", "score"]


def _break(path: list[Any], value: Any) -> Any:
    content = copy.deepcopy(GOOD)
    node: Any = content["answers"]
    for part in path[:-1]:
        node = node[part]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return content


BROKEN = {
    "no answers at all": {"model": "gpt-6-luna"},
    "not an object": ["answers"],
    "an answer is missing": _break([2], None),
    "a probability is not a number": _break([0, "probability"], float("nan")),
    "a probability is above one": _break([0, "probability"], 1.2),
    "a probability is text": _break([0, "probability"], "very likely"),
    "an unknown type": _break([0, "type"], "guess"),
    "the wrong type": _break([0], {"type": "score", "score": 1, "confidence": 1, "probabilities": []}),
    "another question's name": _break([1, "name"], "weather"),
    "an option that was not offered": _break([1, "choice"], "so-so"),
    "the text of a boolean option": _break([1, "choice"], "true"),
    "not the most probable option": _break([1, "choice"], "good"),
    "an option without probability": _break([1, "probabilities", 0], None),
    "probabilities that do not add up": _break([2, "probabilities", 0, "probability"], 0.2),
    "an unknown level": _break([2, "probabilities", 0, "label"], "awful"),
    "a score that is not a number": _break([2, "score"], float("inf")),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_does_not_fit_its_question_is_refused(content: Any) -> None:
    with pytest.raises(OutputError) as caught:
        decide.read(INPUT, answer(content))
    assert caught.value.code in ("output.shape", "output.incoherent")


async def test_the_repair_differs_from_the_first_request_and_says_why() -> None:
    asker = FakeAsker(BROKEN["probabilities that do not add up"], GOOD)
    await decide.run(asker, INPUT, choose())
    first, second = asker.asked
    assert second.body["input"][:-1] == first.body["input"]
    assert "add up" in second.body["input"][-1]["content"]
    assert first.address("a") != second.address("a")
    assert second.prompt_tokens > first.prompt_tokens


@pytest.mark.parametrize("count", [0, 401])
def test_one_to_four_hundred_questions_are_taken(count: int) -> None:
    questions = [{"type": "predicate", "instructions": "True."}] * count
    with pytest.raises(InputError, match="questions"):
        decide.OPERATION.parse({"text": "a", "questions": questions})
