"""make-visual: what is asked for, what is made of it, and what is said of it to those who do not see it."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_asker import FakeAsker, choose, respond_with
from penstock.base.errors import InputError, OutputError, RejectedError
from penstock.features import visuals
from penstock.features.picturing.alt import check_alt
from penstock.features.picturing.brief import VisualBrief
from penstock.features.visuals import Input
from penstock.operations.pictures import fit_size
from penstock.sandbox.pixels import draw_look, encode_picture
from penstock.vendor.models import load_catalogue

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")

OFFER = "Summer sandals with 20 % off until 2026-08-31, code SUMMER20, from 49.90 €."
FINE = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}}
BAD = {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.99}}
EN = "A pair of sandals in front of a bright wall in the evening sun."
DE = "Ein Paar Sandalen vor einer hellen Wand in der Abendsonne."


def said(verdict: dict[str, Any]) -> dict[str, Any]:
    return {"results": [verdict]}


def drawn(width: int = 1200, height: int = 800, kind: str = "jpeg", copies: int = 1) -> dict[str, Any]:
    pictures = [encode_picture(draw_look(str(at)), width, height, kind) for at in range(copies)]
    return {"data": [{"b64_json": base64.b64encode(one).decode()} for one in pictures]}


def told(**texts: str) -> dict[str, Any]:
    words = ", ".join(f'"{language}": "{text}"' for language, text in texts.items())
    return respond_with(f'{{"alt_texts": {{{words}}}}}')


def choice(model: str = "gpt-image-2", writer: str | None = "gpt-6-luna", **rest: Any):
    found = load_catalogue().find(writer) if writer else None
    return choose(model, writer=found, **rest)


async def make(*contents: Any, model: str = "gpt-image-2", writer: str | None = "gpt-6-luna", **values: Any):
    asker = FakeAsker(*contents)
    done = await visuals.OPERATION.perform(asker, Input(offer=OFFER, **values), choice(model, writer))
    assert not asker.contents
    return done, asker


async def test_a_picture_is_moderated_drawn_looked_at_and_described_in_this_order() -> None:
    done, asker = await make(said(FINE), drawn(), told(en=EN, de=DE), said(FINE), languages=["en", "de"])
    assert [ask.path for ask in asker.asked] == ["/moderations", "/images/generations", "/responses", "/moderations"]
    (one,) = done.output.visuals
    assert (one.width, one.height, one.shown, one.picture.media_type) == (1200, 800, 600, "image/jpeg")
    assert one.alt == {"en": EN, "de": DE}
    assert one.origin == "stated"
    assert {check.verdict for check in one.checks} == {"ok"}
    assert [part["type"] for part in asker.asked[3].body["input"]] == ["text", "text", "image_url"]
    assert (done.output.state, done.output.model) == ("needs approval", "gpt-image-2")
    assert done.warnings == ()


async def test_what_is_harmful_is_refused_before_anything_is_paid() -> None:
    with pytest.raises(InputError) as caught:
        await make(said(BAD))
    assert caught.value.code == "visual.flagged"


async def test_a_harmful_picture_is_set_aside_and_not_given_out() -> None:
    texts = {"en": EN}
    done, _ = await make(said(FINE), drawn(copies=2), said(BAD), said(FINE), alt=texts, copies=2)
    assert len(done.output.visuals) == 1
    assert [one.why for one in done.output.rejected] == ["moderation: violence"]
    with pytest.raises(OutputError) as caught:
        await make(said(FINE), drawn(), said(BAD), alt=texts)
    assert caught.value.code == "output.checks"


async def test_where_there_is_no_moderation_the_check_says_so() -> None:
    missing = RejectedError("no such model", code="openai.model-not-found", status=404)
    done, _ = await make(missing, drawn(), missing, alt={"en": EN})
    assert [one.verdict for one in done.output.visuals[0].checks if one.name == "moderation"] == ["unknown"]
    done, asker = await make(drawn(), alt={"en": EN}, moderation=False)
    assert len(asker.asked) == 1


async def test_a_text_that_a_check_refuses_is_repaired_once_and_the_good_ones_are_kept() -> None:
    bad = "Image of sandals at 77 % off in front of a wall."
    done, asker = await make(
        said(FINE), drawn(), told(en=bad, de=DE), told(en=EN, de=DE), said(FINE), languages=["en", "de"]
    )
    assert done.output.visuals[0].alt == {"en": EN, "de": DE}
    assert "77 % is not in the brief" in str(asker.asked[3].body["input"])
    done, _ = await make(
        said(FINE), drawn(), told(en=bad, de=DE), told(en=bad, de=DE), said(FINE), languages=["en", "de"]
    )
    (one,) = done.output.visuals
    assert one.alt == {"de": DE}
    assert [check.verdict for check in one.checks if check.name == "alt en"] == ["warning"]
    assert any("77 %" in warning for warning in done.warnings)


async def test_own_words_are_not_written_anew_and_no_text_model_is_asked() -> None:
    done, asker = await make(drawn(), alt={"en": "Photo of a thing."}, moderation=False, writer=None)
    assert done.output.visuals[0].alt == {"en": "Photo of a thing."}
    assert any("alt opening" in warning for warning in done.warnings)
    done, asker = await make(drawn(), moderation=False, writer=None)
    assert len(asker.asked) == 1
    assert any("write alternative texts yourself" in warning for warning in done.warnings)


async def test_an_older_model_makes_a_larger_picture_that_is_made_to_fit() -> None:
    done, asker = await make(drawn(1536, 1024), model="gpt-image-1.5", alt={"en": EN}, moderation=False)
    (one,) = done.output.visuals
    assert asker.asked[0].body["size"] == "1536x1024"
    assert (one.width, one.height) == (1200, 800)
    assert any("does not make 1200x800" in warning for warning in done.warnings)


async def test_a_small_picture_stays_small_and_that_is_said() -> None:
    done, _ = await make(drawn(640, 480), alt={"en": EN}, moderation=False)
    (one,) = done.output.visuals
    assert (one.width, one.shown) == (640, 600)
    assert [check.verdict for check in one.checks if check.name == "sharpness"] == ["warning"]


@pytest.mark.parametrize(
    ("values", "kind", "made"),
    [
        ({"format": "png"}, "png", "image/png"),
        ({"background": "transparent"}, "png", "image/png"),
        ({"format": "webp"}, "webp", "image/jpeg"),
        ({}, "webp", "image/jpeg"),
    ],
)
async def test_only_formats_that_mail_shows_come_out(values: dict[str, Any], kind: str, made: str) -> None:
    done, asker = await make(drawn(kind=kind), alt={"en": EN}, moderation=False, **values)
    assert done.output.visuals[0].picture.media_type == made
    assert asker.asked[0].body.get("output_format", "png") == made.partition("/")[2]
    assert any(warning.startswith("format: webp") for warning in done.warnings) == (values.get("format") == "webp")


def prepared(model: str = "gpt-image-2", **values: Any):
    return visuals.prepare(Input(offer=OFFER, **values), choice(model))


def test_old_words_of_dall_e_are_answered_with_what_replaces_them() -> None:
    ask = prepared(size="1792x1024", quality="hd", style="vivid")
    assert (ask.body["size"], ask.body["quality"]) == ("1200x688", "high")
    assert "style" not in ask.body
    assert "hyper-real" in ask.body["prompt"]
    assert [warning.partition(":")[0] for warning in ask.warnings] == ["size", "style", "quality"]
    with pytest.raises(InputError):
        visuals.prepare(Input(offer=OFFER, style="natural"), choice(strict=True))


def test_figures_codes_tags_and_personal_data_stay_out_of_what_is_drawn() -> None:
    brief = VisualBrief(
        offer=f"{OFFER} For {{{{ contact.FIRSTNAME }}}}.",
        readers="Friends of ann@example.com",
        forbidden=["fur"],
        instructions="A cat at {{ params.x }} the side",
    )
    prompt = brief.write_prompt()
    for absent in ("20", "SUMMER", "49", "2026", "{{", "ann@", "€"):
        assert absent not in prompt
    assert "No text of any kind" in prompt
    assert "Do not show: fur." in prompt
    kept = VisualBrief(offer="5G phones, B2B, 3 for 2, 1.299,00 € or 50 Euro less").describe_offer()
    assert kept == "5G phones, B2B, … for …, … or … less"
    lettered = VisualBrief(offer=OFFER, lettering="Hello").write_prompt()
    assert "spelt exactly so: Hello" in lettered
    assert "No text of any kind" not in lettered


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.sampled_from(["wide", "banner", "square", "tall"]),
        st.builds("{}x{}".format, st.integers(100, 99999), st.integers(100, 99999)),
    ),
    st.integers(100, 600),
)
def test_every_size_that_is_asked_for_is_one_that_the_model_makes(size: str, width: int) -> None:
    brief = VisualBrief(offer="x", size=size, width=width)
    model = load_catalogue().find("gpt-image-2")
    asked = brief.ask_size()
    made = fit_size(asked, model)
    assert fit_size(made, model) == made
    across, down = (int(part) for part in asked.split("x"))
    assert across % 16 == down % 16 == 0
    assert across * down >= 655_360
    assert across >= brief.aim()[0] <= 1200


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (EN, []),
        ("Short", ["alt length"]),
        ("x" * 126, ["alt length"]),
        ("Sandals for {{ contact.FIRSTNAME }} on a beach", ["alt tags"]),
        ("An image of sandals on a beach at noon", ["alt opening"]),
        ("Sandals at 30 % off on a beach at noon", ["facts"]),
        ("Sandals <b>on a beach</b> at noon", ["plain text"]),
        ("Sandals and a fur coat on a beach", ["forbidden"]),
        ("Ein Paar Sandalen vor einer hellen Wand in der Sonne.", ["language"]),
    ],
)
def test_an_alternative_text_is_checked(text: str, wrong: list[str]) -> None:
    pytest.importorskip("py3langid")
    checks = check_alt(text, "en", VisualBrief(offer=OFFER, forbidden=["fur"]))
    assert [one.name for one in checks if one.verdict == "error"] == wrong


@pytest.mark.parametrize(
    "values",
    [
        {"size": "round"},
        {"size": "99x900"},
        {"width": 601},
        {"copies": 5},
        {"offer": ""},
        {"lettering": "Hi {{ contact.X }}"},
        {"n": 1},
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        visuals.OPERATION.parse({"offer": OFFER, **values})


def test_the_preview_holds_the_price_of_the_picture() -> None:
    ask = prepared(quality="high", copies=2)
    assert ask.images == 2
    assert ask.most is not None
    assert ask.most.image_output == 2 * 7034


def test_made_files_are_whole_pictures() -> None:
    content = encode_picture(draw_look("x"), 1200, 800, "jpeg")
    visual, lost = visuals._fit(Input(offer=OFFER), content, 1)
    image = Image.open(io.BytesIO(base64.b64decode(visual.picture.base64)))
    image.load()
    assert (image.size, lost) == ((1200, 800), [])
