"""Names from a model: two alike are asked for again, one that finds nobody gives way, an outage is no end."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("numpy", reason="needs the extra segments")

from penstock.base.errors import OutputError, StoppedError, UnavailableError
from penstock.features import naming
from penstock.features.segment_book import Name
from penstock.features.segment_names import Nameless, name_segments
from penstock.features.segments import mark
from penstock.operations import classify

WORDS = {"s1": Name("shoes · socks"), "s2": Name("seeds · pots"), "s3": Name("By hand", by="person")}


class Model:
    """Answers with the names that it is given, one after the other, and recognises members or not."""

    language = "en"

    def __init__(self, names: dict[str, list[Any]], lost: tuple[str, ...] = ()) -> None:
        self.names = {one: list(said) for one, said in names.items()}
        self.lost = lost
        self.asked: list[naming.Input] = []

    async def perform(self, module: Any, input: Any) -> Any:
        if module is classify:
            one = input.text.split()[0]
            return classify.Output(labels=["s3" if one in self.lost else one], probabilities=None, model="m")
        self.asked.append(input)
        said = self.names[input.members[0].split()[0]].pop(0)
        if isinstance(said, Exception):
            raise said
        return naming.Output(name=said, description="About them.", difference="Unlike others.", model="m")


def wanted(*ids: str) -> list[Nameless]:
    return [Nameless(one, [f"{one} member {n}" for n in range(4)], [f"{one} held"] * 4, ["far"], ["w"]) for one in ids]


async def name(model: Model) -> dict[str, Name]:
    return await name_segments(model, wanted("s1", "s2"), WORDS)  # type: ignore[arg-type]


async def test_names_are_taken_with_what_they_rest_on() -> None:
    named = await name(Model({"s1": ["Runners"], "s2": ["Gardeners"]}))
    assert [(one.name, one.by, one.right, one.asked) for one in named.values()] == [
        ("Runners", "model", 4, 4),
        ("Gardeners", "model", 4, 4),
    ]
    assert named["s1"].shown == [mark(f"s1 member {n}") for n in range(4)]


async def test_the_second_of_two_equal_names_is_asked_for_again_with_what_is_taken() -> None:
    model = Model({"s1": ["Fans", "Runners"], "s2": ["FANS", "Gardeners"]})
    named = await name(model)
    assert len({one.name.casefold() for one in named.values()}) == 2
    assert model.asked[-1].taken
    assert "By hand" in model.asked[0].taken


async def test_a_name_by_which_nobody_is_recognised_gives_way_to_words() -> None:
    named = await name(Model({"s1": ["Runners"], "s2": ["Gardeners"]}, lost=("s2",)))
    assert (named["s1"].by, named["s2"].by, named["s2"].name) == ("model", "terms", "seeds · pots")
    assert "0 of 4" in named["s2"].problem
    assert (named["s2"].right, named["s2"].asked) == (0, 4)


@pytest.mark.parametrize(
    ("error", "is_asked_again"),
    [
        (OutputError("refused", code="output.refused"), False),
        (UnavailableError("down", code="openai.unavailable"), True),
    ],
)
async def test_where_no_name_comes_the_words_stay(error: Exception, is_asked_again: bool) -> None:
    named = await name(Model({"s1": [error], "s2": ["Gardeners"]}))
    assert (named["s1"].name, named["s1"].by) == ("shoes · socks", "terms")
    assert named["s1"].problem
    assert bool(named["s1"].shown) != is_asked_again  # what rests on nothing is not kept


async def test_a_budget_that_ends_ends_the_naming() -> None:
    with pytest.raises(StoppedError):
        await name(Model({"s1": [StoppedError("spent", code="budget.exceeded")], "s2": ["Gardeners"]}))
