from typing import Any

import pytest

from fake_asker import FakeAsker, answer, choose
from penstock.base.errors import OutputError
from penstock.operations import list_models, show_model

LUNA = {"id": "gpt-6-luna", "object": "model", "created": 1767225600, "owned_by": "system"}
OLD = {**LUNA, "id": "gpt-4.1", "shutdown_date": "2027-04-01"}


async def test_models_are_listed_by_name_and_filtered() -> None:
    asker = FakeAsker({"data": [LUNA, OLD]}, {"data": [LUNA, OLD]})
    everything = await list_models.run(asker, list_models.Input(), choose())
    assert [(one.id, one.shutdown_date) for one in everything.models] == [
        ("gpt-4.1", "2027-04-01"),
        ("gpt-6-luna", None),
    ]
    some = await list_models.run(asker, list_models.Input(contains="luna"), choose())
    assert [one.id for one in some.models] == ["gpt-6-luna"]
    assert (asker.asked[0].method, asker.asked[0].is_free, asker.asked[0].is_kept) == ("GET", True, False)


async def test_servers_that_say_little_are_understood() -> None:
    output = await list_models.run(FakeAsker({"data": [{"id": "llama"}]}), list_models.Input(), choose())
    assert output.models[0].model_dump() == {"id": "llama", "owned_by": "", "created": None, "shutdown_date": None}


@pytest.mark.parametrize("content", [None, [], {"data": None}, {"data": [{"id": 7}]}, {"data": [{}]}])
def test_a_reply_that_is_no_list_is_an_error(content: Any) -> None:
    with pytest.raises(OutputError):
        list_models.read(list_models.Input(), answer(content))


async def test_a_model_is_shown_by_its_name_whatever_stands_in_it() -> None:
    asker = FakeAsker(OLD)
    output = await show_model.run(asker, show_model.Input(name="ft:gpt-4.1:acme/../x?y"), choose())
    assert asker.asked[0].path == "/models/ft%3Agpt-4.1%3Aacme%2F..%2Fx%3Fy"
    assert output.shutdown_date == "2027-04-01"


@pytest.mark.parametrize("content", [None, [], {}, {"id": None}])
def test_a_reply_that_is_no_model_is_an_error(content: Any) -> None:
    with pytest.raises(OutputError):
        show_model.read(show_model.Input(name="x"), answer(content))
