from typing import Any

import pytest

from fake_asker import FakeAsker, answer, choose
from penstock.base.errors import InputError, OutputError
from penstock.operations import moderate
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
