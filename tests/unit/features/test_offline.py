import pytest

from penstock.features.offline import is_english, score_emoji, score_offline

pytest.importorskip("vaderSentiment")

ENGLISH = ["The parcel was late.", "Great quality, love it!", "terrible", "i would buy this again", "Awesome!!!",
           "It's ok I guess", "no problems so far", "WORST SHOP EVER"]  # fmt: skip
FOREIGN = ["Die Lieferung war sehr spät", "Très bon produit", "Muy buen servicio", "Molto contento del servizio",
           "Ik ben niet tevreden met het product", "Bardzo dobry produkt", "Очень плохо", "とても良い", "很好", "ممتاز",
           "Não gostei do produto", "Mycket bra produkt", "War alles gut", "çok kötü bir ürün"]  # fmt: skip


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_recognised(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize("text", FOREIGN)
def test_other_languages_are_unknown_not_guessed(text: str) -> None:
    assert score_offline(text) == (0.0, "unclear")


def test_a_given_language_is_believed() -> None:
    assert score_offline("super gut", "en-GB") != (0.0, "unclear")
    assert score_offline("The parcel was great", "de") == (0.0, "unclear")


@pytest.mark.parametrize(
    ("text", "label"),
    [("I love it, great!", "positive"), ("I hate it, awful!", "negative"), ("It is a table", "neutral")],
)
def test_english_is_scored_with_sign_and_label_agreeing(text: str, label: str) -> None:
    verdict = score_offline(text)
    assert verdict is not None
    assert verdict.label == label
    assert {"positive": verdict.score > 0, "negative": verdict.score < 0, "neutral": abs(verdict.score) < 0.05}[label]


@pytest.mark.parametrize(
    ("text", "score"),
    [("😍😍👍", 0.5), ("😡", -0.5), ("😍😡", 0), ("🚚", 0), ("👍🏽", 0.5), (":-)", 0.5), (":((", -0.5)],
)
def test_emoji_of_one_kind_are_judged(text: str, score: float) -> None:
    assert score_emoji(text).score == score
