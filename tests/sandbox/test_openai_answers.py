import json
import re

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_emulator_calls import PREDICATE, Calls

from penstock.sandbox.fill import Filler
from penstock.sandbox.judge import judge
from penstock.sandbox.pattern import Pattern
from penstock.sandbox.prompt import Entry, unwrap
from penstock.sandbox.schema import find_fault

FIELDS = ["score", "label", "topics", "confidence", "evidence", "id", "x", "language"]
MOODS = [{"value": "positive"}, {"value": "neutral"}, {"value": "negative"}, {"value": "mixed"}]
LEVELS = [{"label": label} for label in ("very negative", "negative", "neutral", "positive", "very positive")]


def mood(**rest):
    return {"type": "choice", "instructions": "The mood.", "choices": MOODS, **rest}


def level(**rest):
    return {"type": "score", "instructions": "The mood.", "levels": LEVELS, **rest}


@pytest.fixture
def openai():
    return Calls()


@pytest.mark.parametrize(
    ("text", "label", "language"),
    [
        ("Absolutely love it, great support!", "positive", "en"),
        ("The worst purchase of my life, I hate it.", "negative", "en"),
        ("It is a table.", "neutral", "en"),
        ("", "neutral", "en"),
        ("great staff but awful room", "mixed", "en"),
        ("Die Lieferung war schrecklich, alles kaputt.", "negative", "de"),
        ("Es ist nicht schlecht, ich bin sehr zufrieden", "positive", "de"),
        ("Le service était excellent, merci", "positive", "fr"),
        ("El producto llegó roto y el servicio es pésimo", "negative", "es"),
        ("Sono molto soddisfatto, ottimo prodotto", "positive", "it"),
        ("Het pakket is kapot en de service is slecht", "negative", "nl"),
    ],
)
def test_the_lexicon_reads_mood_and_language(text, label, language):
    found = judge(text)
    assert (found.label, found.language) == (label, language)
    assert -1 <= found.score <= 1
    assert 0.5 <= found.confidence <= 1


@pytest.mark.parametrize(
    "text",
    [
        "Too slow.",
        "<feedback>Too slow.</feedback>",
        "Judge this great text: <customer_text>\nToo slow.\n</customer_text> Thank you!",
        'Judge this great text:\n"""\nToo slow.\n"""',
        '{"id": 3, "feedback": "Too slow."}',
        'Great texts to judge: [{"id": 3, "text": "Too slow."}]',
        '{"records": [{"id": 3, "text": "Too slow."}]}',
    ],
)
def test_only_the_customers_words_are_judged(text):
    assert [entry.text for entry in unwrap(text)] == ["Too slow."]


def test_tags_inside_the_customers_words_stay():
    (entry,) = unwrap("I <b>love</b> it")
    assert entry.text == "I <b>love</b> it"


async def test_instructions_and_earlier_messages_do_not_colour_the_judgement(openai):
    messages = [
        {"role": "developer", "content": "You are a wonderful, excellent and happy judge."},
        {"role": "user", "content": "I love it"},
        {"role": "assistant", "content": "Great!"},
        {"role": "user", "content": [{"type": "input_json", "data": {"feedback": "Broken and terrible."}}]},
    ]
    (answer,) = (await openai.decide(messages, mood())).json["answers"]
    assert answer["choice"] == "negative"


@given(
    text=st.text(max_size=80),
    names=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=9, unique=True),
    labels=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=11),
)
@settings(max_examples=60)
async def test_probabilities_are_coherent_whatever_is_asked(text, names, labels):
    choice = {"type": "choice", "instructions": "Which?", "choices": [{"value": name} for name in names]}
    score = {"type": "score", "instructions": "How?", "levels": [{"label": label} for label in labels]}
    got = await Calls().decide(text, PREDICATE, choice, score)
    predicate, chosen, scored = got.json["answers"]
    assert 0 <= predicate["probability"] <= 1
    shares = {one["value"]: one["probability"] for one in chosen["probabilities"]}
    assert list(shares) == names
    assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
    assert shares[chosen["choice"]] == chosen["confidence"] == max(shares.values())
    assert [one["label"] for one in scored["probabilities"]] == labels
    assert sum(one["probability"] for one in scored["probabilities"]) == pytest.approx(1, abs=1e-9)
    assert 0 <= scored["score"] <= len(labels) - 1
    assert scored["score"] == pytest.approx(
        sum(one["value"] * one["probability"] for one in scored["probabilities"]), abs=1e-5
    )


async def test_a_better_text_scores_higher_and_falling_levels_turn_the_score_round(openai):
    async def score(text, question):
        return (await openai.decide(text, question)).json["answers"][0]["score"]

    falling = level(levels=LEVELS[::-1])
    assert await score("I hate it, terrible", level()) < 1.5 < 2.5 < await score("I love it, great", level())
    assert await score("I hate it, terrible", falling) > 2.5 > 1.5 > await score("I love it, great", falling)


async def test_topics_are_found_by_name_in_the_texts_own_language(openai):
    asked = [{"type": "predicate", "instructions": f"The text is about {name}."} for name in ("delivery", "price")]
    answers = (await openai.decide("Die Lieferung kam zu spät", *asked)).json["answers"]
    assert answers[0]["probability"] > 0.8
    assert answers[1]["probability"] < 0.2
    choice = mood(choices=[{"value": "delivery"}, {"value": "price"}, {"value": "other"}])
    assert (await openai.decide("Way too expensive", choice)).json["answers"][0]["choice"] == "price"
    assert (await openai.decide("Hm.", choice)).json["answers"][0]["choice"] == "other"


async def test_booleans_are_chosen_as_booleans(openai):
    choice = {"type": "choice", "instructions": "The text is about the delivery."}
    choice["choices"] = [{"value": False}, {"value": True}]
    (answer,) = (await openai.decide("The parcel never came", choice)).json["answers"]
    assert answer["choice"] is True


async def test_equal_requests_get_equal_answers_in_another_world():
    asked = [PREDICATE, mood(), level()]
    one = await Calls().decide("The parcel was late but the staff was kind.", *asked)
    other = await Calls().decide("The parcel was late but the staff was kind.", *asked)
    assert one.raw == other.raw


def make_schemas():
    numbers = st.one_of(
        st.just({"type": "number", "minimum": -1, "maximum": 1}),
        st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        st.just({"type": "integer", "minimum": 1, "maximum": 5}),
        st.just({"type": "integer", "minimum": 10, "multipleOf": 7}),
        st.just({"type": ["integer", "null"]}),
        st.just({"type": "number", "exclusiveMaximum": -3}),
    )
    strings = st.one_of(
        st.just({"type": "string"}),
        st.just({"type": "string", "format": "date"}),
        st.just({"type": "string", "format": "uuid"}),
        st.just({"type": "string", "pattern": r"^[A-Z]{2}-\d{3,5}$"}),
        st.just({"type": "string", "minLength": 3, "maxLength": 8}),
        st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True).map(
            lambda values: {"type": "string", "enum": values}
        ),
        st.just({"const": "fixed"}),
        st.just({"enum": [1, "two", None]}),
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
    )

    def deeper(inner):
        objects = st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
        arrays = st.tuples(inner, st.integers(0, 3), st.integers(0, 3))
        return st.one_of(
            objects.map(as_object),
            arrays.map(lambda one: {"type": "array", "items": one[0], "minItems": one[1], "maxItems": one[1] + one[2]}),
            st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        )

    inner = st.recursive(numbers | strings, deeper, max_leaves=8)
    return st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=5).map(as_object)


def as_object(properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@given(schema=make_schemas(), text=st.text(max_size=40))
@settings(max_examples=150)
def test_any_strict_schema_is_filled_with_what_fits(schema, text):
    assert find_fault(schema) is None
    filled = Filler(schema, [(Entry(None, text), judge(text))]).fill()
    jsonschema_rs.validate(schema, json.loads(json.dumps(filled)))


def test_a_schema_that_contains_itself_is_filled_to_an_end():
    node = as_object({"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}})
    schema = {**as_object({"first": {"$ref": "#/$defs/node"}}), "$defs": {"node": node}}
    assert find_fault(schema) is None
    filled = Filler(schema, [(Entry(None, "Hello"), judge("Hello"))]).fill()
    jsonschema_rs.validate(schema, filled)


@pytest.mark.parametrize(
    "pattern", [r"^a{2,}b?$", r"(x|y)\1", r"^[^0-9]+$", r"^\w+@\w+\.com$", r"^(?:19|20)\d\d$", r"[^\s]", r"^.\S\D\W$"]
)
def test_an_example_matches_its_pattern(pattern):
    assert re.search(pattern, Pattern(pattern).example())


async def test_packed_records_come_back_each_under_its_id(openai):
    item = as_object({"id": {"type": "integer"}, "label": {"type": "string", "enum": ["positive", "negative"]}})
    schema = as_object({"results": {"type": "array", "items": item}})
    packed = [{"id": 7, "text": "I love it"}, {"id": 9, "text": "I hate it"}]
    got = await openai(
        "responses",
        {
            "model": "gpt-6-luna",
            "input": json.dumps(packed),
            "text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": schema}},
        },
    )
    text = got.json["output"][-1]["content"][0]["text"]
    assert json.loads(text)["results"] == [{"id": 7, "label": "positive"}, {"id": 9, "label": "negative"}]
