import json
from typing import Any

import pytest

from fake_asker import FakeAsker, choose, respond_with
from penstock.base.errors import InputError, OutputError
from penstock.operations import classify
from penstock.operations.classify import Input

LABELS = {"delivery": "parcels", "billing": "invoices", "product": ""}


def chosen(**chances: float) -> dict[str, Any]:
    best = max(chances, key=lambda name: chances[name])
    parts = [{"value": name, "probability": chance} for name, chance in chances.items()]
    one = {"type": "choice", "name": "label", "choice": best, "confidence": chances[best], "probabilities": parts}
    return {"answers": [one]}


def said_of_each(*chances: float) -> dict[str, Any]:
    named = enumerate(chances)
    return {"answers": [{"type": "predicate", "name": f"label_{at}", "probability": chance} for at, chance in named]}


def give(**values: Any) -> Input:
    return Input.model_validate({"text": "My parcel is late.", "labels": LABELS, **values})


def test_one_label_is_one_question_with_every_label_as_an_option() -> None:
    ask = classify.prepare(give(), choose())
    (question,) = ask.body["questions"]
    assert ask.path == "/decisions"
    assert [option["value"] for option in question["choices"]] == list(LABELS)
    assert question["choices"][2]["description"] == "product"


def test_several_labels_are_one_statement_each() -> None:
    questions = classify.prepare(give(many=True), choose()).body["questions"]
    assert [question["type"] for question in questions] == ["predicate"] * 3
    assert "delivery (parcels)" in questions[0]["instructions"]


def test_the_text_is_fenced_and_the_model_is_told_so() -> None:
    orders, text = classify.prepare(give(instructions="From shops."), choose()).body["input"]
    assert "From shops." in orders["content"]
    assert "<text-" in orders["content"]
    assert text["content"].startswith("<text-")


def test_without_decisions_a_closed_schema_is_asked_for() -> None:
    ask = classify.prepare(give(), choose("gpt-4.1"))
    assert ask.path == "/responses"
    assert ask.body["text"]["format"]["strict"] is True
    assert "- delivery: parcels" in ask.body["instructions"]


async def test_the_likeliest_label_comes_with_all_probabilities() -> None:
    output = await classify.run(FakeAsker(chosen(delivery=0.7, billing=0.2, product=0.1)), give(), choose())
    assert output.labels == ["delivery"]
    assert output.probabilities == {"delivery": 0.7, "billing": 0.2, "product": 0.1}


@pytest.mark.parametrize(
    ("above", "labels"), [(0.5, ["product", "delivery"]), (0.9, []), (0.0, ["product", "delivery", "billing"])]
)
async def test_of_many_those_above_the_line_come_likeliest_first(above: float, labels: list[str]) -> None:
    output = await classify.run(FakeAsker(said_of_each(0.6, 0.1, 0.8)), give(many=True, above=above), choose())
    assert output.labels == labels


@pytest.mark.parametrize(
    ("many", "text"), [(False, '{"label": "billing"}'), (True, '{"label": ["billing", "billing"]}')]
)
async def test_without_probabilities_there_are_none(many: bool, text: str) -> None:
    output = await classify.run(FakeAsker(respond_with(text)), give(many=many), choose("gpt-4.1"))
    assert (output.labels, output.probabilities) == (["billing"], None)


async def test_a_label_that_was_not_offered_is_asked_for_again_and_then_refused() -> None:
    wrong = respond_with(json.dumps({"label": "weather"}))
    asker = FakeAsker(wrong, wrong)
    with pytest.raises(OutputError) as caught:
        await classify.run(asker, give(), choose("gpt-4.1"))
    assert (caught.value.code, len(asker.asked)) == ("output.schema", 2)
    assert json.loads(caught.value.text) == {"label": "weather"}


@pytest.mark.parametrize("many", [False, True])
async def test_a_refused_question_is_an_error_and_not_a_label(many: bool) -> None:
    refusals = [{"type": "refusal", "name": f"label_{at}" if many else "label"} for at in range(3 if many else 1)]
    asker = FakeAsker({"answers": refusals})
    with pytest.raises(OutputError) as caught:
        await classify.run(asker, give(many=many), choose())
    assert (caught.value.code, len(asker.asked)) == ("output.refused", 1)


def test_labels_can_be_a_list_of_names() -> None:
    assert give(labels=["a", "b"]).labels == {"a": "", "b": ""}


@pytest.mark.parametrize("labels", [["only"], [], {}, ["a", "a"], 7, {"a": 1, "b": 2}])
def test_wrong_labels_are_named(labels: Any) -> None:
    with pytest.raises(InputError, match="labels"):
        classify.OPERATION.parse({"text": "x", "labels": labels})
