from typing import Any, Literal

import pytest
from pydantic import BaseModel

from fake_asker import FakeAsker, choose, respond_with
from penstock.base.errors import InputError, OutputError
from penstock.operations import extract
from penstock.operations.extract import Input


class Line(BaseModel):
    article: str
    count: int = 1
    size: Literal["S", "M", "L"] | None = None


class Order(BaseModel):
    number: str
    lines: list[Line]


TEXT = "Order 4711: two shirts, size M, and a hat."


async def test_facts_come_as_the_pydantic_model_says() -> None:
    found = '{"number": "4711", "lines": [{"article": "shirt", "count": 2, "size": "M"},'
    found += ' {"article": "hat", "count": null, "size": null}]}'
    output = await extract.run(FakeAsker(respond_with(found)), Input(text=TEXT, answer_schema=Order), choose())
    order = Order.model_validate(output.data)
    assert order.lines == [Line(article="shirt", count=2, size="M"), Line(article="hat")]


def test_the_schema_is_sent_strict_and_the_text_fenced() -> None:
    ask = extract.prepare(Input(text=TEXT, answer_schema=Order), choose())
    assert ask.body["text"]["format"]["strict"] is True
    assert ask.body["input"].startswith("<text-")
    assert "never guess" in ask.body["instructions"]
    assert any("optional became required or null" in warning for warning in ask.warnings)


async def test_an_answer_that_does_not_fit_is_repaired_once_and_its_text_is_kept() -> None:
    wrong, right = respond_with('{"number": 4711, "lines": []}'), respond_with('{"number": "4711", "lines": []}')
    asker = FakeAsker(wrong, right)
    output = await extract.run(asker, Input(text=TEXT, answer_schema=Order), choose())
    assert output.data == {"number": "4711", "lines": []}
    assert "$.number" in asker.asked[1].body["input"][-1]["content"]
    with pytest.raises(OutputError) as caught:
        await extract.run(FakeAsker(wrong, wrong), Input(text=TEXT, answer_schema=Order), choose())
    assert (caught.value.code, caught.value.text) == ("output.schema", '{"number": 4711, "lines": []}')
    assert "4711" not in caught.value.message


@pytest.mark.parametrize("text", ["", "no JSON", "{", "[1,", "[" * 2000, "NaN"])
async def test_text_that_is_no_json_is_never_taken_for_facts(text: str) -> None:
    with pytest.raises(OutputError) as caught:
        await extract.run(FakeAsker(*[respond_with(text)] * 2), Input(text=TEXT, answer_schema=Order), choose())
    assert caught.value.code in ("output.not-json", "output.empty")


@pytest.mark.parametrize("schema", [7, "Order", {"type": "orders"}, {"$ref": "#/nowhere"}, {"$ref": "http://x/y"}])
def test_what_is_no_schema_is_refused_before_anything_is_sent(schema: Any) -> None:
    with pytest.raises(InputError, match="schema"):
        extract.prepare(extract.OPERATION.parse({"text": TEXT, "answer_schema": schema}), choose())
