"""Pictures: what each model makes, what is warned of or refused, what they cost at most, and how answers are read."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_asker import answer, choose
from penstock.base.errors import InputError, OutputError
from penstock.base.types import DOLLAR
from penstock.operations import analyze_image, edit_image, generate_image
from penstock.operations.media import RED_SQUARE
from penstock.operations.pictures import fit_size
from penstock.sandbox.pixels import draw_look, encode_picture
from penstock.vendor.models import load_catalogue

CATALOGUE = load_catalogue()
NEW, OLD = CATALOGUE.find("gpt-image-2"), CATALOGUE.find("gpt-image-1.5")
LOOK = draw_look("x")


def draw(model: str = "gpt-image-2", **values: Any) -> Any:
    options = {name: values.pop(name) for name in ("strict", "refused") if name in values}
    return generate_image.prepare(
        generate_image.OPERATION.parse({"text": "A kettle", **values}), choose(model, **options)
    )


def edit(model: str = "gpt-image-2", **values: Any) -> Any:
    options = {name: values.pop(name) for name in ("strict",) if name in values}
    return edit_image.prepare(
        edit_image.OPERATION.parse({"text": "Blue", "images": [RED_SQUARE], **values}), choose(model, **options)
    )


def test_without_wishes_only_model_and_prompt_are_sent() -> None:
    ask = draw()
    assert ask.body == {"model": "gpt-image-2", "prompt": "A kettle"}
    assert (ask.path, ask.images, ask.timeout) == ("/images/generations", 1, 300.0)


def test_every_wish_reaches_the_request() -> None:
    ask = draw(copies=3, size="1536x1024", quality="low", format="webp", compression=40, background="transparent",
               moderation="low")  # fmt: skip
    assert ask.body == {
        "model": "gpt-image-2",
        "prompt": "A kettle",
        "n": 3,
        "size": "1536x1024",
        "quality": "low",
        "output_format": "webp",
        "output_compression": 40,
        "background": "transparent",
        "moderation": "low",
    }
    assert (ask.images, ask.warnings) == (3, ())


def test_what_these_models_never_take_is_no_input() -> None:
    with pytest.raises(InputError, match="response_format"):
        generate_image.OPERATION.parse({"text": "a", "response_format": "url"})


def test_a_style_of_dall_e_is_said_in_words_and_refused_when_strict() -> None:
    wish = generate_image.OPERATION.parse({"text": "a kettle", "style": "natural"})
    ask = generate_image.prepare(wish, choose("gpt-image-2"))
    assert "style" not in ask.body
    assert ask.body["prompt"].startswith("a kettle\n\nStyle: natural")
    assert ask.warnings == ("style: natural was a setting of DALL-E 3; it is said in words",)
    with pytest.raises(InputError, match="style"):
        generate_image.prepare(wish, choose("gpt-image-2", strict=True))


@pytest.mark.parametrize(
    ("model", "size", "taken"),
    [
        ("gpt-image-1.5", "1792x1024", "1536x1024"),
        ("gpt-image-1.5", "1024x1792", "1024x1536"),
        ("gpt-image-1-mini", "512x512", "1024x1024"),
        ("gpt-image-2", "512x512", "816x816"),
        ("gpt-image-2", "1000x1000", "992x992"),
        ("gpt-image-2.5-flare", "8000x8000", "2880x2880"),
        ("gpt-image-2", "3000x500", "2112x704"),
    ],
)
def test_a_size_that_is_not_made_becomes_the_nearest_with_a_warning_or_is_refused(
    model: str, size: str, taken: str
) -> None:
    ask = draw(model, size=size)
    assert (ask.body["size"], ask.warnings) == (taken, (f"size: {model} does not make {size}; {taken} is used",))
    with pytest.raises(InputError, match=f"size cannot be honoured: {model} does not make {size}") as caught:
        draw(model, size=size, strict=True)
    assert caught.value.code == "parameters.not-taken"


@pytest.mark.parametrize("size", ["1024x1024", "1792x1024", "1024x1792", "3840x2160", "auto"])
def test_a_size_that_is_made_is_left_alone(size: str) -> None:
    assert draw(size=size, strict=True).body.get("size", "auto") == size


@given(st.integers(10, 99_999), st.integers(10, 99_999))
def test_the_nearest_size_is_always_one_that_is_made(width: int, height: int) -> None:
    taken = fit_size(f"{width}x{height}", NEW)
    found = re.fullmatch(r"(\d+)x(\d+)", taken)
    assert found
    across, down = int(found[1]), int(found[2])
    assert across % 16 == down % 16 == 0
    assert max(across, down) <= min(3_840, 3 * min(across, down))
    assert 655_360 <= across * down <= 8_294_400
    assert fit_size(taken, NEW) == taken
    assert fit_size(f"{width}x{height}", OLD) in ("1024x1024", "1536x1024", "1024x1536")


@pytest.mark.parametrize("size", ["big", "1024", "1024x", "0x0", "00x00", "1024X1024", "-1x5", "1024x1024 "])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(InputError, match="size"):
        draw(size=size)


@pytest.mark.parametrize(
    ("model", "quality", "sent", "warns"),
    [
        ("gpt-image-2", "auto", None, False),
        ("gpt-image-2", "high", "high", False),
        ("gpt-image-2", "max", "high", True),
        ("gpt-image-2.5-sunburst", "max", "max", False),
        ("gpt-image-1.5", "xhigh", "high", True),
        ("gpt-image-2", "hd", "high", True),
        ("gpt-image-2", "standard", "medium", True),
        ("a-gateway-model", "max", "max", False),
    ],
)
def test_quality_is_that_of_the_model(model: str, quality: str, sent: str | None, warns: bool) -> None:
    ask = draw(model, quality=quality)
    assert (ask.body.get("quality"), bool(ask.warnings)) == (sent, warns)


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"format": "jpeg", "background": "transparent"}, "background: jpeg is never transparent"),
        ({"compression": 50}, "compression: png is not compressed this way"),
    ],
)
def test_wishes_that_contradict_each_other_are_not_lost_silently(values: dict[str, Any], warning: str) -> None:
    assert warning in draw(**values).warnings[0]
    with pytest.raises(InputError, match=warning.partition(":")[0]):
        draw(**values, strict=True)


def test_a_parameter_that_was_refused_is_left_out_with_a_warning() -> None:
    ask = draw(quality="low", refused=frozenset({"quality"}))
    assert "quality" not in ask.body
    assert ask.warnings == ("quality: gpt-image-2 refused it; left out",)


def test_a_model_of_another_kind_is_named() -> None:
    with pytest.raises(InputError, match="gpt-6-luna is a model for chat, not for image") as caught:
        draw("gpt-6-luna")
    assert caught.value.code == "model.wrong-kind"


@pytest.mark.parametrize(
    ("size", "quality", "dollars"),
    [
        ("1024x1024", "low", 0.006),
        ("1024x1024", "medium", 0.053),
        ("1024x1024", "high", 0.211),
        ("1024x1536", "low", 0.005),
        ("1536x1024", "medium", 0.041),
        ("1024x1536", "high", 0.165),
    ],
)
def test_the_most_that_a_picture_costs_is_the_published_price(size: str, quality: str, dollars: float) -> None:
    ask = draw(size=size, quality=quality, copies=2)
    price = CATALOGUE.price("gpt-image-2", None, "default", ask.most)
    assert price is not None
    assert price / DOLLAR == pytest.approx(dollars * 2, abs=0.0003)


def test_what_the_model_may_choose_is_reckoned_at_its_dearest() -> None:
    assert draw().most.output == draw(quality="high").most.output == draw(quality="high", size="1024x1024").most.output
    assert draw("gpt-image-2.5-flare", quality="max").most.output > draw("gpt-image-2.5-flare").most.output


def test_the_price_of_an_unknown_model_is_unknown() -> None:
    assert CATALOGUE.price("gpt-image-2.6-flare", None, "default", draw("gpt-image-2.6-flare").most) is None


def test_several_pictures_travel_as_a_list_and_the_mask_beside_them() -> None:
    picture = encode_picture(LOOK, 64, 64, "png")
    mask = encode_picture(LOOK, 64, 64, "png", transparent=True)
    one, many = edit(images=[picture], mask=mask), edit(images=[picture, RED_SQUARE])
    assert [(file.field, file.name) for file in one.files] == [("image", "picture.png"), ("mask", "mask.png")]
    assert [file.field for file in many.files] == ["image[]", "image[]"]
    assert many.most.image_input == 2 * one.most.image_input > 0
    assert one.content.count(b"Content-Type: image/png") == 2


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (encode_picture(LOOK, 64, 64, "png"), "no transparent part"),
        (encode_picture(LOOK, 32, 64, "png", transparent=True), "its size 32x64 is not that of the first picture"),
        (encode_picture(LOOK, 64, 64, "webp", transparent=True), "is image/webp; taken are png"),
    ],
)
def test_a_mask_that_could_not_work_is_refused_before_it_is_paid_for(mask: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        edit(images=[encode_picture(LOOK, 64, 64, "png")], mask=mask)


async def test_a_mask_behind_a_url_is_held_against_the_picture_once_it_is_fetched() -> None:
    async def fetch(url: str, _most: int) -> bytes:
        return encode_picture(LOOK, 32, 64, "png", transparent="mask" in url)

    given = edit_image.OPERATION.parse({"text": "x", "images": [RED_SQUARE], "mask": "https://files.example/mask.png"})
    with pytest.raises(InputError, match="its size 32x64") as caught:
        await edit_image.load(given, fetch)
    assert caught.value.code == "operation.bad-input"


def test_moderation_is_no_field_of_an_edit() -> None:
    assert edit(moderation="low").warnings == ("moderation: an edit does not take it; left out",)
    assert "moderation" not in edit(moderation="low").body


@pytest.mark.parametrize("count", [0, 17])
def test_one_to_sixteen_pictures_are_edited(count: int) -> None:
    with pytest.raises(InputError, match="images"):
        edit(images=[RED_SQUARE] * count)


@pytest.mark.parametrize(
    ("model", "wish", "sent", "warns"),
    [
        ("gpt-image-1.5", "high", "high", False),
        ("gpt-image-1-mini", "low", "low", False),
        ("gpt-image-1-mini", "high", None, True),
        ("gpt-image-2", "high", None, False),  # it has no other
        ("gpt-image-2", "low", None, True),
    ],
)
def test_fidelity_is_sent_only_where_there_is_a_choice(model: str, wish: str, sent: str | None, warns: bool) -> None:
    ask = edit(model, fidelity=wish)
    assert (ask.body.get("input_fidelity"), bool(ask.warnings)) == (sent, warns)


def read(content: Any, **values: Any) -> Any:
    return generate_image.read(generate_image.OPERATION.parse({"text": "x", **values}), answer(content, "gpt-image-2"))


def test_pictures_come_as_files_of_the_kind_that_they_are() -> None:
    jpeg = base64.b64encode(encode_picture(LOOK, 64, 64, "jpeg")).decode()
    output = read({"data": [{"b64_json": RED_SQUARE}, {"b64_json": jpeg}], "size": "64x64", "quality": "low"})
    assert [(one.media_type, one.name) for one in output.images] == [
        ("image/png", "picture-1.png"),
        ("image/jpeg", "picture-2.jpg"),
    ]
    assert (output.size, output.quality, output.model, output.urls) == ("64x64", "low", "gpt-image-2", [])


def test_a_server_that_gives_addresses_is_understood() -> None:
    assert read({"data": [{"url": "https://files.example/1.png"}]}).urls == ["https://files.example/1.png"]


@pytest.mark.parametrize("content", [None, {}, {"data": []}, {"data": None}, {"data": [{}]}, {"data": [7]},
                                     {"data": [{"b64_json": "???"}]}])  # fmt: skip
def test_an_answer_without_pictures_is_none(content: Any) -> None:
    with pytest.raises(OutputError):
        read(content)


def look(model: str = "gpt-6-luna", **values: Any) -> Any:
    return analyze_image.prepare(
        analyze_image.OPERATION.parse({"text": "What is it?", "images": [RED_SQUARE], **values}), choose(model)
    )


def test_pictures_to_look_at_are_sent_along_and_urls_are_left_to_the_vendor() -> None:
    ask = look(images=[RED_SQUARE, "https://files.example/x.png"], detail="low")
    parts = ask.body["input"][0]["content"]
    assert [part["type"] for part in parts] == ["input_text", "input_image", "input_image"]
    assert parts[1]["image_url"] == f"data:image/png;base64,{RED_SQUARE}"
    assert parts[2] == {"type": "input_image", "image_url": "https://files.example/x.png", "detail": "low"}


async def test_urls_are_fetched_here_where_that_is_wished() -> None:
    async def fetch(_url: str, _most: int) -> bytes:
        return base64.b64decode(RED_SQUARE)

    values: dict[str, Any] = {"text": "x", "images": ["https://files.example/x.png"]}
    left = await analyze_image.load(analyze_image.OPERATION.parse(values), fetch)
    here = await analyze_image.load(analyze_image.OPERATION.parse({**values, "inline": True}), fetch)
    assert (left.images[0].data_url(), here.images[0].data_url()[:22]) == (
        values["images"][0],
        "data:image/png;base64,",
    )


def test_a_model_that_is_blind_is_refused() -> None:
    blind = next(model for model in CATALOGUE.all() if model.kind == "chat" and not model.reads_images)
    with pytest.raises(InputError, match=f"{blind.id} does not read them"):
        look(blind.id)


def test_what_was_seen_can_be_json() -> None:
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    given = analyze_image.OPERATION.parse({"text": "x", "images": [RED_SQUARE], "answer_schema": schema})
    said = {"status": "completed", "output": [{"type": "message", "content": [
        {"type": "output_text", "text": '{"colour": "red"}'}]}]}  # fmt: skip
    assert analyze_image.read(given, answer(said)).data == {"colour": "red"}
