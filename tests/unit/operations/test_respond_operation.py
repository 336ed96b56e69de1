from typing import Any

import pytest
from pydantic import BaseModel

from fake_asker import FakeAsker, answer, choose, respond_with
from penstock.base.errors import InputError, OutputError
from penstock.operations import respond
from penstock.operations.respond import Input

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 5}}, "required": ["city"]}


def prepare(model: str, **rest: Any) -> Any:
    chosen = {name: rest.pop(name) for name in ("tier", "strict", "refused", "responses") if name in rest}
    return respond.prepare(Input.model_validate({"text": "Where?", **rest}), choose(model, **chosen))


@pytest.mark.parametrize(
    ("model", "effort"),
    [("gpt-6-luna", "none"), ("gpt-6.1-sol", "low"), ("gpt-5", "minimal"), ("o3", "low"), ("gpt-4.1", None)],
)
def test_the_least_effort_that_a_model_allows_is_the_default(model: str, effort: str | None) -> None:
    body = prepare(model).body
    assert body.get("reasoning") == ({"effort": effort} if effort else None)


def test_nothing_is_stored_at_the_vendor() -> None:
    assert prepare("gpt-6-luna").body["store"] is False


def test_reasoning_gets_room_beside_the_visible_answer() -> None:
    assert prepare("gpt-6-luna", max_tokens=100).max_output_tokens == 100
    thinking = prepare("gpt-6-luna", max_tokens=100, effort="medium")
    assert thinking.max_output_tokens == thinking.body["max_output_tokens"] == 2600


def test_an_effort_that_the_model_does_not_take_is_refused_or_replaced_by_the_nearest() -> None:
    with pytest.raises(InputError, match="does not take none"):
        prepare("o3", effort="none", strict=True)
    ask = prepare("o3", effort="none")
    assert ask.body["reasoning"] == {"effort": "low"}
    assert ask.warnings == ("effort: o3 does not take none; low is used",)


@pytest.mark.parametrize(
    ("model", "effort", "taken"),
    [
        ("gpt-4.1", None, True),
        ("gpt-6-luna", None, True),
        ("gpt-6-luna", "low", False),
        ("gpt-6.1-sol", None, False),
        ("my-own-model", None, True),
    ],
)
def test_temperature_goes_only_where_it_is_taken(model: str, effort: str | None, taken: bool) -> None:
    if taken:
        assert prepare(model, effort=effort, temperature=0.3).body["temperature"] == 0.3
    else:
        with pytest.raises(InputError, match="temperature cannot be honoured"):
            prepare(model, effort=effort, temperature=0.3, strict=True)
        ask = prepare(model, effort=effort, temperature=0.3)
        assert "temperature" not in ask.body
        assert [warning.partition(":")[0] for warning in ask.warnings] == ["temperature"]


def test_a_tier_is_sent_and_kept() -> None:
    ask = prepare("gpt-6-luna", tier="flex")
    assert (ask.tier, ask.body["service_tier"]) == ("flex", "flex")
    assert "service_tier" not in prepare("gpt-6-luna").body


def test_a_model_without_structured_output_is_told_the_schema_and_checked_here() -> None:
    ask = prepare("gpt-5.4-pro", answer_schema=SCHEMA)
    assert ask.body["text"]["format"] == {"type": "json_object"}
    assert "JSON Schema" in ask.body["instructions"]
    assert "cannot be held to a schema" in ask.warnings[0]


def test_a_schema_that_strict_mode_cannot_say_is_sent_loose_and_checked_here() -> None:
    counts = {"type": "object", "additionalProperties": {"type": "integer"}}
    ask = prepare("gpt-6-luna", answer_schema=counts)
    assert ask.body["text"]["format"]["strict"] is False
    assert ask.body["text"]["format"]["schema"] == counts
    assert "strict mode is off" in ask.warnings[0]
    assert read(respond_with('{"Rome": 2}'), counts).data == {"Rome": 2}
    with pytest.raises(OutputError, match="integer"):
        read(respond_with('{"Rome": "two"}'), counts)


def test_an_answer_that_is_no_object_stands_under_a_name_on_the_way() -> None:
    cities = {"type": "array", "items": {"type": "string"}}
    ask = prepare("gpt-6-luna", answer_schema=cities)
    assert ask.body["text"]["format"]["schema"]["required"] == ["value"]
    assert read(respond_with('{"value": ["Rome"]}'), cities).data == ["Rome"]


def test_an_optional_property_that_came_as_null_is_taken_out_again() -> None:
    assert (
        read(respond_with('{"city": null}'), {"type": "object", "properties": {"city": {"type": "string"}}}).data == {}
    )


class City(BaseModel):
    name: str
    people: int | None = None


def test_a_pydantic_model_is_a_schema() -> None:
    ask = prepare("gpt-6-luna", answer_schema=City)
    assert ask.body["text"]["format"]["schema"]["required"] == ["name", "people"]
    assert read(respond_with('{"name": "Rome", "people": null}'), City).data == {"name": "Rome", "people": None}


def test_the_wishes_of_the_other_connectors_are_taken_by_their_names() -> None:
    ask = prepare("gpt-6-luna", max_output_tokens=50, stop_sequence=["\n"], suffix="The end.")
    assert ask.body["max_output_tokens"] == 50
    assert "The end." in ask.body["instructions"]
    assert [warning.partition(":")[0] for warning in ask.warnings] == ["stop", "suffix"]


def test_an_answer_is_cut_at_a_stop_text() -> None:
    assert respond.read(Input(text="Where?", stop=["!", "."]), answer(respond_with("Rome. Or Oslo!"))).text == "Rome"


def test_an_endpoint_without_the_responses_api_is_asked_over_chat() -> None:
    ask = prepare("gpt-4.1", instructions="Be brief.", stop=["."], temperature=0.2, responses=False)
    assert ask.path == "/chat/completions"
    assert ask.body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}]
    assert (ask.body["max_tokens"], ask.body["stop"], ask.body["temperature"]) == (800, ["."], 0.2)
    assert ask.warnings == ()
    reasoning = prepare("gpt-5.6-luna", instructions="Be brief.", responses=False, max_tokens=100)
    assert reasoning.body["messages"][0]["role"] == "developer"
    assert reasoning.body["max_completion_tokens"] == 100


@pytest.mark.parametrize(
    ("refused", "wish", "gone"),
    [
        ("temperature", {"temperature": 0.3}, "temperature"),
        ("reasoning.effort", {"effort": "low"}, "reasoning"),
        ("text.verbosity", {"verbosity": "low"}, "text"),
    ],
)
def test_what_the_vendor_was_seen_to_refuse_is_not_sent_again(refused: str, wish: dict[str, Any], gone: str) -> None:
    assert gone in prepare("gpt-6-luna", **wish).body
    ask = prepare("gpt-6-luna", refused=frozenset({refused}), **wish)
    assert gone not in ask.body
    assert len(ask.warnings) == 1


def test_a_schema_is_sent_strict_and_without_lengths() -> None:
    form = prepare("gpt-6-luna", answer_schema=SCHEMA).body["text"]["format"]
    assert form["strict"] is True
    assert form["schema"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }


def read(content: Any, schema: Any = None) -> respond.Output:
    return respond.read(Input(text="Where?", answer_schema=schema), answer(content))


def test_text_of_several_parts_is_joined() -> None:
    content = respond_with("one ")
    content["output"][1]["content"].append({"type": "output_text", "text": "two"})
    assert read(content).text == "one two"


def test_json_is_decoded_and_held_against_the_schema_with_its_lengths() -> None:
    assert read(respond_with('{"city": "Rome"}'), SCHEMA).data == {"city": "Rome"}
    with pytest.raises(OutputError, match="longer than 5") as caught:
        read(respond_with('{"city": "Constantinople"}'), SCHEMA)
    assert caught.value.text == '{"city": "Constantinople"}'


REFUSAL = {"status": "completed", "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (
            respond_with("{", status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "output.truncated",
        ),
        (respond_with("", status="incomplete", incomplete_details={"reason": "content_filter"}), "output.filtered"),
        (respond_with("", status="failed", error={"code": "server_error", "message": "x"}), "output.failed"),
        (respond_with("", status="in_progress"), "output.unfinished"),
        (respond_with("x", status="incomplete", incomplete_details=None), "output.truncated"),
        (REFUSAL, "output.refused"),
        (respond_with("  "), "output.empty"),
        ({"status": "completed", "output": None}, "output.empty"),
        ([], "output.shape"),
    ],
)
def test_what_is_not_a_good_answer_is_told_apart(content: Any, code: str) -> None:
    with pytest.raises(OutputError) as caught:
        read(content)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["Rome", '{"city": "Ro', "[" * 100_000, '{"town": "Rome"}', '{"city": NaN}'])
def test_json_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(OutputError) as caught:
        read(respond_with(text), SCHEMA)
    assert caught.value.code in ("output.not-json", "output.schema")


async def test_a_cut_answer_is_repaired_with_twice_the_room() -> None:
    cut = respond_with("Ro", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    asker = FakeAsker(cut, respond_with("Rome"))
    output = await respond.run(asker, Input(text="Where?", max_tokens=50), choose())
    assert output.text == "Rome"
    assert [ask.body["max_output_tokens"] for ask in asker.asked] == [50, 100]
    assert asker.asked[1].max_output_tokens == 100


async def test_a_wrong_answer_is_repaired_with_what_was_wrong() -> None:
    asker = FakeAsker(respond_with('{"town": "Rome"}'), respond_with('{"city": "Rome"}'))
    output = await respond.run(asker, Input(text="Where?", answer_schema=SCHEMA), choose())
    assert output.data == {"city": "Rome"}
    roles = [message["role"] for message in asker.asked[1].body["input"]]
    assert roles == ["user", "assistant", "developer"]
    assert "required" in asker.asked[1].body["input"][2]["content"]


async def test_a_refusal_is_not_asked_again() -> None:
    asker = FakeAsker(REFUSAL)
    with pytest.raises(OutputError) as caught:
        await respond.run(asker, Input(text="Where?"), choose())
    assert (caught.value.code, len(asker.asked)) == ("output.refused", 1)
