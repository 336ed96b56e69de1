import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fake_asker import FakeAsker, answer, choose, judge_as, respond_with
from penstock.features import rubric, sentiment
from penstock.features.aspects import MAX_PIECES, MAX_QUOTE, Aspect, find_quote, number, split
from penstock.features.sentiment import Input
from penstock.operations.schema import make_strict
from penstock.runtime.ask import Ask
from penstock.sandbox.decide import answer_question
from penstock.sandbox.judge import judge

TEXT = "The parcel came two weeks late, but the shoes are lovely. I paid a fair price!"
ASKED = ("delivery", "product quality", "price")


def ask(text: str = TEXT, **rest: Any) -> Ask:
    prepared = sentiment.prepare(Input(text=text, topics=dict.fromkeys(ASKED, ""), aspects=True), choose(**rest))
    assert isinstance(prepared, Ask)
    return prepared


def aspect_answers(*parts: tuple[int, tuple[float, ...]]) -> list[dict[str, Any]]:
    """Answers for a text of three pieces: which piece, and the probabilities of the five levels."""
    answers: list[dict[str, Any]] = []
    for at, (piece, levels) in enumerate(parts):
        chances = [{"value": f"#{one}", "probability": 0.9 if one == piece else 0.05} for one in (1, 2, 3)]
        steps = [
            {"label": name, "value": place, "probability": chance}
            for place, ((_, name, _), chance) in enumerate(zip(rubric.ANCHORS, levels, strict=True))
        ]
        chosen = {"choice": f"#{piece}", "confidence": 0.9, "probabilities": chances}
        answers.append({"type": "choice", "name": f"evidence_{at}", **chosen})
        answers.append(
            {"type": "score", "name": f"aspect_{at}", "score": 2.0, "confidence": 0.5, "probabilities": steps}
        )
    return answers


def test_a_text_is_cut_into_sentences_and_around_a_but() -> None:
    assert [piece.of(TEXT) for piece in split(TEXT)] == [
        "The parcel came two weeks late",
        "but the shoes are lovely.",
        "I paid a fair price!",
    ]


@given(
    st.text(max_size=400)
    | st.lists(st.sampled_from(["Late. ", "good, but ", "!? ", "\n", "。"]), max_size=60).map("".join)
)
def test_pieces_hold_every_letter_of_the_text_in_order(text: str) -> None:
    pieces = split(text)
    assert 1 <= len(pieces) <= MAX_PIECES
    kept = "".join(text[piece.start : piece.end] for piece in pieces)
    assert [letter for letter in kept if letter.isalnum()] == [letter for letter in text if letter.isalnum()]
    assert all(piece.of(text) in text and len(piece.of(text)) <= MAX_QUOTE for piece in pieces)


def test_without_aspects_the_request_is_what_it_was() -> None:
    plain, asked = (
        sentiment.prepare(Input(text=TEXT), choose()),
        sentiment.prepare(Input(text=TEXT, aspects=True), choose()),
    )
    assert isinstance(plain, Ask)
    assert isinstance(asked, Ask)
    assert len(plain.body["questions"]) == 3 + len(sentiment.DEFAULT_TOPICS)
    assert asked.body["questions"][: len(plain.body["questions"])] == plain.body["questions"]
    assert b"[#1]" in asked.content
    assert b"[#1]" not in plain.content


async def test_an_aspect_has_its_own_score_and_the_words_of_the_text() -> None:
    content = judge_as(
        "mixed", (0.1, 0.2, 0.4, 0.2, 0.1), topics={"delivery": 0.9, "product quality": 0.8}, asked=ASKED
    )
    content["answers"] += aspect_answers(
        (1, (0.7, 0.2, 0.1, 0.0, 0.0)), (2, (0.0, 0.0, 0.1, 0.3, 0.6)), (3, (0.0, 0.0, 0.0, 1.0, 0.0))
    )
    given_input = Input(text=TEXT, topics=dict.fromkeys(ASKED, ""), aspects=True)
    output = await sentiment.run(FakeAsker(content), given_input, choose())
    assert output.topics == ["delivery", "product quality"]
    assert output.aspects == [
        Aspect(topic="delivery", score=-0.8, evidence="The parcel came two weeks late", confidence=0.9),
        Aspect(topic="product quality", score=0.75, evidence="but the shoes are lovely.", confidence=0.8),
    ]


async def test_an_aspect_that_the_model_refuses_is_left_out() -> None:
    content = judge_as("negative", (0.7, 0.2, 0.1, 0.0, 0.0), topics={"delivery": 0.9, "price": 0.9}, asked=ASKED)
    glad = (0.0, 0.0, 0.0, 1.0, 0.0)
    content["answers"] += aspect_answers((1, glad), (2, glad), (3, glad))
    content["answers"][6] = {"type": "refusal", "name": "evidence_0"}
    given_input = Input(text=TEXT, topics=dict.fromkeys(ASKED, ""), aspects=True)
    output = sentiment.read(given_input, answer(content))
    assert [aspect.topic for aspect in output.aspects or []] == ["price"]


def structured(*aspects: tuple[str, str, float]) -> dict[str, Any]:
    said = [{"topic": topic, "evidence": quote, "score": score} for topic, quote, score in aspects]
    body = {"evidence": "late", "sarcastic": False, "label": "mixed", "score": 0.0, "topics": [], "aspects": said}
    return respond_with(json.dumps(body))


def test_a_quote_that_is_not_in_the_text_is_no_evidence() -> None:
    content = structured(
        ("price", "a FAIR  price", 0.5), ("delivery", "it never arrived", -1.0), ("product quality", "shoes are", 0.5)
    )
    given_input = Input(text=TEXT, topics=dict.fromkeys(ASKED, ""), aspects=True)
    output = sentiment.read(given_input, answer(content, "gpt-5.4-mini"))
    assert [(one.topic, one.evidence) for one in output.aspects or []] == [
        ("product quality", "shoes are"),
        ("price", "a fair price"),
    ]
    assert output.topics == ["product quality", "price"]


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("送货太慢了。质量很好", "质量很好", "质量很好"),
        ("送货太慢了。质量很好", "太慢", "太慢"),
        ("Café »très« bon", "cafe", ""),
        ("Café »très« bon", "TRÈS bon", "très« bon"),
        ("plate", "late", ""),
        ("late", "…", ""),
    ],
)
def test_a_quote_is_found_whatever_its_case_and_marks(text: str, quote: str, found: str) -> None:
    assert find_quote(text, quote) == found


@given(st.text(max_size=200), st.text(max_size=40))
def test_what_is_found_always_occurs_in_the_text(text: str, quote: str) -> None:
    assert find_quote(text, quote) in text


def test_the_output_names_no_aspects_unless_they_are_asked_for() -> None:
    content = judge_as("positive", (0.0, 0.0, 0.1, 0.3, 0.6))
    assert "aspects" not in sentiment.read(Input(text="Fine shoes"), answer(content)).model_dump(mode="json")
    nothing = sentiment.prepare(Input(text="n/a", aspects=True), choose())
    assert nothing.model_dump(mode="json")["aspects"] == []  # type: ignore[union-attr]


def test_the_sandbox_judges_each_topic_by_the_words_about_it() -> None:
    request = ask("The delivery was terrible and late. The price is great.")
    user = request.body["input"][1]["content"]
    answers = [answer_question(question, judge(user)) for question in request.body["questions"]]
    given_input = Input(
        text="The delivery was terrible and late. The price is great.",
        topics=dict.fromkeys(ASKED, ""),
        aspects=True,
    )
    output = sentiment.read(given_input, answer({"answers": answers}))
    scores = {one.topic: (one.score, one.evidence) for one in output.aspects or []}
    assert scores["delivery"][0] < 0 < scores["price"][0]
    assert scores["delivery"][1] == "The delivery was terrible and late."
    assert scores["price"][1] == "The price is great."


def test_the_numbered_text_holds_the_text() -> None:
    assert number(TEXT, split(TEXT)).startswith("[#1] The parcel came two weeks late\n[#2] but the shoes")


def test_the_request_is_what_the_vendors_own_client_would_send() -> None:
    decisions = pytest.importorskip("openai.types.decision_create_params")
    responses = pytest.importorskip("openai.types.responses.response_create_params")
    for text in (TEXT, "One part"):
        TypeAdapter(decisions.DecisionCreateParams).validate_python(ask(text).body)
    body = ask(model="gpt-5.4-mini").body
    TypeAdapter(responses.ResponseCreateParamsNonStreaming).validate_python(body)
    schema = body["text"]["format"]["schema"]
    assert make_strict(schema) == (schema, [])


HARD = {"evidence": "?", "sarcastic": False, "score": 0.0, "topics": ["price"]}


def say(label: str, score: float = 0.0) -> dict[str, Any]:
    return respond_with(json.dumps({**HARD, "label": label, "score": score}))


@pytest.mark.parametrize(
    ("said", "label", "confidence"),
    [
        (["neutral"] * 3, "neutral", 1.0),
        (["mixed", "neutral", "mixed", "mixed", "neutral"], "mixed", 0.6),
        (["neutral", "mixed", "mixed", "neutral", "unclear"], "neutral", 0.4),
    ],
)
async def test_what_samples_agree_on_is_the_confidence(said: list[str], label: str, confidence: float) -> None:
    asker = FakeAsker(*map(say, said))
    output = await sentiment.run(asker, Input(text=TEXT, agreement=True), choose("gpt-5.4-mini"))
    assert (output.label, output.confidence, output.topics) == (label, confidence, ["price"])
    assert len({request.address("a") for request in asker.asked}) == len(said)


async def test_a_clear_judgement_is_not_asked_again() -> None:
    asker = FakeAsker(say("negative", -0.8))
    output = await sentiment.run(asker, Input(text=TEXT, agreement=True), choose("gpt-5.4-mini"))
    assert (output.confidence, len(asker.asked)) == (None, 1)


async def test_without_agreement_one_answer_is_bought() -> None:
    asker = FakeAsker(say("neutral"))
    await sentiment.run(asker, Input(text=TEXT), choose("gpt-5.4-mini"))
    assert len(asker.asked) == 1


def test_a_calibration_brings_the_confidence_down() -> None:
    content = judge_as("negative", (0.7, 0.2, 0.1, 0.0, 0.0), sure=0.9)
    output = sentiment.read(Input(text="late", calibration=(0.5, 0.0)), answer(content))
    assert output.confidence == pytest.approx(0.75)
