"""What pictures of each model may be like, what they cost at most, and how an answer with pictures is read.

Rules and prices per picture: pages of the GPT Image models, September and October 2026. A wish that a model
does not take is refused when the call is strict, otherwise left out or replaced with a warning.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Literal

from pydantic import AliasChoices, Field

from penstock.base.errors import OutputError
from penstock.base.types import Usage
from penstock.operations.declare import Fields, ModelChoice
from penstock.operations.files import MadeFile, made_file
from penstock.operations.media import EXTENSIONS, sniff
from penstock.operations.request import Request
from penstock.runtime.ask import Answer
from penstock.vendor.models import Model

SECONDS = 300.0
"""How long an answer may take at least: two minutes are usual for large pictures of high quality."""

_NAMED = {"1024x1024": (1024, 1024), "1536x1024": (1536, 1024), "1024x1536": (1024, 1536)}
_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})\Z")
_EDGE, _LEAST_PIXELS, _MOST_PIXELS, _STEP = 3_840, 655_360, 8_294_400, 16
_TOKENS = {
    "new": {"low": 200, "medium": 1_767, "high": 7_034},
    "tall": {"low": 167, "medium": 1_367, "high": 5_500},
    "old": {"low": 282, "medium": 1_063, "high": 4_160},
}
"""Output tokens by the published prices per picture: gpt-image-2 at 1024 by 1024 and by 1536, older ones the first."""
_ABOVE_HIGH = {"xhigh": 2, "max": 4}
"""How many times the tokens of high these are taken to use; nothing is published."""
SOURCE_TOKENS = 6_500
"""What a picture to edit is taken to use as input, at most: some 6,200 at high fidelity."""
_USUAL_SOURCE_TOKENS = 1_500
"""What it usually uses."""
_STYLES = {"vivid": "Style: hyper-real and dramatic.", "natural": "Style: natural, not hyper-real."}
"""What the styles of DALL-E 3 meant, in words."""
_FORMATS = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml"}


class Look(Fields):
    """How pictures are wished, whichever model makes them."""

    text: str = Field(min_length=1, max_length=32_000, validation_alias=AliasChoices("text", "prompt"))
    """What the pictures show."""
    copies: int = Field(default=1, ge=1, le=10, validation_alias=AliasChoices("copies", "n"))
    """How many pictures of it, each different."""
    size: str = Field(default="auto", pattern=r"^(auto|[1-9]\d{1,4}x[1-9]\d{1,4})$")
    """Width and height in pixels, such as `1536x1024`; auto leaves it to the model."""
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] = "auto"
    """How much work goes into them, and money; standard and hd are the old words for medium and high."""
    format: Literal["png", "webp", "jpeg", "gif", "svg"] = "png"
    """Kind of the files."""
    compression: int | None = Field(default=None, ge=0, le=100)
    """How far webp and jpeg are compressed, 100 the least."""
    background: Literal["auto", "opaque", "transparent"] = "auto"
    """What is behind; transparent needs png or webp."""
    moderation: Literal["auto", "low"] = "auto"
    """How strictly the vendor judges what is asked for."""
    style: Literal["", "vivid", "natural"] = ""
    """How it looks, in the words of DALL-E 3, which no model takes any more: they are put into the text."""


class Pictures(Fields):
    """The pictures."""

    images: list[MadeFile]
    """The pictures, as files."""
    urls: list[str] = Field(default=[])
    """Their addresses, where a server gives those instead."""
    size: str = ""
    """Their size, where it is told."""
    quality: str = ""
    """Their quality, where it is told."""
    model: str
    """The model that answered."""


class Order(Request):
    """A request for pictures."""

    def __init__(self, look: Look, choice: ModelChoice, *, is_form: bool = False) -> None:
        """Translate the wishes; raises `InputError` for what a strict call cannot honour.

        A form, which carries files, has no field for moderation (OpenAPI description of 2026-08-21, SDK 3.52).
        """
        super().__init__(choice, "image", prompt=look.text)
        self.look = look
        if look.copies > 1:
            self.set("n", "copies", look.copies)
        if look.style:
            self.give_up("style", f"{look.style} was a setting of DALL-E 3", "it is said in words")
            self.body["prompt"] = f"{look.text}\n\n{_STYLES[look.style]}"
        self._set_size()
        self._set_quality()
        self._set_format()
        if look.moderation != "auto" and is_form:
            self.give_up("moderation", "an edit does not take it")
        elif look.moderation != "auto":
            self.set("moderation", "moderation", look.moderation)

    def _set_size(self) -> None:
        wished = self.look.size
        if wished == "auto":
            return
        taken = fit_size(wished, self.model)
        if taken != wished:
            self.give_up("size", f"{self.model.id} does not make {wished}", f"{taken} is used")
        self.set("size", "size", taken)

    def _set_quality(self) -> None:
        wished = {"standard": "medium", "hd": "high"}.get(self.look.quality, self.look.quality)
        if wished != self.look.quality:
            self.give_up("quality", f"{self.look.quality} was a word of DALL-E", f"{wished} is used")
        if wished in _ABOVE_HIGH and self.model.known and not _is_newest(self.model):
            self.give_up("quality", f"{self.model.id} does not take {wished}", "high is used")
            wished = "high"
        if wished != "auto":
            self.set("quality", "quality", wished)

    def _set_format(self) -> None:
        look = self.look
        if look.format != "png":
            self.set("output_format", "format", look.format)
        if look.compression is not None and look.format in ("webp", "jpeg"):
            self.set("output_compression", "compression", look.compression)
        elif look.compression is not None:
            self.give_up("compression", f"{look.format} is not compressed this way")
        if look.background == "transparent" and look.format not in ("png", "webp"):
            self.give_up("background", f"{look.format} is never transparent", "opaque is used")
        elif look.background != "auto":
            self.set("background", "background", look.background)

    def most(self, prompt_tokens: int, sources: int = 0) -> Usage:
        """Return the most that the pictures use; where the model chooses, it is taken to choose the dearest."""
        return self._use(prompt_tokens, SOURCE_TOKENS * sources, "high")

    def likely(self, prompt_tokens: int, sources: int = 0) -> Usage:
        """Return what the pictures probably use; where the model chooses, it is taken to choose the middle."""
        return self._use(prompt_tokens, _USUAL_SOURCE_TOKENS * sources, "medium")

    def _use(self, prompt_tokens: int, seen: int, chosen: str) -> Usage:
        quality = str(self.body.get("quality", chosen))
        made = self.look.copies * count_tokens(self.model, str(self.body.get("size", "auto")), quality)
        return Usage(
            input=prompt_tokens + seen, output=made, images=self.look.copies, image_input=seen, image_output=made
        )


def _is_newest(model: Model) -> bool:
    return model.id.startswith(("gpt-image-2.5", "gpt-image-2.6"))


def fit_size(size: str, model: Model) -> str:
    """Return the size itself where a model makes it, else the nearest that it makes.

    GPT Image 2 and newer make any width and height that are multiples of 16, up to 3,840, between 1:3 and 3:1,
    of 655,360 to 8,294,400 pixels; older ones three sizes.
    """
    found = _SIZE.match(size)
    if found is None or size in _NAMED or not model.known or model.id.startswith("dall-e"):
        return size
    width, height = int(found[1]), int(found[2])
    if not model.id.startswith("gpt-image-2"):
        shape = math.log(width / height)
        return min(_NAMED, key=lambda name: abs(math.log(_NAMED[name][0] / _NAMED[name][1]) - shape))
    if _is_made(width, height):
        return size
    shape = min(max(width / height, 1 / 3), 3.0)
    pixels = min(max(width * height, _LEAST_PIXELS), _MOST_PIXELS, _EDGE * _EDGE * min(shape, 1 / shape))
    height_wished = math.sqrt(pixels / shape)
    near = [
        (across, down)
        for across in _steps(height_wished * shape)
        for down in _steps(height_wished)
        if _is_made(across, down)
    ]
    width, height = min(near, key=lambda one: abs(one[0] - height_wished * shape) + abs(one[1] - height_wished))
    return f"{width}x{height}"


def _steps(wished: float) -> list[int]:
    middle = round(wished / _STEP) * _STEP
    return [middle + step * _STEP for step in range(-3, 4)]


def _is_made(width: int, height: int) -> bool:
    return (
        width > 0 < height
        and not width % _STEP
        and not height % _STEP
        and max(width, height) <= min(_EDGE, 3 * min(width, height))
        and _LEAST_PIXELS <= width * height <= _MOST_PIXELS
    )


def count_tokens(model: Model, size: str, quality: str) -> int:
    """Return the output tokens of one picture, at most; sizes without a published price go by their area."""
    is_new = model.id.startswith("gpt-image-2")
    found = _SIZE.match(size)
    width, height = (int(found[1]), int(found[2])) if found else (1024, 1024 if is_new else 1536)
    is_tall = is_new and {width, height} == {1024, 1536}
    steps = _TOKENS["tall" if is_tall else "new" if is_new else "old"]
    times = 1.0 if is_tall else max(width * height / (1024 * 1024), 1.0)
    return math.ceil(steps.get(quality, steps["high"]) * _ABOVE_HIGH.get(quality, 1) * times)


def read_pictures(look: Look, answer: Answer) -> Pictures:
    """Read the pictures of an answer; raises `OutputError` where there is none or one that is no picture."""
    content = answer.content if isinstance(answer.content, dict) else {}
    listed = content.get("data")
    if not isinstance(listed, list) or not listed:
        raise OutputError("the answer holds no picture", code="output.empty")
    parts = [part if isinstance(part, dict) else {} for part in listed]
    images = [
        _read_picture(str(part["b64_json"]), look, number)
        for number, part in enumerate(parts, 1)
        if part.get("b64_json")
    ]
    urls = [str(part["url"]) for part in parts if part.get("url") and not part.get("b64_json")]
    if len(images) + len(urls) != len(parts):
        raise OutputError("a picture of the answer is empty", code="output.shape")
    return Pictures(
        images=images,
        urls=urls,
        size=str(content.get("size") or ""),
        quality=str(content.get("quality") or ""),
        model=answer.model,
    )


def _read_picture(text: str, look: Look, number: int) -> MadeFile:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise OutputError("a picture of the answer is not valid base64", code="output.shape") from None
    found = sniff(data)
    media_type = found if found in EXTENSIONS else _FORMATS[look.format]
    return made_file(data, media_type, f"picture-{number}")
