from typing import Any

import pytest

from fake_asker import FakeAsker, answer, choose
from penstock.base.errors import InputError, OutputError
from penstock.operations import chat
from penstock.operations.chat import Input

HISTORY = [
    {"role": "system", "content": "You sell shoes."},
    {"role": "user", "content": "Sandals?"},
    {"role": "assistant", "content": "Yes."},
]


def said(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}]}


def prepare(model: str = "gpt-6-luna", **values: Any) -> Any:
    chosen = {name: values.pop(name) for name in ("responses", "refused") if name in values}
    return chat.prepare(Input.model_validate(values), choose(model, **chosen))


def test_orders_come_first_and_in_one_message_in_the_role_that_the_model_knows() -> None:
    body = prepare(messages=HISTORY, text="Size?", instructions="Be kind.").body
    assert [message["role"] for message in body["messages"]] == ["developer", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == "Be kind.\n\nYou sell shoes."
    assert body["messages"][-1]["content"] == "Size?"
    assert prepare("gpt-4.1", messages=HISTORY).body["messages"][0]["role"] == "system"
    assert prepare("my-own-model", messages=HISTORY).body["messages"][0]["role"] == "system"


def test_a_refused_role_is_replaced_by_the_older_one() -> None:
    body = prepare(messages=HISTORY, refused=frozenset({"messages[0].role"})).body
    assert body["messages"][0]["role"] == "system"


def test_a_model_that_only_knows_responses_is_asked_there() -> None:
    ask = prepare("gpt-5-pro", messages=HISTORY, text="Size?")
    assert ask.path == "/responses"
    assert [item["role"] for item in ask.body["input"]] == ["developer", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"prompt": "Hi."}, "text"),
        ({"text": "Hi.", "system": "Be kind."}, "instructions"),
        ({"text": "Hi.", "system_prompt": "Be kind."}, "instructions"),
        ({"history": [{"role": "user", "content": "Hi."}]}, "messages"),
        ({"text": "Hi.", "stop_sequence": ["#"]}, "stop"),
        ({"text": "Hi.", "max_output_tokens": 9}, "max_tokens"),
    ],
)
def test_the_words_of_other_connectors_are_taken(given: dict[str, Any], field: str) -> None:
    assert field in Input.model_validate(given).model_fields_set


@pytest.mark.parametrize("values", [{}, {"text": "  "}, {"messages": [{"role": "user", "content": " "}]}])
def test_a_conversation_in_which_nothing_is_said_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="nothing is said"):
        chat.OPERATION.parse(values)


def test_the_parameters_of_the_older_api_have_their_own_names() -> None:
    assert prepare(text="Hi.", max_tokens=50).body["max_completion_tokens"] == 50
    assert prepare("gpt-4.1", text="Hi.", max_tokens=50).body["max_tokens"] == 50
    assert (
        prepare("gpt-4.1", text="Hi.", stop=["#"], seed=3).body | {"stop": ["#"], "seed": 3}
        == prepare("gpt-4.1", text="Hi.", stop=["#"], seed=3).body
    )


def test_other_servers_are_not_sent_what_only_openai_knows() -> None:
    assert "store" not in prepare("my-own-model", text="Hi.").body
    assert prepare("gpt-6-luna", text="Hi.").body["store"] is False


async def test_what_is_said_comes_back_up_to_a_stop_text() -> None:
    output = await chat.run(FakeAsker(said("Size 39 # and 40")), Input(text="Size?", stop=["#"]), choose())
    assert (output.text, output.data, output.model) == ("Size 39 ", None, "gpt-6-luna")


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (said("Siz", "length"), "output.truncated", "Siz"),
        (said("Siz", "content_filter"), "output.filtered", "Siz"),
        (said(None, refusal="No."), "output.refused", "No."),
        (said(""), "output.empty", ""),
        ({"choices": []}, "output.empty", ""),
        ("nonsense", "output.shape", ""),
    ],
)
def test_an_answer_that_is_none_is_told_apart(content: Any, code: str, text: str) -> None:
    with pytest.raises(OutputError) as caught:
        chat.read(Input(text="Hi."), answer(content))
    assert (caught.value.code, caught.value.text) == (code, text)


async def test_a_cut_answer_is_asked_for_again_with_twice_the_room() -> None:
    asker = FakeAsker(said("Siz", "length"), said("Size 39"))
    assert (await chat.run(asker, Input(text="Size?", max_tokens=20), choose())).text == "Size 39"
    assert [ask.body["max_completion_tokens"] for ask in asker.asked] == [20, 40]


async def test_a_refusal_is_not_asked_for_again() -> None:
    asker = FakeAsker(said(None, refusal="No."))
    with pytest.raises(OutputError):
        await chat.run(asker, Input(text="Hi."), choose())
    assert len(asker.asked) == 1
