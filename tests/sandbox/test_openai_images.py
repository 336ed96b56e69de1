"""Pictures of the emulated OpenAI: what each model takes, what is refused, and what is counted."""

import base64
from datetime import UTC, datetime

import pytest
from media_desk import Desk

from penstock.base.types import Usage
from penstock.sandbox.limits import Limit
from penstock.sandbox.pixels import draw_look, encode_picture, read_picture
from penstock.sandbox.world import Fault

KITE = {"model": "gpt-image-2", "prompt": "A red kite"}
PNG = encode_picture(draw_look("source"), 640, 480, "png")
MASK = encode_picture(draw_look("mask"), 640, 480, "png", transparent=True)


def pictures(got):
    return [base64.b64decode(one["b64_json"]) for one in got.json["data"]]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("size", ["1024x1024", "1536x864", "3840x2160", "auto"])
async def test_a_picture_has_the_size_and_format_that_were_asked_for(size, kind):
    got = await Desk().post("images/generations", **KITE, size=size, output_format=kind)
    picture = read_picture(pictures(got)[0])
    asked = "1024x1024" if size == "auto" else size
    assert (picture.kind, f"{picture.width}x{picture.height}") == (kind, asked)
    assert (got.json["size"], got.json["output_format"], got.json["quality"]) == (asked, kind, "medium")


async def test_equal_orders_give_equal_pictures_and_others_differ():
    first = pictures(await Desk().post("images/generations", **KITE, n=2))
    again = pictures(await Desk().post("images/generations", **KITE, n=2))
    other = pictures(await Desk().post("images/generations", model="gpt-image-2", prompt="A blue kite"))
    assert first == again
    assert len({*first, *other}) == 3


@pytest.mark.parametrize(
    ("model", "size", "quality", "tokens"),
    [
        ("gpt-image-2", "1024x1024", "low", 200),
        ("gpt-image-2", "1024x1024", "medium", 1_767),
        ("gpt-image-2", "1024x1024", "high", 7_033),
        ("gpt-image-2", "1536x1024", "high", 5_500),
        ("gpt-image-2", "2048x1024", "low", 400),
        ("gpt-image-1.5", "1024x1024", "high", 4_160),
        ("gpt-image-2.5-flare", "1024x1024", "max", 14_066),
    ],
)
async def test_output_tokens_follow_size_and_quality(model, size, quality, tokens):
    desk = Desk()
    got = await desk.post("images/generations", model=model, prompt="A red kite", size=size, quality=quality)
    assert got.json["usage"]["output_tokens"] == tokens
    assert desk.world.billed_usage[model] == Usage(input=3, output=tokens, images=1, image_output=tokens)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"size": "1000x1000"}, "size", "invalid_value"),
        ({"size": "4096x1024"}, "size", "invalid_value"),
        ({"size": "512x512"}, "size", "invalid_value"),
        ({"size": "3840x1024"}, "size", "invalid_value"),
        ({"size": "wide"}, "size", "invalid_value"),
        ({"model": "gpt-image-1.5", "size": "1536x864"}, "size", "invalid_value"),
        ({"quality": "max"}, "quality", "invalid_value"),
        ({"quality": "hd"}, "quality", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"n": 1.5}, "n", "invalid_value"),
        ({"response_format": "url"}, "response_format", "unknown_parameter"),
        ({"style": "vivid"}, "style", "unknown_parameter"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
        ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": 7}, "prompt", "invalid_type"),
        ({"background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "unsupported_value"),
        ({"partial_images": 2}, "partial_images", "invalid_value"),
        ({"partial_images": 4, "stream": True}, "partial_images", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"model": "gpt-6-luna"}, "model", "unsupported_value"),
    ],
)
async def test_what_the_model_does_not_take_is_refused_by_name(body, param, code):
    got = await Desk().post("images/generations", **{**KITE, **body})
    assert (got.status, got.error["param"], got.error["code"]) == (400, param, code)


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3", "dall-e-2", "unheard-of"])
async def test_retired_and_unknown_models_are_not_found(model):
    got = await Desk().post("images/generations", model=model, prompt="A kite")
    assert (got.status, got.error["code"]) == (404, "model_not_found")


async def test_a_model_ends_on_its_day():
    desk = Desk()
    body = {"model": "gpt-image-1.5", "prompt": "A kite"}
    assert (await desk.post("images/generations", **body)).status == 200
    desk.clock.advance(datetime(2026, 12, 1, tzinfo=UTC).timestamp() - desk.clock.now())
    assert (await desk.post("images/generations", **body)).status == 404


async def test_a_flagged_prompt_is_blocked_unless_moderation_is_low():
    desk = Desk()
    body = {"model": "gpt-image-2", "prompt": "Soldiers shoot at each other"}
    got = await desk.post("images/generations", **body)
    assert (got.status, got.error["code"]) == (400, "moderation_blocked")
    assert (await desk.post("images/generations", **body, moderation="low")).status == 200
    assert desk.world.billed_calls["images.generate"] == 1


async def test_pictures_a_minute_are_limited():
    desk = Desk(limit=Limit(ipm=5))
    got = await desk.post("images/generations", **KITE, n=4)
    assert got.headers["x-ratelimit-remaining-images"] == "1"
    refused = await desk.post("images/generations", **KITE, n=2)
    assert (refused.status, refused.error["code"], refused.error["type"]) == (429, "rate_limit_exceeded", "images")
    assert refused.headers["retry-after"] == "12"
    desk.clock.advance(12)
    assert (await desk.post("images/generations", **KITE, n=2)).status == 200


async def test_a_form_and_json_edit_alike():
    desk = Desk()
    form = await desk.form("images/edits", {"image": ("a.png", PNG), "mask": ("m.png", MASK)}, **KITE)
    stored = await desk.upload(PNG, "vision", "a.png")
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    mask = {"image_url": "data:image/png;base64," + base64.b64encode(MASK).decode()}
    by_url = await desk.post("images/edits", **KITE, images=[{"image_url": url}], mask=mask)
    by_file = await desk.post("images/edits", **KITE, images=[{"file_id": stored}])
    assert form.status == by_url.status == by_file.status == 200
    assert pictures(form) == pictures(by_url) == pictures(by_file)
    assert form.json["usage"]["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 300}


@pytest.mark.parametrize(
    ("files", "fields", "status", "param"),
    [
        ({"user": (None, b"me")}, {}, 400, "image"),
        ({"image": ("a.png", b"not a picture")}, {}, 400, "image"),
        ({"image": ("a.png", PNG), "mask": ("m.png", PNG)}, {}, 400, "mask"),
        ({"image": ("a.png", PNG)}, {"input_fidelity": "high"}, 400, "input_fidelity"),
        ({"image": ("a.png", PNG)}, {"model": "gpt-image-1-mini", "input_fidelity": "high"}, 400, "input_fidelity"),
        ({"image": ("a.png", PNG), "markup": ("m.png", MASK)}, {}, 400, "markup"),
        ({"image": ("a.png", PNG + bytes(50_000_000))}, {}, 413, "image"),
        ([("image[]", (f"{at}.png", PNG)) for at in range(17)], {}, 400, "image"),
    ],
)
async def test_bad_sources_are_refused(files, fields, status, param):
    got = await Desk().form("images/edits", files, **{**KITE, **fields})
    assert (got.status, got.error["param"]) == (status, param)


async def test_a_mask_must_have_the_size_of_the_picture():
    mask = encode_picture(draw_look("mask"), 480, 640, "png", transparent=True)
    got = await Desk().form("images/edits", {"image": ("a.png", PNG), "mask": ("m.png", mask)}, **KITE)
    assert (got.status, got.error["code"]) == (400, "invalid_image_file")
    assert "480x640" in got.error["message"]


async def test_variations_are_gone():
    assert (await Desk().form("images/variations", {"image": ("a.png", PNG)})).status == 404


async def test_a_cut_form_is_refused():
    got = await Desk().call("POST", "images/edits", b"--x\r\nhalf", "multipart/form-data; boundary=x")
    assert (got.status, got.error["code"]) == (400, "invalid_multipart")


async def test_a_lost_picture_is_billed_all_the_same():
    desk = Desk(faults=[Fault(operation="images.generate", kind="lost", times=1)])
    with pytest.raises(ConnectionResetError):
        await desk.post("images/generations", **KITE)
    assert desk.world.billed_calls["images.generate"] == 1


async def test_an_edit_as_a_form_has_no_field_for_moderation() -> None:
    desk = Desk()
    got = await desk.form("images/edits", {"image": ("x.png", encode_picture(draw_look("x"), 64, 64, "png"))},
                          prompt="x", moderation="low")  # fmt: skip
    assert (got.status, got.json["error"]["param"]) == (400, "moderation")
