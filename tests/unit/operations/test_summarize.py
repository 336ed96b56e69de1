import pytest

from fake_asker import FakeAsker, choose, respond_with
from penstock.base.errors import OutputError
from penstock.operations import summarize
from penstock.operations.summarize import Input

TEXT = "The parcel came late. The shoes are lovely."


def test_the_wishes_stand_in_the_order_and_the_text_in_its_fence() -> None:
    ask = summarize.prepare(Input(text=TEXT, limit=12, style="bullets", focus="delivery", language="de"), choose())
    for words in ("at most 12 words", "'- '", "delivery", "language: de"):
        assert words in ask.body["instructions"]
    assert TEXT in ask.body["input"]
    assert ask.body["max_output_tokens"] == 76


async def test_a_summary_comes_back_without_the_space_around_it() -> None:
    output = await summarize.run(FakeAsker(respond_with("\nLate, but lovely. ")), Input(text=TEXT), choose())
    assert output.text == "Late, but lovely."


async def test_a_summary_that_is_far_too_long_is_asked_for_again() -> None:
    asker = FakeAsker(respond_with("word " * 30), respond_with("Late, but lovely."))
    assert (await summarize.run(asker, Input(text=TEXT, limit=10), choose())).text == "Late, but lovely."
    assert "30 words" in asker.asked[1].body["input"][-1]["content"]
    with pytest.raises(OutputError) as caught:
        await summarize.run(FakeAsker(*[respond_with("word " * 30)] * 2), Input(text=TEXT, limit=10), choose())
    assert (caught.value.code, caught.value.text) == ("output.too-long", ("word " * 30).strip())


async def test_a_few_words_too_many_are_no_reason_to_pay_again() -> None:
    asker = FakeAsker(respond_with("word " * 15))
    await summarize.run(asker, Input(text=TEXT, limit=10), choose())
    assert len(asker.asked) == 1
