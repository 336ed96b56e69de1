from typing import Any

import pytest

from fake_asker import FakeAsker, answer, choose
from penstock.base.errors import InputError, OutputError
from penstock.operations import moderate
from penstock.operations.media import RED_SQUARE
from penstock.operations.moderate import Input

GOOD = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.01}}
BAD = {
    "flagged": True,
    "categories": {"violence": True, "hate": False, "harassment": True},
    "category_scores": {"violence": 0.9, "hate": 0.1, "harassment": 0.6},
}


async def test_each_text_gets_its_verdict_in_order() -> None:
    asker = FakeAsker({"results": [GOOD, BAD]})
    output = await moderate.run(asker, Input(texts=["a", "b"]), choose("omni-moderation-latest"))
    assert [verdict.flagged for verdict in output.verdicts] == [False, True]
    assert output.verdicts[1].categories == ["harassment", "violence"]
    assert output.verdicts[1].scores["violence"] == 0.9
    assert (asker.asked[0].path, asker.asked[0].is_free) == ("/moderations", True)


@pytest.mark.parametrize(
    "content",
    [{}, [], None, {"results": None}, {"results": [GOOD]}, {"results": [GOOD, {}]}, {"results": [GOOD, 7]},
     {"results": [GOOD, {**GOOD, "category_scores": {"hate": "much"}}]}],
)  # fmt: skip
def test_a_reply_of_another_shape_is_an_error(content: Any) -> None:
    with pytest.raises(OutputError):
        moderate.read(Input(texts=["a", "b"]), answer(content))


@pytest.mark.parametrize("texts", [[], ["x"] * 257, "x", [7], None])
def test_wrong_texts_are_named(texts: Any) -> None:
    with pytest.raises(InputError, match="texts"):
        moderate.OPERATION.parse({"texts": texts})


async def test_a_picture_is_looked_at_together_with_its_texts() -> None:
    asker = FakeAsker({"results": [BAD]})
    parsed = moderate.OPERATION.parse({"texts": ["a"], "image": f"data:image/png;base64,{RED_SQUARE}"})
    output = await moderate.run(asker, parsed, choose("omni-moderation-latest"))
    assert [verdict.flagged for verdict in output.verdicts] == [True]
    text, image = asker.asked[0].body["input"]
    assert text == {"type": "text", "text": "a"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    alone = moderate.OPERATION.parse({"image": f"data:image/png;base64,{RED_SQUARE}"})
    assert len(moderate.prepare(alone, choose("omni-moderation-latest")).body["input"]) == 1
    with pytest.raises(OutputError):
        moderate.read(alone, answer({"results": [GOOD, GOOD]}))


@pytest.mark.parametrize("image", ["data:text/plain;base64,YWJj", "http://shop.example/a.png", "/etc/passwd", 7])
def test_what_is_no_picture_is_refused(image: Any) -> None:
    with pytest.raises(InputError, match="image"):
        moderate.OPERATION.parse({"image": image})
