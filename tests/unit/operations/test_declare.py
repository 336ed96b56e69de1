from typing import Any

import pytest

from fake_asker import FakeAsker, choose
from penstock.base.errors import InputError, OutputError
from penstock.operations.catalogue import all_operations, find_operation
from penstock.operations.declare import Fields, ModelChoice, Operation
from penstock.runtime.ask import Answer, Ask


class Input(Fields):
    number: int
    """A number."""


class Output(Fields):
    double: int
    """Twice the number."""


def make_ask(body: dict[str, Any]) -> Ask:
    return Ask("double", 1, "/double", "m", body, 1)


def prepare(input: Input, choice: ModelChoice) -> Ask | Output:
    return Output(double=0) if input.number == 0 else make_ask({"n": input.number})


def read(input: Input, answer: Answer) -> Output:
    if answer.content != 2 * input.number:
        raise OutputError(f"{answer.content} is not the double")
    return Output(double=answer.content)


def repair(ask: Ask, answer: Answer, error: OutputError) -> Ask | None:
    return None if answer.content == "hopeless" else make_ask({**ask.body, "wrong": error.message})


DOUBLE = Operation(module=__name__, version=1, input=Input, output=Output, prepare=prepare, read=read, repair=repair)
WITH_FALLBACK = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    fallback=lambda _: Output(double=-1),
)


async def test_a_good_answer_needs_one_call() -> None:
    asker = FakeAsker(14)
    done = await DOUBLE.perform(asker, Input(number=7), choose())
    assert done.output == Output(double=14)
    assert len(done.answers) == len(asker.asked) == 1


async def test_what_needs_no_answer_costs_no_call() -> None:
    asker = FakeAsker()
    done = await DOUBLE.perform(asker, Input(number=0), choose())
    assert (done.output, done.answers, asker.asked) == (Output(double=0), (), [])


async def test_a_bad_answer_is_repaired_once_with_a_request_that_differs() -> None:
    asker = FakeAsker(13, 14)
    done = await DOUBLE.perform(asker, Input(number=7), choose())
    assert done.output == Output(double=14)
    assert len(done.answers) == 2
    assert asker.asked[1].body == {"n": 7, "wrong": "13 is not the double"}
    assert asker.asked[0].address("a") != asker.asked[1].address("a")


async def test_two_bad_answers_are_an_error_and_no_third_call() -> None:
    asker = FakeAsker(13, 15, 14)
    with pytest.raises(OutputError, match="15 is not"):
        await DOUBLE.perform(asker, Input(number=7), choose())
    assert len(asker.asked) == 2


async def test_the_fallback_is_used_after_the_repair_only() -> None:
    asker = FakeAsker(13, 15)
    done = await WITH_FALLBACK.perform(asker, Input(number=7), choose())
    assert done.output == Output(double=-1)
    assert len(done.answers) == 2


async def test_what_cannot_be_repaired_is_not_asked_again() -> None:
    asker = FakeAsker("hopeless")
    done = await WITH_FALLBACK.perform(asker, Input(number=7), choose())
    assert done.output == Output(double=-1)
    assert len(asker.asked) == 1


async def test_a_request_that_was_prepared_before_is_not_prepared_again() -> None:
    asker = FakeAsker(14)
    mine = make_ask({"n": 7, "mine": True})
    await DOUBLE.perform(asker, Input(number=7), choose(), prepared=mine)
    assert asker.asked == [mine]


def test_a_wrong_input_names_each_field_and_the_nearest_right_word() -> None:
    operation = find_operation("analyze-sentiment")
    with pytest.raises(InputError, match=r"analyze-sentiment .*topic: .*not permitted") as caught:
        operation.parse({"text": "fine", "topic": ["price"]})
    assert caught.value.hint == "Did you mean topics?"
    assert caught.value.code == "operation.bad-input"


def test_personal_data_in_a_wrong_input_is_not_in_the_error() -> None:
    with pytest.raises(InputError) as caught:
        find_operation("analyze-sentiment").parse({"text": ["jane@example.com"]})
    assert "jane" not in caught.value.message


def test_an_unknown_operation_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="analyse-sentiments") as caught:
        find_operation("analyse-sentiments")
    assert (caught.value.code, caught.value.hint) == ("operation.unknown", "Did you mean analyze-sentiment?")


def test_listing_operations_imports_none_of_them() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from penstock.operations.catalogue import all_operations; n = all_operations();"
        "assert len(n) >= 3; assert not {'pydantic', 'penstock.operations.decide'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [entry.group for entry in all_operations()] == sorted(
        (entry.group for entry in all_operations()), reverse=True
    )
